"""All the wiring: settings become stages, and what happens is told. READ THIRD."""

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge import __version__, pipeline
from edge.announce.announcer import Announcer, Knowledge, Missed
from edge.announce.notices import ANOTHER, READY, SMALLER, Notices
from edge.announce.schedule import Schedule
from edge.announce.wording import Words
from edge.daemon.control_socket import ControlServer, control_path
from edge.daemon.control_state import ControlState, state_file
from edge.daemon.equipment import Equipment
from edge.daemon.events import Events
from edge.daemon.model_changes import ModelChanges
from edge.daemon.monitors import FreezeMonitor, HeatMonitor
from edge.daemon.reporter import Reporter
from edge.daemon.requests import RequestHandler
from edge.daemon.signals import Signals, StopRequested
from edge.errors import EX_OK, ControlError, EdgeError
from edge.host.machine import Machine
from edge.host.systemd import Watchdog, lines_to
from edge.models.crash_marker import runtime_folder
from edge.models.groups import load_groups
from edge.selection.fallback import Fallback
from edge.settings import Settings
from edge.stages import Frame
from edge.vision.motion import MotionDetector
from edge.vision.visibility import Visibility

_log = logging.getLogger("edge.daemon")
"""The lines of the daemon: of this, and of what is in edge/daemon."""
_FALLBACK_SENTENCES = {Fallback.ANOTHER: ANOTHER, Fallback.SMALLER: SMALLER}


def run(
    settings: Settings,
    limits: pipeline.Limits = pipeline.NO_LIMITS,
    *,
    reread: Callable[[], Settings] | None = None,
    every_frame: bool = False,
    overrides: Mapping[str, Any] | None = None,
    synset: Path | None = None,
    machine: Machine | None = None,
    fetch: bool = False,
) -> int:
    """Be the daemon until the frames end, a limit is reached or a signal comes; return the exit code.

    `reread` returns the settings as they are now, when a signal asks for that. `overrides` and `synset` are for
    models.checkpoint.find_checkpoint; `machine` is another one's /proc and /sys, for tests. With `fetch`, and where the
    settings allow it, a Raspberry Pi with a camera fetches the best model for it meanwhile. Raises EdgeError for what
    cannot be opened.
    """
    summary = pipeline.Summary()
    with ExitStack() as closing:
        events = Events(settings.service.events)
        closing.callback(events.close)
        closing.enter_context(lines_to(sys.stderr if settings.service.events == "-" else sys.stdout, _log))
        reporter = Reporter(events, summary, frame_events=settings.service.events_frames)
        signals = closing.enter_context(Signals(reporter.stopped))
        events.emit("started", version=__version__, pid=os.getpid())
        try:
            with signals.at_once():
                parts = _make_parts(
                    settings,
                    reporter,
                    summary,
                    machine=machine,
                    every_frame=every_frame,
                    overrides=overrides,
                    synset=synset,
                )
                _open_control(settings, parts.control_state, signals, closing)
                signals.on_force(parts.equipment.end_children)
                closing.callback(parts.equipment.close)
                paused = parts.control_state.paused
                parts.equipment.open(paused=paused)
                if paused:
                    _log.info("It was told not to look: edge resume opens the camera.")
        except StopRequested:
            reporter.stopped()
            return EX_OK
        # an error before this line is one line; from here on there is something to sum up too
        closing.callback(reporter.stopped)
        wiring = Wiring(parts, every_frame=every_frame, fetch=fetch)
        signals.on_force(wiring.end_children)
        closing.callback(wiring.close)

        def between_frames(now_s: float, frame: Frame | None) -> bool:
            other_model = wiring.between_frames(now_s, frame)
            # words that are being said may end: another voice would not know what became of them
            return other_model or (signals.reload_is_wanted and not summary.in_the_air)

        ending = pipeline.Ending.REWIRE
        while ending is pipeline.Ending.REWIRE:
            ending = pipeline.run(
                wiring.stages,
                summary,
                signals.stopping,
                limits,
                between_frames,
                media_clock=every_frame,
                interval_s=wiring.interval_s,
            )
            if ending is pipeline.Ending.REWIRE and not _rewire(wiring, signals, reporter, reread):
                break
    return EX_OK


