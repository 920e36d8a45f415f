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
from edge.aloud import READY, SIGHT_AGAIN, SMALLER, Aloud
from edge.announcer import Announcer, Knowledge, Missed
from edge.cameras import DEMO_CLIP, open_lasting
from edge.clerk import Clerk
from edge.control import ControlServer, control_path
from edge.desk import Desk, state_file
from edge.errors import EX_OK, ControlError, SpeechError
from edge.etiquette import Etiquette
from edge.events import Events
from edge.gate import Gate
from edge.guards import FreezeGuard, HeatGuard, MemoryGuard
from edge.loader import Loader
from edge.machine import Machine
from edge.models.checkpoint import DEMO
from edge.models.groups import load_groups
from edge.models.marker import runtime_folder
from edge.reporter import Reporter
from edge.settings import Settings
from edge.sight import Sight
from edge.speech import open_speaker
from edge.speech.words import Words
from edge.stages import Classifier, Frame, Speaker
from edge.stopper import Stopper, StopRequested
from edge.systemd import Teller, Watchdog


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
        tell = Teller(sys.stderr if settings.service.events == "-" else sys.stdout)
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
                camera = open_lasting(
                    *(settings.camera, reporter.camera_lost, camera_back, every_frame), paused=desk.paused
                )
                stopper.on_force(camera.close)
                closing.callback(camera.close)
                if camera.live and camera.waits:
                    pass  # that it is lost, or paused, is told
                elif settings.camera.source == "auto" and not camera.live:
                    tell(f"No camera found: playing {camera.description}.")
                else:
                    tell(f"Camera: {camera.description}.")
                if desk.paused:
                    tell("It was told not to look: edge resume opens the camera.")
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
        reporter.ready_with(classifier, speaker)
        sight = Sight(live=camera.live)
        # with --every-frame each is classified indeed
        gate = Gate(0.0 if every_frame else settings.model.still_s)
        stages = pipeline.Stages(camera, classifier, announcer, speaker, reporter, sight, gate, aloud)
        guard = MemoryGuard(loader, enabled=settings.model.step_down)
        heat = HeatGuard(loader.machine, aloud)
        freeze = FreezeGuard(camera, sight)
        clerk = Clerk(desk, announcer, etiquette, reporter)
        clerk.know(loader)
        watchdog = Watchdog()

        def between_frames(now_s: float, frame: Frame | None) -> bool:
            if frame is not None and summary.frames == 1:
                aloud.once("ready", READY)
                if loader.aloud:
                    aloud.once("model", loader.aloud)
            progress = frame is not None or camera.waits
            watchdog.look(now_s, progress=progress, interval_s=interval_s())
            reporter.turn(summary, camera.description, paused=camera.shut, now_s=now_s)
            clerk.shut_or_open(camera, sight, aloud)
            clerk.attend(stages, summary, frame)
            freeze.look(now_s)
            heat.look(now_s)
            return guard.look(now_s)

        def interval_s() -> float:
            if every_frame:
                return 0.0
            return max(1 / settings.camera.max_fps, heat.interval_s(stages.classifier.timing))

        while (
            pipeline.run(
                *(stages, summary, stopper.stopping, limits, between_frames),
                media_clock=every_frame,
                interval_s=interval_s,
            )
            is pipeline.Ending.REWIRE
        ):
            before, why = loader.name, guard.reason
            watchdog.feed(time.monotonic())
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
