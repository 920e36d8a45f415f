"""Is there anything to see? Judged by a few thousand pixels of each frame, in a fraction of a millisecond."""

import math

import numpy as np
from numpy.typing import NDArray

from edge.aloud import COVERED, DARK, LOST
from edge.stages import Frame, Pixels

CELLS = 16
"""The picture is judged by the means of CELLS x CELLS cells, in which a sensor's noise is lost."""
DARKEST = 24.0
"""A picture whose brightest cell is below this (of 255) shows nothing."""
FLATTEST = 2.5
"""A picture whose cells differ by less than this (their standard deviation, of 255) shows nothing: a hand, a cloth, a
wall from too near. A clear sky has more, for it is brighter towards the sun and darker at the lens's edges."""
PERSIST_S = 3.0
"""For so long, or it was only somebody who passed by; and no frame for so long is a lost camera."""
AGAIN_S = 1.0
"""For so long something must be seen again."""


def cells(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean brightness, 0..255, of CELLS x CELLS cells; of a few pixels in each. Shape CELLS x CELLS."""
    height, width = pixels.shape[:2]
    rows, columns = max(1, height // (4 * CELLS)), max(1, width // (4 * CELLS))
    few = pixels[::rows, ::columns].mean(axis=2, dtype=np.float32)
    high, wide = max(1, few.shape[0] // CELLS), max(1, few.shape[1] // CELLS)
    few = few[: high * CELLS, : wide * CELLS]
    down, across = few.shape[0] // high, few.shape[1] // wide
    whole = few[: down * high, : across * wide].reshape(down, high, across, wide)
    means: NDArray[np.float32] = whole.mean(axis=(1, 3), dtype=np.float32)
    return means


def fault(pixels: Pixels) -> str:
    """Why nothing can be seen in this picture, as edge says it; '' when something can."""
    grid = cells(pixels)
    if float(np.max(grid)) < DARKEST:
        return DARK
    return COVERED if float(np.std(grid)) < FLATTEST else ""


class Sight:
    """Whether the camera sees anything, from frame to frame."""

    def __init__(self, *, live: bool) -> None:
        """Only a live camera can be lost: the next image of a folder may take an hour to come."""
        self._live = live
        self.fault = ""
        """Why it cannot see, once that has lasted; as edge says it."""
        self._candidate = ""
        self._since_s = -math.inf
        self._last_frame_s: float | None = None

    def update(self, frame: Frame | None, now_s: float) -> bool:
        """Take a frame, or that none came; return whether there is something in it to look at."""
        if self._last_frame_s is None:
            self._last_frame_s = now_s
        if frame is None:
            if self._live and now_s - self._last_frame_s >= PERSIST_S:
                self.fault = self._candidate = LOST
            return False
        self._last_frame_s = now_s
        now = fault(frame.pixels)
        if now != self._candidate:
            self._candidate, self._since_s = now, now_s
        if now_s - self._since_s >= (PERSIST_S if now else AGAIN_S):
            self.fault = now
        return not now