def _rewire(wiring: "Wiring", signals: Signals, reporter: Reporter, reread: Callable[[], Settings] | None) -> bool:
    """Exchange what is to be exchanged; return False when a signal came meanwhile."""
    try:
        with signals.at_once(), wiring.watchdog.patience():
            if wiring.wants_other_model:
                wiring.change_model()
            else:
                signals.reload_is_wanted = False
                with reporter.reloading():
                    wiring.reload(reread)
    except StopRequested:
        return False
    return True


@dataclass(frozen=True)
class Parts:
    """What lives as long as the daemon, whatever is exchanged in it."""

    reporter: Reporter
    summary: pipeline.Summary
    control_state: ControlState
    schedule: Schedule
    announcer: Announcer
    motion: MotionDetector
    equipment: Equipment


def _make_parts(
    settings: Settings,
    reporter: Reporter,
    summary: pipeline.Summary,
    *,
    machine: Machine | None,
    every_frame: bool,
    overrides: Mapping[str, Any] | None,
    synset: Path | None,
) -> Parts:
    """Make what needs no device and no model yet: the equipment is still closed. Raises ConfigError."""
    words = Words(settings.announce, settings.speech, _log.info)
    control_state = ControlState(state_file())

    def missed(what: Missed) -> None:
        reporter.missed(what)
        control_state.miss(what)

    schedule = Schedule(settings.announce)
    announcer = Announcer(settings.announce, words, schedule, missed)
    motion = MotionDetector(settings.model.still_s)

    def camera_back(description: str) -> None:
        reporter.camera_back(description)
        _look_anew(announcer, motion)

    equipment = Equipment(
        settings,
        reporter.camera_lost,
        camera_back,
        machine=machine,
        every_frame=every_frame,
        overrides=overrides,
        synset=synset,
    )
    return Parts(reporter, summary, control_state, schedule, announcer, motion, equipment)


def _look_anew(announcer: Announcer, motion: MotionDetector) -> None:
    """Believe nothing of before: nobody knows what went by while nobody looked."""
    announcer.forget()
    motion.reset()


def _open_control(settings: Settings, control_state: ControlState, signals: Signals, closing: ExitStack) -> None:
    """Let it be spoken to, from the start: a model may take long to load."""
    starting = {"version": __version__, "pid": os.getpid(), "starting": True}
    control_state.show(lambda: starting, lambda: {"text": "I'm starting."})
    path = control_path(settings.service.control, runtime_folder())
    if path is None:
        return
    try:
        server = ControlServer(path, control_state.answer)
    except ControlError as error:
        _log.info(f"Not to be spoken to: {error}.")
    else:
        signals.on_force(server.close)
        closing.callback(server.close)


