"""Each operator that the importer knows says what plain MXNet says, with ONNX Runtime and with OpenVINO."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import plain_mxnet

from edge.engines import GRAPH_ENGINES, engine_problem, open_classifier
from edge.engines.backend import Backend
from edge.engines.graph import GraphClassifier
from edge.engines.mxnet_compat import import_mxnet
from edge.errors import ModelError
from edge.importer.symbol import UnsupportedError
from edge.models.checkpoint import Checkpoint, InputSpec

pytestmark = pytest.mark.integration
SIZE, CHANNELS, LABELS = 10, 6, 5
INPUTS = np.random.default_rng(2).normal(0, 1, (3, 3, SIZE, SIZE)).astype(np.float32)
Layer = Callable[[Any, Any], Any]

# (symbols of MXNet, a layer of 1 x 6 x 10 x 10) -> what is tried
LAYERS: dict[str, Layer] = {
    "AdaptiveAvgPooling2D to one": lambda s, x: s.contrib.AdaptiveAvgPooling2D(x),
    "AdaptiveAvgPooling2D that divides": lambda s, x: s.contrib.AdaptiveAvgPooling2D(x, output_size=5),
    "AdaptiveAvgPooling2D that overlaps": lambda s, x: s.contrib.AdaptiveAvgPooling2D(x, output_size=(3, 7)),
    "AdaptiveAvgPooling2D that grows": lambda s, x: s.contrib.AdaptiveAvgPooling2D(x, output_size=(13, 4)),
    "Reshape -2": lambda s, x: s.tanh(s.reshape(x, shape=(0, -2))),
    "Reshape -3": lambda s, x: s.reshape(x, shape=(0, 0, -3)),
    "Reshape -4": lambda s, x: s.sum(s.reshape(x, shape=(0, -4, 2, -1, -2)), axis=2),
    "Reshape -4 of two": lambda s, x: s.sum(s.reshape(x, shape=(0, -4, -1, 3, 0, 0)), axis=1),
    "Reshape reverse": lambda s, x: s.reshape(s.reshape(x, shape=(-1, 0, 0), reverse=True), shape=(1, -1)),
    "Reshape reverse -3": lambda s, x: s.reshape(x, shape=(0, 0, -3), reverse=True),
    "expand_dims": lambda s, x: s.mean(s.expand_dims(x, axis=-1), axis=4),
    "SliceChannel": lambda s, x: s.SliceChannel(x, num_outputs=3, axis=1)[1],
    "SliceChannel of all": lambda s, x: s.concat(*reversed(list(s.SliceChannel(x, num_outputs=3, axis=1))), dim=1),
    "SliceChannel squeezed": lambda s, x: s.SliceChannel(x, num_outputs=SIZE, axis=2, squeeze_axis=True)[4],
    "slice_axis": lambda s, x: s.slice_axis(x, axis=1, begin=1, end=4),
    "slice_axis from the end": lambda s, x: s.slice_axis(x, axis=-1, begin=-7, end=-2),
    "slice_axis to the end": lambda s, x: s.slice_axis(x, axis=2, begin=3, end=None),
    "slice": lambda s, x: s.slice(x, begin=(None, 1, 2), end=(None, 5, -1)),
    "mean": lambda s, x: s.mean(x, axis=(2, 3)),
    "mean of one axis": lambda s, x: s.mean(x, axis=1, keepdims=True),
    "mean exclude": lambda s, x: s.mean(x, axis=(0, 1), exclude=True),
    "sum": lambda s, x: s.sum(x, axis=-1),
    "max": lambda s, x: s.max(x, axis=(2, 3), keepdims=True),
    "min": lambda s, x: s.min(x, axis=1),
    "squeeze": lambda s, x: s.squeeze(s.mean(x, axis=1, keepdims=True), axis=1),
    "squeeze all": lambda s, x: s.expand_dims(s.squeeze(s.mean(x, axis=1, keepdims=True)), axis=0),
    "log_softmax": lambda s, x: s.log_softmax(x, axis=1),
    "log_softmax temperature": lambda s, x: s.log_softmax(x, axis=-1, temperature=2.5),
    "softmax over channels": lambda s, x: s.softmax(x, axis=1),
    "softmax temperature": lambda s, x: s.softmax(x, axis=2, temperature=0.5),
    "SoftmaxActivation channel": lambda s, x: s.SoftmaxActivation(x, mode="channel"),
    "broadcast_sub": lambda s, x: s.broadcast_sub(x, s.mean(x, axis=1, keepdims=True)),
    "broadcast_div": lambda s, x: s.broadcast_div(x, 2 + s.max(s.abs(x), axis=(2, 3), keepdims=True)),
    "broadcast_maximum": lambda s, x: s.broadcast_maximum(x, s.mean(x, axis=2, keepdims=True)),
    "broadcast_minimum": lambda s, x: s.broadcast_minimum(x, s.mean(x, axis=2, keepdims=True)),
    "broadcast_like": lambda s, x: x * s.broadcast_like(s.mean(x, axis=1, keepdims=True), x),
    "elemwise_sub, elemwise_div": lambda s, x: (x - s.tanh(x)) / (2 + s.square(x)),
    "maximum, minimum": lambda s, x: s.maximum(s.tanh(x), s.minimum(x, s.square(x))),
    "scalars": lambda s, x: 1 - 2 / (3 + s.square(x)) + s.maximum(x, 0.1) + s.minimum(x, 0.2),
    "functions": lambda s, x: (
        s.exp(-s.abs(x)) + s.sqrt(1 + s.square(x)) + s.rsqrt(1 + x * x) + s.erf(x) + s.softsign(x)
    ),
    "more functions": lambda s, x: s.log(1.5 + s.square(x)) + s.reciprocal(2 + s.square(x)) + s.sigmoid(x) + s.relu(x),
    "ones_like, zeros_like": lambda s, x: x * (s.ones_like(x) + s.sigmoid(x)) + s.zeros_like(x),
    "transpose": lambda s, x: s.transpose(x, axes=(0, 2, 3, 1)),
    "transpose of all": lambda s, x: s.reshape(s.transpose(s.reshape(x, shape=(-3, -2))), shape=(1, -1)),
    "SwapAxis": lambda s, x: s.SwapAxis(x, dim1=1, dim2=3),
    "L2Normalization instance": lambda s, x: 10 * s.L2Normalization(x),
    "L2Normalization channel": lambda s, x: s.L2Normalization(x, mode="channel"),
    "L2Normalization spatial": lambda s, x: s.L2Normalization(x, mode="spatial"),
    "hard_sigmoid": lambda s, x: s.hard_sigmoid(3 * x, alpha=0.3, beta=0.4),
    "gelu": lambda s, x: s.LeakyReLU(x, act_type="gelu"),
    "selu": lambda s, x: s.LeakyReLU(x, act_type="selu"),
    "Pad constant": lambda s, x: s.Pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=1.5),
    "Pad edge": lambda s, x: s.Pad(x, mode="edge", pad_width=(0, 0, 0, 0, 2, 1, 0, 3)),
    "Pad reflect": lambda s, x: s.Pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 2, 1, 4, 3)),
    "UpSampling nearest": lambda s, x: s.UpSampling(x, scale=3, sample_type="nearest", num_args=1),
    "UpSampling bilinear": lambda s, x: s.UpSampling(
        x, s.var("up_weight"), scale=2, num_filter=CHANNELS, sample_type="bilinear", num_args=2
    ),
    "UpSampling bilinear by three": lambda s, x: s.UpSampling(
        x, s.var("up_weight"), scale=3, num_filter=CHANNELS, sample_type="bilinear", num_args=2
    ),
    "Deconvolution": lambda s, x: s.Deconvolution(x, num_filter=4, kernel=(3, 3), name="up"),
    "Deconvolution with all": lambda s, x: s.Deconvolution(
        *(x,), num_filter=4, kernel=(4, 3), stride=(2, 3), pad=(1, 0), adj=(1, 2), num_group=2, no_bias=False, name="up"
    ),
    "Deconvolution dilated": lambda s, x: s.Deconvolution(x, num_filter=4, kernel=(3, 3), dilate=(2, 2), name="up"),
    "BilinearResize2D larger": lambda s, x: s.contrib.BilinearResize2D(x, height=15, width=21),
    "BilinearResize2D smaller": lambda s, x: s.contrib.BilinearResize2D(x, height=7, width=4),
    "BilinearResize2D to one": lambda s, x: s.contrib.BilinearResize2D(x, height=1, width=9),
    "BilinearResize2D by a scale": lambda s, x: s.contrib.BilinearResize2D(
        x, scale_height=1.5, scale_width=2.0, mode="odd_scale"
    ),
    "BilinearResize2D of an odd side": lambda s, x: s.contrib.BilinearResize2D(
        s.slice_axis(x, axis=2, begin=0, end=9), scale_height=1.5, scale_width=2.0, mode="odd_scale"
    ),
    "BilinearResize2D like": lambda s, x: s.contrib.BilinearResize2D(
        x, s.Pad(x, mode="edge", pad_width=(0, 0, 0, 0, 1, 1, 2, 2)), mode="like"
    ),
    "BilinearResize2D borders": lambda s, x: s.contrib.BilinearResize2D(x, height=16, width=7, align_corners=False),
    "LayerNorm": lambda s, x: s.LayerNorm(x, s.var("ln_gamma"), s.var("ln_beta"), axis=-1),
    "stack": lambda s, x: s.sum(s.stack(x, s.tanh(x), axis=1), axis=1),
    "Concat along the last": lambda s, x: s.concat(x, s.tanh(x), dim=-1),
}


@pytest.fixture(scope="module")
def mx() -> Any:
    return import_mxnet()


def write(mx: Any, symbol: Any, folder: Path) -> tuple[Checkpoint, Any]:
    """Write the network; return it, and what plain MXNet says of the inputs: count x labels."""
    rng = np.random.default_rng(0)
    shapes, _, _ = symbol.infer_shape(data=INPUTS[:1].shape)
    arrays = {
        name: rng.normal(0, 1.5 / np.sqrt(max(1, np.prod(shape[1:]))), shape).astype(np.float32)
        for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
        if name != "data"
    }
    symbol.save(str(folder / "net-symbol.json"))
    mx.nd.save(str(folder / "net-0000.params"), {f"arg:{name}": mx.nd.array(one) for name, one in arrays.items()})
    (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(LABELS)))
    bound = {name: mx.nd.array(one) for name, one in arrays.items()} | {"data": mx.nd.zeros(INPUTS[:1].shape)}
    with plain_mxnet():
        executor = symbol.bind(mx.cpu(), args=bound, grad_req="null")
    rows = []
    for one in INPUTS:
        bound["data"][:] = one[np.newaxis]
        rows.append(executor.forward(is_train=False)[0].asnumpy()[0])
    files = (folder / "net-symbol.json", folder / "net-0000.params", folder / "synset.txt")
    return Checkpoint("net", *files, InputSpec(SIZE)), np.array(rows)


def network(mx: Any, layer: Layer) -> Any:
    x = mx.sym.Convolution(mx.sym.var("data"), num_filter=CHANNELS, kernel=(3, 3), pad=(1, 1), name="conv")
    return mx.sym.FullyConnected(layer(mx.sym, x), num_hidden=LABELS, name="fc")


@pytest.mark.parametrize("what", LAYERS)
def test_it_says_what_plain_mxnet_says(what: str, mx: Any, tmp_path: Path) -> None:
    checkpoint, right = write(mx, network(mx, LAYERS[what]), tmp_path)
    assert right.std(0).min() > 1e-3, "all inputs are the same to it: it could not tell right from wrong"
    for engine in GRAPH_ENGINES:
        if problem := engine_problem(engine):
            pytest.skip(problem)
        opened = open_classifier(checkpoint, backend=Backend(engine))
        assert isinstance(opened, GraphClassifier)
        found = np.array([opened.scores(one[np.newaxis]) for one in INPUTS])
        opened.close()
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4 * np.abs(right).max(), err_msg=engine)


UNKNOWN: dict[str, tuple[Layer, str]] = {
    "an operator": (lambda s, x: s.InstanceNorm(x, s.var("g"), s.var("b"), name="odd"), "InstanceNorm"),
    "an attribute": (
        lambda s, x: s.Pooling(x, kernel=(2, 2), pool_type="lp", p_value=2, name="odd"),
        "pool_type = 'lp'",
    ),
    "a second output": (lambda s, x: s.topk(x, k=3, ret_typ="both", name="odd")[1], "topk"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_not_known_is_named_with_what_helps(what: str, mx: Any, tmp_path: Path) -> None:
    layer, said = UNKNOWN[what]
    checkpoint, _ = write(mx, network(mx, layer), tmp_path)
    with pytest.raises(UnsupportedError) as caught:
        open_classifier(checkpoint, backend=Backend("onnx"))
    for words in (str(checkpoint.symbol), "'odd'", said, "try it with --engine mxnet"):
        assert words in str(caught.value)
    open_classifier(checkpoint, backend=Backend("mxnet")).close()


def test_a_pooling_to_nothing_is_named(mx: Any, tmp_path: Path) -> None:
    """MXNet's output is empty: any graph would say something that MXNet does not."""
    checkpoint, _ = write(mx, network(mx, LAYERS["AdaptiveAvgPooling2D that divides"]), tmp_path)
    text = checkpoint.symbol.read_text()
    assert '"output_size": "5"' in text
    checkpoint.symbol.write_text(text.replace('"output_size": "5"', '"output_size": "0"'))
    with pytest.raises(ModelError, match="output_size = 0 cannot be read"):
        open_classifier(checkpoint, backend=Backend("onnx"))


def test_a_sparse_or_whole_weight_is_named(mx: Any, tmp_path: Path) -> None:
    checkpoint, _ = write(mx, network(mx, LAYERS["gelu"]), tmp_path)
    arrays = mx.nd.load(str(checkpoint.params))
    sparse = arrays["arg:fc_weight"].tostype("row_sparse")
    mx.nd.waitall()
    for changed, said in (
        ({"arg:fc_weight": sparse}, r"'fc_weight' is sparse \(row_sparse\), .* save it dense"),
        ({"arg:fc_weight": arrays["arg:fc_weight"].astype("int32")}, "'fc_weight' holds int32 numbers"),
    ):
        mx.nd.save(str(checkpoint.params), {**arrays, **changed})
        for engine in ("mxnet", "onnx"):
            with pytest.raises(ModelError, match=said):
                open_classifier(checkpoint, backend=Backend(engine))
    mx.nd.save(str(checkpoint.params), {**arrays, "arg:counter": mx.nd.array([1, 2], dtype="int64"), "arg:s": sparse})
    for engine in ("mxnet", "onnx"):
        open_classifier(checkpoint, backend=Backend(engine)).close()
