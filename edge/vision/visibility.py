"""Judge by each frame's thumbnail whether anything can be seen. Pure: the time comes as an argument.

This module finds the condition; announce/notices.py has the sentences about it.
"""

import math

import numpy as np

from edge.stages import Condition
from edge.vision.thumbnail import Thumbnail

DARKEST = 24.0
"""A picture is too dark if its brightest cell is below this (of 255)."""
BRIGHTEST = 248.0
"""A picture is too bright if BRIGHT_SHARE of its cells are above this."""
BRIGHT_SHARE = 0.95
FLATTEST = 2.5
"""The camera is covered if the standard deviation of the cells (of 255) is below this: a hand, a cloth, a wall too
near. A clear sky has more, because it is brighter towards the sun and darker at the lens's edges."""
LEAST_CONTRAST = 30.0
"""A picture with less contrast shows nothing: a bare wall. Walls have at most 14. The least of 250 photos has 46,
noisy, moving and badly exposed as a camera would see them."""
BLUR = 0.2
"""A picture with enough contrast is blurred if its sharpness is below this. The least sharp of these photos has 0.24;
blurred by a standard deviation of 10 pixels, photos have 0.15 to 0.22."""
PERSIST_S = 3.0
"""How long a fault must last: else a person may just have passed by. A camera without a frame for this long is lost."""
BLUR_S, FROZEN_S = 10.0, 15.0
"""How long blur and a frozen picture must last. Autofocus may take a while. Some streams repeat a still picture exactly
until they send the next whole one."""
AGAIN_S = 1.0
"""How long something must be visible again before a fault ends."""


def fault(seen: Thumbnail) -> Condition | None:
    """Return why nothing can be seen in this picture; None if something can."""
    brightest = float(np.max(seen.grey))
    if brightest < DARKEST:
        return Condition.DARK
    if brightest > BRIGHTEST and float(np.mean(seen.grey > BRIGHTEST)) >= BRIGHT_SHARE:
        return Condition.BRIGHT
    return Condition.COVERED if float(np.std(seen.grey)) < FLATTEST else None


def shows_something(seen: Thumbnail) -> bool:
    """Return False if a classifier could only guess: without contrast or sharpness there is nothing to recognise."""
    return fault(seen) is None and seen.contrast >= LEAST_CONTRAST and not is_blurred(seen)


class Visibility:
    """Tracks from frame to frame whether the camera sees anything."""

    def __init__(self, *, live: bool, fault: Condition | None = None) -> None:
        """Start without frames. `fault` is why nothing could be seen before.

        Only a `live` camera can be lost or freeze: the next image of a folder may take an hour to come.
        """
        self._live = live
        self.fault = fault
        """Why nothing can be seen, once that has lasted."""
        self.note: Condition | None = None
        """What makes seeing hard, once that has lasted."""
        self._candidate: Condition | None = None
        self._since_s = -math.inf
        self._last_frame_s: float | None = None
        self._samples = b""
        self._moved_s = self._sharp_s = -math.inf

    def update(self, seen: Thumbnail | None, now_s: float) -> bool:
        """Process a frame's thumbnail, or None if no frame came; return True if the frame shows anything."""
        if self._last_frame_s is None:
            self._last_frame_s = self._sharp_s = now_s
        if seen is None:
            if self._live and now_s - self._last_frame_s >= PERSIST_S:
                self.fault = self._candidate = Condition.LOST
                # do not compare later frames with those before the loss
                self._samples, self._sharp_s = b"", now_s
            return False
        self._last_frame_s = now_s
        now = fault(seen) or self._frozen(seen, now_s)
        if now != self._candidate:
            self._candidate, self._since_s = now, now_s
        if now_s - self._since_s >= _persist_s(now):
            self.fault = now
        blurred = now is None and is_blurred(seen)
        if not blurred:
            self._sharp_s = now_s
        self.note = Condition.BLURRED if now_s - self._sharp_s >= BLUR_S else None
        return now is None and seen.contrast >= LEAST_CONTRAST and not blurred

    def begin_anew(self) -> None:
        """Reset after the camera was closed on purpose: neither its old frames nor their absence count."""
        self._last_frame_s = None
        self._samples = b""
        self.fault = self._candidate = self.note = None
        self._since_s = -math.inf

    def _frozen(self, seen: Thumbnail, now_s: float) -> Condition | None:
        if not self._live or seen.samples != self._samples:
            self._samples, self._moved_s = seen.samples, now_s
        return Condition.FROZEN if now_s - self._moved_s >= FROZEN_S else None


def _persist_s(condition: Condition | None) -> float:
    """Return how long a condition must last to be believed; None is the condition that something can be seen."""
    if condition is None:
        return AGAIN_S
    # a frozen picture has already been the same for FROZEN_S
    return 0.0 if condition is Condition.FROZEN else PERSIST_S


def is_blurred(seen: Thumbnail) -> bool:
    """Return True if the picture has contrast but no sharp edge."""
    return seen.contrast >= LEAST_CONTRAST and seen.sharpness < BLUR
