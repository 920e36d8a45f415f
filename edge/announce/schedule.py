"""When may edge speak at all? Pure: time comes as an argument, the local one too, so a test can live through a year.

Three answers: now; not now, but what there was to say may be asked for later (quiet hours, snooze); or in a moment (it
speaks already, or has spoken too often in the last minute).
"""

import datetime
import math
from collections import deque
from dataclasses import dataclass

from edge.settings import AnnounceSettings
from edge.stages import Announcement

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """One and the same time by two clocks."""

    s: float
    """time.monotonic(): never jumps."""
    local: datetime.time
    """What a clock on the wall shows: jumps twice a year, and when the Pi hears of the time."""


class Schedule:
    """Quiet hours, snooze, at most so many utterances a minute, and never two at once."""

    def __init__(self, settings: AnnounceSettings) -> None:
        self._spoke_s: deque[float] = deque()
        self.configure(settings)
        self.snoozed_until_s = -math.inf
        """In seconds of time.monotonic()."""
        self.in_the_air: Announcement | None = None
        """What is being said."""

    def configure(self, settings: AnnounceSettings) -> None:
        """Take other settings; what was said in the last minute still counts."""
        self._per_minute = settings.per_minute
        self._quiet = _times(settings.quiet_hours)
        self._spoke_s = deque(self._spoke_s, maxlen=settings.per_minute)

    def silence(self, now: Moment) -> str:
        """Return why nothing at all is said now: 'quiet hours', 'snoozed', or '' when something may be.

        May be called from any thread.
        """
        if now.s < self.snoozed_until_s:
            return "snoozed"
        if (quiet := self._quiet) is not None:
            start, end = quiet
            minute = (now.local.hour, now.local.minute)
            # 22:00-07:00 goes over midnight; 07:00-07:00 is all day
            inside = start <= minute < end if start < end else minute >= start or minute < end
            if inside:
                return "quiet hours"
        return ""

    def must_wait(self, now: Moment) -> bool:
        """Whether it has spoken so often in the last minute that it must wait."""
        return len(self._spoke_s) == self._per_minute and 0 <= now.s - self._spoke_s[0] < MINUTE_S

    def began(self, announcement: Announcement, now: Moment) -> None:
        """The speaker has begun to say it."""
        if self._spoke_s and now.s < self._spoke_s[-1]:
            self._spoke_s.clear()  # the clock of a clip that begins again
        self._spoke_s.append(now.s)
        self.in_the_air = announcement

    def ended(self, announcement: Announcement) -> None:
        """It is over, or was broken off."""
        if self.in_the_air is announcement:
            self.in_the_air = None


def _times(quiet_hours: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """'22:00-07:00' as ((22, 0), (7, 0))."""
    if not quiet_hours:
        return None
    start, end = (tuple(map(int, part.split(":"))) for part in quiet_hours.split("-"))
    return (start[0], start[1]), (end[0], end[1])
