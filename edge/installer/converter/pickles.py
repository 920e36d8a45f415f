"""Read the pickles of PyTorch's files without running anything.

A pickle is a program that can call anything. So the small machine below reads it, not Python's pickle module. It knows
the twenty instructions that occur, and only three kinds of globals; it imports and calls none of them.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

_MOST_PICKLE = 2**18
"""Bytes. EfficientNet-Lite2's has 56 kB; in the worst case Python takes a hundred times as much memory for it."""
_MOST_DEEP = 8
"""Depth of nested tuples and marks. PyTorch nests three."""
_MOST_DIMENSIONS = 8
MOST_NAME = 1024
"""Characters of a name."""

_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_STORAGES: dict[str, type[np.generic]] = {"torch FloatStorage": np.float32, "torch LongStorage": np.int64}


@dataclass(frozen=True, slots=True)
class _Global:
    """A name that a pickle asks for. It stays a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers in the file."""

    key: str
    kind: type[np.generic]
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array in a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In numbers, not bytes. Arrays from TensorFlow are not in the order of their shape."""


class _Tuple(tuple[Any, ...]):
    """A tuple that knows its depth of nesting."""

    deep = 1


class _Mark:
    """The start of the parts of a tuple, a dict or a list."""


_MARK: Final = _Mark()


class PickleReader:
    """A machine that runs the pickles in sequence. Their size in bytes limits the Python objects that they make."""

    def __init__(self, data: mmap.mmap) -> None:
        self.offset = 0
        self.storages: dict[str, Storage] = {}
        self._data = data

    def load(self) -> Any:
        """Return the object of the next pickle: numbers, texts, tuples, lists, dicts and tensors."""
        self._end = min(len(self._data), self.offset + _MOST_PICKLE)
        self._stack: list[Any] = []
        self._marks = 0
        self._memo: dict[int, Any] = {}
        while (code := self._take(1)) != b".":
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise ValueError(f"the instruction {code!r} at byte {self.offset - 1} is not known")
            instruction(self)
        found = self._pop()
        if self._stack:
            raise ValueError(f"a pickle leaves {len(self._stack)} values over")
        return found

    def _take(self, count: int) -> bytes:
        if count > self._end - self.offset:
            what = "the file ends" if self._end == len(self._data) else f"more than {_MOST_PICKLE} bytes"
            raise ValueError(f"{what} in a pickle")
        self.offset += count
        return self._data[self.offset - count : self.offset]

    def _number(self, layout: str) -> int:
        (number,) = struct.unpack(f"<{layout}", self._take(struct.calcsize(f"<{layout}")))
        return int(number)

    def _text(self) -> str:
        return self._take(self._number("I")).decode("utf-8")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("a pickle uses a value that it has not made")
        return self._stack.pop()

    def _to_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("a pickle uses a value that it has not made")
        found = []
        while (value := self._stack.pop()) is not _MARK:
            found.append(value)
        self._marks -= 1
        found.reverse()
        return found

    def protocol(self) -> None:
        """PROTO: the version of the format."""
        if self._take(1) != b"\x02":
            raise ValueError("a pickle is not of protocol 2")

    def mark(self) -> None:
        """MARK: the start of a list of values."""
        self._marks += 1
        if self._marks > _MOST_DEEP:
            raise ValueError(f"more than {_MOST_DEEP} nested values")
        self._push(_MARK)

    def line(self) -> str:
        """Return the text up to the end of the line."""
        found = bytearray()
        while (one := self._take(1)) != b"\n":
            found += one
            if len(found) > MOST_NAME:
                raise ValueError("the name of a global does not end")
        return found.decode("utf-8")

    def find_global(self) -> None:
        """GLOBAL: a module and a name in it."""
        name = f"{self.line()} {self.line()}"
        if name not in (_DICT, _TENSOR, *_STORAGES):
            raise ValueError(f"it asks for {name[:80]!r}, which has no place in weights")
        self._push(_Global(name))

    def put(self, layout: str) -> None:
        """BINPUT: remember the object made last."""
        value = self._pop()
        self._push(value)
        self._memo[self._number(layout)] = value

    def get(self, layout: str) -> None:
        """BINGET: push a remembered object."""
        number = self._number(layout)
        if number not in self._memo:
            raise ValueError("a pickle uses a value that it has not made")
        self._push(self._memo[number])

    def whole(self) -> None:
        """LONG1: an integer of any size; the magic number has ten bytes."""
        count = self._number("B")
        if count > 16:
            raise ValueError(f"a number of {count} bytes")
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def tuple(self, parts: list[Any]) -> None:
        """TUPLE, TUPLE1, ..."""
        made = _Tuple(parts)
        made.deep = 1 + max((part.deep for part in parts if isinstance(part, _Tuple)), default=0)
        if made.deep > _MOST_DEEP:
            raise ValueError(f"more than {_MOST_DEEP} nested values")
        self._push(made)

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS: names and their values."""
        table = self._pop()
        if not isinstance(table, dict) or len(items) % 2:
            raise ValueError("a pickle fills a value that is not a dictionary")
        for name, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(name, str) or name in table:
                raise ValueError(f"the name {said(name)} is not a text, or appears twice")
            if isinstance(value, list) or value is table:
                raise ValueError(f"{name[:80]!r} is not a tensor")
            table[name] = value
        self._push(table)

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS: add the values to a list."""
        made = self._pop()
        if not isinstance(made, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("a pickle has a list of values that are not texts")
        made += items
        self._push(made)

    def storage(self) -> None:
        """BINPERSID: a storage, by ('storage', its kind, its key, 'cpu', how many numbers, None)."""
        match self._pop():
            case ("storage", _Global(name), str(key), "cpu", int(count), None) if name in _STORAGES and count >= 0:
                found = Storage(key, _STORAGES[name], count)
            case _:
                raise ValueError("a storage is not described as one")
        if self.storages.setdefault(key, found) != found:
            raise ValueError(f"the storage {key[:40]!r} is described in two ways")
        self._push(found)

    def call(self) -> None:
        """REDUCE: a new dictionary, or a tensor of a storage. Nothing is called."""
        arguments, function = self._pop(), self._pop()
        match function, arguments:
            case _Global(name), () if name == _DICT:
                self._push({})
            case _Global(name), (Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(_), {}) if (
                name == _TENSOR
            ):
                self._push(_tensor(storage, offset, shape, strides))
            case _:
                raise ValueError("it calls a function that has no place in weights")

    def build(self) -> None:
        """BUILD: the versions of the layers, which are not used here."""
        state, table = self._pop(), self._pop()
        if not isinstance(table, dict) or not isinstance(state, dict) or set(state) != {"_metadata"}:
            raise ValueError("it sets attributes that have no place in weights")
        self._push(table)


def _tensor(storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> Tensor:
    """Return a tensor, after a check that it lies within its storage and is no larger."""
    if len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor of {len(shape)} dimensions has {len(strides)} strides")
    if not all(type(number) is int and number > 0 for number in (*shape, *strides)):
        raise ValueError("the shape or the strides of a tensor are not sizes")
    said = f"a tensor of the shape {tuple(shape)}"
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if offset < 0 or last >= storage.count or prod(shape) > storage.count:
        raise ValueError(f"{said} is larger than its storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def said(value: Any) -> str:
    """Return a text's repr, cut to 80 characters; of other objects only the type: a small tuple may be a long text."""
    return repr(value[:80]) if isinstance(value, str) else f"(a {type(value).__name__})"


