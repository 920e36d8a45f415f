"""Decide whether a frame needs inference; a still scene does not. Pure: the time comes with the frame."""

import math

import numpy as np
from numpy.typing import NDArray

from edge.vision.thumbnail import Thumbnail

CHANGED, CHANGED_CELLS = 10.0, 3
"""Something has moved if at least this many cells differ by more than this value (of 255). That is ten times the effect
of a sensor's noise with a standard deviation of 6 in each pixel."""
BRIGHTER = 3.0
"""The light has changed if the cells differ by more than this on average."""
SETTLE_S, SETTLE_FRAMES = 1.0, 3
"""After a change every frame is classified for at least this time and at least this many frames."""


class MotionDetector:
    """Compares each frame with the last one that was classified."""

    def __init__(self, longest_s: float) -> None:
        """Classify a still scene again after `longest_s` seconds; 0: classify every frame."""
        self.longest_s = longest_s
        self._reference: NDArray[np.float32] | None = None
        self._looked_s = self._changed_s = -math.inf
        self._looks = 0
        """Number of classified frames since the last change."""

    def worth_a_look(self, seen: Thumbnail, seen_s: float) -> bool:
        """Return True if the frame at time `seen_s` must be classified; else the last predictions still hold."""
        if self._has_changed(seen.grey):
            self._changed_s, self._looks = seen_s, 0
            self._reference = seen.grey
        settled = seen_s - self._changed_s >= SETTLE_S and self._looks >= SETTLE_FRAMES
        if settled and 0 <= seen_s - self._looked_s < self.longest_s:
            return False
        self._reference = seen.grey
        self._looked_s = seen_s
        self._looks += 1
        return True

    def reset(self) -> None:
        """Have the next frame classified in any case."""
        self._reference = None

    def _has_changed(self, grey: NDArray[np.float32]) -> bool:
        if self._reference is None or self._reference.shape != grey.shape:
            return True
        difference = np.abs(grey - self._reference)
        return int((difference > CHANGED).sum()) >= min(CHANGED_CELLS, grey.size) or float(difference.mean()) > BRIGHTER
