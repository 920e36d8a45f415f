"""All the wiring: settings become stages, signals become an end, and what happens is told. READ THIRD."""

import dataclasses
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

from edge import __version__, pipeline
from edge.announcer import Announcer
from edge.cameras import open_camera
from edge.config import Settings
from edge.engines import open_classifier
from edge.errors import EX_OK, SpeechError
from edge.events import Events
from edge.models.checkpoint import find_checkpoint
from edge.speech import open_speaker
from edge.speech.phrases import phrase
from edge.speech.sound import sound_problem
from edge.stages import Announcement, Classifier, Frame, Outcome, Prediction, Speaker
from edge.systemd import notify

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TIDY_S = 1.2
"""How long a signal leaves the loop to end by itself."""
FAREWELL_S = 0.5
"""And then for killing children and last words: together less than the 2 s that are promised."""


def run(
    settings: Settings,
    limits: pipeline.Limits = pipeline.NO_LIMITS,
    *,
    every_frame: bool = False,
    overrides: Mapping[str, Any] | None = None,
    synset: Path | None = None,
) -> int:
    """Be the daemon until the frames end, a limit is reached or a signal comes; return the exit code.

    `overrides` and `synset` are for models.checkpoint.find_checkpoint. Raises EdgeError for what cannot be opened.
    """
    summary = pipeline.Summary()
    with ExitStack() as closing:
        events = Events(settings.service.events)
        closing.callback(events.close)
        reporter = Reporter(events, _tell_on(sys.stderr if settings.service.events == "-" else sys.stdout), settings)
        stopper = closing.enter_context(Stopper(lambda: reporter.stopped(summary)))
        events.emit("started", version=__version__, pid=os.getpid())
        try:
            with stopper.at_once():
                checkpoint = find_checkpoint(settings.model.name, overrides, synset)
                camera = open_camera(settings.camera, every_frame)
                closing.callback(camera.close)
                if settings.camera.source == "auto" and not camera.live:
                    reporter.tell(f"No camera found: playing {camera.description}.")
                else:
                    reporter.tell(f"Camera: {camera.description}.")
                classifier = open_classifier(checkpoint, settings.model.top)
                closing.callback(classifier.close)
                reporter.tell(f"Model: {classifier.name}, run by {classifier.engine}.")
                speaker = _open_speaker(settings, reporter, only_demo=camera.live and settings.model.name == "auto")
                stopper.on_force(speaker.close)
                closing.callback(speaker.close)
        except StopRequested:
            reporter.stopped(summary)
            return EX_OK
        # an error before this line is one line; from here on there is something to sum up too
        closing.callback(reporter.stopped, summary)
        announcer = Announcer(
            settings.announce, lambda label: phrase(label, settings.announce.template), checkpoint.background
        )
        reporter.ready_with(classifier, speaker)
        stages = pipeline.Stages(camera, classifier, announcer, speaker, reporter)
        pipeline.run(stages, summary, stopper.stopping, limits, media_clock=every_frame)
    return EX_OK


