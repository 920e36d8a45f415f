"""Convert a file of weights into NAME-symbol.json and NAME-0000.params, array by array: it is never whole in memory."""

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer.params import check_array, open_params, write_params
from edge.installer.converter.networks import NETWORKS
from edge.installer.converter.safetensors import Safetensors
from edge.installer.converter.structure import IMGCLSMOB, TIMM, Array

KINDS = (IMGCLSMOB, TIMM)
"""The formats that can be converted: imgclsmob's .params of Gluon, and timm's .safetensors of PyTorch."""
_UNUSED = ("AuxLogits.",)
"""Prefixes of layers that are only for training."""


class _Weights(Protocol):
    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...

    def drop(self) -> None: ...


def convert(kind: str, network: str, weights: Path, prefix: Path) -> None:
    """Write prefix-symbol.json and prefix-0000.params: a structure of NETWORKS with the numbers in `weights`.

    `kind` is one of KINDS. Raises ModelError if the file is damaged or of another network, OSError for the disk.
    """
    structure = NETWORKS[network]()
    source: _Weights = open_params(weights) if kind == IMGCLSMOB else Safetensors(weights)
    found = {array.name: _find(array, kind, source, weights, network) for array in structure.arrays}
    used = {array.sources[kind] for array in structure.arrays}
    for name in source.arrays:
        if name not in used and not name.startswith(_UNUSED):
            raise ModelError(f"{weights}: {name[:80]!r} is not a layer of {network}; this is the file of another model")
    prefix.with_name(f"{prefix.name}-symbol.json").write_text(structure.symbol(), encoding="utf-8")
    arrays = _Arrays(found, structure.arrays, source, weights)
    write_params(prefix.with_name(f"{prefix.name}-0000.params"), arrays)


def _find(array: Array, kind: str, source: _Weights, weights: Path, network: str) -> NDArray[Any]:
    name = array.sources[kind]
    found = source.arrays.get(name)
    if found is None:
        raise ModelError(f"{weights}: {name} is missing; this is not a file of {network}")
    # in the source a matrix may be a convolution over all remaining pixels: the same numbers in the same order
    flat = (found.shape[0], prod(found.shape[1:])) if len(array.shape) == 2 and found.ndim == 4 else found.shape
    if flat != array.shape:
        raise ModelError(f"{weights}: {name} has the shape {found.shape}, and {network} needs {array.shape}")
    return found


class _Arrays(Mapping[str, NDArray[np.float32]]):
    """The arrays found for a network: each is checked when it is read, and dropped from memory at the next one."""

    def __init__(self, found: Mapping[str, NDArray[Any]], arrays: list[Array], source: _Weights, weights: Path) -> None:
        self._found, self._shapes = found, {array.name: array.shape for array in arrays}
        self._source, self._weights = source, weights

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        self._source.drop()
        check_array(name, self._found[name], self._weights)
        return self._found[name].astype(np.float32, copy=False).reshape(self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
