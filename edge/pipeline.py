"""The loop: a frame comes in, words go out. READ SECOND.

It pulls: the newest frame is asked for when there is time for it, so nothing queues. It gets everything as arguments
and knows no vendor, no signal and no settings.
"""

import enum
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.stages import Announcement, Camera, Classifier, EndOfFrames, Frame, Outcome, Prediction, Speaker

READ_TIMEOUT_S = 0.25
"""How long the loop waits for a frame before it turns: outcomes and signals are looked at this often while blind."""


class AnnouncerProtocol(Protocol):
    """What the loop needs of announcer.Announcer."""

    def update(self, predictions: Sequence[Prediction], now_s: float) -> Announcement | None: ...
    def taken(self, announcement: Announcement, now_s: float) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...


class Observer(Protocol):
    """Is told what happens: the terminal, the events file, systemd."""

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float) -> None: ...
    def announced(self, announcement: Announcement, frame: Frame) -> None: ...
    def notified(self, notice: Announcement) -> None: ...
    def spoken(self, outcome: Outcome) -> None: ...


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
    started_s: float | None = None
    """time.monotonic() at the first turn of the loop."""
    seconds: float = 0.0
    said: Counter[str] = field(default_factory=Counter)
    """How often each label was announced. Counts, for a list would grow for months."""
    in_the_air: int = 0
    """Announcements whose outcome is not known yet."""

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
    notices: deque[Announcement] = field(default_factory=deque)
    """What the daemon has to say of itself; it goes before labels. Each is said once, when the speaker is free."""


def run(
    stages: Stages,
    summary: Summary,
    stopping: Callable[[], bool],
    limits: Limits = NO_LIMITS,
    between_frames: Callable[[float], bool] = lambda _now_s: False,
    *,
    media_clock: bool = False,
) -> Ending:
    """Run until the frames end, a limit is reached, or `stopping()`; `summary` is kept up to date all the while.

    `between_frames` is called in each turn, also while no frame comes, with time.monotonic(); True asks for other
    stages. `media_clock` counts time as the frames do, for a file that is not played at its own pace.
    """
    start_s = summary.started_s = time.monotonic() if summary.started_s is None else summary.started_s
    try:
        while not stopping():
            asked_s = time.monotonic()
            if limits.seconds is not None and asked_s - start_s >= limits.seconds:
                break
            try:
                frame = stages.camera.read(READ_TIMEOUT_S)
            except EndOfFrames:
                break
            _tell(stages, summary)
            if frame is not None:
                summary.frames += 1
                _look(stages, summary, frame, time.monotonic() - asked_s, media_clock=media_clock)
            _hear(stages, summary)
            summary.seconds = time.monotonic() - start_s
            if limits.frames is not None and summary.frames >= limits.frames:
                break
            if between_frames(time.monotonic()):
                return Ending.REWIRE
        # the last words may end, unless somebody wants to stop; the speaker's own deadline bounds this
        while summary.in_the_air and not stopping():
            _hear(stages, summary)
            time.sleep(0.01)
    finally:
        summary.seconds = time.monotonic() - start_s
    return Ending.STOP


def _look(stages: Stages, summary: Summary, frame: Frame, capture_s: float, *, media_clock: bool) -> None:
    predictions = stages.classifier.classify(frame)
    stages.observer.classified(frame, predictions, capture_s)
    now_s = frame.media_s if media_clock and frame.media_s is not None else frame.captured_s
    announcement = stages.announcer.update(predictions, now_s)
    # refused when busy: then the next frame's is offered, so that nothing said is about the past
    if announcement is not None and stages.speaker.say(announcement):
        summary.said[announcement.label] += 1
        summary.in_the_air += 1
        stages.announcer.taken(announcement, now_s)
        stages.observer.announced(announcement, frame)


def _tell(stages: Stages, summary: Summary) -> None:
    if stages.notices and stages.speaker.say(stages.notices[0]):
        summary.in_the_air += 1
        stages.observer.notified(stages.notices.popleft())


def _hear(stages: Stages, summary: Summary) -> None:
    for outcome in stages.speaker.poll():
        summary.in_the_air -= 1
        stages.announcer.finished(outcome)
        stages.observer.spoken(outcome)
