"""The real MXNet: small networks made here, the demo, and the trained checkpoints of ../shared where they are."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.cameras.images import read_image
from edge.engines import open_classifier
from edge.engines.mxnet import MxnetClassifier
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint
from edge.stages import Frame

pytestmark = pytest.mark.integration

SIZE = 8
PICTURE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
TRAINED: dict[str, tuple[int, dict[str, Any]]] = {
    # how many of the 20 photos are right, and the input of ../shared/checkpoints/README.md
    "mobilenet0.5": (19, {"size": 224, "mean": [123.68, 116.779, 103.939], "std": [58.393, 57.12, 57.375]}),
    "squeezenet_v1.0": (17, {"size": 227, "channels": "bgr", "mean": [104, 117, 123], "short_side": 256}),
    "mobilenet_v2_1.0": (19, {"size": 224, "mean": 127.5, "std": 127.5}),
}


def make_net(folder: Path, head: str = "SoftmaxOutput", outputs: int = 3) -> Checkpoint:
    """Save a small random network with a BatchNorm (so with auxiliary states) and three labels."""
    mx = import_mxnet()
    net = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), name="conv")
    net = mx.sym.Activation(mx.sym.BatchNorm(net, fix_gamma=False, name="bn"), act_type="relu")
    net = mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=outputs, name="fc")
    if head == "SoftmaxOutput":
        net = mx.sym.SoftmaxOutput(net, name="softmax")
    elif head == "softmax then flatten":
        net = mx.sym.Flatten(mx.sym.softmax(net))
    random = np.random.default_rng(1)
    shapes, _, states = net.infer_shape(data=(1, 3, SIZE, SIZE))
    weights = {
        name: mx.nd.array(random.normal(0, 0.3, shape))
        for name, shape in zip(net.list_arguments(), shapes, strict=True)
        if name not in ("data", "softmax_label")
    }
    # a variance must not be negative
    auxiliary = {
        name: mx.nd.array(random.uniform(0.5, 1, shape))
        for name, shape in zip(net.list_auxiliary_states(), states, strict=True)
    }
    mx.model.save_checkpoint(str(folder / "net"), 0, net, weights, auxiliary)
    (folder / "synset.txt").write_text("a apple\nb bear, beast\nc cat\n")
    (folder / "model.toml").write_text(f"[input]\nsize = {SIZE}\nmean = 127.5\nstd = 64\nshort_side = {SIZE}\n")
    return find_checkpoint(str(folder / "net"))


def by_module(checkpoint: Checkpoint, network_input: NDArray[np.float32], epoch: int = 0) -> NDArray[np.float32]:
    """What the tutorials' way gives: load_checkpoint and mx.mod.Module."""
    mx = import_mxnet()
    prefix = str(checkpoint.symbol).removesuffix("-symbol.json")
    symbol, weights, states = mx.model.load_checkpoint(prefix, epoch)
    module = mx.mod.Module(symbol, label_names=None)
    module.bind(for_training=False, data_shapes=[("data", network_input.shape)])
    module.set_params(weights, states, allow_missing=True)
    module.forward(mx.io.DataBatch([mx.nd.array(network_input)]), is_train=False)
    result: NDArray[np.float32] = module.get_outputs()[0].asnumpy()[0]
    return result


def test_the_best_labels_come_first(tmp_path: Path) -> None:
    classifier = open_classifier(make_net(tmp_path))
    predictions = classifier.classify(Frame(PICTURE, 0, 0.0))
    assert sorted(prediction.id for prediction in predictions) == ["a", "b", "c"]
    assert [p.probability for p in predictions] == sorted((p.probability for p in predictions), reverse=True)
    assert sum(p.probability for p in predictions) == pytest.approx(1, abs=1e-5)
    assert {p.id: p.label for p in predictions}["b"] == "bear"
    assert classifier.timing.preprocess_s > 0
    assert classifier.timing.inference_s > 0


def test_top_limits_how_many(tmp_path: Path) -> None:
    assert len(open_classifier(make_net(tmp_path), top=2).classify(Frame(PICTURE, 0, 0.0))) == 2


@pytest.mark.parametrize("head", ["SoftmaxOutput", "logits", "softmax then flatten"])
def test_softmax_is_added_only_where_the_network_lacks_it(tmp_path: Path, head: str) -> None:
    checkpoint = make_net(tmp_path, head)
    network_input = to_input(PICTURE, checkpoint.input)
    expected = by_module(checkpoint, network_input)
    if head == "logits":
        expected = (np.exp(expected) / np.exp(expected).sum()).astype(np.float32)
    classifier = MxnetClassifier(checkpoint, top=3)
    np.testing.assert_allclose(classifier.probabilities(network_input), expected, atol=1e-6)


def test_one_frame_does_not_leak_into_the_next(tmp_path: Path) -> None:
    classifier = open_classifier(make_net(tmp_path))
    first = classifier.classify(Frame(PICTURE, 0, 0.0))
    classifier.classify(Frame(np.invert(PICTURE), 1, 0.0))
    assert classifier.classify(Frame(PICTURE, 2, 0.0)) == first


