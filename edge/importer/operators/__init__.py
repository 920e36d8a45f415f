"""What each operator of MXNet means in ONNX when a network is only used: its layers, and the shapes they give.

layers.py       with weights, pooling, larger and smaller pictures; what is folded into a convolution
elementwise.py  each number by itself, or two at the same place
shapes.py       numbers that are moved, left out or repeated
reductions.py   few numbers of many; softmaxes
common.py       what all of them need
"""

from typing import NoReturn

from edge.importer.operators.common import Layer
from edge.importer.operators.elementwise import ELEMENTWISE
from edge.importer.operators.layers import LAYERS
from edge.importer.operators.reductions import REDUCTIONS
from edge.importer.operators.shapes import SHAPES
from edge.importer.symbol import Node, UnsupportedError

OPERATORS: dict[str, Layer] = {**LAYERS, **ELEMENTWISE, **SHAPES, **REDUCTIONS}


def unknown(node: Node) -> NoReturn:
    """Raise the UnsupportedError for an operator that is not known."""
    raise UnsupportedError(node.where, f"the operator {node.op} is not supported")
