#!/usr/bin/env python3
"""Record the scores of other projects' own networks in tests/references/*.json, for the tests of the converter.

    scripts/record_references.py timm [--out FOLDER]        needs torch and timm
    scripts/record_references.py imgclsmob [--out FOLDER]   needs mxnet and gluoncv2

edge needs none of torch, timm and gluoncv2, so this runs in a separate environment: any Python with the packages, and
numpy. Their trained weights are not available everywhere, so the weights are made up: each array from its name and two
numbers, which are in the file (`seeded`). A test makes the same arrays, writes them as the project would publish them,
has edge convert them, and compares the scores with those recorded here.

A deep network with random weights gives nearly the same scores for any image, and a wrong network would not be noticed.
So each layer is scaled, as it is reached, by its output for the images.
"""

import argparse
import base64
import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
HERE = Path(__file__).resolve().parents[1] / "tests" / "references"
PICTURES = 2
TIMM = {
    "inception-v3": "inception_v3.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "resnet-152": "resnet152.tv_in1k",
}
IMGCLSMOB = {"inception-v3": "inceptionv3", "vgg16": "vgg16", "resnet-152": "resnet152"}
# the end of a residual branch changes its sum only a little: otherwise rounding grows from block to block
_ENDS_A_BRANCH = re.compile(r".*(\.bn3\.weight|\.body\.conv3\.bn\.gamma)")
_RULES = (
    # names, the value in the middle, and how far it goes to either side
    (_ENDS_A_BRANCH, 0.3, 0.1),
    (re.compile(r".*(running_var)"), 1.0, 0.3),
    (re.compile(r".*(running_mean)"), 0.0, 0.2),
    (re.compile(r".*\.gamma|.*(bn\d?|downsample\.1)\.weight"), 1.0, 0.3),
    # most of it is above zero, where a ReLU is a line: at random kinks rounding would grow from layer to layer
    (re.compile(r".*(beta|bias)"), 1.5, 0.3),
)


@dataclass
class Recipe:
    """How the arrays of one file are made."""

    arrays: dict[str, list[Any]] = field(default_factory=dict)
    """By name: shape, middle, spread."""

    def add(self, name: str, shape: tuple[int, ...]) -> None:
        """Note an array; the spread of a layer's weights is scaled later."""
        rule = next((rule for rule in _RULES if rule[0].fullmatch(name)), None)
        middle, spread = (rule[1], rule[2]) if rule else (0.0, float((6 / np.prod(shape[1:])) ** 0.5))
        self.arrays[name] = [list(shape), middle, spread]

    def values(self, name: str) -> Floats:
        """Return the array."""
        return seeded(name, *self.arrays[name])

    def scale(self, name: str, factor: float) -> None:
        """Multiply the spread, which is kept with four digits."""
        self.arrays[name][2] = float(f"{self.arrays[name][2] * factor:.4g}")


def seeded(name: str, shape: list[int], middle: float, spread: float) -> Floats:
    """Return the array that is made from a name: the same bits everywhere."""
    count = int(np.prod(shape))
    # of all that numpy has this alone gives the same in each of its versions
    steps = np.frombuffer(np.random.RandomState(zlib.crc32(name.encode())).bytes(count), np.int8)
    if len(shape) == 1:
        return (np.float32(middle) + np.float32(spread) * (steps.astype(np.float32) / np.float32(128))).reshape(shape)
    rows = steps.reshape(shape[0], -1)
    # what all inputs have in common would drown how they differ. Whole numbers: no rounding hangs on the order
    means = (rows.sum(1, dtype=np.int64) / rows.shape[1]).astype(np.float32)
    centred = rows.astype(np.float32)
    centred -= means[:, np.newaxis]
    centred *= np.float32(spread / 128)
    return centred.reshape(shape)


