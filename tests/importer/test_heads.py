"""What a network's outputs are: told once, for all engines, and refused where they are no probabilities."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.engines import ENGINES, UNFUSED, Network, engine_problem, open_classifier
from edge.engines.backend import Backend
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint, InputSpec

pytestmark = pytest.mark.integration
SIZE, LABELS = 8, 4
PICTURES = np.random.default_rng(4).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
DRIVERS = (UNFUSED, *ENGINES)


@pytest.fixture(scope="module")
def mx() -> Any:
    return import_mxnet()


def body(mx: Any, outputs: int = LABELS, data: str = "data") -> Any:
    """Scores of pictures: N x outputs."""
    x = mx.sym.Convolution(mx.sym.var(data), num_filter=6, kernel=(3, 3), name="conv")
    x = mx.sym.Pooling(mx.sym.Activation(x, act_type="relu"), kernel=(2, 2), stride=(2, 2), pool_type="max")
    return mx.sym.FullyConnected(x, num_hidden=outputs, name="fc")


def save(
    mx: Any, symbol: Any, folder: Path, *, channels: int = 3, dtype: str = "float32", data: str = "data"
) -> Checkpoint:
    shapes, _, _ = symbol.infer_shape(**{data: (1, channels, SIZE, SIZE)})
    rng = np.random.default_rng(1)
    arrays = {
        f"arg:{name}": mx.nd.array(rng.normal(0, 0.2, shape), dtype=dtype)
        for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
        if name != data and not name.endswith("label")
    }
    symbol.save(str(folder / "net-symbol.json"))
    mx.nd.save(str(folder / "net-0000.params"), arrays)
    outputs = arrays["arg:fc_bias"].shape[0]
    (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(outputs)))
    spec = InputSpec(SIZE, mean=(100.0, 100.0, 100.0), std=(50.0, 50.0, 50.0), resize="squash")
    return Checkpoint("net", folder / "net-symbol.json", folder / "net-0000.params", folder / "synset.txt", spec)


def plain(mx: Any, symbol: Any, checkpoint: Checkpoint, channels: int = 3, data: str = "data") -> np.ndarray[Any, Any]:
    """What MXNet gives for the pictures, bound here by hand: count x numbers."""
    arrays = {key[4:]: one.astype("float32") for key, one in mx.nd.load(str(checkpoint.params)).items()}
    arrays = {name: one for name, one in arrays.items() if name in symbol.list_arguments()}
    arrays[data] = mx.nd.zeros((1, channels, SIZE, SIZE))
    for name in symbol.list_arguments():
        if name.endswith("label"):
            arrays[name] = mx.nd.zeros((1, LABELS))
    executor = symbol.bind(mx.cpu(), args=arrays, grad_req="null")
    rows = []
    for picture in PICTURES:
        planes = picture.transpose(2, 0, 1).astype(np.float32)
        if channels == 1:
            import cv2

            planes = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[np.newaxis].astype(np.float32)
        arrays[data][:] = ((planes - 100) / 50)[np.newaxis]
        rows.append(executor.forward(is_train=False)[0].asnumpy().reshape(-1))
    return np.array(rows)


def opened(checkpoint: Checkpoint, driver: str) -> Network:
    if problem := engine_problem(driver):
        pytest.skip(problem)
    return open_classifier(checkpoint, backend=Backend(driver))


def said(checkpoint: Checkpoint, driver: str) -> tuple[np.ndarray[Any, Any], bool]:
    network = opened(checkpoint, driver)
    found = np.array([network.probabilities(to_input(one, network.input)) for one in PICTURES])
    network.close()
    return found, network.independent


def softmax(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    found: np.ndarray[Any, Any] = exponentials / exponentials.sum(1, keepdims=True)
    return found


def sigmoid(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = 1 / (1 + np.exp(-scores))
    return found


ENDS: dict[str, tuple[Any, Any, bool]] = {
    "logits": (lambda _s, x: x, softmax, False),
    "SoftmaxOutput": (lambda s, x: s.SoftmaxOutput(x, name="softmax"), softmax, False),
    "softmax": (lambda s, x: s.softmax(x), softmax, False),
    "temperature": (lambda s, x: s.softmax(x, temperature=3), lambda x: softmax(x / 3), False),
    "SoftmaxActivation": (lambda s, x: s.SoftmaxActivation(x), softmax, False),
    "log_softmax": (lambda s, x: s.log_softmax(x), softmax, False),
    "log_softmax and a loss": (lambda s, x: s.MakeLoss(s.log_softmax(x)), softmax, False),
    "BlockGrad": (lambda s, x: s.BlockGrad(s.SoftmaxOutput(x, name="softmax")), softmax, False),
    "Dropout": (lambda s, x: s.Dropout(s.softmax(x), p=0.5), softmax, False),
    "MakeLoss": (lambda s, x: s.MakeLoss(s.softmax(x)), softmax, False),
    "LinearRegressionOutput": (lambda s, x: s.LinearRegressionOutput(s.softmax(x), name="lin"), softmax, False),
    "reshaped": (lambda s, x: s.Reshape(s.expand_dims(s.softmax(x), axis=2), shape=(0, -1)), softmax, False),
    "N x 1 x 1": (lambda s, x: s.softmax(s.Reshape(x, shape=(0, -1, 1, 1)), axis=1), softmax, False),
    "N x 1 x 1 SoftmaxOutput": (
        lambda s, x: s.SoftmaxOutput(s.Reshape(x, shape=(0, -1, 1, 1)), name="q"),
        softmax,
        False,
    ),
    "a row without its batch": (lambda s, x: s.squeeze(s.softmax(x)), softmax, False),
    "N x 1 x 1 logits": (lambda s, x: s.Reshape(x, shape=(0, -1, 1, 1)), softmax, False),
    "sigmoid": (lambda s, x: s.sigmoid(x), sigmoid, True),
    "Activation": (lambda s, x: s.Activation(x, act_type="sigmoid"), sigmoid, True),
    "LogisticRegressionOutput": (lambda s, x: s.LogisticRegressionOutput(x, name="logistic"), sigmoid, True),
    "a sigmoid behind a BlockGrad": (lambda s, x: s.BlockGrad(s.sigmoid(x)), sigmoid, True),
    "hard_sigmoid": (lambda s, x: s.hard_sigmoid(x), lambda x: np.clip(0.2 * x + 0.5, 0, 1), True),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_is_the_same_with_every_engine(end: str, mx: Any, tmp_path: Path) -> None:
    make, expected, independent = ENDS[end]
    scores = body(mx)
    checkpoint = save(mx, make(mx.sym, scores), tmp_path)
    right = expected(plain(mx, scores, checkpoint))
    assert right.std(0).min() > 0.003, "all pictures are the same to it: it could not tell right from wrong"
    for driver in DRIVERS:
        found, own = said(checkpoint, driver)
        assert own is independent
        np.testing.assert_allclose(found, right, atol=1e-5, err_msg=driver)


def test_one_label_with_a_sigmoid_has_its_probability(mx: Any, tmp_path: Path) -> None:
    scores = body(mx, outputs=1)
    checkpoint = save(mx, mx.sym.sigmoid(scores), tmp_path)
    right = sigmoid(plain(mx, scores, checkpoint))
    for driver in DRIVERS:
        found, own = said(checkpoint, driver)
        assert own
        np.testing.assert_allclose(found, right, atol=1e-5)


REFUSED: dict[str, tuple[Any, str]] = {
    "a regression": (lambda s, x: s.LinearRegressionOutput(x, name="lin"), "gives estimates of numbers"),
    "a loss": (lambda s, x: s.MakeLoss(s.square(x)), "gives a loss"),
    "margins": (lambda s, x: s.SVMOutput(x, name="svm"), "margins of a support vector machine"),
    "an embedding": (lambda s, x: s.L2Normalization(x), "gives an embedding"),
    "a label": (lambda s, x: s.argmax(x, axis=1), "gives the number of a label"),
    "twice": (lambda s, x: s.LogisticRegressionOutput(s.softmax(x), name="l"), "has already made"),
    "along the wrong axis": (lambda s, x: s.softmax(s.expand_dims(x, axis=2), axis=2), "softmax"),
}


@pytest.mark.parametrize("end", REFUSED)
def test_what_gives_no_probabilities_is_refused_with_the_reason(end: str, mx: Any, tmp_path: Path) -> None:
    make, why = REFUSED[end]
    checkpoint = save(mx, make(mx.sym, body(mx)), tmp_path)
    for driver in DRIVERS:
        with pytest.raises(ModelError, match=why) as caught:
            opened(checkpoint, driver)
        assert str(checkpoint.symbol) in str(caught.value)


def test_a_softmax_of_one_output_is_refused(mx: Any, tmp_path: Path) -> None:
    checkpoint = save(mx, mx.sym.softmax(body(mx, outputs=1)), tmp_path)
    for driver in DRIVERS:
        with pytest.raises(ModelError, match="a softmax of one number is always 1"):
            opened(checkpoint, driver)


def test_grey_pictures_and_any_name_of_the_input(mx: Any, tmp_path: Path) -> None:
    scores = body(mx, data="input_1")
    checkpoint = save(mx, mx.sym.softmax(scores), tmp_path, channels=1, data="input_1")
    right = softmax(plain(mx, scores, checkpoint, channels=1, data="input_1"))
    assert right.std(0).min() > 0.003
    for driver in DRIVERS:
        np.testing.assert_allclose(said(checkpoint, driver)[0], right, atol=1e-5, err_msg=driver)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_other_floats(dtype: str, mx: Any, tmp_path: Path) -> None:
    scores = body(mx)
    checkpoint = save(mx, mx.sym.softmax(scores), tmp_path, dtype=dtype)
    right = softmax(plain(mx, scores, checkpoint))
    for driver in DRIVERS:
        np.testing.assert_allclose(said(checkpoint, driver)[0], right, atol=1e-5, err_msg=driver)


def test_a_network_that_casts_to_float16_is_computed_in_float32(mx: Any, tmp_path: Path) -> None:
    scores = body(mx)
    symbol = mx.sym.softmax(mx.sym.Cast(mx.sym.Cast(scores, dtype="float16"), dtype="float32"))
    checkpoint = save(mx, symbol, tmp_path)
    graph = json.loads(checkpoint.symbol.read_text())
    for node in graph["nodes"]:
        if node["name"].endswith("weight"):
            node["attrs"] = {"__dtype__": "2"}
    checkpoint.symbol.write_text(json.dumps(graph))
    right = softmax(plain(mx, scores, checkpoint))
    for driver in DRIVERS:
        np.testing.assert_allclose(said(checkpoint, driver)[0], right, atol=1e-5, err_msg=driver)


def test_channels_that_no_picture_has_are_refused(mx: Any, tmp_path: Path) -> None:
    checkpoint = save(mx, mx.sym.softmax(body(mx)), tmp_path, channels=4)
    (tmp_path / "grey").mkdir()
    grey = save(mx, mx.sym.softmax(body(mx)), tmp_path / "grey", channels=1)
    colours = dataclasses.replace(grey, input=dataclasses.replace(grey.input, mean=(1.0, 2.0, 3.0)))
    for driver in DRIVERS:
        with pytest.raises(ModelError, match=r"takes 4 channels; a frame has three, or one \(grey\)"):
            opened(checkpoint, driver)
        with pytest.raises(ModelError, match="mean and std must be one number each"):
            opened(colours, driver)
    three = save(mx, mx.sym.softmax(body(mx)), tmp_path)
    said_grey = dataclasses.replace(three, input=dataclasses.replace(three.input, channels="grey"))
    with pytest.raises(ModelError, match="the model takes three"):
        opened(said_grey, "onnx")


def test_two_variables_that_are_in_no_file_are_named(mx: Any, tmp_path: Path) -> None:
    both = body(mx, data="left") + mx.sym.FullyConnected(mx.sym.var("right"), num_hidden=LABELS, name="fc2")
    symbol = mx.sym.softmax(both)
    checkpoint = save(mx, mx.sym.softmax(body(mx)), tmp_path)
    arrays = mx.nd.load(str(checkpoint.params))
    symbol.save(str(checkpoint.symbol))
    mx.nd.save(
        str(checkpoint.params),
        {**arrays, "arg:fc2_weight": mx.nd.ones((LABELS, 3)), "arg:fc2_bias": mx.nd.ones(LABELS)},
    )
    for driver in DRIVERS:
        with pytest.raises(ModelError, match=r"'left', 'right'.*the input is unclear"):
            opened(checkpoint, driver)
