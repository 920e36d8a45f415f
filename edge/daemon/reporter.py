"""Reports for people (log lines), programs (events) and systemd (status)."""

import enum
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from edge import pipeline
from edge.announce.announcer import Missed
from edge.announce.notices import code_of, sentence_of
from edge.daemon.events import Events
from edge.daemon.history import History
from edge.daemon.outages import Outages
from edge.daemon.subscribers import FRAME
from edge.host.systemd import notify
from edge.host.terminal import printable
from edge.input import KEYS, WAKE_WORD
from edge.stages import (
    INTERRUPTED,
    TOO_LATE,
    Announcement,
    Classifier,
    Condition,
    Frame,
    Outcome,
    Prediction,
    Speaker,
    Timing,
    is_taught,
)

_log = logging.getLogger(__name__)


_SOURCES = {KEYS: "Keys", WAKE_WORD: "Wake word"}
"""What the sources of input are called in the log."""


class Cause(enum.StrEnum):
    """Why another model or engine runs, in one word."""

    MEMORY = "memory"
    """Memory was tight."""
    ROOM = "room"
    """Enough memory is free again."""
    BETTER = "better"
    """A better model was fetched."""
    SETTINGS = "settings"
    """The settings were reloaded."""


class _Counts(NamedTuple):
    frames: int = 0
    looks: int = 0
    said: int = 0


