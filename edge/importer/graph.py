"""A graph made from a checkpoint: a folder with network.onnx for the layers and weights.bin for the parameters.

The graph takes `data`, float32 1 x 3 x size x size (1 x 1 x ... for a network that takes grey). It gives
`probabilities` and `scores` (the input of the softmax or the sigmoids), float32 1 x N each. translate.py makes it.
"""

from dataclasses import dataclass
from pathlib import Path

from edge.models.checkpoint import InputSpec

GRAPH, WEIGHTS = "network.onnx", "weights.bin"
PROBABILITIES, SCORES = "probabilities", "scores"
VERSION = 1
"""Goes up when the importer makes another graph from the same checkpoint."""


@dataclass(frozen=True)
class Graph:
    """A graph in a folder."""

    folder: Path
    input: InputSpec
    """How a picture becomes `data`: the checkpoint's, without the part that the first layer does itself."""
    parameters: int
    """Number of learnt parameters."""
    independent: bool = False
    """True if each label has a separate probability; otherwise they sum to 1."""

    @property
    def file(self) -> Path:
        """The file that an engine loads; it finds the weights beside it."""
        return self.folder / GRAPH
