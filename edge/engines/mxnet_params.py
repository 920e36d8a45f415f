"""The parameters of a checkpoint, mapped from their file instead of read into memory.

Where MXNet computes with oneDNN, each layer makes its own copy of its weights, in an order that the CPU likes, and
never looks at the original again. The originals of a mapping cost nothing then: the kernel reads a page when it is
copied from, and `drop` takes it out of memory again.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import numpy as np

from edge.engines.memory import repeatedly
from edge.importer.params import Params

_DROP_EVERY_S = 0.003
"""While the layers copy: at some GB/s no more than a dozen MiB of originals are in memory at a time."""


class MappedParams(Params):
    """The arrays of a .params file as float32, which is what MXNet computes with."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file is not whole, or holds anything but dense float32 arrays with names."""
        super().__init__(path)
        for name, array in self.arrays.items():
            if array.dtype != np.float32:
                raise ValueError(f"{path}: {name} is {array.dtype}")

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The same, but None for a file that MXNet has to read itself (or to refuse, in its own words)."""
        try:
            return cls(path)
        except (OSError, ValueError):
            return None

    def dropping(self) -> AbstractContextManager[None]:
        """Drop again and again while something goes through the arrays, so that they never add up."""
        return repeatedly(self.drop, _DROP_EVERY_S)
