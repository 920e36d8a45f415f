"""How sharp, light and still a picture is, for a person who turns a lens or aims a camera."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import BRIGHTEST, DARKEST

MIDDLE = 0.75
"""Share of height and width that is judged: the edges of a cheap lens are never sharp."""
MOVING = 4.0
"""The picture moves if its cells differ by more than this (of 255) from those of the frame before, on average."""

SMOOTHED = 3
"""Number of frames whose mean sharpness counts."""
OTHER_VIEW = 20.0
"""Mean difference of the cells, 0..255, from which on the camera looks at something else: another best is wanted."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What one frame tells."""

    sharpness: float
    """Energy of the edges over the squared mean brightness, at least 0. It falls with any blur."""
    brightness: float
    """Mean brightness, 0..255."""
    dark: bool
    bright: bool
    grey: NDArray[np.float32]
    """The cells of the frame's thumbnail, 0..255."""

    def moves(self, before: "Reading | None") -> bool:
        """Return True if the picture has moved since the reading before."""
        return before is not None and difference(self.grey, before.grey) > MOVING


def read(pixels: Pixels) -> Reading:
    """Return the reading of uint8 H x W x 3 pixels, in about 3 ms for 640 x 480.

    The energy of the gradient is the measure named Tenengrad (Krotkov, "Focusing", 1987). Here a gradient is not
    squared but multiplied by that of the neighbouring row or column: an edge goes on there, and a sensor's noise does
    not, so it adds nothing on average. Squared, noise would hide every change of a blurred picture.
    """
    thumbnail = make_thumbnail(pixels)
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - MIDDLE) / 2), round(width * (1 - MIDDLE) / 2)
    middle = pixels[top : height - top or None, left : width - left or None, 1].astype(np.float32)
    energy = 0.0
    if min(middle.shape) > 2:
        down, across = middle[1:] - middle[:-1], middle[:, 1:] - middle[:, :-1]
        energy = float(np.mean(down[:, 1:] * down[:, :-1]) + np.mean(across[1:] * across[:-1]))
    mean = float(middle.mean())
    peak = float(thumbnail.grey.max())
    return Reading(
        max(energy, 0.0) / max(mean, 1.0) ** 2,
        float(thumbnail.grey.mean()),
        peak < DARKEST or float(thumbnail.grey.mean()) < DARKEST,
        float(np.mean(thumbnail.grey > BRIGHTEST)) > 0.5,
        thumbnail.grey,
    )


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the mean difference of two thumbnails' cells, 0..255; that of another size counts as all different."""
    return float(np.abs(one - other).mean()) if one.shape == other.shape else 255.0


class FocusMeter:
    """The sharpness over the last frames, and the best so far of this view."""

    def __init__(self) -> None:
        self.sharpness = self.best = 0.0
        self.moves = False
        """True if the newest frame differs from the one before."""
        self._last: deque[float] = deque(maxlen=SMOOTHED)
        self._before: Reading | None = None
        self._best_view: Reading | None = None

    @property
    def settled(self) -> bool:
        """Return True if there are enough frames for a mean."""
        return len(self._last) == SMOOTHED

    def update(self, reading: Reading) -> bool:
        """Take a frame's reading; return True if the camera looks at something else now: the best is forgotten."""
        self.moves, self._before = reading.moves(self._before), reading
        other = self._best_view is not None and difference(reading.grey, self._best_view.grey) > OTHER_VIEW
        if other:
            self.best, self._best_view = 0.0, None
            self._last.clear()
        self._last.append(reading.sharpness)
        self.sharpness = sum(self._last) / len(self._last)
        if self.settled and not self.moves and self.sharpness > self.best:
            self.best, self._best_view = self.sharpness, reading
        return other
