"""The loop: a frame comes in, words go out. READ SECOND.

It pulls: the newest frame is asked for when there is time for it, so nothing queues. It gets everything as arguments
and knows no vendor, no signal and no settings.
"""

import enum
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from edge.announce.notices import SIGHT_AGAIN, Notices
from edge.announce.schedule import Moment
from edge.stages import (
    INTERRUPTED,
    Announcement,
    Camera,
    Classifier,
    EndOfFrames,
    Frame,
    Outcome,
    Prediction,
    Speaker,
)
from edge.vision.thumbnail import Thumbnail, make_thumbnail

TURN_S = 0.05
"""While it waits for the time of the next frame, outcomes and signals are looked at this often."""
LOOK_S = 0.25
"""A frame that stays in view is believed as if it came this often."""
READ_TIMEOUT_S = 0.25
"""How long the loop waits for a frame before it turns: outcomes and signals are looked at this often while blind."""


class AnnouncerProtocol(Protocol):
    """What the loop needs of announcer.Announcer."""

    def update(
        self, predictions: Sequence[Prediction], seen_s: float, now: Moment, *, something: bool = True
    ) -> Announcement | None: ...
    def notice(self, sentence: str, now: Moment) -> Announcement | None: ...
    def taken(self, announcement: Announcement, seen_s: float, now: Moment) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def audible_again(self) -> None: ...


class VisibilityProtocol(Protocol):
    """What the loop needs of vision.visibility.Visibility."""

    fault: str
    note: str

    def update(self, seen: Thumbnail | None, now_s: float) -> bool: ...


class MotionProtocol(Protocol):
    """What the loop needs of vision.motion.MotionDetector."""

    def worth_a_look(self, seen: Thumbnail, seen_s: float) -> bool: ...


class Observer(Protocol):
    """Is told what happens: the terminal, the events file, systemd."""

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float, *, looked: bool) -> None:
        """`predictions` is empty when there was nothing to see, and of an earlier frame when nobody `looked`."""

    def announced(self, announcement: Announcement, frame: Frame) -> None: ...
    def notified(self, notice: Announcement) -> None: ...
    def spoken(self, outcome: Outcome) -> None: ...
    def audible(self, problem: str) -> None: ...
    def sees(self, fault: str, note: str) -> None: ...


class Ending(enum.Enum):
    """Why the loop returned."""

    STOP = enum.auto()
    """The frames ended, a limit was reached, or somebody wants to stop."""
    REWIRE = enum.auto()
    """`between_frames` wants other stages; the loop is to be run again with them."""


@dataclass(frozen=True)
class Limits:
    """When to end by itself; None: never."""

    frames: int | None = None
    seconds: float | None = None


NO_LIMITS = Limits()


