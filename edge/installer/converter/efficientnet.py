"""Convert EfficientNet-Lite's PyTorch weights into an MXNet checkpoint.

The structure: Tan and Le 2019 (arXiv:1905.11946), table 1, without squeeze-and-excitation and with ReLU6, as
TensorFlow's tpu/models/official/efficientnet/lite describes it: stem, head and the number of blocks of the first and
the last stage are the same in all sizes. The names of the arrays are those of the package efficientnet_lite_pytorch.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer.params import write_params
from edge.installer.converter.pth import read_pth
from edge.installer.converter.structure import BATCH_NORM, Symbol

Arrays = Mapping[str, NDArray[Any]]

_EPSILON = 1e-3
_LABELS = 1000
_STEM, _HEAD = 32, 1280


@dataclass(frozen=True)
class _Stage:
    """Consecutive blocks with the same kernel; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class Size:
    """A size of the family."""

    width: float
    """Number of filters, relative to the smallest size."""
    depth: float
    """Number of blocks, relative to the smallest size."""
    pixels: int
    """The input is pixels x pixels."""


SIZES = {
    "efficientnet-lite0": Size(1.0, 1.0, 224),
    "efficientnet-lite1": Size(1.0, 1.1, 240),
    "efficientnet-lite2": Size(1.1, 1.2, 260),
}


def convert(name: str, weights: Path, prefix: Path) -> None:
    """Write prefix-symbol.json and prefix-0000.params: the network `name` of SIZES with the numbers of a .pth file.

    Raises ModelError if the file is damaged or of another network, OSError if the two cannot be written.
    """
    arrays = {key: array for key, array in read_pth(weights).items() if array.dtype == np.float32}
    try:
        structure = _EfficientNet(SIZES[name], arrays)
    except (ValueError, LookupError) as error:
        said = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{weights}: {said}; this is not a file of {name}") from error
    prefix.with_name(f"{prefix.name}-symbol.json").write_text(structure.symbol(), encoding="utf-8")
    write_params(prefix.with_name(f"{prefix.name}-0000.params"), structure.params)


class _EfficientNet(Symbol):
    """The nodes of the symbol, and its parameters."""

    def __init__(self, size: Size, arrays: Arrays) -> None:
        super().__init__(_EPSILON)
        self.params: dict[str, NDArray[np.float32]] = {}
        self._arrays, self._left = arrays, set(arrays)
        self._side = size.pixels
        x = self._unit(self.data, ("_conv_stem", "_bn0"), "stem", (_STEM, 3), kernel=3, stride=2)
        channels = _STEM
        for number, (stage, stride) in enumerate(_blocks(size)):
            x = self._block(x, number, stage, stride, channels)
            channels = stage.filters
        x = self._unit(x, ("_conv_head", "_bn1"), "head", (_HEAD, channels))
        x = self._add_mean_of_all(x, "pool")
        weight = self._parameter("fc_weight", "_fc.weight", (_LABELS, _HEAD))
        bias = self._parameter("fc_bias", "_fc.bias", (_LABELS,))
        self._add_fully_connected("fc", [x, weight, bias], _LABELS)
        if self._left:
            raise ValueError(f"{min(self._left)[:80]!r} is not a layer of it")

    def _block(self, x: int, number: int, stage: _Stage, stride: int, channels: int) -> int:
        theirs, own, inner, came = f"_blocks.{number}", f"block{number}", channels * stage.expand, x
        if stage.expand > 1:
            names = (f"{theirs}._expand_conv", f"{theirs}._bn0")
            x = self._unit(x, names, f"{own}_expand", (inner, channels))
        names = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        kernel, name = stage.kernel, f"{own}_depthwise"
        x = self._unit(x, names, name, (inner, 1), kernel=kernel, stride=stride, groups=inner)
        names = (f"{theirs}._project_conv", f"{theirs}._bn2")
        x = self._unit(x, names, f"{own}_project", (stage.filters, inner), linear=True)
        if stride == 1 and channels == stage.filters:
            x = self._add_sum(x, came, f"{own}_plus")
        return x

    def _unit(
        self,
        x: int,
        theirs: tuple[str, str],
        own: str,
        sizes: tuple[int, int],
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> int:
        """Add a convolution of `sizes` (filters, channels of each), BatchNorm, and ReLU6 unless it is `linear`."""
        conv, norm = theirs
        filters, channels = sizes
        weight = self._array(f"{conv}.weight", (filters, channels, kernel, kernel))
        pad = kernel // 2
        if stride == 2 and self._side % 2 == 0:
            # TensorFlow pads the far side only, MXNet both sides equally. With a row and a column of zeros in front,
            # the kernel covers the same pixels as in TensorFlow: the sum is the same
            weight = np.pad(weight, ((0, 0), (0, 0), (1, 0), (1, 0)))
            kernel += 1
        self._side = -(-self._side // stride)
        self.params[f"arg:{own}_conv_weight"] = weight
        inputs = [x, self._add("null", f"{own}_conv_weight")]
        window = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
        x = self._add(
            "Convolution", f"{own}_conv", inputs, num_filter=filters, num_group=groups, no_bias=True, **window
        )
        inputs = [x]
        for what, name in BATCH_NORM.items():
            kind = "aux" if what.startswith("moving") else "arg"
            inputs.append(self._parameter(f"{own}_bn_{what}", f"{norm}.{name}", (filters,), kind))
        x = self._add_batch_norm(f"{own}_bn", inputs)
        return x if linear else self._add("clip", f"{own}_relu6", [x], a_min=0, a_max=6)

    def _parameter(self, name: str, theirs: str, shape: tuple[int, ...], kind: str = "arg") -> int:
        self.params[f"{kind}:{name}"] = self._array(theirs, shape)
        return self._add("null", name)

    def _array(self, theirs: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self._arrays[theirs]
        self._left.discard(theirs)
        if array.shape != shape:
            raise ValueError(f"{theirs} has the shape {array.shape}, and must have {shape}")
        return array


def _blocks(size: Size) -> Iterator[tuple[_Stage, int]]:
    """Yield (its stage, its stride) for each block, in order."""
    for place, stage in enumerate(_STAGES):
        count = stage.blocks if place in (0, len(_STAGES) - 1) else math.ceil(stage.blocks * size.depth)
        scaled = _Stage(count, stage.kernel, stage.stride, stage.expand, _filters(stage.filters, size.width))
        for number in range(count):
            yield scaled, stage.stride if number == 0 else 1


def _filters(filters: int, width: float) -> int:
    """Return the multiple of 8 nearest to filters x width; at least nine tenths of it."""
    wanted = filters * width
    found = max(8, int(wanted + 4) // 8 * 8)
    return found + 8 if found < 0.9 * wanted else found
