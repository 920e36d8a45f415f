#!/usr/bin/env python3
"""Write the true architecture of a known network with random weights: for memory and speed, not for labels.

    scripts/make_random_checkpoint.py NAME --out FOLDER [--seed N] [--synset FILE]

Memory and speed do not depend on the values of the weights, so they can be measured without the trained ones. The
labels of such a network mean nothing; model.toml says so ([about] random_weights), and so does everything that uses the
checkpoint. The same seed gives the same bytes.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.engines.mxnet_compat import import_mxnet
from edge.errors import ModelError

LABELS = 1000
GLUON_MEAN, GLUON_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
GLUON = "accuracy of the real weights: MXNet's and GluonCV's tables of the Gluon model zoo"


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and what is published of the one with real weights."""

    build: Callable[[Any], Any]
    """Returns the symbol, given the module mxnet."""
    top1: float
    top5: float
    """Shares of ImageNet's validation pictures, one centre crop."""
    size: int = 224
    """Pixels: the input is size x size."""
    mean: tuple[float, float, float] = GLUON_MEAN
    std: tuple[float, float, float] = GLUON_STD
    source: str = GLUON


def gluon(function: str) -> Callable[[Any], Any]:
    """Return what builds a network of the Gluon zoo; it ends in scores, without a softmax."""

    def build(mx: Any) -> Any:
        from importlib import import_module

        net = getattr(import_module(f"{mx.__name__}.gluon.model_zoo.vision"), function)(prefix=f"{function}_")
        return net(mx.sym.var("data"))

    return build


# Inception-BN's blocks. At the same size: filters of 1x1, of 3x3 (reduced to, made), of 3x3 twice (reduced to, made),
# which pooling, filters after it. Halving the size: of 3x3 and of 3x3 twice, beside a pooling without filters.
WIDTHS: dict[str, tuple[Any, ...]] = {
    "3a": (64, (64, 64), (64, 96), "avg", 32),
    "3b": (64, (64, 96), (64, 96), "avg", 64),
    "3c": ((128, 160), (64, 96)),
    "4a": (224, (64, 96), (96, 128), "avg", 128),
    "4b": (192, (96, 128), (96, 128), "avg", 128),
    "4c": (160, (128, 160), (128, 160), "avg", 128),
    "4d": (96, (128, 192), (160, 192), "avg", 128),
    "4e": ((128, 192), (192, 256)),
    "5a": (352, (192, 320), (160, 224), "avg", 128),
    "5b": (352, (192, 320), (192, 224), "max", 128),
}


def inception_bn(mx: Any) -> Any:
    """Return the Inception-BN of MXNet's old zoo: the tutorials' "Inception v3"."""

    def unit(x: Any, filters: int, kernel: int, name: str, stride: int = 1) -> Any:
        side, step, pad = (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2)
        x = mx.sym.Convolution(x, num_filter=filters, kernel=side, stride=step, pad=pad, name=f"conv_{name}")
        x = mx.sym.BatchNorm(x, fix_gamma=False, eps=1e-5, name=f"bn_{name}")
        return mx.sym.Activation(x, act_type="relu", name=f"relu_{name}")

    def halve(x: Any, name: str) -> Any:
        # the old zoo's rule for the last column and row, so that 224 becomes 112, 56, 28, 14, 7
        rule = {"pool_type": "max", "pooling_convention": "full"}
        return mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), name=f"pool_{name}", **rule)

    def block(x: Any, name: str) -> Any:
        *one, (reduce, single), (reduce2, double) = WIDTHS[name][: 3 if len(WIDTHS[name]) > 2 else 2]
        stride = 1 if one else 2
        parts = [unit(x, filters, 1, f"{name}_1x1") for filters in one]
        parts.append(unit(unit(x, reduce, 1, f"{name}_3x3_reduce"), single, 3, f"{name}_3x3", stride))
        twice = unit(unit(x, reduce2, 1, f"{name}_double_reduce"), double, 3, f"{name}_double_0")
        parts.append(unit(twice, double, 3, f"{name}_double_1", stride))
        if one:
            pooling, filters = WIDTHS[name][3:]
            pooled = mx.sym.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type=pooling, name=f"{pooling}_pool_{name}")
            parts.append(unit(pooled, filters, 1, f"{name}_proj"))
        else:
            parts.append(halve(x, name))
        return mx.sym.Concat(*parts, name=f"concat_{name}")

    x = halve(unit(mx.sym.Variable("data"), 64, 7, "1", stride=2), "1")
    x = halve(unit(unit(x, 64, 1, "2_reduce"), 192, 3, "2"), "2")
    for name in WIDTHS:
        x = block(x, name)
    x = mx.sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="global_pool")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x, name="flatten"), num_hidden=LABELS, name="fc1")
    return mx.sym.SoftmaxOutput(x, name="softmax")


