"""All the wiring: settings become stages, and what happens is told. READ THIRD."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge import __version__, pipeline
from edge.aloud import HOT, READY, SIGHT_AGAIN, SMALLER, Aloud
from edge.announcer import Announcer, Knowledge, Missed
from edge.cameras import DEMO_CLIP, open_lasting
from edge.control import ControlServer, control_path
from edge.desk import Desk, state_file
from edge.errors import EX_OK, ControlError, SpeechError
from edge.etiquette import Etiquette
from edge.events import Events
from edge.health import HeatWatch, MemoryWatch
from edge.loader import Loader
from edge.machine import Machine, MemoryReading
from edge.models.checkpoint import DEMO
from edge.models.groups import load_groups
from edge.models.marker import runtime_folder
from edge.reporter import Reporter, teller
from edge.settings import Settings
from edge.sight import Sight
from edge.speech import open_speaker
from edge.speech.words import Words
from edge.stages import Classifier, Speaker
from edge.stopper import Stopper, StopRequested


def run(
    settings: Settings,
    limits: pipeline.Limits = pipeline.NO_LIMITS,
    *,
    every_frame: bool = False,
    overrides: Mapping[str, Any] | None = None,
    synset: Path | None = None,
    machine: Machine | None = None,
) -> int:
    """Be the daemon until the frames end, a limit is reached or a signal comes; return the exit code.

    `overrides` and `synset` are for models.checkpoint.find_checkpoint; `machine` is another one's /proc and /sys, for
    tests. Raises EdgeError for what cannot be opened.
    """
    summary = pipeline.Summary()
    with ExitStack() as closing:
        events = Events(settings.service.events)
        closing.callback(events.close)
        tell = teller(sys.stderr if settings.service.events == "-" else sys.stdout)
        reporter = Reporter(events, tell, settings.service.events_frames)
        stopper = closing.enter_context(Stopper(lambda: reporter.stopped(summary)))
        events.emit("started", version=__version__, pid=os.getpid())

        def camera_back(description: str) -> None:
            reporter.camera_back(description)
            announcer.forget()  # nobody knows what went by meanwhile

        try:
            with stopper.at_once():
                words = Words(settings.announce, settings.speech, tell)
                desk = Desk(state_file(), tell)
                _open_control(settings, desk, closing, stopper, tell)
                loader = Loader(settings, machine=machine, overrides=overrides, synset=synset, tell=tell)
                # a forced end while a network loads is no sign of a network that kills
                stopper.on_force(loader.marker.clear)
                camera = open_lasting(settings.camera, reporter.camera_lost, camera_back, every_frame)
                stopper.on_force(camera.close)
                closing.callback(camera.close)
                if settings.camera.source == "auto" and not camera.live:
                    tell(f"No camera found: playing {camera.description}.")
                else:
                    tell(f"Camera: {camera.description}.")
                closing.callback(loader.close)
                classifier = loader.open()
                tell(f"Model: {loader.description}{'' if classifier.calibrated else ', uncalibrated'}.")
                if camera.description == DEMO_CLIP and classifier.name != DEMO:
                    tell("The demo clip is drawn for the demo network: --model demo shows how it is recognised.")
                demo = settings.model.name == "auto" and classifier.name == DEMO
                speaker = _open_speaker(settings, reporter, only_demo=camera.live and demo)
                stopper.on_force(speaker.close)
                closing.callback(speaker.close)
        except StopRequested:
            reporter.stopped(summary)
            return EX_OK
        # an error before this line is one line; from here on there is something to sum up too
        closing.callback(reporter.stopped, summary)
        etiquette = Etiquette(settings.announce)

        def missed(what: Missed) -> None:
            reporter.missed(what)
            desk.miss(what)

        announcer = Announcer(settings.announce, words, etiquette, missed)
        announcer.knowledge = _knowledge(loader, classifier)
        aloud = Aloud(settings.aloud)
        aloud.set("sight", "", SIGHT_AGAIN)  # the first topic goes before the others
        aloud.once("ready", READY)
        if loader.aloud:
            aloud.once("model", loader.aloud)
        reporter.ready_with(classifier, speaker)
        sight = Sight(live=camera.live)
        stages = pipeline.Stages(camera, classifier, announcer, speaker, reporter, sight, aloud)
        guard = MemoryGuard(loader, enabled=settings.model.step_down)
        heat = HeatGuard(loader.machine, aloud)
        clerk = Clerk(desk, announcer, etiquette, reporter)
        clerk.know(loader)

        def between_frames(now_s: float) -> bool:
            clerk.attend(stages, summary)
            heat.rest(now_s, stages.classifier)
            return guard.look(now_s)

        while (
            pipeline.run(stages, summary, stopper.stopping, limits, between_frames, media_clock=every_frame)
            is pipeline.Ending.REWIRE
        ):
            before, why = loader.name, guard.reason
            try:
                with stopper.at_once():
                    classifier = loader.step_down() if guard.wanted == "down" else loader.step_up()
            except StopRequested:
                break
            announcer.knowledge = _knowledge(loader, classifier)
            reporter.ready_with(classifier, speaker)
            if loader.name != before:
                reporter.model_changed(before, loader.name, why)
                if guard.wanted == "down":
                    aloud.once("model", SMALLER)
            clerk.know(loader)
            stages = dataclasses.replace(stages, classifier=classifier)
    return EX_OK


def _knowledge(loader: Loader, classifier: Classifier) -> Knowledge:
    return Knowledge(loader.background, load_groups(loader.labels), calibrated=classifier.calibrated)


def _open_control(
    settings: Settings, desk: Desk, closing: ExitStack, stopper: Stopper, tell: Callable[[str], None]
) -> None:
    """Let it be spoken to, from the start: a network may take long to load."""
    desk.show({"version": __version__, "pid": os.getpid(), "starting": True}, {"text": "I'm starting."})
    path = control_path(settings.service.control, runtime_folder())
    if path is None:
        return
    try:
        server = ControlServer(path, desk.answer)
    except ControlError as error:
        tell(f"Not to be spoken to: {error}.")
    else:
        stopper.on_force(server.close)
        closing.callback(server.close)


class Clerk:
    """Carries between the desk and the loop, once a turn."""

    def __init__(self, desk: Desk, announcer: Announcer, etiquette: Etiquette, reporter: Reporter) -> None:
        self._desk = desk
        self._announcer = announcer
        self._etiquette = etiquette
        self._reporter = reporter
        self._looked = ""
        """What was said last of what is in view."""

    def know(self, loader: Loader) -> None:
        """Another network looks: it has other labels."""
        self._desk.know([*loader.labels.values(), *(group.name for group in self._announcer.knowledge.groups)])

    def attend(self, stages: pipeline.Stages, summary: pipeline.Summary) -> None:
        """Do what was asked for, and tell how things are."""
        now = pipeline.moment()
        self._etiquette.snoozed_until_s = self._desk.snoozed_until_s
        self._announcer.muted = self._desk.muted
        looked = self._announcer.look(now)
        if summary.sight_fault:
            looked = dataclasses.replace(looked, label="", probability=0.0, text=summary.sight_fault)
        # who asks again while it is being said hears it anyway
        if (
            self._desk.take_look()
            and not (summary.in_the_air and looked.text == self._looked)
            and pipeline.say(stages, summary, looked, now.s, now)
        ):
            self._looked = looked.text
            self._reporter.notified(looked)
        status = {
            "version": __version__,
            "pid": os.getpid(),
            "model": stages.classifier.name,
            "engine": stages.classifier.engine,
            "calibrated": stages.classifier.calibrated,
            "camera": stages.camera.description,
            "sight": summary.sight_fault or None,
            "frames": summary.frames,
            "frames_per_second": round(summary.frames_per_second, 2),
            "speech": stages.speaker.description,
            "sound": summary.speech_problem or None,
            "last_words": self._reporter.last_words,
            "in_view": looked.label or None,
            "silence": self._etiquette.silence(now) or None,
        }
        present = {"text": looked.text, "label": looked.label or None, "probability": round(looked.probability, 4)}
        self._desk.show(status, present)


class MemoryGuard:
    """Looks once a second whether memory is tight, and asks the loop for another network."""

    EVERY_S = 1.0

    def __init__(self, loader: Loader, *, enabled: bool) -> None:
        self._loader = loader
        self._enabled = enabled
        self._watch = MemoryWatch()
        self._last_s = 0.0
        self.wanted = ""
        """down or up, once `look` has returned True."""
        self.reason = ""

    def look(self, now_s: float) -> bool:
        """Whether another network should look from now on; to be called in each turn of the loop."""
        if not self._enabled or now_s - self._last_s < self.EVERY_S:
            return False
        self._last_s = now_s
        reading = self._loader.machine.memory_reading()
        self.wanted = self._watch.update(reading, now_s, self._loader.growth_mib())
        self.reason = _reason(reading) if self.wanted == "down" else "there is memory enough again"
        return self.wanted == "up" or (self.wanted == "down" and self._loader.can_step_down())


class HeatGuard:
    """Looks now and then whether the board is hot; then it rests after each frame for as long as the frame took."""

    EVERY_S = 5.0
    LONGEST_S = 0.2
    """A rest is taken in pieces of this, so that words and signals need not wait."""

    def __init__(self, machine: Machine, aloud: Aloud) -> None:
        self._machine = machine
        self._aloud = aloud
        self._watch = HeatWatch()
        self._last_s = self._frame_s = 0.0

    def rest(self, now_s: float, classifier: Classifier) -> None:
        """To be called in each turn of the loop."""
        if now_s - self._last_s >= self.EVERY_S and self._machine.is_raspberry_pi:
            self._last_s = now_s
            self._aloud.set("heat", HOT if self._watch.update(self._machine.temperature_c()) else "")
        if self._watch.hot:
            timing = classifier.timing
            time.sleep(min(timing.preprocess_s + timing.inference_s, self.LONGEST_S))


def _reason(reading: MemoryReading) -> str:
    left = [mib for mib in (reading.available_mib, reading.cgroup_headroom_mib) if mib is not None]
    return f"memory is tight, {min(left):.0f} MiB are left" if left else "memory is tight"


def _open_speaker(settings: Settings, reporter: "Reporter", only_demo: bool) -> Speaker:
    """The speaker of the settings, or the one that prints where sound is impossible or would be a promise too much."""
    silent = dataclasses.replace(settings.speech, driver="log")
    if only_demo:
        reporter.tell(
            "The demo network knows only its own few things, so I print what I would say. Use --model demo to hear it, "
            "or --model PREFIX for a network that knows more."
        )
    elif settings.speech != silent:
        try:
            return open_speaker(settings.speech)
        except SpeechError as error:
            reporter.tell(f"No sound ({error}): I print what I would say.")
    # the reporter writes a line for each announcement anyway
    return open_speaker(silent, printed=lambda _text: None)