# by the byte of each instruction: Python's pickletools describes them
_INSTRUCTIONS = {
    b"\x80": PickleReader.protocol,
    b"(": PickleReader.mark,
    b"c": PickleReader.find_global,
    b"q": lambda reader: reader.put("B"),
    b"r": lambda reader: reader.put("I"),
    b"h": lambda reader: reader.get("B"),
    b"j": lambda reader: reader.get("I"),
    b"N": lambda reader: reader._push(None),
    b"\x88": lambda reader: reader._push(True),
    b"\x89": lambda reader: reader._push(False),
    b"K": lambda reader: reader._push(reader._number("B")),
    b"M": lambda reader: reader._push(reader._number("H")),
    b"J": lambda reader: reader._push(reader._number("i")),
    b"\x8a": PickleReader.whole,
    b"X": lambda reader: reader._push(reader._text()),
    b")": lambda reader: reader.tuple([]),
    b"\x85": lambda reader: reader.tuple([reader._pop()]),
    b"\x86": lambda reader: reader.tuple([reader._pop(), reader._pop()][::-1]),
    b"\x87": lambda reader: reader.tuple([reader._pop(), reader._pop(), reader._pop()][::-1]),
    b"t": lambda reader: reader.tuple(reader._to_mark()),
    b"}": lambda reader: reader._push({}),
    b"]": lambda reader: reader._push([]),
    b"s": lambda reader: reader.set_items([reader._pop(), reader._pop()][::-1]),
    b"u": lambda reader: reader.set_items(reader._to_mark()),
    b"a": lambda reader: reader.append([reader._pop()]),
    b"e": lambda reader: reader.append(reader._to_mark()),
    b"Q": PickleReader.storage,
    b"R": PickleReader.call,
    b"b": PickleReader.build,
}
