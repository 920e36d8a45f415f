"""The bytes of an ONNX file, and of the file with its weights.

ONNX is protobuf. Of its messages a network needs seven, with a few fields each; writing these takes less than importing
the packages onnx and protobuf, which would be 30 MiB in the daemon and one more thing to install on a board.
The numbers of the fields are those of onnx.proto3 in github.com/onnx/onnx.

Weights of some size lie in a file of their own (ONNX calls that external data), so that who runs the graph can map them
instead of reading them.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

OPSET = 13
_IR_VERSION = 8
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_EXTERNAL = 1
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7
_INLINE = 1024
"""Bytes. Smaller arrays are in the graph: engines look at some of them while they load it."""
_PAGE = 4096
_CHUNK = 2**20

Attribute = float | int | tuple[int, ...]


class Weights:
    """The file of weights, as it grows."""

    def __init__(self, file: IO[bytes], name: str, most_bytes: int, pause: Callable[[], None]) -> None:
        """`name` is what the graph calls it, `most_bytes` what may be written; `pause` is called every few MiB."""
        self._file = file
        self._pause = pause
        self._name = name
        self._left = most_bytes
        self._offset = 0

    def tensor(self, name: str, array: NDArray[Any]) -> bytes:
        """Write an array (float32 or int64) and return the TensorProto that stands for it.

        Raises ValueError for nan and infinity, and when it is too much.
        """
        kind = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): _INT64}[array.dtype]
        head = b"".join(_number(1, size) for size in array.shape) + _number(2, kind) + _text(8, name)
        self._left -= array.nbytes
        if self._left < 0:
            raise ValueError("more than the file has: they are used again and again")
        if array.nbytes < _INLINE:
            _check_finite(array)
            return head + _bytes(9, array.tobytes())
        # where a page begins: else they cannot be mapped
        padding = -self._offset % _PAGE
        self._file.write(bytes(padding))
        self._offset += padding
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
    # both are nan when one value is; no array of the same size is needed for it
    if not (np.isfinite(np.min(array)) and np.isfinite(np.max(array))):
        raise ValueError("nan or infinity")


def node(op: str, name: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute]) -> bytes:
    """Return a NodeProto."""
    parts = [_text(1, one) for one in inputs]
    parts += [_text(2, output), _text(3, name), _text(4, op)]
    parts += [_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
    return b"".join(parts)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, tuple):
        body = b"".join(_number(8, one) for one in value) + _number(20, _ATTRIBUTE_INTS)
    elif isinstance(value, int):
        body = _number(3, value) + _number(20, _ATTRIBUTE_INT)
    else:
        body = _key(2, 5) + struct.pack("<f", value) + _number(20, _ATTRIBUTE_FLOAT)
    return _text(1, name) + body


def model(
    producer: str,
    nodes: Iterable[bytes],
    initializers: Iterable[bytes],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
) -> bytes:
    """Return a ModelProto; inputs and outputs are float32, with their shapes by name."""
    parts = [_bytes(1, one) for one in nodes]
    parts.append(_text(2, "network"))
    # not among the inputs: else they count as what may change, and nothing is prepared from them
    parts += [_bytes(5, one) for one in initializers]
    parts += [_bytes(11, _value(name, shape)) for name, shape in inputs.items()]
    parts += [_bytes(12, _value(name, shape)) for name, shape in outputs.items()]
    head = _number(1, _IR_VERSION) + _text(2, producer)
    return head + _bytes(8, _text(1, "") + _number(2, OPSET)) + _bytes(7, b"".join(parts))


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
