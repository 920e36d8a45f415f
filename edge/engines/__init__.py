"""The engines that run networks."""

from edge.models.checkpoint import Checkpoint
from edge.stages import Classifier


def open_classifier(checkpoint: Checkpoint, top: int = 5) -> Classifier:
    """Load a checkpoint and run it once, so that the first real frame is as fast as the others.

    `top` is how many labels `classify` returns. Raises ModelError when the files are broken or at odds.
    """
    from edge.engines.mxnet import MxnetClassifier

    return MxnetClassifier(checkpoint, top)
