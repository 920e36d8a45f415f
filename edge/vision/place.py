"""What has come into an empty place: how much of the picture, and in how many parts. For a camera that keeps still."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CHANGED = 12.0
"""A cell of the thumbnail has changed if its brightness, 0..255, differs by more than this."""
NOISE = 4.0
"""It must also differ by more than this many standard deviations of the cell in the empty place."""
PART, SECOND = 0.04, 0.4
"""Two things: the second takes more than the first share of the picture, and than the other of the larger thing."""


class EmptyPlace:
    """A place as its thumbnails show it. Pure."""

    def __init__(self, greys: Sequence[NDArray[np.float32]]) -> None:
        """Take at least one thumbnail's cells (all H x W, 0..255)."""
        cells = np.stack(greys)
        self._mean = cells.mean(axis=0)
        self._least = np.maximum(CHANGED, NOISE * cells.std(axis=0))

    def change(self, grey: NDArray[np.float32]) -> tuple[float, int]:
        """Return the share of the picture that has changed, and in how many things; (1, 1) for another size."""
        if grey.shape != self._mean.shape:
            return 1.0, 1
        difference = grey - self._mean
        # a thing in view changes the exposure of the whole picture
        changed = np.abs(difference - np.median(difference)) > self._least
        labels = _labelled(_spread(changed))
        sizes = sorted(np.bincount(labels[changed]), reverse=True)
        second = sizes[1] if len(sizes) > 1 else 0
        two = second > PART * changed.size and second > SECOND * sizes[0]
        return float(changed.mean()), 2 if two else 1


def _spread(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells and all their neighbours: parts that nearly touch are one thing."""
    padded = np.pad(cells, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


def _labelled(cells: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a number for each of the cells, the same for those that touch, and 0 for the others."""
    labels = np.where(cells, np.arange(1, cells.size + 1).reshape(cells.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        largest = np.where(cells, np.maximum.reduce([labels, *sides]), 0)
        if np.array_equal(largest, labels):
            return labels
        labels = largest