def refusal(checkpoint: Checkpoint) -> str:
    with pytest.raises(ModelError) as caught:
        open_classifier(checkpoint)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_label_too_few_is_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path, outputs=4)
    assert "synset.txt has 3 labels, but the network has 4 outputs" in refusal(checkpoint)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
def test_truncated_params_are_refused(tmp_path: Path, keep: float) -> None:
    checkpoint = make_net(tmp_path)
    whole = checkpoint.params.read_bytes()
    checkpoint.params.write_bytes(whole[: int(len(whole) * keep)])
    assert f"{checkpoint.params}: truncated, or not parameters" in refusal(checkpoint)


def test_a_layer_that_feeds_itself_is_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = json.loads(checkpoint.symbol.read_text())
    flatten = next(number for number, node in enumerate(graph["nodes"]) if node["op"] == "Flatten")
    graph["nodes"][flatten]["inputs"] = [[flatten, 0, 0]]
    graph["heads"] = [[flatten, 0, 0]]
    checkpoint.symbol.write_text(json.dumps(graph))
    assert "feeds itself" in refusal(checkpoint)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    mx = import_mxnet()
    checkpoint = make_net(tmp_path)
    arrays = mx.nd.load(str(checkpoint.params))
    arrays["arg:fc_bias"][0] = float("nan")
    mx.nd.save(str(checkpoint.params), arrays)
    assert "gives nan" in refusal(checkpoint)


def test_a_background_that_is_no_label_is_refused(tmp_path: Path) -> None:
    checkpoint = dataclasses.replace(make_net(tmp_path), background=frozenset({"bakground"}))
    assert "background id bakground of model.toml is not in" in refusal(checkpoint)


@pytest.mark.parametrize(
    "symbol", ["[" * 100_000, "", "{", "[]", '{"nodes": [], "heads": [[0, 0, 0]]}', "null", "\x00\x01"]
)
def test_a_symbol_that_is_none_is_refused(tmp_path: Path, symbol: str) -> None:
    checkpoint = make_net(tmp_path)
    checkpoint.symbol.write_text(symbol)
    assert f"{checkpoint.symbol}: not a symbol of MXNet" in refusal(checkpoint)


def test_params_of_another_network_are_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = checkpoint.symbol.read_text()
    checkpoint.symbol.write_text(graph.replace('"conv_weight"', '"other_weight"'))
    assert "parameters are missing, the first is other_weight" in refusal(checkpoint)


def test_the_wrong_input_size_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = make_net(tmp_path)
    wrong = dataclasses.replace(checkpoint, input=InputSpec(size=16))
    assert "check the input size" in refusal(wrong)
    smaller_than_the_kernel = dataclasses.replace(checkpoint, input=InputSpec(size=1))
    assert "does not take a picture of 1 x 1 pixels" in refusal(smaller_than_the_kernel)
    # MXNet prints too, which would spoil events and --json
    assert capsys.readouterr().out == ""


def test_a_network_of_two_outputs_is_no_classifier(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = json.loads(checkpoint.symbol.read_text())
    graph["heads"].append([graph["heads"][0][0] - 2, 0, 0])
    checkpoint.symbol.write_text(json.dumps(graph))
    assert "a classifier has one output, this has 2" in refusal(checkpoint)


def test_the_weights_are_in_memory_once(tmp_path: Path) -> None:
    """The arrays that were loaded are those that are bound: no second copy as through Module."""
    mx = import_mxnet()
    loaded = []
    original = mx.nd.load

    class Library:
        """mxnet, but what `nd.load` returned is kept."""

        sym, cpu, MXNetError = mx.sym, mx.cpu, mx.MXNetError

        class nd:  # noqa: N801 - stands for the module
            zeros = staticmethod(mx.nd.zeros)

            @staticmethod
            def load(path: str) -> Any:
                loaded.append(original(path))
                return loaded[0]

    from edge.engines.mxnet import _bind

    executor, _ = _bind(Library, make_net(tmp_path))
    assert executor.arg_dict["fc_weight"].handle.value == loaded[0]["arg:fc_weight"].handle.value


@pytest.mark.parametrize("name", TRAINED)
def test_trained_networks_know_the_photos(shared: Path, name: str) -> None:
    """And say the same as mx.mod.Module of the same input."""
    right, overrides = TRAINED[name]
    folder = shared / "checkpoints"
    checkpoint = find_checkpoint(str(folder / name / name), overrides, folder / "synset.txt")
    classifier = MxnetClassifier(checkpoint, top=5)
    correct = 0
    with (shared / "images" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        pixels = read_image(shared / "images" / row["file"])
        best = classifier.classify(Frame(pixels, number, 0.0))[0]
        correct += best.id in row["accepted_wnids"].split("|")
        if number % 5 == 0:
            network_input = to_input(pixels, checkpoint.input)
            expected = by_module(checkpoint, network_input)
            found = classifier.probabilities(network_input)
            assert np.argmax(found) == np.argmax(expected)
            np.testing.assert_allclose(found, expected, atol=1e-3)
    assert len(rows) == 20
    assert correct >= right
