"""Telling people (lines), programs (events) and systemd (status) what happens."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edge import pipeline
from edge.announce.announcer import Missed
from edge.daemon.events import Events
from edge.host.systemd import ERROR, WARNING, Teller, notify
from edge.stages import INTERRUPTED, TOO_LATE, Announcement, Classifier, Frame, Outcome, Prediction, Speaker, Timing


class Reporter:
    """Tells people (lines), programs (events) and systemd (status) what happens; changes, not iterations."""

    STATUS_EVERY_S, SUMMARY_EVERY_S = 10.0, 600.0

    def __init__(self, events: Events, tell: Teller, frame_events: bool) -> None:
        self.tell = tell
        self._events = events
        self._frame_events = frame_events
        self._classifier: Classifier | None = None
        self._speaker: Speaker | None = None
        self._ready = self._told_ready = False
        self._stopped = False
        self._problem = self._speech_problem = ""
        self._status = self._rate = ""
        self._counted_s = self._summary_s = 0.0
        self._frames_counted = self._frames_at_summary = self._looks_at_summary = 0
        self._frames = self._said = 0
        self._fault = ""
        self.last_words = ""
        """What was said last; empty: nothing yet."""

    def ready_with(self, classifier: Classifier, speaker: Speaker) -> None:
        """The stages are open, or opened anew; the first classified frame of all makes it ready."""
        self._classifier, self._speaker = classifier, speaker

    def model_changed(self, before: tuple[str, str], now: tuple[str, str], why: str) -> None:
        """Another network looks from here on, or the same with another engine: each with what runs it."""
        if before[0] == now[0]:
            line = f"Now {now[1]} runs {now[0]} instead of {before[1]}: {why}."
        else:
            line = f"Now {now[0]} looks instead of {before[0]}: {why}."
        self.tell(line, priority=WARNING, event="model_changed", model=now[0], reason=why)
        self._events.emit("model_changed", before=before[0], model=now[0], engine=now[1], reason=why)

    def camera_lost(self, why: str) -> None:
        """A live camera gives nothing any more; it is opened again and again."""
        line = f"{why} (it is tried again until it works)"
        self.tell(line, priority=WARNING, event="camera_lost", reason=why)
        self._events.emit("camera_lost", reason=why)

    def camera_back(self, description: str) -> None:
        """It gives frames again."""
        self.tell(f"Camera: {description} is back.", event="camera_back", camera=description)
        self._events.emit("camera_back", camera=description)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Meanwhile the settings are read anew (sd_notify(3), RELOADING)."""
        if not self._told_ready:
            yield
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            notify("READY=1")

    def reloaded(self, *, restart_needed: bool) -> None:
        """Other settings hold."""
        later = " What changed in [service] holds from the next start on." if restart_needed else ""
        self.tell(f"The settings were read anew.{later}", event="reloaded")
        self._events.emit("reloaded")

    def reload_refused(self, faults: str) -> None:
        """The settings, read anew, cannot be used; a line for each fault."""
        for fault in faults.splitlines():
            self.tell(f"The settings stay as they were: {fault}", priority=ERROR, event="reload_refused", reason=fault)
        self._events.emit("reload_refused", reason=faults)

    def paused(self, paused: bool) -> None:
        """The camera was closed or opened on request."""
        name = "paused" if paused else "resumed"
        self.tell("The camera is closed, as was asked for." if paused else "The camera is open again.", event=name)
        self._events.emit(name)

    def snapshot_taken(self) -> None:
        """Somebody has asked for a picture, and gets it."""
        self.tell("A snapshot was asked for, and given.", event="snapshot")
        self._events.emit("snapshot")

    def notified(self, notice: Announcement) -> None:
        """The daemon has begun to say something of itself."""
        self.last_words = notice.text
        self.tell(notice.text, event="notice")
        self._events.emit("notice", text=notice.text)

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float, *, looked: bool) -> None:
        """Each frame: an event if asked for; READY with the first; systemd's status now and then."""
        assert self._classifier
        assert self._speaker
        self._frames += 1
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
        if self._frame_events:
            best = predictions[0] if predictions else None
            timing = self._classifier.timing if looked else Timing(0.0, 0.0)
            self._events.emit(
                "frame",
                sequence=frame.sequence,
                frame_s=frame.media_s,
                label=best.label if best else None,
                id=best.id if best else None,
                probability=round(best.probability, 4) if best else None,
                looked=looked,
                capture_ms=round(1000 * capture_s, 3),
                preprocess_ms=round(1000 * timing.preprocess_s, 3),
                inference_ms=round(1000 * timing.inference_s, 3),
            )

    def turn(self, summary: pipeline.Summary, camera: str, *, paused: bool, now_s: float) -> None:
        """Once a turn of the loop: systemd's status when it has changed or grown old; now and then a summary."""
        assert self._classifier
        state = "paused, the camera is closed" if paused else self._fault.rstrip(".") or f"looks through {camera}"
        elapsed_s = now_s - self._counted_s
        if elapsed_s >= self.STATUS_EVERY_S:
            if self._counted_s:
                self._rate = f", {(self._frames - self._frames_counted) / elapsed_s:.1f} frames a second"
            self._counted_s, self._frames_counted = now_s, self._frames
        status = f"{self._classifier.name}: {state}{self._rate}"
        if self.last_words:
            status += f', last words: "{self.last_words}"'
        if status != self._status:
            notify(f"STATUS={status}")
            self._status = status
        if paused:
            self._tell_ready()  # as it was told to be
        if now_s - self._summary_s >= self.SUMMARY_EVERY_S:
            if self._summary_s:
                frames, looks = summary.frames - self._frames_at_summary, summary.looks - self._looks_at_summary
                self.tell(
                    f"In the last {(now_s - self._summary_s) / 60:.0f} minutes: {frames} frames, {looks} of them "
                    f"classified, {self._said} things said; {state}.",
                    event="summary",
                    frames=frames,
                    looks=looks,
                    said=self._said,
                )
            self._summary_s, self._said = now_s, 0
            self._frames_at_summary, self._looks_at_summary = summary.frames, summary.looks

    def _tell_ready(self) -> None:
        if not self._told_ready:
            self._told_ready = True
            notify("READY=1")

    def announced(self, announcement: Announcement, frame: Frame) -> None:
        """The line for each thing recognised."""
        self.last_words = announcement.text
        self._said += 1
        assert self._classifier
        self.tell(
            f"{announcement.text} ({announcement.probability:.0%})",
            event="announced",
            label=announcement.label,
            id=announcement.id,
            probability=round(announcement.probability, 4),
            model=self._classifier.name,
        )
        self._events.emit(
            "announced",
            label=announcement.label,
            id=announcement.id,
            probability=round(announcement.probability, 4),
            text=announcement.text,
            frame_s=None if frame.media_s is None else round(frame.media_s, 3),
            frame_age_ms=round(1000 * (time.monotonic() - frame.captured_s), 1),
        )

    def spoken(self, outcome: Outcome) -> None:
        """What became of it; a person reads of a problem once, and of its end."""
        self._events.emit("spoken", text=outcome.announcement.text, heard=outcome.heard, reason=outcome.reason or None)
        if outcome.reason in (INTERRUPTED, TOO_LATE):
            return  # as was wanted
        self._hear(self._speech_problem or ("" if outcome.delivered else outcome.reason))

    def audible(self, problem: str) -> None:
        """Nothing can be heard for now, for this reason; or, when it is empty, something can again."""
        self._events.emit("sound", problem=problem or None)
        self._speech_problem = problem
        self._hear(problem)

    def _hear(self, problem: str) -> None:
        if problem != self._problem:
            line = f"No sound ({problem}): I print what I would say." if problem else "There is sound again."
            self.tell(line, event="sound", problem=problem or None, **({"priority": WARNING} if problem else {}))
            self._problem = problem

    def sees(self, fault: str, note: str) -> None:
        """Nothing can be seen for now, for this reason; or, when it is empty, something can again, but with a note."""
        self._events.emit("sight", problem=fault or None, note=note or None)
        if fault != self._fault:
            why = fault.partition(": ")[2] or fault
            line = f"Nothing can be seen: {why}" if fault else "Something can be seen again."
        else:
            line = note or "What is seen is sharp again."
        self._fault = fault
        bad = {"priority": WARNING} if fault or note else {}
        self.tell(line, event="sight", problem=fault or None, note=note or None, **bad)
        if fault:
            self._tell_ready()  # the wait for a camera is announced: more cannot be done

    def missed(self, missed: Missed) -> None:
        """Something was recognised in the quiet."""
        self._events.emit(
            "missed",
            label=missed.label,
            text=missed.text,
            probability=round(missed.probability, 4),
            reason=missed.why,
        )

    def stopped(self, summary: pipeline.Summary) -> None:
        """The end, told once, whether it was reached in peace or by force."""
        if self._stopped:
            return
        self._stopped = True
        notify("STOPPING=1")
        self._events.emit("stopped", frames=summary.frames, seconds=round(summary.seconds, 3))
        words = ", ".join(label if count == 1 else f"{label} ({count} times)" for label, count in summary.said.items())
        self.tell(
            f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.frames_per_second:.1f} a second. "
            f"Said: {words or 'nothing'}.",
            event="stopped",
        )
        if self._events.lost:
            self.tell(f"{self._events.lost} events could not be written (is the disk full?).")
