"""Write the bytes of an ONNX file, and of the file with its weights; read its layers.

ONNX is protobuf. A network needs seven of its messages, with a few fields each. Writing these takes less than importing
the packages onnx and protobuf: they would take 30 MiB in the daemon, and be one more thing to install on a board.
The numbers of the fields are those of onnx.proto3 in github.com/onnx/onnx.

Large weights lie in a separate file (ONNX calls that external data), so that an engine can map them instead of reading
them.
"""

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

OPSET = 13
_IR_VERSION = 8
_FLOAT = 1
_TYPES = {np.dtype(np.float32): _FLOAT, np.dtype(np.uint8): 2, np.dtype(np.int8): 3, np.dtype(np.int32): 6}
_TYPES |= {np.dtype(np.int64): 7}
"""TensorProto.DataType."""
_EXTERNAL = 1
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_INTS = 1, 2, 3, 7
_INLINE = 1024
"""Bytes. Smaller arrays are in the graph: engines read some of them while they load it."""
_PAGE = 4096
_CHUNK = 2**20

Attribute = float | int | str | tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """An ONNX operator, with its inputs and its output by name."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where to read an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int = 0
    """In the file of weights."""
    content: bytes = b""
    """The bytes of a small array, which is not in that file."""

    def read(self, file: IO[bytes]) -> NDArray[Any]:
        """Return the array."""
        content = self.content
        if not content:
            file.seek(self.offset)
            content = file.read(prod(self.shape) * self.dtype.itemsize)
        return np.frombuffer(content, self.dtype).reshape(self.shape)

    def mapped(self, data: mmap.mmap) -> NDArray[Any]:
        """Return the array as a part of the mapped file, so that nothing is copied."""
        if self.content:
            return np.frombuffer(self.content, self.dtype).reshape(self.shape)
        return np.frombuffer(data, self.dtype, prod(self.shape), self.offset).reshape(self.shape)


class Weights:
    """The file of weights while it is written."""

    def __init__(self, file: IO[bytes], name: str, most_bytes: int, pause: Callable[[], None]) -> None:
        """Take the file, its `name` in the graph and the limit `most_bytes`; `pause` is called every few MiB."""
        self._file = file
        self._pause = pause
        self._name = name
        self._left = most_bytes
        self._offset = 0
        self.places: dict[str, Place] = {}
        """Where each array lies, by name."""

    def tensor(self, name: str, array: NDArray[Any]) -> bytes:
        """Write an array (float32 or integers) and return its TensorProto.

        Raises ValueError for nan and infinity, and above the limit.
        """
        head = b"".join(_number(1, size) for size in array.shape) + _number(2, _TYPES[array.dtype]) + _text(8, name)
        self._left -= array.nbytes
        if self._left < 0:
            raise ValueError("more than the file has: they are used again and again")
        if array.nbytes < _INLINE:
            _check_finite(array)
            self.places[name] = Place(array.dtype, array.shape, content=array.tobytes())
            return head + _bytes(9, self.places[name].content)
        # at the start of a page: otherwise they cannot be mapped
        padding = -self._offset % _PAGE
        self._file.write(bytes(padding))
        self._offset += padding
        self.places[name] = Place(array.dtype, array.shape, self._offset)
        place = {"location": self._name, "offset": str(self._offset), "length": str(array.nbytes)}
        flat = np.ascontiguousarray(array).reshape(-1)
        for start in range(0, len(flat), _CHUNK):
            chunk = flat[start : start + _CHUNK]
            _check_finite(chunk)
            self._file.write(chunk.data)
            self._pause()
        self._offset += array.nbytes
        entries = b"".join(_bytes(13, _text(1, key) + _text(2, value)) for key, value in place.items())
        return head + entries + _number(14, _EXTERNAL)


def _check_finite(array: NDArray[Any]) -> None:
    # min and max are nan if one value is; they need no array of the same size
    if not (np.isfinite(np.min(array)) and np.isfinite(np.max(array))):
        raise ValueError("nan or infinity")


def _node(layer: Layer) -> bytes:
    """Return a NodeProto."""
    parts = [_text(1, one) for one in layer.inputs]
    parts += [_text(2, layer.output), _text(3, layer.name), _text(4, layer.op)]
    parts += [_bytes(5, _attribute(key, value)) for key, value in layer.attributes.items()]
    return b"".join(parts)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, tuple):
        body = b"".join(_number(8, one) for one in value) + _number(20, _ATTRIBUTE_INTS)
    elif isinstance(value, str):
        body = _text(4, value) + _number(20, _ATTRIBUTE_STRING)
    elif isinstance(value, int):
        body = _number(3, value) + _number(20, _ATTRIBUTE_INT)
    else:
        body = _key(2, 5) + struct.pack("<f", value) + _number(20, _ATTRIBUTE_FLOAT)
    return _text(1, name) + body


def model(
    producer: str,
    layers: Iterable[Layer],
    initializers: Iterable[bytes],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
) -> bytes:
    """Return a ModelProto; inputs and outputs are float32, with their shapes by name."""
    parts = [_bytes(1, _node(one)) for one in layers]
    parts.append(_text(2, "network"))
    # not among the inputs: engines would take them as variable, and prepare nothing from them
    parts += [_bytes(5, one) for one in initializers]
    parts += [_bytes(11, _value(name, shape)) for name, shape in inputs.items()]
    parts += [_bytes(12, _value(name, shape)) for name, shape in outputs.items()]
    head = _number(1, _IR_VERSION) + _text(2, producer)
    return head + _bytes(8, _text(1, "") + _number(2, OPSET)) + _bytes(7, b"".join(parts))


def with_output(data: bytes, name: str) -> bytes:
    """Return a ModelProto with one of its values, a float32 one of any shape, as a further output.

    Bytes of the same message one after the other are merged, and lists joined (protobuf.dev, "Encoding"): so nothing
    of the file has to be read.
    """
    return data + _bytes(7, _bytes(12, _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT)))))


def read_layers(data: bytes) -> list[Layer]:
    """Return the layers of a ModelProto, without their attributes. Raises ValueError if it is damaged."""
    layers = []
    for number, graph in _fields(data):
        for part, node in _fields(graph) if number == 7 else ():
            if part == 1:
                texts: dict[int, list[str]] = {1: [], 2: [], 3: [""], 4: [""]}
                for key, value in _fields(node):
                    if key in texts:
                        texts[key].append(value.decode("utf-8", "replace"))
                layers.append(Layer(texts[4][-1], texts[3][-1], tuple(texts[1]), (texts[2] or [""])[0]))
    return layers


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field that has a length; the others are skipped."""
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        wire = key & 7
        if wire == 0:
            _, place = _read_varint(data, place)
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"a field of the unknown type {wire}")
        length, place = _read_varint(data, place) if wire == 2 else ({1: 8, 5: 4}[wire], place)
        if place + length > len(data):
            raise ValueError("it ends in the middle of a field")
        if wire == 2:
            yield key >> 3, data[place : place + length]
        place += length


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("it ends in the middle of a number")


def _value(name: str, shape: Sequence[int]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, _FLOAT) + _bytes(2, dimensions)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode("utf-8", "replace"))


def _bytes(number: int, value: bytes) -> bytes:
    return _key(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
