"""Stand-ins for the stages, passed as arguments. Each plays a script and keeps what it was given."""

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge.announce.english import plain
from edge.announce.schedule import Moment
from edge.input.actions import Action
from edge.settings import AnnounceSettings
from edge.stages import Announcement, Condition, EndOfFrames, Frame, Outcome, Prediction, Term, Timing


def frame(sequence: int = 0, captured_s: float = 0.0, media_s: float | None = None) -> Frame:
    """A small frame in which something can be seen: one half is dark, the other bright."""
    pixels = np.full((4, 6, 3), 200, np.uint8)
    pixels[:, :3] = 30
    return Frame(pixels, sequence, captured_s, media_s)


def dark_frame(sequence: int = 0, captured_s: float = 0.0) -> Frame:
    """A small black frame."""
    return Frame(np.zeros((4, 6, 3), np.uint8), sequence, captured_s)


def at(now_s: float, local: str = "12:00") -> Moment:
    """A moment of a day."""
    return Moment(now_s, datetime.datetime.fromisoformat(f"2026-06-01T{local}"))


class PlainWords:
    """Words without articles."""

    def sure(self, term: Term, *, spoken: bool = True) -> str:
        return f"I see {term.label}"

    def maybe(self, term: Term, other: Term | None = None, *, spoken: bool = True) -> str:
        return f"maybe {term.label} or {other.label}" if other else f"maybe {term.label}"

    def not_sure(self, *, spoken: bool = True) -> str:
        return "I'm not sure"

    def notice(self, text: str, *, spoken: bool = True) -> str:
        return text

    def about(self, sentence: str, term: Term, other: Term | None = None) -> str:
        return sentence.replace("{label}", term.label).replace("{other}", (other or term).label)

    def sayable(self, terms: Iterable[Term], *, spoken: bool = True) -> Term | None:
        return next(iter(terms))

    def names(self, term: Term) -> frozenset[str]:
        return frozenset({plain(term.label)})

    def english(self, term: Term) -> str:
        return term.label


class ScriptedCamera:
    """Returns each item of its script in turn: a frame, None (nothing in time), or an exception, which is raised."""

    description = "a scripted camera"
    live = False

    def __init__(self, script: Iterable[Frame | Exception | None]) -> None:
        self._script = iter(script)
        self.closed = False

    def read(self, timeout_s: float) -> Frame | None:
        item = next(self._script, EndOfFrames())
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed = True


class StubClassifier:
    """Says of the frame with sequence number n what the nth label is, with probability 0.9."""

    name = "stub"
    engine = "none"
    timing = Timing(0.001, 0.002)
    calibrated = False
    independent = False

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self.seen: list[int] = []

    def classify(self, frame: Frame) -> list[Prediction]:
        self.seen.append(frame.sequence)
        label = self._labels[frame.sequence % len(self._labels)]
        return [Prediction(label, label, 0.9), Prediction("other", "other", 0.1)]

    def close(self) -> None:
        pass


class RecordingSpeaker:
    """Keeps what was `said`; busy until `finish` is called, or never when `instant`."""

    description = "a recording speaker"

    def __init__(self, *, instant: bool = True, heard: bool = True) -> None:
        self.problem = ""
        self.said: list[str] = []
        self.refused: list[str] = []
        self.closed = False
        self._instant = instant
        self._heard = heard
        self._current: Announcement | None = None
        self._outcomes: list[Outcome] = []

    def say(self, announcement: Announcement) -> bool:
        if self._current is not None:
            self.refused.append(announcement.text)
            return False
        self.said.append(announcement.text)
        self._current = announcement
        if self._instant:
            self.finish()
        return True

    def finish(self) -> None:
        """End the words in the air."""
        assert self._current is not None
        if self.problem:
            self._outcomes.append(Outcome(self._current, heard=False, reason=self.problem, lasting=True))
        else:
            self._outcomes.append(Outcome(self._current, self._heard, "" if self._heard else "broken on purpose"))
        self._current = None

    def adjust(self, volume: float, rate_wpm: int) -> None:
        self.adjusted = (volume, rate_wpm)

    def interrupt(self) -> None:
        if self._current is not None:
            self._outcomes.append(Outcome(self._current, heard=False, reason="interrupted"))
            self._current = None

    def poll(self) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        self.closed = True


class RecordingObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.announcements: list[str] = []
        self.notices: list[str] = []
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        self.faults: list[Condition | None] = []
        self.notes: list[Condition | None] = []

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float, *, looked: bool) -> None:
        self.frames.append(frame.sequence)

    def announced(self, announcement: Announcement, frame: Frame) -> None:
        self.announcements.append(announcement.text)

    def notified(self, notice: Announcement) -> None:
        self.notices.append(notice.text)

    def spoken(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def audible(self, problem: str) -> None:
        self.problems.append(problem)

    def sees(self, fault: Condition | None, note: Condition | None) -> None:
        self.faults.append(fault)
        self.notes.append(note)


class RecordingAnswers:
    """Keeps what it is asked, and says nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.pauses: list[bool] = []

    def on_down(self) -> None:
        self.told.append("down")

    def on_action(self, action: Action) -> None:
        self.told.append(action)

    def carry_out(self, action: Action) -> dict[str, Any]:
        self.told.append(action)
        return {"text": str(action)}

    def aim(self, *, on: bool | None) -> dict[str, Any]:
        return {"on": on}

    def say(self, text: str, *, urgent: bool) -> dict[str, Any]:
        self.told.append(f"{'urgent: ' if urgent else ''}{text}")
        return {"text": text}

    def set_volume(self, volume: float) -> dict[str, Any]:
        return {"volume": volume}


def after(calls: int) -> Callable[[], bool]:
    """A `stopping` that turns true after so many calls."""
    remaining = calls

    def stopping() -> bool:
        nonlocal remaining
        remaining -= 1
        return remaining < 0

    return stopping


def rules(**others: Any) -> AnnounceSettings:
    """Thresholds that tests reckon with, whatever the defaults are; `others` replace some or add to them."""
    plain = AnnounceSettings(floor=0.6, margin=0.2, sure=0.8, maybe=0.4, smoothing_s=0.3, persistence_s=0.5)
    return replace(plain, **others)
