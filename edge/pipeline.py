"""The main loop: a frame comes in, words go out. READ SECOND.

The loop pulls: it requests the newest frame when it has time for one, so nothing queues. It gets everything as
arguments and does not depend on vendors, signals or settings.
"""

import contextlib
import enum
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from edge.announce.announcer import Announcer
from edge.announce.messages import Messages
from edge.announce.notices import Notices, sentence_of
from edge.announce.schedule import Moment
from edge.stages import (
    INTERRUPTED,
    Announcement,
    Camera,
    Classifier,
    Condition,
    EndOfFrames,
    Frame,
    Outcome,
    Pixels,
    Prediction,
    Speaker,
)
from edge.vision.motion import MotionDetector
from edge.vision.thumbnail import Thumbnail, make_thumbnail
from edge.vision.visibility import Visibility

TURN_S = 0.1
"""How often outcomes and signals are checked while the loop waits until the next frame is due. A frame may be requested
so much sooner: the loop then waits for a film of the highest rate in one place only, and wakes once a frame."""
HEAR_S = 0.01
"""How often outcomes are checked while nothing else is to be done."""
LOOK_S = 0.25
"""A frame that stays in view counts as if it came this often."""
READ_TIMEOUT_S = 0.3
"""How long one turn waits for a frame. If no frame comes, outcomes and signals are checked this often. An image
of a folder is a frame every 0.25 s: with less time than that, the loop would wake twice for each."""


class Observer(Protocol):
    """Receives the loop's events: the terminal, the events file, systemd."""

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float, *, looked: bool) -> None:
        """Handle a frame. `predictions` is empty if nothing could be seen, and an earlier frame's unless `looked`."""

    def announced(self, announcement: Announcement, frame: Frame) -> None: ...
    def notified(self, notice: Announcement) -> None: ...
    def spoken(self, outcome: Outcome) -> None: ...
    def audible(self, problem: str) -> None: ...
    def sees(self, fault: Condition | None, note: Condition | None) -> None: ...


class Ending(enum.Enum):
    """Why the loop returned."""

    STOP = enum.auto()
    """The frames ended, a limit was reached, or a stop was requested."""
    REWIRE = enum.auto()
    """`between_frames` asks for other stages; run the loop again with them."""


@dataclass(frozen=True)
class Limits:
    """When the loop ends by itself; None: never."""

    frames: int | None = None
    seconds: float | None = None


NO_LIMITS = Limits()


@dataclass
class Summary:
    """Counters and current state of a run, for everything that counts or shows them."""

    frames: int = 0
    looks: int = 0
    """Number of frames that were classified; the others were unchanged, or showed nothing."""
    started_s: float | None = None
    """Time of the first turn of the loop, by time.monotonic()."""
    seconds: float = 0.0
    """Seconds from then to the end of the last turn."""
    said: Counter[str] = field(default_factory=Counter)
    """How often each label was announced. Counts, because a list would grow for months."""
    last_words: str = ""
    """The last sentence that was said; empty: none yet."""
    in_the_air: int = 0
    """Number of announcements whose outcome is not known yet."""
    speech_problem: str = ""
    """Why nothing can be heard for now."""
    sight_fault: Condition | None = None
    """Why nothing can be seen for now."""
    sight_note: Condition | None = None
    """What makes seeing hard for now."""

    @property
    def frames_per_second(self) -> float:
        """Return the mean frame rate so far; 0 before the first frame."""
        return self.frames / self.seconds if self.seconds else 0.0

    def elapsed_s(self) -> float:
        """Return the seconds since the first turn of the loop; 0 before it."""
        return 0.0 if self.started_s is None else time.monotonic() - self.started_s


