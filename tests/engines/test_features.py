"""Each engine gives, with the scores, the vector that goes into the last layer: from one forward, float and int8."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.test_mxnet import PICTURE, TRAINED, make_net
from numpy.typing import NDArray

from edge.engines import INT8_ENGINES, engine_problem, installed_engines, open_classifier
from edge.engines.backend import Backend
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.engines.selftest import known_picture
from edge.errors import ModelError
from edge.importer import onnx
from edge.importer.cache import graph_of
from edge.importer.quantised import INT8
from edge.importer.symbol import read_symbol
from edge.installer.packaged import install
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import Checkpoint, find_checkpoint
from edge.models.packages import is_here
from edge.stages import Frame

pytestmark = pytest.mark.integration
LITE0 = "efficientnet-lite0"


@pytest.fixture(params=["mxnet", "unfused", "onnx", "openvino", "ncnn"])
def engine(request: pytest.FixtureRequest) -> str:
    if problem := engine_problem(request.param):
        pytest.skip(problem)
    return str(request.param)


def last_layer(checkpoint: Checkpoint) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weights and the bias of the last layer, from the file of the parameters."""
    mx = import_mxnet()
    node = next(node for node in reversed(read_symbol(checkpoint.symbol).nodes) if node.op in ("FullyConnected",))
    arrays = mx.nd.load(str(checkpoint.params))
    return arrays[f"arg:{node.name}_weight"].asnumpy(), arrays[f"arg:{node.name}_bias"].asnumpy()


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    exponentials = np.exp(scores - scores.max())
    return np.asarray(exponentials / exponentials.sum())


@pytest.mark.parametrize("head", ["SoftmaxOutput", "logits", "softmax then flatten"])
def test_the_last_layer_makes_the_scores_of_them(tmp_path: Path, engine: str, head: str) -> None:
    checkpoint = make_net(tmp_path, head)
    network = open_classifier(checkpoint, Backend(engine), features=True)
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, PICTURE.shape, np.uint8)
        probabilities = network.probabilities(to_input(picture, network.input))
        weights, bias = last_layer(checkpoint)
        assert network.features is not None
        np.testing.assert_allclose(softmax(weights @ network.features + bias), probabilities, atol=1e-5)


def test_without_asking_for_them_there_are_none(tmp_path: Path, engine: str) -> None:
    checkpoint = make_net(tmp_path)
    plain, asked = (open_classifier(checkpoint, Backend(engine), features=wanted) for wanted in (False, True))
    frame = Frame(PICTURE, 0, 0.0)
    assert [one.probability for one in plain.classify(frame)] == pytest.approx(
        [one.probability for one in asked.classify(frame)], abs=1e-6
    )
    assert plain.features is None
    assert asked.features is not None


def test_the_next_frame_leaves_the_features_of_the_last_one_as_they_are(tmp_path: Path, engine: str) -> None:
    network = open_classifier(make_net(tmp_path), Backend(engine), features=True)
    network.classify(Frame(PICTURE, 0, 0.0))
    first = network.features
    assert first is not None
    kept = first.copy()
    network.classify(Frame(np.flip(PICTURE, 0).copy(), 0, 0.0))
    assert np.array_equal(first, kept)
    assert network.features is not None
    assert not np.array_equal(network.features, kept)


def test_the_cached_graph_stays_as_the_release_before_made_it(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    with graph_of(checkpoint) as graph:
        before = {path: path.read_bytes() for path in graph.folder.iterdir()}
    for engine in (one for one in installed_engines() if one != "mxnet"):
        open_classifier(checkpoint, Backend(engine), features=True)
    with graph_of(checkpoint) as graph:
        assert {path: path.read_bytes() for path in graph.folder.iterdir()} == before


def test_a_network_without_a_clear_last_layer_is_refused_by_name(tmp_path: Path, engine: str) -> None:
    mx = import_mxnet()
    flat = mx.sym.Flatten(mx.sym.Variable("data"))
    both = [mx.sym.FullyConnected(flat, num_hidden=3, name=f"fc{number}") for number in range(2)]
    net = mx.sym.SoftmaxOutput(mx.sym.elemwise_add(*both, name="sum"), name="softmax")
    checkpoint = make_net(tmp_path)
    shapes, _, _ = net.infer_shape(data=(1, 3, 8, 8))
    weights = {
        name: mx.nd.ones(shape) * 0.001
        for name, shape in zip(net.list_arguments(), shapes, strict=True)
        if name not in ("data", "softmax_label")
    }
    mx.model.save_checkpoint(str(tmp_path / "net"), 0, net, weights, {})
    open_classifier(checkpoint, Backend(engine)).close()  # it runs
    with pytest.raises(ModelError, match=r"net-symbol\.json: elemwise_add 'sum': edge cannot tell things apart by"):
        open_classifier(checkpoint, Backend(engine), features=True)


@pytest.mark.parametrize("name", ["mobilenet0.5", "squeezenet_v1.0"])
def test_the_networks_of_others_give_the_same_in_each_engine(shared: Path, name: str) -> None:
    overrides = TRAINED[name][1]
    checkpoint = find_checkpoint(
        str(shared / "checkpoints" / name / f"{name}-0000.params"), overrides, shared / "checkpoints" / "synset.txt"
    )
    found = []
    for engine in installed_engines():
        network = open_classifier(checkpoint, Backend(engine), features=True)
        network.classify(known_picture())
        assert network.features is not None
        found.append(network.features)
        network.close()
    assert found[0].shape == (512,)
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], atol=1e-4)


def test_int8_gives_nearly_the_same(tmp_path: Path) -> None:
    entry = load_catalogue()[LITE0]
    if not is_here(entry):
        pytest.skip(f"needs the Python package of {LITE0}")
    install(entry, tmp_path)
    checkpoint = find_checkpoint(str(tmp_path / LITE0))
    exact = open_classifier(checkpoint, Backend("onnx"), features=True)
    exact.classify(known_picture())
    assert exact.features is not None
    for engine in (one for one in installed_engines() if one in INT8_ENGINES):
        plain, asked = (open_classifier(checkpoint, Backend(engine, INT8), features=wanted) for wanted in (False, True))
        assert plain.classify(known_picture()) == asked.classify(known_picture())
        assert asked.features is not None
        cosine = np.dot(asked.features, exact.features)
        cosine /= np.linalg.norm(asked.features) * np.linalg.norm(exact.features)
        assert cosine > 0.97, engine


def test_layers_of_a_damaged_graph_are_an_error_and_no_more(tmp_path: Path) -> None:
    with graph_of(make_net(tmp_path)) as graph:
        whole = graph.file.read_bytes()
    assert [layer.op for layer in onnx.read_layers(whole)][-3:] == ["Gemm", "Flatten", "Softmax"]
    random = np.random.default_rng(5)
    for _ in range(300):
        damaged = bytearray(whole[: random.integers(1, len(whole))])
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(256)
        # any other exception fails the test
        with contextlib.suppress(ValueError):
            onnx.read_layers(bytes(damaged))
