"""EfficientNet-Lite0 in plain numpy, and made-up weights for it: what edge's conversion is compared with.

Nothing of edge's code is used: the structure is written down once more, and TensorFlow's padding is what it is there,
rows and columns of zeros on the far side.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]
# kernel, stride, expansion, filters: a block each
BLOCKS = (
    *((3, 1, 1, 16),),
    *((3, 2, 6, 24), (3, 1, 6, 24)),
    *((5, 2, 6, 40), (5, 1, 6, 40)),
    *((3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)),
    *((5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)),
    *((5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)),
    *((3, 1, 6, 320),),
)


def made_up(seed: int = 0) -> dict[str, NDArray[Any]]:
    """Arrays with the names and shapes of the package's, of no use but to be computed with."""
    random = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}

    def unit(conv: str, norm: str, shape: tuple[int, ...]) -> None:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        arrays[f"{conv}.weight"] = (random.standard_normal(shape) * scale).astype(np.float32)
        count = shape[0]
        arrays[f"{norm}.weight"] = random.uniform(0.8, 1.2, count).astype(np.float32)
        arrays[f"{norm}.bias"] = random.normal(0.3, 0.3, count).astype(np.float32)
        arrays[f"{norm}.running_mean"] = random.normal(0, 0.1, count).astype(np.float32)
        arrays[f"{norm}.running_var"] = random.uniform(0.5, 1.5, count).astype(np.float32)
        arrays[f"{norm}.num_batches_tracked"] = np.array(1, np.int64)

    unit("_conv_stem", "_bn0", (32, 3, 3, 3))
    channels = 32
    for number, (kernel, _, expand, filters) in enumerate(BLOCKS):
        name, inner = f"_blocks.{number}", channels * expand
        if expand > 1:
            unit(f"{name}._expand_conv", f"{name}._bn0", (inner, channels, 1, 1))
        unit(f"{name}._depthwise_conv", f"{name}._bn1", (inner, 1, kernel, kernel))
        unit(f"{name}._project_conv", f"{name}._bn2", (filters, inner, 1, 1))
        channels = filters
    unit("_conv_head", "_bn1", (1280, channels, 1, 1))
    arrays["_fc.weight"] = random.normal(0, 0.05, (1000, 1280)).astype(np.float32)
    arrays["_fc.bias"] = random.normal(0, 0.1, 1000).astype(np.float32)
    return arrays


def scores(arrays: Arrays, x: Floats) -> Floats:
    """What the last matrix gives (1000) for an input (3 x size x size)."""
    x = np.clip(_unit(arrays, x, "_conv_stem", "_bn0", 2), 0, 6)
    for number, (_, stride, expand, filters) in enumerate(BLOCKS):
        name, came = f"_blocks.{number}", x
        if expand > 1:
            x = np.clip(_unit(arrays, x, f"{name}._expand_conv", f"{name}._bn0"), 0, 6)
        x = np.clip(_unit(arrays, x, f"{name}._depthwise_conv", f"{name}._bn1", stride), 0, 6)
        x = _unit(arrays, x, f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and len(came) == filters:
            x = x + came
    x = np.clip(_unit(arrays, x, "_conv_head", "_bn1"), 0, 6)
    found: Floats = arrays["_fc.weight"] @ x.mean(axis=(1, 2)) + arrays["_fc.bias"]
    return found


def _unit(arrays: Arrays, x: Floats, conv: str, norm: str, stride: int = 1) -> Floats:
    weight = arrays[f"{conv}.weight"]
    made = _convolved(x, weight, stride)
    gamma, beta, mean, variance = (
        arrays[f"{norm}.{what}"][:, np.newaxis, np.newaxis]
        for what in ("weight", "bias", "running_mean", "running_var")
    )
    return np.asarray((made - mean) / np.sqrt(variance + 1e-3) * gamma + beta, np.float32)


def _convolved(x: Floats, weight: Floats, stride: int) -> Floats:
    kernel, side = weight.shape[2], x.shape[1]
    if kernel == 1:
        return np.tensordot(weight[:, :, 0, 0], x, 1)
    # SAME, as TensorFlow has it: the odd one goes to the end
    beyond = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    pad = (beyond // 2, beyond - beyond // 2)
    padded = np.pad(x, ((0, 0), pad, pad))
    total: Any = 0.0
    for row, column in _places(kernel):
        seen = padded[:, row : row + side : stride, column : column + side : stride]
        at = weight[:, :, row, column]
        total = total + (seen * at[:, :, np.newaxis] if weight.shape[1] == 1 else np.tensordot(at, seen, 1))
    found: Floats = total
    return found


def _places(kernel: int) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(kernel) for column in range(kernel))
