"""Write ncnn's two files: network.param, one line of text for each layer, and network.bin, the weights in that order.

A line is: the layer's type, its name, how many inputs and outputs, their names, and parameters as number=value; an
array has the key -23300 - number and begins with its length
(docs/developer-guide/param-and-model-file-structure.md in github.com/Tencent/ncnn).

ncnn knows no batch: the leading 1 of a shape is left out. A value may be read once only; a layer Split repeats it.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer import onnx

_MAGIC = 7767517
_FLOAT32 = bytes(4)
"""Stands before the weights of a convolution or a matrix: they are float32, as they are."""
_EXACT = {31: 3}
"""Tells a layer to compute in float32, also if the network is loaded in float16."""
_SHAPE = 30
"""The parameter that tells a layer the shape of its output beforehand, so that it can choose its kernel."""
MOST_DIMENSIONS = 4
_CHUNK = 2**20
MATRIX = "InnerProduct"

Number = int | float
Parameters = Mapping[int, Number | Sequence[Number]]


class NotInNcnnError(ModelError):
    """ncnn cannot run a layer; other engines can."""

    def __init__(self, layer: onnx.Layer, what: str) -> None:
        name = layer.name.rpartition("#")[0] or layer.name
        super().__init__(
            f"ncnn cannot run the layer {name!r} ({layer.op}): {what}; mxnet, onnx or openvino may ([model] engine)"
        )


@dataclass(frozen=True)
class Blob:
    """A value in ncnn."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    flat: bool = False
    """Whether ncnn has it as a row, although its shape is channels x 1 x 1."""


@dataclass
class _Line:
    kind: str
    inputs: list[str]
    outputs: list[str]
    parameters: Parameters


class Network:
    """The two files while they are made."""

    def __init__(self, bin_file: IO[bytes], pause: Callable[[], None]) -> None:
        """Take the file for the weights; `pause` is called every few MiB."""
        self._file, self._pause = bin_file, pause
        self._lines: list[_Line] = []
        self._count = 0
        self.exact = False
        """Whether matrices added now are computed in float32 in any case, as all other layers are.

        Convolutions in float16 changed a probability of MobileNet 0.5 by 0.13 (Cortex-A76).
        """

    def add(
        self, kind: str, inputs: Sequence[Blob], shape: tuple[int, ...], parameters: Parameters, **how: Any
    ) -> Blob:
        """Add a layer whose output has that shape (`_blob` has the rest); return the output."""
        output = self._blob(shape, **how)
        parameters = {**parameters, **(_EXACT if self.exact or kind != MATRIX else {})}
        self._lines.append(_Line(kind, [one.name for one in inputs], [output.name], parameters))
        return output

    def add_shaped(self, kind: str, inputs: Sequence[Blob], shape: tuple[int, ...], parameters: Parameters) -> Blob:
        """Add a layer with a picture as its output, and tell it the output's shape."""
        channels, height, width = shape
        return self.add(kind, inputs, shape, {**parameters, _SHAPE: (3, width, height, channels)})

    def _blob(self, shape: tuple[int, ...], *, flat: bool = False, name: str = "") -> Blob:
        self._count += not name
        return Blob(name or f"v{self._count}", shape, flat)

    def weights(self, array: NDArray[np.float32], *, flagged: bool = False) -> None:
        """Write weights of the layer added last; `flagged` for those of convolutions and matrices."""
        if flagged:
            self._file.write(_FLOAT32)
        flat = np.ascontiguousarray(array).reshape(-1)
        for start in range(0, len(flat), _CHUNK):
            self._file.write(flat[start : start + _CHUNK].data)
            self._pause()

    def text(self, outputs: Mapping[str, Blob]) -> str:
        """Return network.param, with more names for the outputs that are to be read from outside."""
        lines = _with_splits(self._lines, outputs)
        names = {name for line in lines for name in (*line.inputs, *line.outputs)}
        return "".join([f"{_MAGIC}\n{len(lines)} {len(names)}\n", *map(_text, range(len(lines)), lines)])


def _with_splits(lines: Sequence[_Line], outputs: Mapping[str, Blob]) -> list[_Line]:
    readers = Counter(name for line in lines for name in line.inputs)
    more: dict[str, list[str]] = {}
    for public, blob in outputs.items():
        more.setdefault(blob.name, []).append(public)
    # what is not read within the network only gets its public name
    renamed = {name: publics[0] for name, publics in more.items() if not readers[name] and len(publics) == 1}
    copies = {
        name: [f"{name}_{number}" for number in range(readers[name])] + more.get(name, [])
        for name in {*readers, *more} - {*renamed}
        if readers[name] > 1 or name in more
    }
    left = {name: list(names) for name, names in copies.items()}
    found = []
    for line in lines:
        inputs = [left[name].pop(0) if name in left else name for name in line.inputs]
        found.append(dataclasses.replace(line, inputs=inputs, outputs=[renamed.get(one, one) for one in line.outputs]))
        found += [_Line("Split", [name], copies[name], {}) for name in line.outputs if name in copies]
    return found


def _text(number: int, line: _Line) -> str:
    words = [line.kind, f"n{number}", str(len(line.inputs)), str(len(line.outputs)), *line.inputs, *line.outputs]
    for key, value in line.parameters.items():
        if isinstance(value, int | float):
            words.append(f"{key}={_number(value)}")
        else:
            words.append(f"{-23300 - key}={','.join([str(len(value)), *map(_number, value)])}")
    return f"{' '.join(words)}\n"


def _number(value: Number) -> str:
    # ncnn reads up to 15 characters of a number, and takes it for a float if it has a point or an e
    return str(value) if isinstance(value, int) else f"{np.float32(value):.8e}"


def bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without the batch of one picture."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
