"""A small grey copy of a frame, by which visibility.py and motion.py judge it in a fraction of a millisecond."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels

CELLS = 32
"""The picture is judged by the means of some CELLS x CELLS cells, in which a sensor's noise is nearly lost."""
SAMPLES = 4
"""Of so many pixels across and down in each cell."""
BOX = 4
"""Sharpness is judged by the means of BOX x BOX pixels, in which a sensor's noise counts less."""
FAR = 8
"""Boxes, between which the difference is eightfold that of neighbours where nothing is sharp."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """What a frame looks like from afar."""

    grey: NDArray[np.float32]
    """Mean brightness of the cells, 0..255; about CELLS x CELLS, fewer for a tiny picture."""
    samples: bytes
    """Some of the pixels themselves: two frames of a sensor never have the same."""
    sharpness: float
    """How much neighbouring boxes differ at the steepest edges, over boxes FAR apart: about 1/8 where all is soft."""
    contrast: float
    """How much boxes FAR apart differ at the most, 0..255."""


def make_thumbnail(pixels: Pixels) -> Thumbnail:
    """Look at uint8 H x W x 3 pixels."""
    height, width = pixels.shape[:2]
    rows, columns = max(1, height // (SAMPLES * CELLS)), max(1, width // (SAMPLES * CELLS))
    few = pixels[::rows, ::columns]
    # red, green and blue weigh the same: it is compared with itself only
    high, wide = max(1, few.shape[0] // CELLS), max(1, few.shape[1] // CELLS)
    down, across = few.shape[0] // high, few.shape[1] // wide
    # colours first, then rows, then columns: so each step has less left to add
    colours = np.add(few[: down * high, :, 0], few[: down * high, :, 1], dtype=np.uint16)
    colours += few[: down * high, :, 2]
    lines = np.zeros((down, few.shape[1]), np.uint16)
    for row in range(high):
        lines += colours[row::high]
    grey = np.zeros((down, across), np.uint16)
    for column in range(wide):
        grey += lines[:, column : across * wide : wide]
    near, far = _differences(pixels)
    mean = (grey / (3 * high * wide)).astype(np.float32)
    return Thumbnail(mean, few[::SAMPLES, ::SAMPLES].tobytes(), near / far if far else 1.0, far)


def _differences(pixels: Pixels) -> tuple[float, float]:
    """How much the most different ones of neighbouring and of FAR boxes along some rows differ, 0..255."""
    height, width = pixels.shape[0] // BOX, pixels.shape[1] // BOX
    if not height or width <= FAR:
        return 0.0, 0.0
    tops = BOX * np.linspace(0, height - 1, 16).astype(int)
    lines = np.zeros((16, BOX * width), np.int32)
    for row in range(BOX):
        lines += pixels[tops + row, : BOX * width, 1]
    boxes = np.zeros((16, width), np.int32)
    for column in range(BOX):
        boxes += lines[:, column::BOX]
    return _steepest(boxes[:, 1:] - boxes[:, :-1]) / BOX**2, _steepest(boxes[:, FAR:] - boxes[:, :-FAR]) / BOX**2


def _steepest(differences: NDArray[np.int32]) -> float:
    """The mean of the largest hundredth: a wall has few edges, but a sharp one is sharp."""
    sizes = np.abs(differences).ravel()
    count = max(1, sizes.size // 100)
    return float(np.partition(sizes, -count)[-count:].mean())
