"""When edge may speak. Pure: time and local time come as arguments, so a test can simulate a year.

There are three answers. Now. Not now, but missed announcements can be asked for later (quiet hours, snooze). Or in a
moment (it is speaking already, or has spoken too often in the last minute).
"""

import datetime
import math
from collections import deque
from dataclasses import dataclass

from edge.settings import AnnounceSettings
from edge.stages import Announcement

MINUTE_S = 60.0
DAY_MIN = 24 * 60
SNOOZED, QUIET_HOURS = "snoozed", "quiet hours"
"""The two kinds of silence."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The same point in time on two clocks."""

    s: float
    """Seconds of time.monotonic(), which never jumps."""
    local: datetime.datetime
    """Local date and time. It jumps twice a year, and when the Pi gets the time from the net."""


class Schedule:
    """Rules for speaking: quiet hours, snooze, a limit of utterances per minute, and never two at once."""

    def __init__(self, settings: AnnounceSettings) -> None:
        self._spoke_s: deque[float] = deque()
        self.configure(settings)
        self.snoozed_until_s = -math.inf
        """In seconds of time.monotonic()."""
        self.in_the_air: Announcement | None = None
        """The announcement being spoken."""

    def configure(self, settings: AnnounceSettings) -> None:
        """Use other settings. Utterances of the last minute still count."""
        self.per_minute = settings.per_minute
        self.quiet_hours = settings.quiet_hours
        self._quiet = _times(settings.quiet_hours)
        self._spoke_s = deque(self._spoke_s, maxlen=settings.per_minute)

    def silence(self, now: Moment) -> str:
        """Return why edge must be silent now: QUIET_HOURS or SNOOZED; '' if it may speak.

        May be called from any thread.
        """
        if now.s < self.snoozed_until_s:
            return SNOOZED
        if (quiet := self._quiet) is not None:
            start, end = quiet
            minute = (now.local.hour, now.local.minute)
            # 22:00-07:00 spans midnight; 07:00-07:00 is all day
            inside = start <= minute < end if start < end else minute >= start or minute < end
            if inside:
                return QUIET_HOURS
        return ""

    def silent_until_s(self, now: Moment) -> float | None:
        """Return when the silence ends, on the clock of `now.s`; None if there is none, or if it lasts all day.

        May be called from any thread.
        """
        why = self.silence(now)
        if why == SNOOZED:
            return self.snoozed_until_s
        quiet = self._quiet
        if not why or quiet is None or quiet[0] == quiet[1]:
            return None
        hour, minute = quiet[1]
        minutes = (60 * (hour - now.local.hour) + minute - now.local.minute) % DAY_MIN
        return now.s + 60.0 * minutes - now.local.second

    def must_wait(self, now: Moment) -> bool:
        """Return True if edge has spoken so often in the last minute that it must wait."""
        return len(self._spoke_s) == self.per_minute and 0 <= now.s - self._spoke_s[0] < MINUTE_S

    def free_again_s(self) -> float:
        """Return when `must_wait` ends, on the clock of Moment.s; call it while it is true."""
        return self._spoke_s[0] + MINUTE_S

    def began(self, announcement: Announcement, now: Moment) -> None:
        """Record that the speaker has begun to say it."""
        if self._spoke_s and now.s < self._spoke_s[-1]:
            self._spoke_s.clear()  # a clip has begun again, and its clock with it
        self._spoke_s.append(now.s)
        self.in_the_air = announcement

    def ended(self, announcement: Announcement) -> None:
        """Record that it is over, or was interrupted."""
        if self.in_the_air is announcement:
            self.in_the_air = None


def _times(quiet_hours: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return '22:00-07:00' as ((22, 0), (7, 0))."""
    if not quiet_hours:
        return None
    start, end = (tuple(map(int, part.split(":"))) for part in quiet_hours.split("-"))
    return (start[0], start[1]), (end[0], end[1])
