"""Read the arrays of a .safetensors file without copying them. Nothing in such a file can be executed.

The format (https://huggingface.co/docs/safetensors): the length of the header, 64 bits, little-endian; the header, a
JSON object with the type, shape and place of each array, and texts in `__metadata__`; the arrays in sequence, with
nothing between them and nothing after the last.
"""

import json
import mmap
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

_MOST_HEADER = 2**19
"""Bytes. ResNet-152's has 90 kB; in the worst case Python takes a hundred times as much memory for it."""
_MOST_ARRAYS = 20_000
_MOST_DIMENSIONS = 8
_MOST_NAME = 1024
_FLOATS: dict[str, type[np.generic]] = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_OTHERS = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "BF16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
"""Other types, such as training's counters have, with the bytes of a value: no array that edge uses has them."""
_SIZES = {**_OTHERS, **{name: np.dtype(kind).itemsize for name, kind in _FLOATS.items()}}


class Safetensors:
    """The float arrays in a file by name, read-only and mapped: the kernel reads a page when it is used."""

    def __init__(self, path: Path) -> None:
        """Map the file. Raises ModelError if it is not whole, or is no safetensors."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.arrays, self.others = _arrays(self._map)
            """The float arrays, and the names of the arrays of other types."""
        except (OSError, ValueError, struct.error, RecursionError) as error:
            said = " ".join(str(error).split())[:160]
            raise ModelError(f"{path}: truncated, or not safetensors: {said}; fetch it again") from error

    def drop(self) -> None:
        """Drop the pages read so far from memory."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _arrays(data: mmap.mmap) -> tuple[dict[str, NDArray[Any]], frozenset[str]]:
    (length,) = struct.unpack_from("<Q", data)
    start = 8 + length
    if length > _MOST_HEADER or start > len(data):
        raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
    header = json.loads(data[8:start].decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    header = _table("its header", header)
    header.pop("__metadata__", None)
    if len(header) > _MOST_ARRAYS:
        raise ValueError(f"{len(header)} arrays, more than {_MOST_ARRAYS}")
    arrays: dict[str, NDArray[Any]] = {}
    others = set()
    places = []
    for name, about in header.items():
        if len(name) > _MOST_NAME or not name.isprintable():
            raise ValueError(f"a name is {name[:80]!r}")
        kind, shape, (begin, end) = _about(name, about)
        if start + end > len(data):
            raise ValueError(f"{name} ends at {start + end}, and the file at {len(data)}")
        places.append((begin, end))
        if kind in _FLOATS:
            arrays[name] = np.frombuffer(data, _FLOATS[kind], prod(shape), start + begin).reshape(shape)
        else:
            others.add(name)
    # as the format demands: nothing is hidden between two arrays, and no two share their numbers
    reached = 0
    for begin, end in sorted(places):
        if begin != reached:
            raise ValueError(f"byte {min(begin, reached)} belongs to no array, or to two arrays")
        reached = end
    if start + reached != len(data):
        raise ValueError(f"the arrays end at {start + reached}, and the file at {len(data)}")
    return arrays, frozenset(others)


def _about(name: str, about: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Return (type, shape, (begin, end)) of an array, checked against each other."""
    about = _table(name, about)
    if set(about) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} has not just dtype, shape and data_offsets")
    kind, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(kind, str) or kind not in _SIZES:
        raise ValueError(f"{name} is of the type {str(kind)[:20]!r}")
    if not _is_sizes(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{name} has the shape {str(shape)[:80]}")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != prod(shape) * _SIZES[kind]:
        raise ValueError(f"{name} lies at {str(offsets)[:80]}, which is not the size of {shape}")
    return kind, tuple(shape), (offsets[0], offsets[1])


def _table(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{name} is not an object")


def _is_sizes(value: Any) -> bool:
    # True is an int in Python
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**48 for one in value)


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
