"""Is there anything to see? Judged by each frame's thumbnail. Pure: the time comes as an argument.

It tells which condition holds. What is said of it is the business of announce/notices.py.
"""

import math

import numpy as np

from edge.stages import Condition
from edge.vision.thumbnail import Thumbnail

DARKEST = 24.0
"""A picture whose brightest cell is below this (of 255) shows nothing."""
BRIGHTEST = 248.0
"""Nor does one that is above this nearly everywhere."""
BRIGHT_SHARE = 0.95
FLATTEST = 2.5
"""A picture whose cells differ by less than this (their standard deviation, of 255) shows nothing: a hand, a cloth, a
wall from too near. A clear sky has more, for it is brighter towards the sun and darker at the lens's edges."""
BLUR, BLUR_CONTRAST = 0.2, 30.0
"""A picture whose sharpest edges are so soft, where there are any, is blurred. Of twenty photos, 640 pixels wide, the
least sharp has 0.35; blurred by a standard deviation of 10 pixels they have 0.15 to 0.22."""
PERSIST_S = 3.0
"""For so long, or it was only somebody who passed by; and no frame for so long is a lost camera."""
BLUR_S, FROZEN_S = 10.0, 15.0
"""Autofocus may take a while. Some streams repeat a still picture exactly, until they send the next whole one."""
AGAIN_S = 1.0
"""For so long something must be seen again."""


def fault(seen: Thumbnail) -> Condition | None:
    """Return why nothing can be seen in this picture; None when something can."""
    if float(np.max(seen.grey)) < DARKEST:
        return Condition.DARK
    if float(np.mean(seen.grey > BRIGHTEST)) >= BRIGHT_SHARE:
        return Condition.BRIGHT
    return Condition.COVERED if float(np.std(seen.grey)) < FLATTEST else None


class Visibility:
    """Whether the camera sees anything, from frame to frame."""

    def __init__(self, *, live: bool, fault: Condition | None = None) -> None:
        """Only a live camera can be lost or freeze: the next image of a folder may take an hour to come.

        `fault` is why nothing could be seen before.
        """
        self._live = live
        self.fault = fault
        """Why it cannot see, once that has lasted."""
        self.note: Condition | None = None
        """What makes seeing hard, once that has lasted."""
        self._candidate: Condition | None = None
        self._since_s = -math.inf
        self._last_frame_s: float | None = None
        self._samples = b""
        self._moved_s = self._sharp_s = -math.inf

    def update(self, seen: Thumbnail | None, now_s: float) -> bool:
        """Take a frame's thumbnail, or None when none came; return whether there is something in it to look at."""
        if self._last_frame_s is None:
            self._last_frame_s = self._sharp_s = now_s
        if seen is None:
            if self._live and now_s - self._last_frame_s >= PERSIST_S:
                self.fault = self._candidate = Condition.LOST
                # what was seen before is no measure for what comes after
                self._samples, self._sharp_s = b"", now_s
            return False
        self._last_frame_s = now_s
        now = fault(seen) or self._frozen(seen, now_s)
        if now != self._candidate:
            self._candidate, self._since_s = now, now_s
        if now_s - self._since_s >= _persist_s(now):
            self.fault = now
        if now is not None or not _is_blurred(seen):
            self._sharp_s = now_s
        self.note = Condition.BLURRED if now_s - self._sharp_s >= BLUR_S else None
        return now is None

    def begin_anew(self) -> None:
        """The camera was closed on purpose: what it showed is no measure, nor that it shows nothing."""
        self._last_frame_s = None
        self._samples = b""
        self.fault = self._candidate = self.note = None
        self._since_s = -math.inf

    def _frozen(self, seen: Thumbnail, now_s: float) -> Condition | None:
        if not self._live or seen.samples != self._samples:
            self._samples, self._moved_s = seen.samples, now_s
        return Condition.FROZEN if now_s - self._moved_s >= FROZEN_S else None


def _persist_s(condition: Condition | None) -> float:
    """How long a condition, or that something can be seen, must last to be believed."""
    if condition is None:
        return AGAIN_S
    # a frozen picture has been the same for FROZEN_S already
    return 0.0 if condition is Condition.FROZEN else PERSIST_S


def _is_blurred(seen: Thumbnail) -> bool:
    return seen.contrast >= BLUR_CONTRAST and seen.sharpness < BLUR