def _tell_on(terminal: TextIO) -> Callable[[str], None]:
    def tell(line: str) -> None:
        # a full disk, or a terminal that is gone, must not end what the daemon is for
        try:
            print(line, file=terminal, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            pass

    return tell


def _open_speaker(settings: Settings, reporter: "Reporter", only_demo: bool) -> Speaker:
    """The speaker of the settings, or the one that prints where sound is impossible or would be a promise too much."""
    silent = dataclasses.replace(settings.speech, driver="log")
    if only_demo:
        reporter.tell(
            "The demo network knows only its own few things, so I print what I would say. Use --model demo to hear it, "
            "or --model PREFIX for a network that knows more."
        )
    elif settings.speech != silent:
        problem = sound_problem()
        if problem is None:
            try:
                return open_speaker(settings.speech)
            except SpeechError as error:
                problem = str(error)
        reporter.tell(f"No sound ({problem}): I print what I would say.")
    # the reporter writes a line for each announcement anyway
    return open_speaker(silent, printed=lambda _text: None)


class Reporter:
    """Tells people (lines), programs (events) and systemd (status) what happens; changes, not iterations."""

    STATUS_EVERY_S = 10.0

    def __init__(self, events: Events, tell: Callable[[str], None], settings: Settings) -> None:
        self.tell = tell
        self._events = events
        self._frame_events = settings.service.events_frames
        self._classifier: Classifier | None = None
        self._speaker: Speaker | None = None
        self._ready = False
        self._stopped = False
        self._problem = ""
        self._status_s = 0.0
        self._frames_at_status = 0
        self._frames = 0
        self._last_text = "nothing yet"

    def ready_with(self, classifier: Classifier, speaker: Speaker) -> None:
        """The stages are open; the first classified frame makes it ready."""
        self._classifier, self._speaker = classifier, speaker

    def classified(self, frame: Frame, predictions: Sequence[Prediction], capture_s: float) -> None:
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
                speech=self._speaker.description,
            )
            notify("READY=1")
        if self._frame_events:
            best, timing = predictions[0], self._classifier.timing
            self._events.emit(
                "frame",
                sequence=frame.sequence,
                frame_s=frame.media_s,
                label=best.label,
                id=best.id,
                probability=round(best.probability, 4),
                capture_ms=round(1000 * capture_s, 3),
                preprocess_ms=round(1000 * timing.preprocess_s, 3),
                inference_ms=round(1000 * timing.inference_s, 3),
            )
        elapsed_s = time.monotonic() - self._status_s
        if elapsed_s >= self.STATUS_EVERY_S:
            rate = (self._frames - self._frames_at_status) / elapsed_s if self._status_s else 0.0
            notify(f"STATUS={self._classifier.name}, {rate:.1f} frames a second, last words: {self._last_text}")
            self._status_s, self._frames_at_status = time.monotonic(), self._frames

    def announced(self, announcement: Announcement, frame: Frame) -> None:
        """The line for each thing recognised."""
        self._last_text = announcement.text
        self.tell(f"{announcement.text} ({announcement.probability:.0%})")
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
        problem = "" if outcome.delivered else outcome.reason
        if problem != self._problem:
            self.tell(f"Not heard: {problem}." if problem else "Heard again.")
            self._problem = problem

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
            f"Said: {words or 'nothing'}."
        )
        if self._events.lost:
            self.tell(f"{self._events.lost} events could not be written (is the disk full?).")


class StopRequested(BaseException):
    """A signal came while the stages were being opened. Like KeyboardInterrupt it is no error."""


class Stopper:
    """Turns SIGTERM, SIGINT and SIGHUP into an end within 2 s, also while a C call runs.

    Python runs signal handlers between two of its own instructions, so a long C call would hold them up. The wakeup
    file descriptor is written at once, and a thread of ours reads it: if the loop does not end in time, the thread
    closes what has children and leaves.
    """

    def __init__(self, last_words: Callable[[], None]) -> None:
        """`last_words` is called before leaving by force."""
        self._last_words = last_words
        self._forced: list[Callable[[], None]] = []
        self._at_once = False
        self._stop = threading.Event()
        self._finished = threading.Event()

    def stopping(self) -> bool:
        """Whether somebody wants the daemon to end."""
        return self._stop.is_set()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise StopRequested: opening the stages takes seconds, and none of it is worth finishing."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        if self.stopping():
            raise StopRequested

    def on_force(self, close: Callable[[], None]) -> None:
        """Have `close` called before leaving by force, from another thread."""
        self._forced.append(close)

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """The thread does the rest, or sees to it that it is done."""
        self._stop.set()
        if number == signal.SIGINT and os.isatty(2):
            os.write(2, b"\n")  # the terminal has just written ^C
        if self._at_once:
            self._at_once = False
            raise StopRequested

    def _watch(self) -> None:
        if not self._reader.recv(1):
            return
        self._stop.set()
        if self._finished.wait(TIDY_S):
            return
        # in a thread again: whoever reads what we print may be stuck too
        farewell = threading.Thread(target=self._farewell, daemon=True)
        farewell.start()
        farewell.join(FAREWELL_S)
        os._exit(EX_OK)

    def _farewell(self) -> None:
        for close in self._forced:
            close()
        self._last_words()
