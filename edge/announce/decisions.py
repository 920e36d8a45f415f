"""Why edge speaks or is silent: the decision about the current view, and the last ones. Pure: time is an argument.

The announcer notes one decision a frame. It is recorded only when what is in view changes, or the reason. A new reason
is one line of `Reason`.
"""

import datetime
import enum
from typing import Any, NamedTuple

from edge.announce.schedule import Moment
from edge.host.clock import local_time
from edge.stages import Outcome

MOST_DECISIONS = 100
"""Number of decisions that are kept, in memory."""
LEAST_S = 0.5
"""A decision that held for a shorter time is not recorded, unless something was said: a view that passes by."""


class Reason(enum.Enum):
    """Why it is silent, or that it spoke. The value is the text for people; its fields are those of a Decision."""

    SAID = 'said: "{detail}"'
    PRINTED = 'printed, not spoken: "{detail}"'
    SPEAKING = 'it is saying "{detail}"'
    NO_FRAME = "there is no frame yet"
    NOTHING = "there is nothing to see"
    UNSURE = "it is not sure enough: {label} has {probability:.0%}, and {needed:.0%} are needed"
    TOO_CLOSE = "it is not sure enough: {label} ({probability:.0%}) must be {needed:.0%} ahead of {detail}"
    TOO_SHORT = "it has just come into view, and must stay for {needed:.1f} s"
    CHANGING = "the view is changing"
    ALREADY_SAID = 'it was said already: "{detail}"'
    MUTED = "{detail} is muted (edge mute lists it, edge unmute undoes it)"
    MUTED_IN_SETTINGS = "{detail} is muted in the settings ([announce] muted)"
    QUIET_HOURS = "it is in its quiet hours"
    SNOOZED = "it is snoozed (edge wake ends this)"
    RATE_LIMIT = "it has reached its limit ([announce] per_minute = {needed:.0f}): it waits"
    OFTEN = "it has spoken as often as it may within an hour ([announce] per_hour = {needed:.0f}): it waits"
    BUSY = "the voice is busy"
    TOO_LATE = "the frame is too old to announce"
    NO_WORDS = "the spoken language has no words for it"
    NOT_HEARD = "it was not heard ({detail}); it waits"
    NO_SOUND = "there is no sound ({detail})"
    PAUSED = "the camera is closed (edge resume opens it)"
    BLIND = "the camera sees nothing: {detail}"

    @property
    def code(self) -> str:
        """Return its name for programs: 'rate limit'."""
        return self.name.lower().replace("_", " ")


_SPOKEN = {Reason.SAID, Reason.PRINTED}
_AFTER_SPEAKING = {Reason.SPEAKING, Reason.ALREADY_SAID}
"""What the next frames say about a thing that was just said: no new decision."""
_TOO_SOON = {Reason.TOO_SHORT, Reason.CHANGING}
_WAITING = {Reason.SPEAKING, Reason.BUSY, Reason.TOO_LATE}
_UNCLAIMED = {Reason.NO_FRAME, Reason.NOTHING, Reason.UNSURE, Reason.TOO_CLOSE}
_NO_VIEW = {Reason.NO_FRAME, Reason.NOTHING}


class Decision(NamedTuple):
    """What was decided about a view."""

    reason: Reason
    id: str = ""
    """The id of the claim, or of the best label if nothing could be claimed."""
    label: str = ""
    probability: float = 0.0
    needed: float = 0.0
    """What the reason compares with: a probability, a lead, seconds, or a number of announcements."""
    detail: str = ""
    """What else the reason names: a sentence, a fault, a muted word."""
    until_s: float | None = None
    """When the reason ends, on the clock of Moment.s; None: not known."""
    best: str = ""
    """The id of the best label."""

    def as_json(self, at: Moment | None) -> dict[str, Any]:
        """Return it as a JSON object, with the time at which it was made; None: no frame has come yet."""
        until, tail = None, ""
        if self.until_s is not None and at is not None:
            until = at.local + datetime.timedelta(seconds=self.until_s - at.s)
            tail = f" until {until:{'%H:%M:%S' if until.date() == at.local.date() else '%A %H:%M'}}"
        return {
            "time": _iso(at.local) if at else None,
            "label": self.label or None,
            "probability": round(self.probability, 3) if self.label else None,
            "said": self.reason in _SPOKEN,
            "reason": self.reason.code,
            "because": self.reason.value.format(**self._asdict()) + tail,
            "until": _iso(until) if until else None,
        }


