"""All the wiring: settings become stages, and what happens is told. READ THIRD."""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge import __version__, pipeline
from edge.announce.announcer import Announcer, Knowledge, Missed
from edge.announce.notices import BETTER, READY, SIGHT_AGAIN, SMALLER, Notices
from edge.announce.schedule import Schedule
from edge.announce.wording import Words
from edge.daemon.control_socket import ControlServer, control_path
from edge.daemon.control_state import ControlState, state_file
from edge.daemon.equipment import Equipment
from edge.daemon.events import Events
from edge.daemon.monitors import FreezeMonitor, HeatMonitor, MemoryMonitor
from edge.daemon.reporter import Reporter
from edge.daemon.requests import RequestHandler
from edge.daemon.signals import Signals, StopRequested
from edge.daemon.upgrade import Upgrade
from edge.errors import EX_OK, ControlError, EdgeError
from edge.host.machine import Machine
from edge.host.systemd import Teller, Watchdog
from edge.models.crash_marker import runtime_folder
from edge.models.groups import load_groups
from edge.settings import Settings
from edge.stages import Frame
from edge.vision.motion import MotionDetector
from edge.vision.visibility import Visibility


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
    settings allow it, a Raspberry Pi with a camera fetches the best network for it meanwhile. Raises EdgeError for what
    cannot be opened.
    """
    summary = pipeline.Summary()
    with ExitStack() as closing:
        events = Events(settings.service.events)
        closing.callback(events.close)
        tell = Teller(sys.stderr if settings.service.events == "-" else sys.stdout)
        reporter = Reporter(events, tell, settings.service.events_frames)
        signals = closing.enter_context(Signals(lambda: reporter.stopped(summary)))
        events.emit("started", version=__version__, pid=os.getpid())

        def camera_back(description: str) -> None:
            reporter.camera_back(description)
            wiring.look_anew()

        def missed(what: Missed) -> None:
            reporter.missed(what)
            control_state.miss(what)

        try:
            with signals.at_once():
                words = Words(settings.announce, settings.speech, tell)
                schedule = Schedule(settings.announce)
                announcer = Announcer(settings.announce, words, schedule, missed)
                control_state = ControlState(state_file(), tell)
                _open_control(settings, control_state, closing, signals, tell)
                equipment = Equipment(
                    settings,
                    tell,
                    reporter.camera_lost,
                    camera_back,
                    machine=machine,
                    every_frame=every_frame,
                    overrides=overrides,
                    synset=synset,
                )
                signals.on_force(equipment.end_children)
                closing.callback(equipment.close)
                equipment.open(paused=control_state.paused)
                if control_state.paused:
                    tell("It was told not to look: edge resume opens the camera.")
        except StopRequested:
            reporter.stopped(summary)
            return EX_OK
        # an error before this line is one line; from here on there is something to sum up too
        closing.callback(reporter.stopped, summary)
        wiring = Wiring(
            *(equipment, announcer, schedule, control_state),
            reporter=reporter,
            summary=summary,
            every_frame=every_frame,
            fetch=fetch,
        )
        signals.on_force(wiring.end_children)
        closing.callback(wiring.close)

        def between_frames(now_s: float, frame: Frame | None) -> bool:
            other_model = wiring.between_frames(now_s, frame)
            # words that are being said may end: another voice would not know what became of them
            return other_model or (signals.reload_is_wanted and not summary.in_the_air)

        while (
            pipeline.run(
                *(wiring.stages, summary, signals.stopping, limits, between_frames),
                media_clock=every_frame,
                interval_s=wiring.interval_s,
            )
            is pipeline.Ending.REWIRE
        ):
            try:
                with signals.at_once(), wiring.watchdog.patience():
                    if wiring.wants_other_model:
                        wiring.change_model()
                    else:
                        signals.reload_is_wanted = False
                        with reporter.reloading():
                            wiring.reload(reread)
            except StopRequested:
                break
    return EX_OK


class Wiring:
    """The stages as they are joined now, and whoever is asked between two frames."""

    def __init__(
        self,
        equipment: Equipment,
        announcer: Announcer,
        schedule: Schedule,
        control_state: ControlState,
        *,
        reporter: Reporter,
        summary: pipeline.Summary,
        every_frame: bool,
        fetch: bool,
    ) -> None:
        """The equipment is open."""
        self._fetch = fetch
        self._upgrade: Upgrade | None = None
        self._equipment = equipment
        self._announcer = announcer
        self._schedule = schedule
        self._control_state = control_state
        self._reporter = reporter
        self._summary = summary
        self._every_frame = every_frame
        self._notices = Notices(equipment.settings.aloud)
        self._notices.set("sight", "", SIGHT_AGAIN)  # the first topic goes before the others
        self._requests = RequestHandler(control_state, announcer, schedule, reporter)
        self.watchdog = Watchdog()
        self._heat = HeatMonitor(equipment.selector.machine, self._notices)
        self._visibility = Visibility(live=equipment.camera.live)
        self._wire()

    def _wire(self) -> None:
        """Join what is open now."""
        equipment, settings = self._equipment, self._equipment.settings
        # with --every-frame each is classified indeed
        self._motion = MotionDetector(0.0 if self._every_frame else settings.model.still_s)
        self.stages = pipeline.Stages(
            *(equipment.camera, equipment.classifier, self._announcer, equipment.speaker, self._reporter),
            *(self._visibility, self._motion, self._notices),
        )
        self._memory = MemoryMonitor(equipment.selector, enabled=settings.model.step_down)
        self.wants_other_model = False
        """Whether the memory asks for a smaller network, or allows a larger one again, or a better one is ready."""
        self._freeze = FreezeMonitor(equipment.camera, self._visibility)
        self._know_the_network()
        self._renew_upgrade()

    def _renew_upgrade(self) -> None:
        """Look for a better network anew where the loader is another; not where that is not wanted."""
        equipment = self._equipment
        selector = equipment.selector
        wanted = self._fetch and equipment.settings.model.fetch and selector.machine.is_raspberry_pi
        wanted = wanted and equipment.camera.live
        if self._upgrade is not None and (not wanted or self._upgrade.selector is not selector):
            self._upgrade.close()
            self._upgrade = None
        if wanted and self._upgrade is None:
            self._upgrade = Upgrade(selector, equipment.settings.model.engine, self._reporter.tell)

    def close(self) -> None:
        """Give up what is being fetched or loaded."""
        if self._upgrade is not None:
            self._upgrade.close()

    def end_children(self) -> None:
        """End the processes, at once and from any thread."""
        if self._upgrade is not None:
            self._upgrade.end_child()

    def between_frames(self, now_s: float, frame: Frame | None) -> bool:
        """Control, health and watchdog, once a turn of the loop; True asks for another network."""
        camera = self._equipment.camera
        if frame is not None and self._summary.frames == 1:
            self._notices.once("ready", READY)
            if self._equipment.selector.notices:
                self._notices.once("model", self._equipment.selector.notices)
        progress = frame is not None or camera.waits
        self.watchdog.look(now_s, progress=progress, interval_s=self.interval_s())
        self._reporter.turn(self._summary, camera.description, paused=camera.paused, now_s=now_s)
        if self._requests.shut_or_open(camera, self._visibility, self._notices):
            self.look_anew()
        self._requests.attend(self.stages, self._summary, frame)
        self._freeze.look(now_s)
        self._heat.look(now_s)
        self.wants_other_model = self._memory.look(now_s)
        if self._upgrade is not None and self._summary.frames > 1:  # first it is ready
            self._upgrade.look(now_s)
            self.wants_other_model |= self._better_is_ready
        return self.wants_other_model

    @property
    def _better_is_ready(self) -> bool:
        # words that are being said may end: another voice would not know what became of them
        ready = self._upgrade is not None and self._upgrade.is_ready
        return ready and self._memory.wanted != "down" and not self._summary.in_the_air

    def look_anew(self) -> None:
        """Believe nothing of before: nobody knows what went by while nobody looked."""
        self._announcer.forget()
        self._motion.reset()

    def interval_s(self) -> float:
        """How far frames are to be apart."""
        if self._every_frame:
            return 0.0
        most_hz = self._equipment.settings.camera.max_fps
        return max(1 / most_hz, self._heat.interval_s(self._equipment.classifier.timing))

    def change_model(self) -> None:
        """Take the better network, or what the memory allows. Raises NoModelFits when there is none any more."""
        self.wants_other_model = False
        selector, down = self._equipment.selector, self._memory.wanted == "down"
        if self._upgrade is not None and self._better_is_ready:
            before = selector.running
            self._equipment.take_network(self._upgrade.take)
            self._reporter.model_changed(before, selector.running, "it sees better, and has just been fetched")
            self._notices.once("model", BETTER)
            self._wire()
            return
        if self._upgrade is not None:
            self._upgrade.close()  # the memory is not for two
        before, why = selector.running, self._memory.reason
        self._equipment.classifier = selector.step_down() if down else selector.step_up()
        if selector.running != before:
            self._reporter.model_changed(before, selector.running, why)
            if down:
                self._notices.once("model", SMALLER)
        self.stages = dataclasses.replace(self.stages, classifier=self._equipment.classifier)
        self._know_the_network()

    def reload(self, reread: Callable[[], Settings] | None) -> None:
        """Read the settings anew and live by them; bad ones change nothing, and are told.

        Raises EdgeError when they could not be used, and what was used before cannot be had back either.
        """
        old, camera, selector = self._equipment.settings, self._equipment.camera, self._equipment.selector
        before = selector.running
        try:
            settings = reread() if reread else old
            words = Words(settings.announce, settings.speech, self._reporter.tell)
        except EdgeError as error:
            self._reporter.reload_refused(str(error))
            return
        if fault := self._equipment.change(settings, paused=self._control_state.paused):
            self._reporter.reload_refused(fault)
        else:
            self._announcer.configure(settings.announce, words)
            self._schedule.configure(settings.announce)
            self._notices.configure(settings.aloud)
            self._reporter.reloaded(restart_needed=settings.service != old.service)
        if self._equipment.selector is not selector:
            selector = self._equipment.selector
            if selector.running != before:
                self._reporter.model_changed(before, selector.running, "the settings were read anew")
            if selector.notices:
                self._notices.once("model", selector.notices)
        if self._equipment.camera is not camera:
            self._visibility = Visibility(live=self._equipment.camera.live, fault=self._visibility.fault)
            self.look_anew()
        self._wire()

    def _know_the_network(self) -> None:
        equipment = self._equipment
        groups = load_groups(equipment.selector.labels)
        classifier = equipment.classifier
        self._announcer.knowledge = Knowledge(
            equipment.selector.background,
            groups,
            calibrated=classifier.calibrated,
            independent=classifier.independent,
        )
        self._reporter.ready_with(equipment.classifier, equipment.speaker)
        self._requests.know(equipment.selector)


def _open_control(
    settings: Settings, control_state: ControlState, closing: ExitStack, signals: Signals, tell: Callable[[str], None]
) -> None:
    """Let it be spoken to, from the start: a network may take long to load."""
    control_state.show({"version": __version__, "pid": os.getpid(), "starting": True}, {"text": "I'm starting."})
    path = control_path(settings.service.control, runtime_folder())
    if path is None:
        return
    try:
        server = ControlServer(path, control_state.answer)
    except ControlError as error:
        tell(f"Not to be spoken to: {error}.")
    else:
        signals.on_force(server.close)
        closing.callback(server.close)
