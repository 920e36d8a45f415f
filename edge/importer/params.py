"""The arrays of a .params file, of all releases of MXNet, without copying them; and the file of new ones.

The format (what mx.nd.save writes, little-endian): a header of magic, reserved and the number of arrays, 64 bits each;
the arrays; the number of names, and the names, each a length of 64 bits and UTF-8. An array is a magic and a storage
type (32 bits each, since MXNet 1.0; before, shape came first), the shape (a number of dimensions, 32 bits, and as many
sizes), two numbers of a device, the type of its values, and the values. A sparse array has the shape of what is stored
before its own, and behind the type of its values those of one or two arrays of indices with their shapes; these follow
the values. (NDArray::Save in MXNet's src/ndarray/ndarray.cc)

A file may hold more than a network uses, of any type. Only what is used has to be dense numbers that a network can
compute with.
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
"""How many arrays of indices a storage type has, and its name."""
_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float64, 2: np.float16}
_OTHER_TYPES = {
    **{3: (1, "uint8"), 4: (4, "int32"), 5: (1, "int8"), 6: (8, "int64"), 7: (1, "bool"), 8: (2, "int16")},
    **{9: (2, "uint16"), 10: (4, "uint32"), 11: (8, "uint64"), 12: (2, "bfloat16")},
}
"""Bytes of a value and name: what no network here computes with."""
_MOST_ARRAYS = 20_000
"""The largest network of the zoo has 1200. An array of Python's takes more memory than a small one has in the file."""
_MOST_DIMENSIONS = 8
_MOST_NAME = 1024
_NO_NAMES = "its arrays have no names"


class Params:
    """The arrays of a file by name ('arg:conv0_weight'), read-only, mapped: the kernel reads a page when it is used.

    The file must not be changed while they are read. It may be removed or replaced.
    """

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file is not whole, or holds anything but arrays with names."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.arrays: dict[str, NDArray[Any]] = {}
        """Those that a network can use: dense, of float32, float64 or float16."""
        self.unusable: dict[str, str] = {}
        """What the others are, by name: 'is sparse (row_sparse): ...'."""
        try:
            for name, found in _arrays(self._map):
                if isinstance(found, str):
                    self.unusable[name] = found
                else:
                    self.arrays[name] = found
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: {error}") from error

    def drop(self) -> None:
        """Take the pages that were read so far out of memory. Safe at any time: who reads again, reads the file."""
        self._map.madvise(mmap.MADV_DONTNEED)


def open_params(path: Path) -> Params:
    """The same, but with a ModelError for a file that cannot be read."""
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
        raise ModelError(f"{path}: truncated, or not parameters of MXNet: {said}; copy it again") from error


def check_finite(params: Params, path: Path) -> None:
    """Raise ModelError, naming the array, when a parameter is nan or infinite. Reads all of them, keeps none."""
    for name, array in params.arrays.items():
        check_array(name, array, path)
        params.drop()


def check_array(name: str, array: NDArray[Any], path: Path) -> None:
    """The same for one array of the file."""
    # both are nan when one value is; no array of the same size is needed for it
    if not (np.isfinite(np.min(array)) and np.isfinite(np.max(array))):
        raise ModelError(f"{path}: {name} holds nan or infinity; it is damaged, copy it again")


def _arrays(data: mmap.mmap) -> Iterator[tuple[str, NDArray[Any] | str]]:
    """Yield each name with its array, or with what is there instead of one that can be used."""
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
            # the shape of what is stored; MXNet may write it before it is known, so it cannot be relied upon
            shape(number, *read("I"))
        # the oldest files have no magic: it is the number of dimensions, and sizes have 32 bits
        sizes = shape(number, *read("I")) if has_magic else shape(number, magic, "I")
        # where the newest say (1,) to a single number, they may also have no dimension at all; the others mean nothing
        if not sizes and magic != _V3:
            return "is empty"
        *_, kind = read("iii")
        if kind not in _TYPES and kind not in _OTHER_TYPES:
            raise ValueError(f"an array of the shape {sizes}, type {kind}")
        width, name = _OTHER_TYPES.get(kind, (0, ""))
        if sparse:
            described = [(read("i")[0], shape(number, *read("I"))) for _ in range(indices)]
            # as many rows (row_sparse) or numbers (csr) as the last array of indices tells places
            rows = described[-1][1]
            skip((*rows, *(sizes[1:] if indices == 1 else ())), width or np.dtype(_TYPES[kind]).itemsize)
            for kind_of, size in described:
                skip(size, _OTHER_TYPES.get(kind_of, (8, ""))[0])
            return f"is sparse ({sparse}), which is not supported: save it dense (array.tostype('default'))"
        if kind not in _TYPES:
            skip(sizes, width)
            return f"holds {name} numbers, with which no network computes here: save it as float32"
        if 0 in sizes:
            return "is empty"
        # numpy compares with what there is before it takes anything
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
    """Write arrays by name ('arg:conv0_weight') as MXNet 1.9 does, one after the other. Raises OSError."""
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