class Wiring:
    """The stages as they are joined now, and whoever is asked between two frames."""

    def __init__(self, parts: Parts, *, every_frame: bool, fetch: bool) -> None:
        """The equipment is open."""
        equipment = parts.equipment
        self._parts = parts
        self._equipment = equipment
        self._reporter = parts.reporter
        self._every_frame = every_frame
        self.watchdog = Watchdog()
        self._notices = Notices(equipment.settings.aloud)
        self._notices.see(None, None)  # the first topic goes before the others
        self._heat = HeatMonitor(equipment.selector.machine, self._notices)
        self._requests = RequestHandler(
            parts.control_state, parts.announcer, parts.schedule, parts.reporter, parts.summary
        )
        self._models = ModelChanges(equipment, parts.reporter, self._notices, parts.summary, fetch=fetch)
        self._visibility = Visibility(live=equipment.camera.live)
        self._join()

    def _join(self) -> None:
        """Join what is open now."""
        equipment = self._equipment
        # with --every-frame each is classified indeed
        self._parts.motion.longest_s = 0.0 if self._every_frame else equipment.settings.model.still_s
        self._parts.motion.reset()
        self._freeze = FreezeMonitor(equipment.camera, self._visibility)
        self.stages = pipeline.Stages(
            camera=equipment.camera,
            visibility=self._visibility,
            motion=self._parts.motion,
            classifier=equipment.classifier,
            announcer=self._parts.announcer,
            speaker=equipment.speaker,
            observer=self._reporter,
            notices=self._notices,
        )
        self._know_the_model()

    def _know_the_model(self) -> None:
        """Tell whoever must know which model looks now."""
        equipment = self._equipment
        self._parts.announcer.knowledge = Knowledge(
            equipment.selector.background,
            load_groups(equipment.selector.labels),
            calibrated=equipment.classifier.calibrated,
            independent=equipment.classifier.independent,
        )
        self._reporter.ready_with(equipment.classifier, equipment.speaker)
        self._requests.know(self.stages, equipment.selector)

    def close(self) -> None:
        """Give up what is being fetched or loaded."""
        self._models.close()

    def end_children(self) -> None:
        """End the processes, at once and from any thread."""
        self._models.end_children()

    def between_frames(self, now_s: float, frame: Frame | None) -> bool:
        """Control, health and watchdog, once a turn of the loop; True asks for another model."""
        camera = self._equipment.camera
        if frame is not None and self._parts.summary.frames == 1:
            self._notices.once("ready", READY)
            self._announce_fallback()
        progress = frame is not None or camera.waits
        self.watchdog.look(now_s, progress=progress, interval_s=self.interval_s())
        self._reporter.turn(camera.description, paused=camera.paused, now_s=now_s)
        if self._requests.shut_or_open(camera, self._visibility, self._notices):
            _look_anew(self._parts.announcer, self._parts.motion)
        self._requests.attend(self.stages, frame)
        self._freeze.look(now_s)
        self._heat.look(now_s)
        self._models.look(now_s)
        return self._models.wanted

    def interval_s(self) -> float:
        """How far frames are to be apart."""
        if self._every_frame:
            return 0.0
        most_hz = self._equipment.settings.camera.max_fps
        return max(1 / most_hz, self._heat.interval_s(self._equipment.classifier.timing))

    @property
    def wants_other_model(self) -> bool:
        """Whether another model is to run: then `change_model` is to be called."""
        return self._models.wanted

    def change_model(self) -> None:
        """Take the better model, or what the memory allows. Raises NoModelFits when there is none any more."""
        if self._models.change():
            self._models.renew()
            self._join()
        else:
            self.stages = dataclasses.replace(self.stages, classifier=self._equipment.classifier)
            self._know_the_model()

    def reload(self, reread: Callable[[], Settings] | None) -> None:
        """Read the settings anew and live by them; bad ones change nothing, and are told.

        Raises EdgeError when they could not be used, and what was used before cannot be had back either.
        """
        equipment, reporter = self._equipment, self._reporter
        old, camera, selector = equipment.settings, equipment.camera, equipment.selector
        before = selector.running
        try:
            settings = reread() if reread else old
            words = Words(settings.announce, settings.speech, _log.info)
        except EdgeError as error:
            reporter.reload_refused(str(error))
            return
        if fault := equipment.change(settings, paused=self._parts.control_state.paused):
            reporter.reload_refused(fault)
        else:
            self._parts.announcer.configure(settings.announce, words)
            self._parts.schedule.configure(settings.announce)
            self._notices.configure(settings.aloud)
            reporter.reloaded(restart_needed=settings.service != old.service)
        if equipment.selector is not selector:
            if equipment.selector.running != before:
                reporter.model_changed(before, equipment.selector.running, "the settings were read anew")
            self._announce_fallback()
        if equipment.camera is not camera:
            self._visibility = Visibility(live=equipment.camera.live, fault=self._visibility.fault)
            _look_anew(self._parts.announcer, self._parts.motion)
        self._models.renew()
        self._join()

    def _announce_fallback(self) -> None:
        if fallback := self._parts.equipment.selector.fallback:
            self._notices.once("model", _FALLBACK_SENTENCES[fallback])
