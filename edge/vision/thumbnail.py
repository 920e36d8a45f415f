"""A small grey copy of a frame. visibility.py and motion.py judge the frame by it in a fraction of a millisecond."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels

CELLS = 32
"""The picture is judged by the means of about CELLS x CELLS cells, in which a sensor's noise nearly vanishes."""
SAMPLES = 4
"""Each cell is the mean of about this many pixels across and down."""
BOX = 4
"""Sharpness is judged by the means of BOX x BOX pixels, which reduces a sensor's noise."""
FAR = 8
"""Distance in boxes; if nothing is sharp, boxes this far apart differ eight times as much as neighbours."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """Small copy of a frame, with its sharpness and contrast."""

    grey: NDArray[np.float32]
    """Mean brightness of the cells, 0..255; about CELLS x CELLS, fewer for a tiny picture."""
    samples: bytes
    """Some of the original pixels: they are never equal in two frames of a sensor."""
    sharpness: float
    """Difference of neighbouring boxes at the steepest edges, over that of boxes FAR apart; about 1/8 if blurred."""
    contrast: float
    """Largest difference of boxes FAR apart, 0..255."""


def make_thumbnail(pixels: Pixels) -> Thumbnail:
    """Return the thumbnail of uint8 H x W x 3 pixels."""
    height, width = pixels.shape[:2]
    rows, columns = max(1, height // (SAMPLES * CELLS)), max(1, width // (SAMPLES * CELLS))
    few = pixels[::rows, ::columns]
    # red, green and blue weigh the same: thumbnails are compared only with each other
    high, wide = max(1, few.shape[0] // CELLS), max(1, few.shape[1] // CELLS)
    down, across = few.shape[0] // high, few.shape[1] // wide
    # colours first, then rows, then columns: so each step has fewer numbers to add
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
    """Return the largest differences, 0..255, of neighbouring boxes and of boxes FAR apart, along some rows."""
    height, width = pixels.shape[0] // BOX, pixels.shape[1] // BOX
    if not height or width <= FAR:
        # too small to tell: it counts as sharp and full of contrast
        return 255.0, 255.0
    tops = _tops(height)
    lines = np.zeros((16, BOX * width), np.int16)  # at most 4 * 4 * 255
    for row in range(BOX):
        lines += pixels[tops + row, : BOX * width, 1]
    boxes = np.zeros((16, width), np.int16)
    for column in range(BOX):
        boxes += lines[:, column::BOX]
    return _steepest(boxes[:, 1:] - boxes[:, :-1]) / BOX**2, _steepest(boxes[:, FAR:] - boxes[:, :-FAR]) / BOX**2


@functools.lru_cache(maxsize=4)
def _tops(height: int) -> NDArray[np.int_]:
    """Return the first rows of 16 boxes, spread over a picture of that height in boxes."""
    return BOX * np.linspace(0, height - 1, 16).astype(int)


def _steepest(differences: NDArray[np.int16]) -> float:
    """Return the mean of the largest hundredth: a wall has few edges, but these can be sharp."""
    sizes = np.abs(differences).ravel()
    count = max(1, sizes.size // 100)
    return float(np.partition(sizes, -count)[-count:].mean())
