"""MXNet without layer fusion: the reference, used where the fusion computes wrong numbers (agreement.py)."""

from edge.engines.mxnet import MxnetClassifier


class UnfusedClassifier(MxnetClassifier):
    """The same network as with MXNET_SUBGRAPH_BACKEND=NONE: each layer as written, some per cent slower.

    The fusion (MXNet's oneDNN subgraphs) computes wrong numbers where a convolution's output feeds both an activation
    and, further on, another convolution with a sum.
    """

    _fuses = False
