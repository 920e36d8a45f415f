"""Small .pth files in PyTorch's old format, byte by byte: right ones, and such as no PyTorch would write."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


MACHINE = b"\x80\x02}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian") + b"\x88u."


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    return (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count) + b"NtQ"
    )  # fmt: skip


def tensor(stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(offset) + numbers(shape) + numbers(strides)
        + b"\x89" + DICT + b"tR"
    )  # fmt: skip


def tensor_of(key: str, array: NDArray[Any]) -> bytes:
    kind = {"f": "FloatStorage", "i": "LongStorage"}[array.dtype.kind]
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return tensor(storage(key, array.size, kind), array.shape, strides)


def table(tensors: Mapping[str, bytes]) -> bytes:
    """The pickle of a state_dict, with what PyTorch notes of the layers' releases."""
    items = b"".join(text(name) + one for name, one in tensors.items())
    noted = b"}" + text("_metadata") + DICT + text("") + b"}" + text("version") + b"K\x01ss" + b"s"
    return b"\x80\x02" + DICT + b"(" + items + b"u" + noted + b"b."


def keys(names: list[str]) -> bytes:
    return b"\x80\x02](" + b"".join(map(text, names)) + b"e."


def stored(array: NDArray[Any]) -> bytes:
    return struct.pack("<q", array.size) + array.tobytes(order="A")


def pth(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A whole file."""
    tensors = {name: tensor_of(str(place), array) for place, (name, array) in enumerate(arrays.items())}
    parts = [MAGIC, PROTOCOL, MACHINE, table(tensors), keys([str(place) for place in range(len(arrays))])]
    return b"".join([*parts, *map(stored, arrays.values())])


def with_table(pickle: bytes, names: list[str] | None = None, rest: bytes = b"") -> bytes:
    """A file with this pickle in the place of the table."""
    return MAGIC + PROTOCOL + MACHINE + pickle + keys(names or []) + rest


def small() -> dict[str, NDArray[Any]]:
    """Arrays of some kB, one of them in another order than its shape."""
    random = np.random.default_rng(0)
    strided = np.asfortranarray(random.normal(size=(4, 3, 2, 2)).astype(np.float32))
    return {
        "conv.weight": strided,
        "bn.weight": random.normal(size=40).astype(np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "fc.weight": random.normal(size=(10, 40)).astype(np.float32),
    }
