"""Networks of the Gluon zoo with random weights that say something else of each input, and what MXNet says.

With weights from a usual random initialisation a deep network gives nearly the same scores whatever it sees, and a
wrong engine could not be told from a right one. So each layer is scaled, as it is made, by what it gives for a few
inputs: a mean of 0, a small variance before a BatchNorm (so that its epsilon counts) and 1 elsewhere.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_random_checkpoint import gluon, inception_bn
from numpy.typing import NDArray

from edge.engines.mxnet_compat import import_mxnet
from edge.models.checkpoint import Checkpoint, InputSpec

Floats = NDArray[np.float32]
NAMES = (
    *("alexnet", "densenet121", "densenet161", "densenet169", "densenet201", "inception_v3", "inception_bn"),
    *("mobilenet0_25", "mobilenet0_5", "mobilenet0_75", "mobilenet1_0"),
    *("mobilenet_v2_0_25", "mobilenet_v2_0_5", "mobilenet_v2_0_75", "mobilenet_v2_1_0"),
    *(f"resnet{depth}_{version}" for depth in (18, 34, 50, 101, 152) for version in ("v1", "v2")),
    *("squeezenet1_0", "squeezenet1_1"),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
)
REAL = {
    "mobilenet0.5": InputSpec(224, mean=(123.68, 116.779, 103.939), std=(58.393, 57.12, 57.375)),
    "squeezenet_v1.0": InputSpec(227, "bgr", mean=(104.0, 117.0, 123.0), short_side=256),
    "mobilenet_v2_1.0": InputSpec(224, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
}
"""The real networks of the folder with test data, and what they take."""
LABELS = 1000
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_BEFORE_NORM = 0.05
"""The standard deviation that a BatchNorm gets to see: its square is 250 of the usual epsilons."""
_BRANCH = 0.1


def size_of(name: str) -> int:
    """Pixels."""
    return 299 if name == "inception_v3" else 224


def pictures(count: int, size: int, seed: int = 0) -> Floats:
    """Return count x 3 x size x size of 0..255: colours, edges and texture, each another."""
    random = np.random.default_rng(seed)
    found = random.uniform(0, 255, (count, 3, 1, 1)).repeat(size, 2).repeat(size, 3)
    for side in (2, 7, 28, size):
        coarse = random.normal(0, 50, (count, 3, side, side))
        times = -(-size // side)
        found += coarse.repeat(times, 2).repeat(times, 3)[:, :, :size, :size]
    return np.clip(found, 0, 255).astype(np.float32)


def make(name: str, folder: Path, seed: int = 0) -> Checkpoint:
    """Write the checkpoint and its labels; return it."""
    mx = import_mxnet()
    symbol = inception_bn(mx) if name == "inception_bn" else gluon(name)(mx)
    spec = InputSpec(size_of(name), mean=MEAN, std=STD)
    arrays = _scaled(mx, symbol, normalised(pictures(4, spec.size, seed=99), spec), seed)
    folder.mkdir(exist_ok=True)
    symbol.save(str(folder / f"{name}-symbol.json"))
    mx.nd.save(str(folder / f"{name}-0000.params"), arrays)
    (folder / "synset.txt").write_text("".join(f"n{number:04} thing {number}\n" for number in range(LABELS)))
    return Checkpoint(name, folder / f"{name}-symbol.json", folder / f"{name}-0000.params", folder / "synset.txt", spec)


def normalised(inputs: Floats, spec: InputSpec) -> Floats:
    """Return what a network gets of pictures with values 0..255."""
    mean, std = (np.array(three, np.float32)[:, np.newaxis, np.newaxis] for three in (spec.mean, spec.std))
    result: Floats = (inputs - mean) / std
    return result


def _scaled(mx: Any, symbol: Any, inputs: Floats, seed: int) -> dict[str, Any]:
    """Run the network layer by layer, and make the parameters of each as it comes."""
    random = np.random.default_rng(seed)
    shapes, _, state_shapes = symbol.infer_shape(data=inputs.shape)
    shape_of: dict[str, tuple[int, ...]] = dict(zip(symbol.list_arguments(), shapes, strict=True))
    shape_of |= dict(zip(symbol.list_auxiliary_states(), state_shapes, strict=True))
    nodes = json.loads(symbol.tojson())["nodes"]
    # a branch of a residual network changes little of what it is added to: else rounding grows from layer to layer
    sums = [[source[0] for source in node["inputs"]] for node in nodes if node["op"].startswith("elemwise_add")]
    layers = [[one for one in pair if nodes[one]["op"] in ("BatchNorm", "Convolution")] for pair in sums]
    added = {pair[0] for pair in layers if pair}
    before_norm = {node["inputs"][0][0] for node in nodes if node["op"] == "BatchNorm"}
    arrays: dict[str, Floats] = {}
    values: dict[int, Any] = {}

    def channels(value: Any) -> Floats:
        array: Floats = value.asnumpy()
        return array.reshape(*value.shape[:2], -1).transpose(1, 0, 2).reshape(value.shape[1], -1)

    for index, node in enumerate(nodes):
        op, sources = node["op"], [source[0] for source in node["inputs"]]
        if op == "null":
            if node["name"] == "data":
                values[index] = mx.nd.array(inputs)
            continue
        names = [nodes[source]["name"] for source in sources]
        attributes = {key: text for key, text in node.get("attrs", {}).items() if not key.startswith("__")}
        x = values[sources[0]]
        if op in ("Convolution", "FullyConnected"):
            weight: Floats = random.normal(0, 1, size=shape_of[names[1]]).astype(np.float32)
            means: Floats = np.mean(channels(x), axis=1)
            if weight.shape[1] == len(means):
                # what all inputs have in common would only hide how they differ, and drown it in rounding
                common = means.reshape(-1, *[1] * (weight.ndim - 2))
                share = (weight * common).sum(tuple(range(1, weight.ndim)), keepdims=True)
                weight -= share * common / (np.square(common).sum() * np.prod(weight.shape[2:]) + 1e-12)
            zeros = [mx.nd.zeros(shape_of[name]) for name in names[2:]]
            made = channels(getattr(mx.nd, op)(x, mx.nd.array(weight), *zeros, **attributes))
            wanted = _BEFORE_NORM if index in before_norm else _BRANCH if index in added else 1.0
            factor: Floats = wanted / (np.std(made, axis=1) + np.float32(1e-6))
            arrays[names[1]] = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
            for name in names[2:]:
                # most of them above zero, as below
                arrays[name] = (wanted - np.mean(made, axis=1) * factor).astype(np.float32)
        elif op == "BatchNorm":
            seen = channels(x)
            count = len(seen)
            scale = _BRANCH if index in added else 1.0
            arrays[names[1]] = (random.uniform(0.8, 1.2, count) * scale).astype(np.float32)
            # most of it is above zero, where a ReLU is a line: random kinks make rounding grow too
            shift = random.normal(0.0 if index in added else 1.0, 0.2, count) * scale
            arrays[names[2]] = shift.astype(np.float32)
            arrays[names[3]] = seen.mean(1)
            arrays[names[4]] = seen.var(1) * random.uniform(0.8, 1.2, count).astype(np.float32)
        elif op == "SoftmaxOutput":
            continue
        pairs = zip(names, sources, strict=True)
        given = [mx.nd.array(arrays[name]) if name in arrays else values[source] for name, source in pairs]
        result = getattr(mx.nd, op)(*given, **attributes)
        values[index] = result[0] if isinstance(result, list) else result
    kinds = {name: "aux" if name in symbol.list_auxiliary_states() else "arg" for name in arrays}
    return {f"{kinds[name]}:{name}": mx.nd.array(array) for name, array in arrays.items()}


def scores_of_mxnet(checkpoint: Checkpoint, inputs: Sequence[Floats]) -> Floats:
    """Return what MXNet's layer before the softmax gives for each input (as normalised says): count x labels."""
    mx = import_mxnet()
    symbol, weights, states = mx.model.load_checkpoint(checkpoint.prefix, checkpoint.epoch)
    nodes = json.loads(symbol.tojson())["nodes"]
    if nodes[-1]["op"] == "SoftmaxOutput":
        symbol = symbol.get_internals()[f"{nodes[nodes[-1]['inputs'][0][0]]['name']}_output"]
    known = set(symbol.list_arguments())
    arguments = {name: array for name, array in weights.items() if name in known}
    arguments["data"] = mx.nd.zeros((1, *inputs[0].shape))
    executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    found = []
    for one in inputs:
        arguments["data"][:] = one[np.newaxis]
        found.append(executor.forward(is_train=False)[0].asnumpy()[0])
    return np.array(found)
