"""Tells from the changes of one key which pattern was pressed: press, double, long or hold.

It has no clock: it gets the time with each call, so that a late reader recognises the same patterns as a quick one.
"""

import enum
import math
from collections.abc import Set
from dataclasses import dataclass


class Pattern(enum.StrEnum):
    """How a key was pressed."""

    PRESS = "press"
    """Once, and shorter than a long press."""
    DOUBLE = "double"
    """Twice in quick succession."""
    LONG = "long"
    """Released after `long_s`, before `hold_s`."""
    HOLD = "hold"
    """Kept down for `hold_s`; recognised while it is still down."""


@dataclass(frozen=True)
class Times:
    """The times that tell the patterns apart, in seconds."""

    bounce_s: float
    """A release shorter than this is a bounce of the contact: the key counts as down all the time."""
    double_s: float
    """The second press of a double begins within this time after the first one's release."""
    long_s: float
    hold_s: float


class PatternRecogniser:
    """Recognises the patterns of one key.

    Every press leads to one pattern: two short ones in quick succession to one DOUBLE, any other to a separate one. A
    pattern that is not wanted counts as the next shorter one that is: without LONG, a press of 2 s is a PRESS. If PRESS
    is the only one wanted, it is recognised when the key goes down; otherwise as soon as it cannot become another.
    """

    def __init__(self, wanted: Set[Pattern], times: Times) -> None:
        self._wanted, self._times = wanted, times
        self._down_s: float | None = None
        """When the present press began; None while the key is up."""
        self._up_s: float | None = None
        """When the key was released, as long as that can still be a bounce."""
        self._first_s: float | None = None
        """When a short press ended that may become the first one of a double."""
        self._spent = False
        """True if the present press has led to its pattern already."""

    @property
    def held(self) -> bool:
        """True while the key is down; a bounce does not count."""
        return self._down_s is not None

    @property
    def due_s(self) -> float:
        """Time at which `advance` has something to do, if the key does not change before; infinity if never."""
        if self._down_s is None:
            return math.inf if self._first_s is None else self._first_s + self._times.double_s
        if self._up_s is not None:
            return self._up_s + self._times.bounce_s
        if self._spent:
            return math.inf
        splits_s = math.inf if self._first_s is None else self._down_s + self._longest_short_s()
        holds_s = self._down_s + self._times.hold_s if Pattern.HOLD in self._wanted else math.inf
        return min(splits_s, holds_s)

    def hold_already(self, at_s: float) -> None:
        """Note that the key was down before it was watched: this press is ignored until its release."""
        self._down_s, self._up_s, self._spent = at_s, None, True

    def change(self, at_s: float, *, down: bool) -> list[Pattern]:
        """Return the patterns that are complete when the key goes down or up at `at_s`. Call `advance` to that first.

        A key that is down already and goes down (auto-repeat), or up and goes up, changes nothing.
        """
        if not down:
            if self._down_s is not None and self._up_s is None:
                self._up_s = at_s
            return []
        if self._down_s is not None:
            self._up_s = None  # a bounce, or auto-repeat
            return self.advance(at_s)
        self._down_s, self._spent = at_s, False
        if self._wanted == {Pattern.PRESS}:
            self._spent = True
            return [Pattern.PRESS]
        return []

    def advance(self, now_s: float) -> list[Pattern]:
        """Return the patterns that became complete because the key did not change until `now_s`."""
        found: list[Pattern] = []
        while self.due_s <= now_s:
            found += self._expire()
        return found

    def forget(self) -> list[Pattern]:
        """Return the pattern of a press that is over, and drop one that is not: the device is gone."""
        over = self._first_s is not None
        self._down_s = self._up_s = self._first_s = None
        return self._told(Pattern.PRESS) if over else []

    def _expire(self) -> list[Pattern]:
        """Return the pattern whose time has come, and go on to the next state."""
        if self._down_s is None:  # no second press came
            self._first_s = None
            return self._told(Pattern.PRESS)
        if self._up_s is not None:
            return self._release(self._down_s, self._up_s)
        if self._first_s is not None:  # the second press is no short one, so the first one was no part of a double
            self._first_s = None
            return self._told(Pattern.PRESS)
        self._spent = True
        return self._told(Pattern.HOLD)

    def _release(self, down_s: float, up_s: float) -> list[Pattern]:
        """Return the pattern of the press that lasted from `down_s` to `up_s`, unless it may become a double."""
        self._down_s = self._up_s = None
        if self._spent:
            return []
        if up_s - down_s >= self._longest_short_s():
            return self._told(Pattern.LONG)
        if self._first_s is not None:
            self._first_s = None
            return self._told(Pattern.DOUBLE)
        if Pattern.DOUBLE in self._wanted:
            self._first_s = up_s
            return []
        return self._told(Pattern.PRESS)

    def _longest_short_s(self) -> float:
        """Return the duration from which a press is no PRESS and no part of a DOUBLE."""
        if Pattern.LONG in self._wanted:
            return self._times.long_s
        return self._times.hold_s if Pattern.HOLD in self._wanted else math.inf

    def _told(self, pattern: Pattern) -> list[Pattern]:
        return [pattern] if pattern in self._wanted else []
