"""What is written for ncnn: each value is read once, large matrices are divided, and what ncnn cannot do is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.engines import engine_problem, open_classifier
from edge.engines.backend import Backend
from edge.engines.graph import GraphClassifier
from edge.engines.mxnet_compat import import_mxnet
from edge.importer.ncnn import layers
from edge.importer.ncnn.network import NotInNcnnError, _number
from edge.importer.ncnn.translate import make_ncnn_graph
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint

pytestmark = pytest.mark.integration
SIZE, LABELS = 8, 5


@pytest.fixture(scope="module")
def mx() -> Any:
    return import_mxnet()


def write(mx: Any, symbol: Any, folder: Path) -> Checkpoint:
    random = np.random.default_rng(0)
    shapes, _, states = symbol.infer_shape(data=(1, 3, SIZE, SIZE))
    kinds = dict.fromkeys(symbol.list_arguments(), "arg") | dict.fromkeys(symbol.list_auxiliary_states(), "aux")
    arrays = {
        f"{kinds[name]}:{name}": mx.nd.array(random.uniform(0.1, 1.0, shape))
        for name, shape in zip(kinds, [*shapes, *states], strict=True)
        if name != "data"
    }
    symbol.save(str(folder / "net-symbol.json"))
    mx.nd.save(str(folder / "net-0000.params"), arrays)
    (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(LABELS)))
    files = (folder / "net-symbol.json", folder / "net-0000.params", folder / "synset.txt")
    return Checkpoint("net", *files, InputSpec(SIZE))


def lines_of(checkpoint: Checkpoint, folder: Path) -> list[list[str]]:
    folder.mkdir()
    magic, counts, *lines = make_ncnn_graph(checkpoint, folder).file.read_text().splitlines()
    assert magic == "7767517"
    words = [line.split() for line in lines]
    values = {name for one in words for name in one[4 : 4 + int(one[2]) + int(one[3])]}
    assert counts == f"{len(lines)} {len(values)}"
    return words


def test_each_value_is_read_once_and_the_activations_are_part_of_their_layers(tmp_path: Path) -> None:
    words = lines_of(find_checkpoint("demo"), tmp_path / "graph")
    read = [name for one in words for name in one[4 : 4 + int(one[2])]]
    made = [name for one in words for name in one[4 + int(one[2]) : 4 + int(one[2]) + int(one[3])]]
    assert len(set(read)) == len(read)
    assert set(made) - set(read) == {"probabilities", "scores", "features"}
    assert not [one for one in words if one[0] in ("ReLU", "BatchNorm")]
    assert any("9=1" in one for one in words if one[0] == "Convolution")


def test_the_picture_is_copied_for_a_layer_that_writes_into_its_input(mx: Any, tmp_path: Path) -> None:
    """ncnn dies of memory that is not its own, as ResNet-152 did through pnnx."""
    if problem := engine_problem("ncnn"):
        pytest.skip(problem)
    first = mx.sym.BatchNorm(mx.sym.var("data"), fix_gamma=False, name="bn")
    checkpoint = write(mx, mx.sym.FullyConnected(first, num_hidden=LABELS, name="fc"), tmp_path)
    kinds = [one[0] for one in lines_of(checkpoint, tmp_path / "graph")]
    assert kinds[:3] == ["Input", "DeepCopy", "BatchNorm"]
    network = open_classifier(checkpoint, Backend("ncnn"))
    picture = np.full((1, 3, SIZE, SIZE), 7.0, np.float32)
    network.probabilities(picture)
    assert (picture == 7.0).all()


def test_a_large_matrix_becomes_several_layers(mx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if problem := engine_problem("ncnn"):
        pytest.skip(problem)
    wide = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=100, name="fc1")
    checkpoint = write(mx, mx.sym.FullyConnected(wide, num_hidden=LABELS, name="fc2"), tmp_path)
    picture = np.random.default_rng(1).uniform(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)

    def scores(engine: str) -> Any:
        network = open_classifier(checkpoint, Backend(engine))
        assert isinstance(network, GraphClassifier)
        return network.scores(picture)

    monkeypatch.setattr(layers, "_MOST_ROWS", 4 * 3 * SIZE * SIZE * 32)
    divided = lines_of(checkpoint, tmp_path / "graph")
    assert [one[6] if one[0] == "InnerProduct" else one[0] for one in divided].count("0=32") == 3
    np.testing.assert_allclose(scores("ncnn"), scores("onnx"), rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 4), (4, 1), (1, 1), (3, 5)])
def test_a_picture_is_resized_to_one_row_too(mx: Any, tmp_path: Path, height: int, width: int) -> None:
    """That is a product with a matrix of one row; ncnn takes a matrix without its leading 1 for something else."""
    if problem := engine_problem("ncnn"):
        pytest.skip(problem)
    resized = mx.sym.contrib.BilinearResize2D(mx.sym.var("data"), height=height, width=width)
    averaged = mx.sym.contrib.AdaptiveAvgPooling2D(resized, output_size=(2, 2))
    checkpoint = write(mx, mx.sym.FullyConnected(averaged, num_hidden=LABELS, name="fc"), tmp_path)
    picture = np.random.default_rng(1).uniform(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    found = []
    for engine in ("onnx", "ncnn"):
        network = open_classifier(checkpoint, Backend(engine))
        assert isinstance(network, GraphClassifier)
        found.append(network.scores(picture))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_what_ncnn_cannot_run_is_named(mx: Any, tmp_path: Path) -> None:
    flat = mx.sym.Flatten(mx.sym.var("data"))
    both = mx.sym.Concat(flat, flat, dim=0, name="twice")
    pair = mx.sym.FullyConnected(mx.sym.mean(both, axis=0, keepdims=True), num_hidden=LABELS, name="fc")
    checkpoint = write(mx, pair, tmp_path)
    (tmp_path / "graph").mkdir()
    with pytest.raises(NotInNcnnError, match=r"ncnn cannot run the layer 'twice' \(Concat\): .*; mxnet, onnx or"):
        make_ncnn_graph(checkpoint, tmp_path / "graph")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1 / 3, -1.67326319, 3.4028234e38, -1.1754944e-38, 1.4e-45])
def test_a_number_keeps_its_value_in_the_fifteen_characters_that_ncnn_reads(value: float) -> None:
    text = _number(value)
    assert len(text) <= 15
    assert np.float32(text) == np.float32(value)
