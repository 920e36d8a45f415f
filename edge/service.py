"""The daemon from start to end: it builds its parts from the settings, constructor by constructor. READ THIRD.

daemon/wiring.py joins the parts to stages, and joins them again when one is swapped.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge import __version__, pipeline
from edge.announce.adjustments import Adjustments, adjustments_file
from edge.announce.announcer import Announcer, Missed
from edge.announce.limits import limits_in_force
from edge.announce.messages import Messages
from edge.announce.mutes import state_file
from edge.announce.schedule import Schedule
from edge.announce.voice import Voice
from edge.announce.wording import Words
from edge.daemon.answers import Answers
from edge.daemon.checkup import Checkup
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.equipment import Equipment
from edge.daemon.events import Events
from edge.daemon.history import History
from edge.daemon.reporter import Reporter
from edge.daemon.signals import Signals, StopRequested
from edge.daemon.wiring import Parts, Wiring, look_anew
from edge.errors import EX_OK, ControlError
from edge.host.control_client import control_path
from edge.host.folders import runtime_folder
from edge.host.machine import Machine
from edge.host.systemd import lines_to
from edge.settings import Settings
from edge.speech.tones import FALLING, RISING
from edge.stages import Frame
from edge.vision.motion import MotionDetector

_log = logging.getLogger("edge.daemon")
"""Logger of the daemon: of this module, and of those in edge/daemon."""


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
    """Run the daemon until the frames end, a limit is reached or a signal comes; return the exit code.

    `reread` returns the current settings when a signal asks to reread them. `overrides` and `synset` are for
    models.checkpoint.find_checkpoint. `machine` reads another /proc and /sys, for tests. With `fetch`, and if the
    settings allow it, a Raspberry Pi with a camera fetches the best model for it meanwhile. Raises EdgeError if
    something cannot be opened.
    """
    summary = pipeline.Summary()
    with ExitStack() as closing:
        events = Events(settings.service.events, frames=settings.service.events_frames)
        closing.callback(events.close)
        closing.enter_context(lines_to(sys.stderr if settings.service.events == "-" else sys.stdout, _log))
        history = History()
        reporter = Reporter(events, summary, history)
        signals = closing.enter_context(Signals(reporter.stopped))
        events.emit("started", version=__version__, pid=os.getpid())
        try:
            with signals.at_once():
                parts = _make_parts(
                    settings,
                    reporter,
                    summary,
                    history,
                    machine=machine,
                    every_frame=every_frame,
                    overrides=overrides,
                    synset=synset,
                )
                closing.callback(parts.answers.close)
                _open_control(settings, parts.control_state, events, signals, closing)
                signals.on_force(parts.equipment.end_children)
                closing.callback(parts.equipment.close)
                paused = parts.control_state.paused
                parts.equipment.open(parts.answers, paused=paused)
                if held := limits_in_force(settings, sorted(parts.control_state.mutes.plain), pipeline.moment()):
                    _log.info(f"Limits: {'; '.join(held)}. `edge why` tells what is not said, and why.")
                if paused:
                    _log.info("edge is paused, the camera stays closed: edge resume opens it.")
        except StopRequested:
            reporter.stopped()
            return EX_OK
        # an error before this point is one line; from here on there is a summary too
        closing.callback(reporter.stopped)
        wiring = Wiring(parts, every_frame=every_frame, fetch=fetch)
        parts.control_state.checkup = Checkup(lambda: _examine(parts))
        signals.on_force(wiring.end_children)
        closing.callback(wiring.close)

        def between_frames(now_s: float, frame: Frame | None) -> bool:
            other_model = wiring.between_frames(now_s, frame)
            # let words end that are being spoken: a new voice would not know their outcome
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


def _rewire(wiring: Wiring, signals: Signals, reporter: Reporter, reread: Callable[[], Settings] | None) -> bool:
    """Swap the model, or reread the settings; return False if a signal came meanwhile."""
    try:
        with signals.at_once(), wiring.watchdog.patience(), wiring.loading():
            if wiring.wants_other_model:
                wiring.change_model()
            else:
                signals.reload_is_wanted = False
                with reporter.reloading():
                    wiring.reload(reread)
    except StopRequested:
        return False
    return True


def _examine(parts: Parts) -> list[dict[str, Any]]:
    """Return the doctor's findings about this daemon, as `edge doctor --json` prints them."""
    # imported when it is needed: most daemons are never asked
    from edge.doctor.in_use import examine_in_use

    equipment = parts.equipment
    found = examine_in_use(equipment.settings, parts.control_state.status(), equipment.selector.machine)
    return [one.as_json() for one in found]


def _make_parts(
    settings: Settings,
    reporter: Reporter,
    summary: pipeline.Summary,
    history: History,
    *,
    machine: Machine | None,
    every_frame: bool,
    overrides: Mapping[str, Any] | None,
    synset: Path | None,
) -> Parts:
    """Make the parts without opening a device or a model: the equipment is still closed. Raises ConfigError."""
    words = Words(settings.announce, settings.speech, _log.info)
    adjustments = Adjustments(adjustments_file(state_file()), settings.speech)
    for key, (now, given) in adjustments.changed().items():
        _log.info(f"[speech] {key}: {now:g} by request, instead of {given:g} in the settings.")

    def missed(what: Missed) -> None:
        control_state.miss(what)  # first: who hears of it may ask at once
        reporter.missed(what)

    schedule = Schedule(settings.announce)
    announcer = Announcer(settings.announce, words, schedule, missed)
    messages = Messages(schedule, missed)
    control_state = ControlState(state_file(), adjustments, history, announcer.translate)
    voice = Voice()
    voice.adjust(adjustments.volume, adjustments.rate_wpm)
    motion = MotionDetector(settings.model.still_s)

    def camera_back(description: str) -> None:
        reporter.camera_back(description)
        look_anew(announcer, motion)

    equipment = Equipment(
        settings,
        voice,
        reporter.camera_lost,
        camera_back,
        machine=machine,
        every_frame=every_frame,
        overrides=overrides,
        synset=synset,
    )
    answers = Answers(
        voice,
        control_state,
        history=history,
        adjustments=adjustments,
        reporter=reporter,
        messages=messages,
        translate=announcer.translate,
        tones=(RISING, FALLING),
    )
    answers.tones = settings.input.tones
    answers.sayable = settings.link.say
    control_state.allow_pictures(settings.link.picture)
    control_state.teachable = settings.link.teach
    control_state.attach(answers, equipment.input_status, equipment.set_paused)
    return Parts(
        reporter=reporter,
        summary=summary,
        control_state=control_state,
        answers=answers,
        adjustments=adjustments,
        schedule=schedule,
        announcer=announcer,
        messages=messages,
        motion=motion,
        equipment=equipment,
    )


def _open_control(
    settings: Settings, control_state: ControlState, events: Events, signals: Signals, closing: ExitStack
) -> None:
    """Open the control socket, before the model: that may take long to load."""
    starting = {"version": __version__, "pid": os.getpid(), "starting": True}
    control_state.show_status(lambda: starting)
    path = control_path(settings.service.control, runtime_folder())
    if path is None:
        return
    try:
        server = ControlServer(
            path,
            ControlCommands(control_state).answer,
            events,
            control_state.viewers,
            teachable=lambda: control_state.teachable,
        )
    except ControlError as error:
        _log.info(f"There is no control socket: {error}.")
    else:
        signals.on_force(server.close)
        closing.callback(server.close)
