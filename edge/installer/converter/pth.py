"""Read the arrays of a .pth file of PyTorch before 1.6, without PyTorch and without copying them.

The format (torch/serialization.py of PyTorch 1.5, _legacy_save): five pickles in sequence, which are a magic number, a
protocol, how the machine stores numbers, the object, and the keys of its storages; then each storage in that order, a
count of 64 bits and the numbers. The object is an OrderedDict of tensors by name. A tensor is a call of
torch._utils._rebuild_tensor_v2 with a storage, a place in it, a shape and strides.

The pickles are read by pickles.py, which runs nothing.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.installer.converter.pickles import MOST_NAME, PickleReader, Storage, Tensor, said

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_pth(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name (float32 and int64), read-only and mapped: it must not change meanwhile.

    Nothing in the file is executed. Raises ModelError, in one line, if the file is damaged or has anything else.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _arrays(data)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; install its package again") from error
    except (ValueError, struct.error, OverflowError) as error:
        what = " ".join(str(error).split())[:160]
        raise ModelError(f"{path}: damaged, or not weights in PyTorch's old format: {what}") from error


def _arrays(data: mmap.mmap) -> dict[str, NDArray[Any]]:
    reader = PickleReader(data)
    if reader.load() != _MAGIC or reader.load() != _PROTOCOL:
        raise ValueError("it does not begin like one")
    machine = reader.load()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    named, keys = reader.load(), reader.load()
    if not isinstance(named, dict) or not isinstance(keys, list):
        raise ValueError("it has no dictionary of tensors")  # noqa: TRY004 - it is the file that is wrong
    places = _places(data, reader.offset, keys, reader.storages)
    arrays: dict[str, NDArray[Any]] = {}
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or len(name) > MOST_NAME or not name.isprintable():
            raise ValueError(f"{name[:80]!r} is not a tensor")
        kind = np.dtype(tensor.storage.kind).newbyteorder("<")
        start = places[tensor.storage.key] + tensor.offset * kind.itemsize
        strides = tuple(kind.itemsize * stride for stride in tensor.strides)
        arrays[name] = np.ndarray(tensor.shape, kind, data, start, strides)
    return arrays


def _places(data: mmap.mmap, offset: int, keys: list[Any], storages: dict[str, Storage]) -> dict[str, int]:
    """Return where the numbers of each storage begin; together they must be the rest of the file."""
    places: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in places:
            raise ValueError(f"the storage {said(key)} appears twice, or belongs to no tensor")
        storage = storages[key]
        (count,) = struct.unpack_from("<q", data, offset)
        if count != storage.count:
            raise ValueError(f"the storage {key[:40]!r} has {count} numbers and should have {storage.count}")
        places[key] = offset + 8
        offset += 8 + count * np.dtype(storage.kind).itemsize
        if offset > len(data):
            raise ValueError(f"the storage {key[:40]!r} would end at {offset}, and the file ends at {len(data)}")
    if len(places) != len(storages) or offset != len(data):
        raise ValueError(f"its storages end at {offset}, and the file at {len(data)}")
    return places
