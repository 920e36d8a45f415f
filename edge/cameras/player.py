"""Play sources that are not live: each picture has a time and is shown at that time."""

import time
from collections.abc import Callable
from typing import Protocol

from edge.errors import CameraError
from edge.stages import EndOfFrames, Frame, Pixels

# Skipping costs time too. If it takes longer than this (and than the caller's timeout), the film continues from the
# current picture: a decoder slower than the film would otherwise never show anything.
_CATCH_UP_S = 0.1


class Reel(Protocol):
    """A sequence of pictures. It starts before the first one."""

    interval_s: float
    """How long one picture usually stays, in seconds."""
    shown_s: float
    """The same if the picture comes only once and stays for that time; else 0."""

    def advance(self) -> float | None:
        """Go to the next picture and return its time in seconds from the beginning, or None after the last."""

    def picture(self) -> Pixels | None:
        """Return the current picture, or None if it cannot be decoded."""

    def rewind(self) -> None:
        """Go back to before the first picture."""

    def close(self) -> None:
        """Close the file."""


class Player:
    """A camera that plays a reel: at its own pace, or with `every_frame` each picture once, as fast as it is read.

    The clock starts at the first `read`. At its own pace a picture is returned only while it is on show. Pictures that
    a slow reader missed are skipped, so no frame is older than one interval.
    """

    live = False

    def __init__(
        self,
        reel: Reel,
        description: str,
        *,
        loop: bool = False,
        every_frame: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.description = description
        self._reel = reel
        self._loop = loop
        self._every_frame = every_frame
        self._clock = clock
        self._sleep = sleep
        self._closed = False
        self._began_s: float | None = None
        """Time at which this round began, on the clock."""
        self._sequence = -1
        # the reel's position: a picture, or the end, which has a time too
        self._media_s = -reel.interval_s
        self._interval_s = reel.interval_s
        self._at_end = False
        self._done = True
        """True if the current picture was returned or skipped."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the picture that is due, waiting at most `timeout_s` for it; None if none became due.

        Raises EndOfFrames after the last one's time is over, CameraError if the file is gone and after `close`.
        """
        if self._closed:
            raise CameraError(f"{self.description}: it is closed, open it again")
        now_s = self._clock()
        deadline_s = now_s + timeout_s
        give_up_s = now_s + max(timeout_s, _CATCH_UP_S)
        if self._began_s is None:
            self._began_s = now_s
        while True:
            if self._done:
                self._advance()
            now_s = self._clock()
            due_s = now_s if self._every_frame else self._began_s + self._media_s
            if now_s < due_s:
                self._sleep(max(0.0, min(due_s, deadline_s) - now_s))
                if due_s > deadline_s:
                    return None
                continue
            if self._at_end:
                if not self._loop:
                    raise EndOfFrames(self.description)
                self._began_s += self._media_s
                self._rewind()
                continue
            late_s = now_s - due_s
            if late_s >= self._interval_s:
                if now_s < give_up_s:
                    self._done = True
                    continue
                self._began_s += late_s
                due_s = now_s
            self._done = True
            pixels = self._reel.picture()
            if pixels is not None:
                return Frame(
                    pixels, self._sequence, captured_s=due_s, media_s=self._media_s, shown_s=self._reel.shown_s
                )

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            self._reel.close()

    def _advance(self) -> None:
        media_s = self._reel.advance()
        self._done = False
        if media_s is None:
            self._at_end = True
            self._media_s += self._interval_s
        else:
            self._sequence += 1
            # a film of slides has long gaps: assume that each picture stays for as long as the one before
            self._interval_s = max(self._reel.interval_s, media_s - self._media_s)
            self._media_s = media_s

    def _rewind(self) -> None:
        if self._media_s <= 0:
            raise CameraError(f"{self.description}: it has no more frames")
        self._reel.rewind()
        self._at_end = False
        self._done = True
        self._interval_s = self._reel.interval_s
        self._media_s = -self._interval_s