ARCHITECTURES = {
    "vgg16": Architecture(gluon("vgg16"), 0.7323, 0.9131),
    "resnet-152": Architecture(gluon("resnet152_v2"), 0.7921, 0.9431),
    "resnet-50": Architecture(gluon("resnet50_v1"), 0.7540, 0.9266),
    "inception-v3": Architecture(gluon("inception_v3"), 0.7755, 0.9364, size=299),
    "inception-bn": Architecture(
        inception_bn,
        0.7245,
        0.9079,
        mean=(123.68, 116.779, 103.939),
        std=(1.0, 1.0, 1.0),
        source="accuracy of the real weights: the table of MXNet's examples of image classification",
    ),
    "mobilenet1.0": Architecture(gluon("mobilenet1_0"), 0.7105, 0.9006),
    "mobilenet0.5": Architecture(gluon("mobilenet0_5"), 0.6307, 0.8475),
    "mobilenet_v2_1.0": Architecture(gluon("mobilenet_v2_1_0"), 0.7192, 0.9056),
    "squeezenet_v1.0": Architecture(gluon("squeezenet1_0"), 0.5611, 0.7909),
    "squeezenet1.1": Architecture(gluon("squeezenet1_1"), 0.5496, 0.7817),
}


def gains(symbol: Any) -> Iterator[tuple[str, float]]:
    """Yield (weight, by how much its random values are to be smaller) for the layers that feed a sum.

    So a deep residual network's values neither grow nor fade with its depth.
    """
    nodes = json.loads(symbol.tojson())["nodes"]

    def layer(index: int) -> dict[str, Any]:
        node: dict[str, Any] = nodes[index]
        return layer(node["inputs"][0][0]) if node["op"] == "BatchNorm" else node

    sums = [[layer(index) for index, *_ in node["inputs"]] for node in nodes if node["op"].startswith("elemwise_add")]
    for feeding in sums:
        layers = [node for node in feeding if node["op"] == "Convolution"]
        # a layer beside the unchanged input adds a little to it; two layers are half of the sum each
        share = 1 / 2 if len(layers) == len(feeding) else 1 / len(sums)
        for node in layers:
            yield nodes[node["inputs"][1][0]]["name"], share**0.5


def random_arrays(mx: Any, symbol: Any, architecture: Architecture, seed: int) -> dict[str, Any]:
    """Return what a .params file holds: arrays by name, with the prefix arg: or aux:."""
    random = np.random.RandomState(seed)
    shapes, _, state_shapes = symbol.infer_shape(data=(1, 3, architecture.size, architecture.size))
    smaller = dict(gains(symbol))
    arrays: dict[str, Any] = {}
    for name, shape in zip(symbol.list_arguments(), shapes, strict=True):
        if name == "data" or name.endswith("label"):
            continue
        if name.endswith("weight"):
            # He et al. (2015): a layer's outputs are then as large as its inputs
            scale = (2 / np.prod(shape[1:])) ** 0.5 * smaller.get(name, 1.0)
            if shape[1] == 3 and architecture.std == (1.0, 1.0, 1.0):
                scale /= GLUON_STD[0]  # the first layer sees 0..255
            values = random.standard_normal(shape).astype(np.float32) * np.float32(scale)
        else:
            values = np.full(shape, 1 if name.endswith("gamma") else 0, np.float32)
        arrays[f"arg:{name}"] = mx.nd.array(values)
    for name, shape in zip(symbol.list_auxiliary_states(), state_shapes, strict=True):
        arrays[f"aux:{name}"] = mx.nd.array(np.full(shape, 1 if name.endswith("var") else 0, np.float32))
    return arrays


def model_toml(name: str, architecture: Architecture, seed: int) -> str:
    """Return the text of model.toml."""
    short_side = round(architecture.size / 0.875)
    return f"""\
# {name} with RANDOM WEIGHTS (seed {seed}): right for memory and speed, its labels mean nothing.
[input]
size = {architecture.size}
channels = "rgb"
mean = {list(architecture.mean)}
std = {list(architecture.std)}
resize = "crop"
short_side = {short_side}

[about]
top1 = {architecture.top1}
top5 = {architecture.top5}
source = "random weights, seed {seed}; {architecture.source}"
random_weights = true
"""


def make(name: str, out: Path, seed: int = 1, synset: Path | None = None) -> int:
    """Write the checkpoint `name` into the folder `out`; return its parameters, BatchNorm's states among them.

    Raises ModelError when MXNet is missing, OSError when the files cannot be written.
    """
    mx = import_mxnet()
    architecture = ARCHITECTURES[name]
    # or the names of layers would depend on what was built before
    with mx.name.NameManager():
        symbol = architecture.build(mx)
    arrays = random_arrays(mx, symbol, architecture, seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}-symbol.json").write_text(symbol.tojson(), encoding="utf-8")
    mx.nd.save(str(out / f"{name}-0000.params"), arrays)
    if synset:
        shutil.copyfile(synset, out / "synset.txt")
    else:
        lines = [f"n{number:08d} label {number}" for number in range(1, LABELS + 1)]
        (out / "synset.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "model.toml").write_text(model_toml(name, architecture, seed), encoding="utf-8")
    return sum(int(array.size) for array in arrays.values())


def main() -> int:
    """Write the checkpoint and say what it is. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Write the true architecture of a network, with random weights.")
    parser.add_argument("name", metavar="NAME", choices=ARCHITECTURES, help=", ".join(ARCHITECTURES))
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the four files go")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the weights (default %(default)s)")
    parser.add_argument("--synset", type=Path, metavar="FILE", help="labels to copy instead of invented ones")
    options = parser.parse_args()
    try:
        parameters = make(options.name, options.out, options.seed, options.synset)
    except (ModelError, OSError) as error:
        print(f"make_random_checkpoint: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.out}: {options.name} with {parameters / 1e6:.1f} M parameters. The weights are RANDOM "
        f"(seed {options.seed}): right for memory and speed, its labels mean nothing."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