def pictures(size: int) -> Floats:
    """Return PICTURES inputs (count x 3 x size x size, about -1..1): colours, edges and texture, each another."""
    found = np.zeros((PICTURES, 3, size, size), np.float32)
    for side in (1, 2, 7, 28, size):
        steps = seeded(f"picture of {side}", [PICTURES * 3 * side * side], 0.0, 0.5).reshape(PICTURES, 3, side, side)
        times = -(-size // side)
        found += steps.repeat(times, 2).repeat(times, 3)[:, :, :size, :size]
    return found


def timm(name: str) -> dict[str, Any]:
    """Run timm's network; return what is recorded."""
    import torch
    from timm import __version__, create_model

    network = create_model(name, pretrained=False).eval()
    given = network.pretrained_cfg
    recipe = Recipe()
    state = network.state_dict()
    for key, array in state.items():
        if array.dtype == torch.float32:
            recipe.add(key, tuple(array.shape))

    def put(key: str) -> None:
        state[key].copy_(torch.from_numpy(recipe.values(key).copy()))

    def before(path: str) -> Callable[..., None]:
        def scale(module: Any, inputs: Any) -> None:
            recipe.scale(f"{path}.weight", 1 / float(module.forward(*inputs).std()))
            put(f"{path}.weight")

        return scale

    with torch.no_grad():
        for key in recipe.arrays:
            put(key)
        hooks = [
            module.register_forward_pre_hook(before(path))
            for path, module in network.named_modules()
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
        ]
        size = given["input_size"][1]
        inputs = torch.from_numpy(pictures(size))
        network(inputs)
        for hook in hooks:
            hook.remove()
        outputs = network(inputs).numpy()
    counters = {key: list(array.shape) for key, array in state.items() if array.dtype == torch.int64}
    about = {
        "made_with": f"timm {__version__}, torch {torch.__version__.partition('+')[0]}",
        "size": size,
        "mean": [round(255 * one, 3) for one in given["mean"]],
        "std": [round(255 * one, 3) for one in given["std"]],
        "counters": counters,
    }
    return recorded(about, recipe, outputs)


def imgclsmob(name: str) -> dict[str, Any]:
    """Run imgclsmob's network, the Gluon one; return what is recorded."""
    from importlib import metadata

    from edge.engines.mxnet_compat import import_mxnet

    mx = import_mxnet()
    from gluoncv2.model_provider import get_model

    network = get_model(name)
    network.initialize()
    size = network.in_size[0]
    inputs = mx.nd.array(pictures(size))
    network(inputs).wait_to_read()
    recipe = Recipe()
    parameters = network._collect_params_with_prefix()
    for key, parameter in parameters.items():
        recipe.add(key, parameter.shape)

    def put(key: str) -> None:
        parameters[key].set_data(mx.nd.array(recipe.values(key)))

    paths = {id(parameter): key for key, parameter in parameters.items()}

    def scale(block: Any, given: Any) -> None:
        key = paths[id(block.weight)]
        recipe.scale(key, 1 / float(np.std(block.forward(*given).asnumpy())))
        put(key)

    for key in recipe.arrays:
        put(key)
    hooks = []

    def hook(block: Any) -> None:
        if isinstance(block, mx.gluon.nn.Conv2D | mx.gluon.nn.Dense):
            hooks.append(block.register_forward_pre_hook(scale))

    network.apply(hook)
    network(inputs).wait_to_read()
    for one in hooks:
        one.detach()
    outputs = network(inputs).asnumpy()
    about = {
        "made_with": f"gluoncv2 {metadata.version('gluoncv2')}, mxnet {mx.__version__}",
        "size": size,
        # imgclsmob's own evaluation takes ImageNet's usual ones
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
    }
    return recorded(about, recipe, outputs)


def recorded(about: Mapping[str, Any], recipe: Recipe, outputs: Floats) -> dict[str, Any]:
    """Return what the file holds."""
    return {
        **about,
        "outputs": base64.b64encode(outputs.astype("<f4").tobytes()).decode("ascii"),
        "arrays": recipe.arrays,
    }


def write(path: Path, table: Mapping[str, Any]) -> None:
    """Write it with a line for each array, so that differences can be read."""
    plain = {key: value for key, value in table.items() if key != "arrays"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items()]
    arrays = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in table["arrays"].items())
    text = "{\n" + ",\n".join([*lines, f'"arrays": {{\n{arrays}\n}}']) + "\n}\n"
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Record all networks of a project. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Record what other projects' networks say, for the tests.")
    parser.add_argument("project", choices=("timm", "imgclsmob"))
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="default: tests/references")
    options = parser.parse_args()
    record, names = (timm, TIMM) if options.project == "timm" else (imgclsmob, IMGCLSMOB)
    options.out.mkdir(parents=True, exist_ok=True)
    for ours, theirs in names.items():
        try:
            table = record(theirs)
        except ImportError as error:
            print(f"record_references: {error}; install what its first lines name", file=sys.stderr)
            return 1
        path = options.out / f"{ours}.{options.project}.json"
        write(path, table)
        print(f"{path}: {len(table['arrays'])} arrays, {table['made_with']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
