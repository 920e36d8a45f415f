"""Graphs in int8 of ranges that are given: the same numbers as ONNX Runtime's tools make of them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rigs.efficientnet import made_up
from rigs.pth import pth

from edge.engines.onnx import import_onnxruntime
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.importer.cache import graph_of
from edge.importer.graph import Graph
from edge.importer.int8 import make_int8_graph
from edge.installer.converter.efficientnet import convert
from edge.installer.measured import means_from_text, means_to_text
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint
from edge.quantizer.tools import Tools, import_tools
from edge.stages import Pixels

pytestmark = pytest.mark.integration
NAME = "efficientnet-lite0"
EVERY = {"data": (0.0, 1.0), **{f"v{number}": (-1.0, 1.0) for number in range(99)}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """EfficientNet-Lite0 with weights that nobody has trained."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "made-up.pth").write_bytes(pth(made_up()))
    convert(NAME, folder / "made-up.pth", folder / NAME)
    spec = InputSpec(224, mean=(127.0,) * 3, std=(128.0,) * 3, short_side=224)
    return Checkpoint(NAME, folder / f"{NAME}-symbol.json", folder / f"{NAME}-0000.params", folder / "synset.txt", spec)


def pictures(count: int) -> list[Pixels]:
    """Noise, coarse and fine."""
    random = np.random.default_rng(2)
    return [
        random.integers(0, 256, (side, side, 3), np.uint8).repeat(224 // side, 0).repeat(224 // side, 1)
        for side in (7, 28, 112, 224)[:count]
    ]


def probabilities(graph: Graph) -> NDArray[np.float32]:
    """What ONNX Runtime says of the pictures."""
    session = import_onnxruntime().InferenceSession(str(graph.file), providers=["CPUExecutionProvider"])
    inputs = [to_input(picture, graph.input) for picture in pictures(4)]
    return np.array([session.run(["probabilities"], {"data": one})[0][0] for one in inputs])


def test_it_is_the_graph_of_the_tools(checkpoint: Checkpoint, tmp_path: Path) -> None:
    try:
        import_tools()
    except ModelError as error:
        pytest.skip(str(error))
    for folder in ("scratch", "graphs", "ours", "theirs", "without"):
        (tmp_path / folder).mkdir()
    with graph_of(checkpoint, [tmp_path / "graphs"]) as graph:
        tools = Tools(graph, tmp_path / "scratch")
        inputs = [to_input(picture, graph.input) for picture in pictures(3)]
        ranges = tools.min_max(inputs)
        floats = probabilities(graph)
        without = probabilities(make_int8_graph(checkpoint, ranges, {}, tmp_path / "without"))
        np.testing.assert_array_equal(without, probabilities(tools.write(tmp_path / "theirs", ranges)))
        tools.learn_means(inputs)
        means = {name: mean.astype(np.float32) for name, mean in tools.means.items()}
        ours = probabilities(make_int8_graph(checkpoint, ranges, means, tmp_path / "ours"))
        theirs = probabilities(tools.write(tmp_path / "theirs", ranges))
    # a bias may be rounded to the next step
    assert np.abs(ours - theirs).max() < 0.02
    # and the means bring it nearer to float
    assert np.abs(ours - floats).mean() < np.abs(without - floats).mean()


def test_ranges_of_another_graph_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no range of "):
        make_int8_graph(checkpoint, {}, {}, tmp_path)
    with pytest.raises(ModelError, match=r"the range of data, 0\.0 to 0\.0, is empty"):
        make_int8_graph(checkpoint, EVERY | {"data": (0.0, 0.0)}, {}, tmp_path)


def test_layers_that_it_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not supported in int8; make the version with edge models quantize"):
        make_int8_graph(find_checkpoint("demo"), EVERY, {}, tmp_path)


def test_means_are_kept_to_a_255th_of_their_range() -> None:
    means = np.random.default_rng(0).uniform(-2, 5, 1000)
    read = means_from_text(means_to_text(means, (-2.0, 5.0)), (-2.0, 5.0))
    assert np.abs(read - means).max() <= 7 / 255 / 2 + 1e-6
    # zero is in every range
    assert means_from_text(means_to_text(np.array([0.0, 6.0]), (1.0, 6.0)), (1.0, 6.0)).tolist() == [0.0, 6.0]
