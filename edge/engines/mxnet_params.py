"""The parameters of a checkpoint, mapped from their file instead of read into memory.

Where MXNet computes with oneDNN, each layer makes its own copy of its weights, in an order that the CPU likes, and
never looks at the original again. The originals of a mapping cost nothing then: the kernel reads a page when it is
copied from, and `drop` takes it out of memory again.

The format (what mx.nd.save writes, little-endian): a header of magic, reserved and the number of arrays, 64 bits each;
the arrays; the number of names, and the names, each a length of 64 bits and UTF-8. An array is a magic and a storage
type (32 bits each, since MXNet 1.0; before, shape came first), the shape (a number of dimensions, 32 bits, and as many
sizes), two numbers of a device, the type of its values, and the values.
"""

import contextlib
import mmap
import struct
import threading
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE = _FLOAT32 = 0
_DROP_EVERY_S = 0.003
"""While the layers copy: at some GB/s no more than a dozen MiB of originals are in memory at a time."""


class MappedParams:
    """The arrays of a .params file as float32, read-only, by name ('arg:conv0_weight').

    The file must not be changed while they are read. It may be removed or replaced.
    """

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file is not whole, or holds anything but dense float32 arrays with names."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self.arrays = dict(_arrays(self._map))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The same, but None for a file that MXNet has to read itself (or to refuse, in its own words)."""
        try:
            return cls(path)
        except (OSError, ValueError):
            return None

    def drop(self) -> None:
        """Take the pages that were read so far out of memory. Safe at any time: who reads again, reads the file."""
        self._map.madvise(mmap.MADV_DONTNEED)

    @contextlib.contextmanager
    def dropping(self) -> Iterator[None]:
        """Drop again and again while something goes through the arrays, so that they never add up."""
        done = threading.Event()

        def drop() -> None:
            while not done.wait(_DROP_EVERY_S):
                self.drop()

        thread = threading.Thread(target=drop, name="drop-params", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise MemoryError(f"{error}") from error
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.drop()


def _arrays(data: mmap.mmap) -> Iterator[tuple[str, NDArray[np.float32]]]:
    offset = 0

    def read(layout: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from(f"<{layout}", data, offset)
        offset += struct.calcsize(f"<{layout}")
        return values

    magic, _, count = read("QQQ")
    if magic != _LIST:
        raise ValueError("not a list of arrays")
    arrays = []
    for _ in range(count):
        (magic,) = read("I")
        if magic in (_V2, _V3) and read("i") != (_DENSE,):
            raise ValueError("an array is sparse")
        # the oldest files have no magic: it is the number of dimensions, and sizes have 32 bits
        (dimensions,) = read("I") if magic in (_V1, _V2, _V3) else (magic,)
        shape = read(f"{dimensions}{'q' if magic in (_V1, _V2, _V3) else 'I'}")
        *_, kind = read("iii")
        if kind != _FLOAT32 or not shape or min(shape) < 1:
            raise ValueError(f"an array of the shape {shape}, type {kind}")
        arrays.append(np.frombuffer(data, np.float32, prod(shape), offset).reshape(shape))
        offset += arrays[-1].nbytes
    (names,) = read("Q")
    if names != count:
        raise ValueError("arrays without names")
    for array in arrays:
        (length,) = read("Q")
        (name,) = read(f"{length}s")
        yield name.decode("utf-8"), array
