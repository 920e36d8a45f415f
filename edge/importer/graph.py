"""A graph made from a checkpoint: a folder with a file for the layers and one for the parameters.

It has one of two forms: network.onnx and weights.bin, or what ncnn reads.

The graph takes `data`, float32 1 x 3 x size x size (1 x 1 x ... for a network that takes grey). It gives
`probabilities` and `scores` (the input of the softmax or the sigmoids), float32 1 x N each. translate.py makes it.
"""

from dataclasses import dataclass
from pathlib import Path

from edge.models.checkpoint import InputSpec

GRAPH, WEIGHTS = "network.onnx", "weights.bin"
PROBABILITIES, SCORES = "probabilities", "scores"
FEATURES = "features"
"""The third output of a graph for ncnn; in others last_layer.py finds it."""
VERSION = 1
"""Goes up when the importer makes another graph from the same checkpoint."""


@dataclass(frozen=True)
class Form:
    """The form of a graph: for which engines it is."""

    name: str
    """Part of the graph's key in the cache, unless empty."""
    files: tuple[str, str]
    """The file that an engine loads, and the weights beside it."""


ONNX = Form("", (GRAPH, WEIGHTS))
NCNN = Form("ncnn 1", ("network.param", "network.bin"))
"""The number goes up when edge/importer/ncnn/ makes another graph from the same checkpoint."""
FORMS = (ONNX, NCNN)


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
    form: Form = ONNX

    @property
    def file(self) -> Path:
        """The file that an engine loads."""
        return self.folder / self.form.files[0]

    @property
    def weights(self) -> Path:
        """The file with the weights, beside it."""
        return self.folder / self.form.files[1]
