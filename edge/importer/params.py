"""The arrays of a .params file, of all releases of MXNet, without copying them; and the file of new ones.

The format (what mx.nd.save writes, little-endian): a header of magic, reserved and the number of arrays, 64 bits each;
the arrays; the number of names, and the names, each a length of 64 bits and UTF-8. An array is a magic and a storage
type (32 bits each, since MXNet 1.0; before, shape came first), the shape (a number of dimensions, 32 bits, and as many
sizes), two numbers of a device, the type of its values, and the values.
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

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE = 0
_CPU, _FLOAT32 = 1, 0
_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float64, 2: np.float16}
_MOST_ARRAYS = 20_000
"""The largest network of the zoo has 1200. An array of Python's takes more memory than a small one has in the file."""
_MOST_DIMENSIONS = 8
_MOST_NAME = 1024


class Params:
    """The arrays of a file by name ('arg:conv0_weight'), read-only, mapped: the kernel reads a page when it is used.

    The file must not be changed while they are read. It may be removed or replaced.
    """

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file is not whole, or holds anything but dense arrays of floats with names."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self.arrays = dict(_arrays(self._map))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: {error}") from error

    def drop(self) -> None:
        """Take the pages that were read so far out of memory. Safe at any time: who reads again, reads the file."""
        self._map.madvise(mmap.MADV_DONTNEED)


def open_params(path: Path) -> Params:
    """The same, but with a ModelError for a file that cannot be read."""
    try:
        return Params(path)
    except (OSError, ValueError) as error:
        said = str(error).removeprefix(f"{path}: ")
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


def _arrays(data: mmap.mmap) -> Iterator[tuple[str, NDArray[Any]]]:
    offset = 0

    def read(layout: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from(f"<{layout}", data, offset)
        offset += struct.calcsize(f"<{layout}")
        return values

    magic, _, count = read("QQQ")
    if magic != _LIST:
        raise ValueError("not a list of arrays")
    if count > _MOST_ARRAYS:
        raise ValueError(f"{count} arrays, more than {_MOST_ARRAYS}")
    arrays = []
    for number in range(count):
        (magic,) = read("I")
        if magic in (_V2, _V3) and read("i") != (_DENSE,):
            raise ValueError("an array is sparse")
        # the oldest files have no magic: it is the number of dimensions, and sizes have 32 bits
        (dimensions,) = read("I") if magic in (_V1, _V2, _V3) else (magic,)
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"array {number} would have {dimensions} dimensions")
        shape = read(f"{dimensions}{'q' if magic in (_V1, _V2, _V3) else 'I'}")
        *_, kind = read("iii")
        if kind not in _TYPES or not shape or min(shape) < 1:
            raise ValueError(f"an array of the shape {shape}, type {kind}")
        # numpy compares with what there is before it takes anything
        arrays.append(np.frombuffer(data, _TYPES[kind], prod(shape), offset).reshape(shape))
        offset += arrays[-1].nbytes
    (names,) = read("Q")
    if names != count:
        raise ValueError("arrays without names")
    for array in arrays:
        (length,) = read("Q")
        if length > _MOST_NAME:
            raise ValueError(f"a name of {length} bytes")
        (written,) = read(f"{length}s")
        name = written.decode("utf-8")
        if not name.isprintable():
            raise ValueError(f"a name is {name[:80]!r}")
        yield name, array


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
