"""A graph that was made of a checkpoint: network.onnx with the layers, weights.bin with the parameters, in a folder.

The graph takes `data`, float32 1 x 3 x size x size (1 x 1 x ... for a network that takes grey), and gives
`probabilities` and `scores` (what the softmax or the sigmoids make them of), float32 1 x N each. translate.py makes it.
"""

from dataclasses import dataclass
from pathlib import Path

from edge.models.checkpoint import InputSpec

GRAPH, WEIGHTS = "network.onnx", "weights.bin"
PROBABILITIES, SCORES = "probabilities", "scores"
VERSION = 1
"""Goes up when the same checkpoint becomes another graph."""


@dataclass(frozen=True)
class Graph:
    """A graph in a folder."""

    folder: Path
    input: InputSpec
    """How a picture becomes `data`: the checkpoint's, without what the first layer does itself."""
    parameters: int
    """How many numbers the network has learnt."""
    independent: bool = False
    """Whether each label has a probability of its own; else they come to 1."""

    @property
    def file(self) -> Path:
        """What an engine loads; it finds the weights beside it."""
        return self.folder / GRAPH
