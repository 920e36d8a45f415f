"""Read the arrays of a .params file of any MXNet release without copying them, and write such files.

The format (what mx.nd.save writes, little-endian): a header of magic, reserved and the number of arrays, 64 bits each;
the arrays; the number of names, and the names, each a length of 64 bits and UTF-8. An array is a magic and a storage
type (32 bits each, since MXNet 1.0; before, shape came first), the shape (a number of dimensions, 32 bits, and as many
sizes), two numbers of a device, the type of its values, and the values. A sparse array has one more shape before its
own: that of the stored values. After the type of its values come the types and shapes of one or two arrays of indices;
these arrays follow the values. (NDArray::Save in MXNet's src/ndarray/ndarray.cc)

A file may hold arrays of any type that the network does not use. Only the arrays that it uses must be dense, and of a
type that a network can compute with.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.models.foreign import foreign

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_CPU, _FLOAT32 = 1, 0
_DENSE = 0
_STORAGES = {0: (0, ""), 1: (1, "row_sparse"), 2: (2, "csr")}
"""Number of index arrays of each storage type, and its name."""
_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float64, 2: np.float16}
_OTHER_TYPES = {
    **{3: (1, "uint8"), 4: (4, "int32"), 5: (1, "int8"), 6: (8, "int64"), 7: (1, "bool"), 8: (2, "int16")},
    **{9: (2, "uint16"), 10: (4, "uint32"), 11: (8, "uint64"), 12: (2, "bfloat16")},
}
"""Bytes of a value, and name, of the types that no network here computes with."""
_MOST_ARRAYS = 20_000
"""The zoo's largest network has 1200. A small array takes more memory in Python than in the file."""
_MOST_DIMENSIONS = 8
_MOST_NAME = 1024
_NO_NAMES = "its arrays have no names"