class Record(NamedTuple):
    """A decision, and when it was made."""

    decision: Decision
    at: Moment | None

    def as_json(self) -> dict[str, Any]:
        """Return both as a JSON object."""
        return self.decision.as_json(self.at)


class Decisions:
    """The current decision and the last ones. Another thread may read them: all values are replaced as a whole."""

    def __init__(self) -> None:
        self.now = self._open = Record(Decision(Reason.NO_FRAME), None)
        """The decision about the newest frame, and the record of it, whose time is that of its first frame."""
        self._past: tuple[Record, ...] = ()

    def note(self, decision: Decision, now: Moment) -> None:
        """Note the decision about the newest frame."""
        self.now = Record(decision, now)
        old = self._open
        if _is_same(old.decision, decision):
            self._open = _joined(old, decision)
        elif old.at is None or not 0 <= now.s - old.at.s < LEAST_S or old.decision.reason in _SPOKEN:
            self._past, self._open = self._kept(), self.now
        elif self._past and _is_same(self._past[-1].decision, decision):
            # the decision before goes on after a short interruption
            self._past, self._open = self._past[:-1], _joined(self._past[-1], decision)
        else:
            self._open = self.now

    def finished(self, outcome: Outcome) -> None:
        """Record that something that was said was printed or not heard."""
        if outcome.heard:
            return
        if outcome.printed:
            reason, detail = Reason.PRINTED, outcome.announcement.text
        else:
            reason, detail = Reason.NO_SOUND if outcome.lasting else Reason.NOT_HEARD, outcome.reason

        # other things may have come into view while it was spoken
        records = [*self._past, self._open]
        for place in reversed(range(len(records))):
            decision, at = records[place]
            if decision.reason is Reason.SAID and decision.id == outcome.announcement.id:
                records[place] = Record(decision._replace(reason=reason, detail=detail), at)
                break
        *past, self._open = records
        self._past = tuple(past)

    def last(self) -> list[dict[str, Any]]:
        """Return the last decisions as JSON objects, the newest first."""
        return [record.as_json() for record in reversed(self._kept())]

    def _kept(self) -> tuple[Record, ...]:
        """Return the past decisions, with the current one if it is about something."""
        if self._open.decision.reason in _NO_VIEW:
            return self._past
        return (*self._past[1 - MOST_DECISIONS :], self._open)


def _is_same(old: Decision, new: Decision) -> bool:
    """Return True if the new decision goes on with the old one."""
    if _stage(old) in (1, 2) and _stage(old) <= _stage(new):
        # a thing that gets on towards its announcement; first "a violin or a cello", soon a violin
        return old.best == new.best or old.label == new.label
    same_reason = old.reason is new.reason or (old.reason in _SPOKEN and new.reason in _AFTER_SPEAKING)
    return same_reason and old.id == new.id


def _stage(decision: Decision) -> int:
    """Return how far it got: 0 nothing to claim, 1 a claim that is too new, 2 one that must wait, 3 a last word."""
    reason = decision.reason
    return 0 if reason in _UNCLAIMED else 1 if reason in _TOO_SOON else 2 if reason in _WAITING else 3


def _joined(record: Record, new: Decision) -> Record:
    old = record.decision
    if old.reason in _SPOKEN or (old.reason is new.reason and old.probability > new.probability):
        return record
    return Record(new, record.at)


def _iso(local: datetime.datetime) -> str:
    return local_time(local).isoformat(timespec="seconds")