@dataclass(frozen=True)
class Stages:
    """The stages that a frame passes, in order."""

    camera: Camera
    visibility: Visibility
    motion: MotionDetector
    classifier: Classifier
    announcer: Announcer
    speaker: Speaker
    observer: Observer
    notices: Notices
    """Sentences about the daemon itself; they come before labels."""
    messages: Messages
    """Sentences that other programs gave; they come after those about the daemon."""


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
    """Run until the frames end, a limit is reached, or `stopping()` is true; keep `summary` up to date meanwhile.

    `between_frames` is called in each turn with time.monotonic() and the frame, if one came; if it returns True, the
    loop ends with REWIRE. `media_clock` uses the frames' own time, for a file that is not played at its own pace: it
    stands still while edge speaks. A frame is requested no sooner than `interval_s()` after the one before.
    """
    turn, pace = _Turn(stages, summary, stopping, media_clock=media_clock), _Pace(interval_s)
    if summary.started_s is None:
        summary.started_s = time.monotonic()
    try:
        with contextlib.suppress(EndOfFrames):
            while not stopping() and (limits.seconds is None or summary.elapsed_s() < limits.seconds):
                frame = turn.take_frame() if turn.may_begin() and pace.wait() else None
                hear(stages, summary)
                summary.seconds = summary.elapsed_s()
                if limits.frames is not None and summary.frames >= limits.frames:
                    break
                if between_frames(time.monotonic(), frame):
                    return Ending.REWIRE
        # let the last announcement end, unless a stop is requested; the speaker's own deadline limits the wait
        while summary.in_the_air and not stopping():
            hear(stages, summary)
            time.sleep(HEAR_S)
    finally:
        summary.seconds = summary.elapsed_s()
    return Ending.STOP