class Reporter:
    """Reports to people (log lines), programs (events) and systemd (status): changes, not iterations."""

    STATUS_EVERY_S, SUMMARY_EVERY_S = 10.0, 600.0

    def __init__(self, events: Events, summary: pipeline.Summary, history: History) -> None:
        """Report with the loop's `summary`, which has all counts."""
        self._events = events
        self._history = history
        self._summary = summary
        self._classifier: Classifier | None = None
        self._speaker: Speaker | None = None
        self._smoothed: Callable[[], Prediction | None] = lambda: None
        self._outages = Outages()
        self._ready = self._told_ready = False
        self._stopped = False
        self._problem = ""
        """The problem with the sound that was reported last."""
        self._fault: Condition | None = None
        """The visibility fault that was reported last."""
        self._status = self._rate = ""
        self._rated_s, self._frames_rated = 0.0, 0
        """Time of the last frame rate, and the number of frames then."""
        self._counted_s, self._counts = 0.0, _Counts()
        """Time at which the counts were reported last, and the counts then."""

    def ready_with(
        self, classifier: Classifier, speaker: Speaker, smoothed: Callable[[], Prediction | None] = lambda: None
    ) -> None:
        """Take the stages that are open now. The daemon is ready with its first classified frame.

        `smoothed` returns the best label of the announcer's smoothed view.
        """
        self._classifier, self._speaker, self._smoothed = classifier, speaker, smoothed

    def model_changed(self, before: tuple[str, str], now: tuple[str, str], cause: Cause, why: str) -> None:
        """Report that another model runs now, or the same with another engine: `before`, `now` are (model, engine)."""
        if before[0] == now[0]:
            line = f"Now {now[1]} runs {now[0]} instead of {before[1]}: {why}."
        else:
            line = f"Now {now[0]} runs instead of {before[0]}: {why}."
        _log.warning(line, extra={"event": "model_changed", "model": now[0], "reason": why})
        self._events.emit("model_changed", before=before[0], model=now[0], engine=now[1], cause=cause, reason=why)

    def camera_lost(self, why: str) -> None:
        """Report that a live camera gives no frames any more, or why it cannot be reopened."""
        if line := self._outages.lost(why):
            _log.warning(line, extra={"event": "camera_lost", "reason": why})
        self._events.emit("camera_lost", reason=why)

    def camera_back(self, description: str) -> None:
        """Report that the camera gives frames again."""
        if self._outages.back(time.monotonic()):
            _log.info(f"Camera: {description} is back.", extra={"event": "camera_back", "camera": description})
        self._events.emit("camera_back", camera=description)

    def input_lost(self, source: str, why: str) -> None:
        """Report that keys or the wake word cannot be used; they are tried again and again."""
        line = f"{_SOURCES.get(source, source)}: {why} (edge keeps trying)"
        _log.warning(line, extra={"event": "input_lost", "source": source, "reason": why})
        self._events.emit("input_lost", source=source, reason=why)

    def input_back(self, source: str) -> None:
        """Report that keys or the wake word work again."""
        _log.info(f"{_SOURCES.get(source, source)}: working again.", extra={"event": "input_back", "source": source})
        self._events.emit("input_back", source=source)

    def microphone_open(self, name: str) -> None:
        """Report that a microphone is open, by ALSA's name."""
        line = f"A microphone is open ({name}) for the wake word; what it hears is neither kept nor sent."
        _log.info(line, extra={"event": "microphone_open", "microphone": name})
        self._events.emit("microphone_open", microphone=name)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell systemd that the settings are being reread inside the block (sd_notify(3), RELOADING)."""
        if not self._told_ready:
            yield
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            notify("READY=1")

    def reloaded(self, *, restart_needed: bool) -> None:
        """Report that the new settings are in effect."""
        later = " Changes in [service] take effect at the next start." if restart_needed else ""
        _log.info(f"The settings were reloaded.{later}", extra={"event": "reloaded"})
        self._events.emit("reloaded")

    def reload_refused(self, faults: str) -> None:
        """Report that the reread settings cannot be used, with a line for each fault."""
        for fault in faults.splitlines():
            _log.error(f"The settings were not reloaded: {fault}", extra={"event": "reload_refused", "reason": fault})
        self._events.emit("reload_refused", reason=faults)

    def paused(self, paused: bool) -> None:
        """Report that the camera was closed or opened on request."""
        name = "paused" if paused else "resumed"
        line = "The camera was closed on request." if paused else "The camera is open again."
        _log.info(line, extra={"event": name})
        self._events.emit(name)

    def snoozed(self, until: str | None) -> None:
        """Report that a person silenced edge, or changed the end of that; `until` is a time in ISO 8601."""
        _log.info(f"Snoozed until {until}.", extra={"event": "snoozed", "until": until})
        self._events.emit("snoozed", until=until)

    def awake(self) -> None:
        """Report that a snooze has ended."""
        _log.info("The snooze has ended.", extra={"event": "awake"})
        self._events.emit("awake")

    def adjusted(self, volume: float, rate_wpm: int) -> None:
        """Report that a person has changed the volume, 0..1, or the rate."""
        self._events.emit("adjusted", volume=volume, rate_wpm=rate_wpm)

    def tells_views(self) -> bool:
        """Return True if anybody wants to know what is in view."""
        return self._events.wants("in_view")

    def in_view(self, looked: Announcement) -> None:
        """Report that something else is in view, whether it is said or not; without a label: nothing any more."""
        self._events.emit(
            "in_view",
            label=looked.label or None,
            text=looked.text if looked.label else None,
            probability=round(looked.probability, 4) if looked.label else None,
        )

    def watched(self, clients: int, users: Sequence[str]) -> None:
        """Report how many clients look at the picture now, and the names of their users."""
        if not clients:
            line = "The picture is not shown any more."
        else:
            who = f"{clients} programs" if clients > 1 else "a program"
            line = f"Somebody is looking at the picture: {who} of the user {' and '.join(users)} shows it."
        _log.info(line, extra={"event": "watched", "clients": clients})
        self._events.emit("watched", clients=clients)

    def snapshot_taken(self) -> None:
        """Report that a snapshot was requested and given."""
        _log.info("A snapshot was requested and sent.", extra={"event": "snapshot"})
        self._events.emit("snapshot")

    def asked(self, what: str) -> None:
        """Report a request by key or word. From any thread."""
        self._events.emit("asked", action=what)

    def answered(self, outcome: Outcome) -> None:
        """Report the result of an answer. From any thread."""
        self._events.emit("spoken", text=outcome.announcement.text, heard=outcome.heard, reason=outcome.reason or None)

    def notified(self, notice: Announcement) -> None:
        """Report that the daemon has begun to say something about itself, an answer, or what it was given.

        From any thread.
        """
        _log.info(notice.text, extra={"event": "notice"})
        self._events.emit("notice", text=notice.text, given=notice.given)

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float, *, looked: bool) -> None:
        """Report a frame: READY with the first; an event for each if anybody wants it."""
        assert self._classifier
        assert self._speaker
        if not self._ready:
            self._ready = True
            self._events.emit(
                "ready",
                model=self._classifier.name,
                engine=self._classifier.engine,
                calibrated=self._classifier.calibrated,
                speech=self._speaker.description,
            )
            self._tell_ready()
        if self._events.wants(FRAME):
            best = predictions[0] if predictions else None
            smoothed = self._smoothed()
            timing = self._classifier.timing if looked else Timing(0.0, 0.0)
            self._events.emit(
                "frame",
                sequence=frame.sequence,
                frame_s=frame.media_s,
                label=best.label if best else None,
                id=best.id if best else None,
                probability=round(best.probability, 4) if best else None,
                smoothed_id=smoothed.id if smoothed else None,
                smoothed=round(smoothed.probability, 4) if smoothed else None,
                looked=looked,
                capture_ms=round(1000 * capture_s, 3),
                preprocess_ms=round(1000 * timing.preprocess_s, 3),
                inference_ms=round(1000 * timing.inference_s, 3),
            )

    def turn(self, camera: str, *, paused: bool, now_s: float) -> None:
        """Update systemd's status if it has changed or is old, and log the counts now and then; call it once a turn."""
        fault = sentence_of(self._summary.sight_fault)
        state = "paused, the camera is closed" if paused else fault.rstrip(".") or f"looking through {camera}"
        self._tell_status(state, now_s)
        if paused:
            self._tell_ready()  # paused on request: this is the wanted state
        if now_s - self._counted_s >= self.SUMMARY_EVERY_S:
            self._tell_counts(state, now_s)
        if line := self._outages.steady(now_s):
            _log.info(line)

    def _tell_status(self, state: str, now_s: float) -> None:
        assert self._classifier
        elapsed_s = now_s - self._rated_s
        if elapsed_s >= self.STATUS_EVERY_S:
            if self._rated_s:
                self._rate = f", {(self._summary.frames - self._frames_rated) / elapsed_s:.1f} frames a second"
            self._rated_s, self._frames_rated = now_s, self._summary.frames
        status = f"{self._classifier.name}: {state}{self._rate}"
        if self._summary.last_words:
            status += f', last words: "{self._summary.last_words}"'
        if status != self._status:
            notify(f"STATUS={printable(status)}")
            self._status = status

    def _tell_counts(self, state: str, now_s: float) -> None:
        before, summary = self._counts, self._summary
        self._counts = _Counts(summary.frames, summary.looks, summary.said.total())
        if self._counted_s:
            frames, looks, said = (now - then for now, then in zip(self._counts, before, strict=True))
            _log.info(
                f"In the last {(now_s - self._counted_s) / 60:.0f} minutes: {frames} frames, {looks} of them "
                f"classified, {said} announcements; {state}.",
                extra={"event": "summary", "frames": frames, "looks": looks, "said": said},
            )
        self._counted_s = now_s

    def _tell_ready(self) -> None:
        if not self._told_ready:
            self._told_ready = True
            notify("READY=1")

    def taught(self, names: Sequence[str]) -> None:
        """Report that something was taught or forgotten while edge runs; `names` are the things known now."""
        _log.info(f"Taught things known now: {', '.join(names) or 'none'}.")
        self._events.emit("taught", things=list(names))

    def teaching(self, name: str, phase: str, done: int, wanted: int, text: str = "") -> None:
        """Report how far the dialogue is that teaches a thing, and what edge says now."""
        self._events.emit("teaching", name=name, phase=phase, done=done, wanted=wanted, text=text or None)

    def taught_one(self, name: str, text: str, *, reason: str, detail: str, tested: tuple[int, int]) -> None:
        """Report the end of the dialogue. `reason` says in one word why nothing was learnt; empty: it was.

        `detail` is more about that for people. `tested` is how many of the test views are recognised, and how
        many these are.
        """
        right, held_back = tested
        found = f"{right} of {held_back} test views recognised"
        if reason:
            line = f"{name!r} was not learnt ({reason}): {detail or (found if held_back else 'nothing was changed')}."
        else:
            line = f"{name!r} was learnt: {found}."
        _log.info(line, extra={"event": "teaching", "reason": reason or None})
        self._events.emit(
            "teaching_ended",
            name=name,
            learnt=not reason,
            reason=reason or None,
            text=text or None,
            detail=detail or None,
            recognised=right,
            held_back=held_back,
        )

    def announced(self, announcement: Announcement, frame: Frame) -> None:
        """Report a recognised thing, with a log line and an event."""
        assert self._classifier
        what = {
            "label": announcement.label,
            "id": announcement.id,
            "probability": round(announcement.probability, 4),
        }
        _log.info(
            f"{announcement.text} ({announcement.probability:.0%})",
            extra={"event": "announced", **what, "model": self._classifier.name},
        )
        self._events.emit(
            "announced",
            **what,
            taught=is_taught(announcement.id),
            text=announcement.text,
            form=announcement.form,
            frame_s=None if frame.media_s is None else round(frame.media_s, 3),
            frame_age_ms=round(1000 * (time.monotonic() - frame.captured_s), 1),
        )

    def spoken(self, outcome: Outcome) -> None:
        """Report the result of an announcement: an event for each, a log line only when a problem begins or ends."""
        self._events.emit("spoken", text=outcome.announcement.text, heard=outcome.heard, reason=outcome.reason or None)
        self._history.add(outcome)
        if outcome.reason in (INTERRUPTED, TOO_LATE):
            return  # this is intended
        self._hear(self._summary.speech_problem or ("" if outcome.delivered else outcome.reason))

    def audible(self, problem: str) -> None:
        """Report why there is no sound now; an empty `problem`: there is sound again."""
        self._events.emit("sound", problem=problem or None)
        self._hear(problem)

    def _hear(self, problem: str) -> None:
        if problem != self._problem:
            line = f"No sound ({problem}): announcements are printed instead." if problem else "There is sound again."
            level = logging.WARNING if problem else logging.INFO
            _log.log(level, line, extra={"event": "sound", "problem": problem or None})
            self._problem = problem

    def sees(self, fault: Condition | None, note: Condition | None) -> None:
        """Report why the camera sees nothing now; `fault` None: it sees again, perhaps with a `note`."""
        problem, hint = sentence_of(fault), sentence_of(note)
        self._events.emit("sight", problem=problem or None, condition=code_of(fault), note=hint or None)
        if fault == self._fault:
            line = hint or "The picture is sharp again."
        elif fault:
            line = f"The camera sees nothing: {problem.partition(': ')[2] or problem}"
        else:
            line = "The camera can see again."
        is_loss = Condition.LOST in (fault, self._fault)
        self._fault = fault
        level = logging.WARNING if fault or note else logging.INFO
        if not (is_loss and self._outages.is_quiet):
            _log.log(level, line, extra={"event": "sight", "problem": problem or None, "note": hint or None})
        if fault:
            self._tell_ready()  # the wait for a camera is announced: nothing more can be done

    def missed(self, missed: Missed) -> None:
        """Report a thing that was recognised during silence."""
        self._events.emit(
            "missed",
            label=missed.label or None,
            text=missed.text,
            probability=round(missed.probability, 4) if missed.label else None,
            reason=missed.why,
        )

    def stopped(self) -> None:
        """Report the end once, whether it is orderly or forced."""
        if self._stopped:
            return
        self._stopped = True
        summary = self._summary
        notify("STOPPING=1")
        self._events.emit("stopped", frames=summary.frames, seconds=round(summary.seconds, 3))
        words = ", ".join(label if count == 1 else f"{label} ({count} times)" for label, count in summary.said.items())
        _log.info(
            f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.frames_per_second:.1f} a second. "
            f"Said: {words or 'nothing'}.",
            extra={"event": "stopped"},
        )
        if self._events.lost:
            _log.info(f"{self._events.lost} events could not be written (is the disk full?).")