class Params:
    """The arrays of a file by name ('arg:conv0_weight'), read-only and mapped: the kernel reads a page when it is used.

    The file must not change while they are read. It may be removed or replaced.
    """

    def __init__(self, path: Path) -> None:
        """Map the file. Raises ValueError if it is not whole, or holds anything but arrays with names."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.arrays: dict[str, NDArray[Any]] = {}
        """The arrays that a network can use: dense, of float32, float64 or float16."""
        self.unusable: dict[str, str] = {}
        """The fault of each other array, by name: 'is sparse (row_sparse): ...'."""
        try:
            for name, found in _arrays(self._map):
                if isinstance(found, str):
                    self.unusable[name] = found
                else:
                    self.arrays[name] = found
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: {error}") from error

    def drop(self) -> None:
        """Drop the pages read so far from memory. Safe at any time: a later read takes them from the file again."""
        self._map.madvise(mmap.MADV_DONTNEED)


def open_params(path: Path) -> Params:
    """Return the Params of a file. Raises ModelError if it cannot be read."""
    try:
        if what := foreign(path):
            raise ModelError(f"{path}: {what}")
        return Params(path)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; copy it again") from error
    except ValueError as error:
        said = str(error).removeprefix(f"{path}: ")
        if said == _NO_NAMES:
            raise ModelError(f"{path}: {said}; save it with mx.model.save_checkpoint") from error
        raise ModelError(f"{path}: truncated, or not MXNet parameters: {said}; copy it again") from error


def check_finite(params: Params, path: Path) -> None:
    """Raise ModelError, naming the array, if a parameter is nan or infinite. Reads all of them and keeps none."""
    for name, array in params.arrays.items():
        check_array(name, array, path)
        params.drop()


def check_array(name: str, array: NDArray[Any], path: Path) -> None:
    """Raise ModelError, naming the array, if it holds nan or infinity."""
    # min and max are nan if one value is; they need no array of the same size
    if not (np.isfinite(np.min(array)) and np.isfinite(np.max(array))):
        raise ModelError(f"{path}: {name} holds nan or infinity; it is damaged, copy it again")


def _arrays(data: mmap.mmap) -> Iterator[tuple[str, NDArray[Any] | str]]:
    """Yield each name with its array, or with the reason why that array cannot be used."""
    offset = 0

    def read(layout: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from(f"<{layout}", data, offset)
        offset += struct.calcsize(f"<{layout}")
        return values

    def shape(number: int, dimensions: int, layout: str = "q") -> tuple[int, ...]:
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"array {number} would have {dimensions} dimensions")
        found = read(f"{dimensions}{layout}")
        if found and min(found) < 0:
            raise ValueError(f"array {number} would have the shape {found}")
        return found

    def skip(sizes: tuple[int, ...], width: int) -> None:
        nonlocal offset
        offset += prod(sizes) * width
        if offset > len(data):
            raise ValueError("the file ends in the middle of an array")

    def array(number: int) -> NDArray[Any] | str:
        nonlocal offset
        (magic,) = read("I")
        with_storage, has_magic = magic in (_V2, _V3), magic in (_V1, _V2, _V3)
        (storage,) = read("i") if with_storage else (0,)
        if storage not in _STORAGES:
            raise ValueError(f"array {number} has the storage type {storage}")
        indices, sparse = _STORAGES[storage]
        if indices:
            # the shape of the stored values; MXNet may write it before it is known, so it cannot be relied upon
            shape(number, *read("I"))
        # the oldest files have no magic: in its place is the number of dimensions, and sizes have 32 bits
        sizes = shape(number, *read("I")) if has_magic else shape(number, magic, "I")
        # in the newest files a single number has the shape (1,) or (); in older files () means an empty array
        if not sizes and magic != _V3:
            return "is empty"
        *_, kind = read("iii")
        if kind not in _TYPES and kind not in _OTHER_TYPES:
            raise ValueError(f"an array of the shape {sizes}, type {kind}")
        width, name = _OTHER_TYPES.get(kind, (0, ""))
        if sparse:
            described = [(read("i")[0], shape(number, *read("I"))) for _ in range(indices)]
            # the last array of indices has one entry for each stored row (row_sparse) or number (csr)
            rows = described[-1][1]
            skip((*rows, *(sizes[1:] if indices == 1 else ())), width or np.dtype(_TYPES[kind]).itemsize)
            for kind_of, size in described:
                skip(size, _OTHER_TYPES.get(kind_of, (8, ""))[0])
            return f"is sparse ({sparse}), which is not supported: save it dense (array.tostype('default'))"
        if kind not in _TYPES:
            skip(sizes, width)
            return f"holds {name} numbers, which edge does not support: save it as float32"
        if 0 in sizes:
            return "is empty"
        # numpy checks the size against the file before it allocates anything
        found = np.frombuffer(data, _TYPES[kind], prod(sizes), offset).reshape(sizes)
        offset += found.nbytes
        return found

    magic, _, count = read("QQQ")
    if magic != _LIST:
        raise ValueError("not a list of arrays")
    if count > _MOST_ARRAYS:
        raise ValueError(f"{count} arrays, more than {_MOST_ARRAYS}")
    arrays = [array(number) for number in range(count)]
    (names,) = read("Q")
    if names != count:
        raise ValueError(_NO_NAMES if names == 0 else f"{count} arrays, and {names} names")
    for found in arrays:
        (length,) = read("Q")
        if length > _MOST_NAME:
            raise ValueError(f"a name of {length} bytes")
        (written,) = read(f"{length}s")
        name = written.decode("utf-8")
        if not name.isprintable():
            raise ValueError(f"a name is {name[:80]!r}")
        yield name, found


def write_params(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write arrays by name ('arg:conv0_weight') as MXNet 1.9 does, one at a time. Raises OSError."""
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", _LIST, 0, len(arrays)))
        for array in arrays.values():
            shape = struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape)
            file.write(struct.pack("<Ii", _V2, _DENSE) + shape + struct.pack("<iii", _CPU, 0, _FLOAT32))
            file.write(np.ascontiguousarray(array, "<f4").tobytes())
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            encoded = name.encode("utf-8")
            file.write(struct.pack("<Q", len(encoded)) + encoded)
