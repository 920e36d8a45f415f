"""Is a frame worth a look? A still scene costs no forward. Pure: the time comes with the frame."""

import math

import numpy as np
from numpy.typing import NDArray

from edge.vision.thumbnail import Thumbnail

CHANGED, CHANGED_CELLS = 10.0, 3
"""Something has moved when so many cells differ by more than this (of 255): ten times what a sensor's noise makes, with
a standard deviation of 6 in each pixel."""
BRIGHTER = 3.0
"""Or when the cells differ by more than this on average: the light has changed."""
SETTLE_S, SETTLE_FRAMES = 1.0, 3
"""After a change every frame is looked at for so long, and at least so many."""


class MotionDetector:
    """Compares each frame with the last one that was looked at."""

    def __init__(self, longest_s: float) -> None:
        """A still scene is looked at again after `longest_s` seconds; 0: every frame is worth a look."""
        self.longest_s = longest_s
        self._reference: NDArray[np.float32] | None = None
        self._looked_s = self._changed_s = -math.inf
        self._looks = 0
        """Since the last change."""

    def worth_a_look(self, seen: Thumbnail, seen_s: float) -> bool:
        """Whether the frame of time `seen_s` is to be classified; if not, it shows what was classified last."""
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
        """Look at the next frame, whatever it shows."""
        self._reference = None

    def _has_changed(self, grey: NDArray[np.float32]) -> bool:
        if self._reference is None or self._reference.shape != grey.shape:
            return True
        difference = np.abs(grey - self._reference)
        return int((difference > CHANGED).sum()) >= min(CHANGED_CELLS, grey.size) or float(difference.mean()) > BRIGHTER