class _Pace:
    """Keeps the interval between frames, and lets the loop turn meanwhile."""

    def __init__(self, interval_s: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._next_s = 0.0

    def wait(self) -> bool:
        """Return True if the next frame is due; else wait for it, at most TURN_S, and return False."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            time.sleep(min(self._next_s - now_s, TURN_S))
            return False
        self._next_s = max(self._next_s, now_s - TURN_S) + self._interval_s()
        return True


class _Turn:
    """One turn of the loop: takes a frame from the camera to the speaker."""

    def __init__(self, stages: Stages, summary: Summary, stopping: Callable[[], bool], *, media_clock: bool) -> None:
        self._stages, self._summary, self._stopping, self._media_clock = stages, summary, stopping, media_clock
        self._known: list[Prediction] | None = None
        """The classifier's last predictions."""
        self._introduced = stages.camera.live or summary.frames > 0
        self._turned = False
        self._seen: tuple[Pixels, Thumbnail] | None = None
        """The last pixels, and their thumbnail: an image of a folder is several frames with the same ones."""

    def may_begin(self) -> bool:
        """Return True as soon as frames may be taken.

        A film begins when "I'm ready." has been said: else its first picture would go by meanwhile. A film on its own
        clock waits for each sentence: else most of it would go by during the first one.
        """
        if self._media_clock and self._summary.in_the_air:
            time.sleep(HEAR_S)
            return False
        if not self._introduced:
            # the first turn is for what happens between frames: it brings mutes, and may ask for silence
            self._introduced = self._turned and not self._notify() and not self._summary.in_the_air
            self._turned = True
            time.sleep(0 if self._introduced else HEAR_S)
        return self._introduced

    def take_frame(self) -> Frame | None:
        """Process the newest frame and return it; None if none came in time.

        Raises EndOfFrames after the last one.
        """
        asked_s = time.monotonic()
        frame = self._stages.camera.read(READ_TIMEOUT_S)
        capture_s = time.monotonic() - asked_s
        hear(self._stages, self._summary)
        thumbnail = None if frame is None else self._thumbnail(frame.pixels)
        visible = self._see(thumbnail)
        self._notify()
        if frame is None or thumbnail is None:
            return None
        self._summary.frames += 1
        looked = visible and self._is_worth_a_look(frame, thumbnail)
        if looked:
            self._known = self._stages.classifier.classify(frame)
            self._summary.looks += 1
        predictions = (self._known or []) if visible else []
        self._stages.observer.classified(frame, predictions, capture_s, looked=looked)
        self._announce(frame, predictions, visible=visible)
        return frame

    def _thumbnail(self, pixels: Pixels) -> Thumbnail:
        if self._seen is None or self._seen[0] is not pixels:
            self._seen = pixels, make_thumbnail(pixels)
        return self._seen[1]

    def _see(self, thumbnail: Thumbnail | None) -> bool:
        """Return True if the frame shows anything; report when a condition that hinders seeing begins or ends."""
        visibility, summary = self._stages.visibility, self._summary
        visible = visibility.update(thumbnail, time.monotonic())
        fault, note = visibility.fault, visibility.note
        self._stages.notices.see(fault, note)
        if (fault, note) != (summary.sight_fault, summary.sight_note):
            summary.sight_fault, summary.sight_note = fault, note
            self._stages.observer.sees(fault, note)
            self._stages.announcer.sees(sentence_of(fault), moment())
        return visible

    def _notify(self) -> bool:
        """Say the sentence that is due, about the daemon itself or given to it; return False if there is none now."""
        if self._media_clock:
            # a notice has another clock than a file that is not played at its own pace: it would disturb the order
            return False
        stages, now = self._stages, moment()
        sentence = stages.notices.due(now.s)
        notice = stages.announcer.notice(sentence, now) if sentence else None
        if notice is not None:
            if say(stages, self._summary, notice, now.s, now):
                stages.notices.told(sentence, now.s)
                stages.observer.notified(notice)
            return True
        message = stages.messages.due(now)
        if message is not None and say(stages, self._summary, message, now.s, now):
            stages.messages.began(message)
            stages.observer.notified(message)
        return message is not None

    def _is_worth_a_look(self, frame: Frame, thumbnail: Thumbnail) -> bool:
        media_s = frame.media_s if self._media_clock else None
        seen_s = frame.captured_s if media_s is None else media_s
        return self._stages.motion.worth_a_look(thumbnail, seen_s) or self._known is None

    def _announce(self, frame: Frame, predictions: Sequence[Prediction], *, visible: bool) -> None:
        """Say the frame's announcement, if there is one."""
        stages, summary = self._stages, self._summary
        for media_s in self._times_in_view(frame):
            seen_s = frame.captured_s if media_s is None else media_s
            now = moment(media_s)
            announcement = stages.announcer.update(predictions, seen_s, now, something=visible)
            if announcement is None:
                continue
            if media_s is not None:
                announcement = replace(announcement, expires_s=math.inf)  # its expiry is on the file's clock
            # refused if the speaker is busy: then the next frame's is offered, so that no words are outdated
            if self._say(announcement, seen_s, now):
                summary.said[announcement.label] += 1
                stages.observer.announced(announcement, frame)
                hear(stages, summary)
            else:
                stages.announcer.refused(announcement, now)

    def _say(self, announcement: Announcement, seen_s: float, now: Moment) -> bool:
        """Pass it to the speaker; return False if it is busy. A film on its own clock waits for it instead."""
        while not (taken := say(self._stages, self._summary, announcement, seen_s, now)) and self._media_clock:
            # the voice takes seconds to start
            if self._stopping():
                break
            time.sleep(HEAR_S)
            hear(self._stages, self._summary)
        return taken

    def _times_in_view(self, frame: Frame) -> Iterator[float | None]:
        """Yield the times at which the frame is in view, on its file's clock; one None if that clock is not used.

        A frame that stays in view counts as often as at its own pace, because no single look is believed.
        """
        if not self._media_clock or frame.media_s is None:
            yield None
            return
        looks = max(1, round(frame.shown_s / LOOK_S))
        for look in range(looks):
            yield frame.media_s + look * frame.shown_s / looks


def say(stages: Stages, summary: Summary, announcement: Announcement, seen_s: float, now: Moment) -> bool:
    """Pass it to the speaker, after interrupting the current one if it `interrupts`; return False if busy."""
    if announcement.interrupts:
        stages.speaker.interrupt()
        hear(stages, summary)
    if not stages.speaker.say(announcement):
        return False
    summary.in_the_air += 1
    summary.last_words = announcement.text
    stages.announcer.taken(announcement, seen_s, now)
    return True


def hear(stages: Stages, summary: Summary) -> None:
    """Process the outcomes of announcements, and changes of the speaker's problem."""
    for outcome in stages.speaker.poll():
        summary.in_the_air -= 1
        stages.announcer.finished(outcome)
        if not outcome.announcement.id and not outcome.announcement.given:
            # a person who interrupts a notice has heard it
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
    """Return the current time on both clocks; for a file not played at its own pace, the first is the file's."""
    return Moment(time.monotonic() if media_s is None else media_s, datetime.now())
