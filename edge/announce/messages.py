"""Sentences that another program, or a person at a terminal, asked edge to say. Pure: time comes as an argument.

They rank like sentences about edge itself: they wait until it has finished speaking, are silent in quiet hours and
during a snooze, and count in the limit of a minute. One that cannot be said soon counts as missed, so it is not lost.
"""

import threading
from collections import deque
from collections.abc import Callable

from edge.announce.announcer import Missed
from edge.announce.schedule import SNOOZED, Moment, Schedule
from edge.stages import TOO_LATE, Announcement

MOST_WAITING = 5
"""Number of sentences that may wait."""
LONGEST_WAIT_S = 60.0
"""How long a sentence waits. The limit of a minute ([announce] per_minute) holds one back no longer than this."""


class Messages:
    """The sentences that wait. `put` may be called from any thread."""

    def __init__(self, schedule: Schedule, missed: Callable[[Missed], object] = lambda _missed: None) -> None:
        """`missed` is called for each sentence that silence holds back, or that waits too long."""
        self._schedule = schedule
        self._missed = missed
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, Announcement]] = deque()
        """Each with the time at which it came."""

    @property
    def full(self) -> bool:
        """True if no other sentence may wait."""
        return len(self._waiting) >= MOST_WAITING

    def put(self, text: str, now: Moment, snoozed_until_s: float = 0.0) -> str:
        """Let a sentence wait for its turn, and return ''; or return the kind of silence that holds it back.

        `snoozed_until_s` is the end of a snooze that the loop may not know yet.
        """
        silence = SNOOZED if now.s < snoozed_until_s else self._schedule.silence(now)
        if silence:
            self._missed(Missed("", 0.0, silence, text))
        else:
            with self._lock:
                self._waiting.append((now.s, given(text)))
        return silence

    def due(self, now: Moment) -> Announcement | None:
        """Return the sentence to say now; None if there is none, or it must wait. Call it once a turn of the loop.

        It stays the same until `began` is called.
        """
        silence = self._schedule.silence(now)
        lapsed: list[Announcement] = []
        with self._lock:
            while self._waiting and (silence or now.s - self._waiting[0][0] > LONGEST_WAIT_S):
                lapsed.append(self._waiting.popleft()[1])
            first = self._waiting[0][1] if self._waiting else None
        for one in lapsed:
            self._missed(Missed("", 0.0, silence or TOO_LATE, one.text))
        if self._schedule.in_the_air is not None or self._schedule.must_wait(now):
            return None
        return first

    def began(self, announcement: Announcement) -> None:
        """Record that the speaker has begun to say it."""
        with self._lock:
            if self._waiting and self._waiting[0][1] is announcement:
                self._waiting.popleft()


def given(text: str) -> Announcement:
    """Return a sentence that another program gave, as an announcement."""
    return Announcement("", "", 1.0, text, given=True)