@dataclass
class Summary:
    """What a run has done so far."""

    frames: int = 0
    looks: int = 0
    """How many of them were classified: the others showed the same as the one before."""
    started_s: float | None = None
    """time.monotonic() at the first turn of the loop."""
    seconds: float = 0.0
    said: Counter[str] = field(default_factory=Counter)
    """How often each label was announced. Counts, for a list would grow for months."""
    in_the_air: int = 0
    """Announcements whose outcome is not known yet."""
    speech_problem: str = ""
    """Why nothing can be heard for now."""
    sight_fault: str = ""
    """Why nothing can be seen for now."""
    sight_note: str = ""
    """What makes seeing hard for now."""

    @property
    def frames_per_second(self) -> float:
        """0 before the first frame."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Stages:
    """What a frame passes, in its order."""

    camera: Camera
    classifier: Classifier
    announcer: AnnouncerProtocol
    speaker: Speaker
    observer: Observer
    visibility: VisibilityProtocol
    motion: MotionProtocol
    notices: Notices
    """What the daemon has to say of itself; it goes before labels."""


def run(
    stages: Stages,
    summary: Summary,
    stopping: Callable[[], bool],
    limits: Limits = NO_LIMITS,
    between_frames: Callable[[float, Frame | None], bool] = lambda _now_s, _frame: False,
    *,
    media_clock: bool = False,
    interval_s: Callable[[], float] = lambda: 0.0,
) -> Ending:
    """Run until the frames end, a limit is reached, or `stopping()`; `summary` is kept up to date all the while.

    `between_frames` is called in each turn with time.monotonic() and the frame, if one came; True asks for other
    stages. `media_clock` counts time as the frames do, for a file that is not played at its own pace. Frames are asked
    for no sooner than `interval_s()` after the one before.
    """
    start_s = summary.started_s = time.monotonic() if summary.started_s is None else summary.started_s
    known: list[Prediction] | None = None
    next_s = 0.0
    try:
        while not stopping():
            asked_s = time.monotonic()
            if limits.seconds is not None and asked_s - start_s >= limits.seconds:
                break
            if asked_s < next_s:
                time.sleep(min(next_s - asked_s, TURN_S))
                _hear(stages, summary)
                if between_frames(time.monotonic(), None):
                    return Ending.REWIRE
                continue
            next_s = max(next_s, asked_s - TURN_S) + interval_s()
            try:
                frame = stages.camera.read(READ_TIMEOUT_S)
            except EndOfFrames:
                break
            capture_s = time.monotonic() - asked_s
            _hear(stages, summary)
            seen = make_thumbnail(frame.pixels) if frame is not None else None
            something = _see(stages, summary, seen)
            _tell(stages, summary, media_clock=media_clock)
            if frame is not None and seen is not None:
                summary.frames += 1
                looked = something and (stages.motion.worth_a_look(seen, _time_of(frame, media_clock)) or known is None)
                if looked:
                    known = stages.classifier.classify(frame)
                    summary.looks += 1
                predictions = known if something and known is not None else []
                stages.observer.classified(frame, predictions, capture_s, looked=looked)
                _announce(stages, summary, frame, predictions, something=something, media_clock=media_clock)
            _hear(stages, summary)
            summary.seconds = time.monotonic() - start_s
            if limits.frames is not None and summary.frames >= limits.frames:
                break
            if between_frames(time.monotonic(), frame):
                return Ending.REWIRE
        # the last words may end, unless somebody wants to stop; the speaker's own deadline bounds this
        while summary.in_the_air and not stopping():
            _hear(stages, summary)
            time.sleep(0.01)
    finally:
        summary.seconds = time.monotonic() - start_s
    return Ending.STOP


def say(stages: Stages, summary: Summary, announcement: Announcement, seen_s: float, now: Moment) -> bool:
    """Hand it to the speaker; False when it is busy. What is being said is broken off where that is wanted."""
    if announcement.interrupts:
        stages.speaker.interrupt()
        _hear(stages, summary)
    if not stages.speaker.say(announcement):
        return False
    summary.in_the_air += 1
    stages.announcer.taken(announcement, seen_s, now)
    return True


def _see(stages: Stages, summary: Summary, seen: Thumbnail | None) -> bool:
    """Whether there is anything in the frame; and what there is to say when there has not been for long."""
    something = stages.visibility.update(seen, time.monotonic())
    fault, note = stages.visibility.fault, stages.visibility.note
    stages.notices.set("sight", fault, SIGHT_AGAIN)
    stages.notices.set("focus", note)
    if (fault, note) != (summary.sight_fault, summary.sight_note):
        summary.sight_fault, summary.sight_note = fault, note
        stages.observer.sees(fault, note)
    return something


def _time_of(frame: Frame, media_clock: bool) -> float:
    return frame.media_s if media_clock and frame.media_s is not None else frame.captured_s


def _announce(
    stages: Stages,
    summary: Summary,
    frame: Frame,
    predictions: Sequence[Prediction],
    *,
    something: bool,
    media_clock: bool,
) -> None:
    seen_s = _time_of(frame, media_clock)
    # one that stays in view for long is seen as often as at its own pace; no single look is believed
    looks = max(1, round(frame.shown_s / LOOK_S)) if media_clock else 1
    for look in range(looks):
        media_s = seen_s + look * frame.shown_s / looks if media_clock and frame.media_s is not None else None
        looked_s = seen_s if media_s is None else media_s
        now = moment(media_s)
        announcement = stages.announcer.update(predictions, looked_s, now, something=something)
        if announcement is None:
            continue
        if media_s is not None:
            announcement = replace(announcement, expires_s=math.inf)  # it counts by another clock
        # refused when busy: then the next frame's is offered, so that nothing said is about the past
        if say(stages, summary, announcement, looked_s, now):
            summary.said[announcement.label] += 1
            stages.observer.announced(announcement, frame)
            _hear(stages, summary)


def _tell(stages: Stages, summary: Summary, *, media_clock: bool) -> None:
    # a file that is not played at its own pace has another time: what edge says of itself would disturb its order
    now = moment()
    sentence = "" if media_clock else stages.notices.due(now.s)
    notice = stages.announcer.notice(sentence, now) if sentence else None
    if notice is not None and say(stages, summary, notice, now.s, now):
        stages.notices.told(sentence, now.s)
        stages.observer.notified(notice)


def _hear(stages: Stages, summary: Summary) -> None:
    for outcome in stages.speaker.poll():
        summary.in_the_air -= 1
        stages.announcer.finished(outcome)
        if not outcome.announcement.id:  # who breaks it off has listened
            heard = outcome.delivered or outcome.reason == INTERRUPTED
            stages.notices.ended(heard=heard, lasting=outcome.lasting)
        stages.observer.spoken(outcome)
    problem = stages.speaker.problem
    if problem != summary.speech_problem:
        summary.speech_problem = problem
        stages.observer.audible(problem)
        if not problem:
            stages.announcer.audible_again()
            stages.notices.audible_again()


def moment(media_s: float | None = None) -> Moment:
    """Now, by both clocks; for a file that is not played at its own pace the first is the file's."""
    return Moment(time.monotonic() if media_s is None else media_s, datetime.now().time())
