"""Joins the daemon's parts to the stages of the loop, and joins them again when one is swapped."""

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edge import pipeline
from edge.announce.adjustments import Adjustments
from edge.announce.announcer import Announcer
from edge.announce.claims import Knowledge
from edge.announce.messages import Messages
from edge.announce.notices import ANOTHER, READY, SMALLER, Notices
from edge.announce.schedule import Schedule
from edge.announce.wording import Words
from edge.daemon.answers import Answers
from edge.daemon.control_state import ControlState
from edge.daemon.equipment import Equipment
from edge.daemon.model_changes import ModelChanges
from edge.daemon.monitors import FreezeMonitor, HeatMonitor, InputMonitor
from edge.daemon.reporter import Cause, Reporter
from edge.daemon.requests import RequestHandler
from edge.daemon.teaching import Teaching
from edge.errors import EdgeError
from edge.host.systemd import Watchdog
from edge.models.groups import load_groups
from edge.selection.fallback import Fallback
from edge.settings import Settings
from edge.stages import Frame
from edge.vision.motion import MotionDetector
from edge.vision.visibility import Visibility

_log = logging.getLogger(__name__)
_STARTED_FRAMES = 10
"""After so many frames the start is over; before, it would delay the first word."""
_FALLBACK_SENTENCES = {Fallback.ANOTHER: ANOTHER, Fallback.SMALLER: SMALLER}


@dataclass(frozen=True)
class Parts:
    """The parts that live as long as the daemon, even when their contents are swapped."""

    reporter: Reporter
    summary: pipeline.Summary
    control_state: ControlState
    answers: Answers
    adjustments: Adjustments
    schedule: Schedule
    announcer: Announcer
    messages: Messages
    motion: MotionDetector
    equipment: Equipment


class Wiring:
    """The stages as they are joined now, and the parts that run between two frames."""

    def __init__(self, parts: Parts, *, every_frame: bool, fetch: bool) -> None:
        """Join the parts; their equipment must be open."""
        equipment = parts.equipment
        self._parts = parts
        self._equipment = equipment
        self._reporter = parts.reporter
        self._every_frame = every_frame
        self.watchdog = Watchdog()
        self._notices = Notices(equipment.settings.aloud)
        self._notices.see(None, None)  # the first topic takes precedence over the others
        self._heat = HeatMonitor(equipment.selector.machine, self._notices)
        self._input = InputMonitor(parts.reporter, self._notices)
        self._requests = RequestHandler(
            parts.control_state,
            parts.answers,
            announcer=parts.announcer,
            schedule=parts.schedule,
            reporter=parts.reporter,
            summary=parts.summary,
            throttled=lambda: self._heat.throttled,
        )
        self._models = ModelChanges(equipment, parts.reporter, self._notices, parts.summary, fetch=fetch)
        self._teaching = Teaching(
            parts.control_state,
            parts.answers,
            equipment,
            parts.reporter,
            about=parts.announcer.about,
        )
        parts.control_state.teaching = self._teaching
        self._visibility = Visibility(live=equipment.camera.live)
        self._gave_back = False
        self._greeted = False
        """True as soon as "I'm ready." is due: with a live camera's first frame, or before a film."""
        self._join()

    def _join(self) -> None:
        """Join the parts that are open now."""
        equipment = self._equipment
        # with --every-frame every frame is classified, even in a still scene
        self._parts.motion.longest_s = 0.0 if self._every_frame else equipment.settings.model.still_s
        self._parts.motion.reset()
        # a film ends, and all of it is to be heard; the world goes on
        per_hour = equipment.settings.announce.per_hour if equipment.camera.live else 0
        self._parts.announcer.attention.configure(per_hour)
        self._freeze = FreezeMonitor(equipment.camera, self._visibility)
        self.stages = pipeline.Stages(
            camera=equipment.camera,
            visibility=self._visibility,
            motion=self._parts.motion,
            classifier=equipment.classifier,
            announcer=self._parts.announcer,
            speaker=equipment.voice,
            observer=self._reporter,
            notices=self._notices,
            messages=self._parts.messages,
        )
        self._know_the_model()

    def _know_the_model(self) -> None:
        """Pass the current model to the announcer, the reporter and the request handler."""
        equipment = self._equipment
        self._parts.announcer.claims.knowledge = Knowledge(
            equipment.selector.background,
            load_groups(equipment.selector.labels),
            calibrated=equipment.classifier.calibrated,
            independent=equipment.classifier.independent,
        )
        self._reporter.ready_with(equipment.classifier, equipment.voice, self._parts.announcer.best)
        self._requests.know(self.stages, equipment.selector)

    def close(self) -> None:
        """Stop teaching, and fetching or loading a model."""
        self._teaching.close()
        self._models.close()

    def end_children(self) -> None:
        """End the processes at once; may be called from any thread."""
        self._models.end_children()

    def between_frames(self, now_s: float, frame: Frame | None) -> bool:
        """Run control, health and watchdog, once a turn of the loop; return True if another model should run."""
        camera = self._equipment.camera
        if not self._greeted and (frame is not None or not camera.live):
            self._greeted = True
            self._notices.once("ready", READY)
            self._announce_fallback()
        if not self._gave_back and self._parts.summary.frames >= _STARTED_FRAMES:
            self._gave_back = True
            self._equipment.give_back()
        progress = frame is not None or camera.waits
        self.watchdog.look(now_s, progress=progress, interval_s=self.interval_s())
        self._reporter.turn(camera.description, paused=camera.paused, now_s=now_s)
        if self._requests.shut_or_open(camera, self._visibility, self._notices):
            look_anew(self._parts.announcer, self._parts.motion)
        self._requests.attend(frame, self._notices)
        self._freeze.look(now_s)
        self._heat.look(now_s)
        self._input.look(self._equipment.sources)
        self._teaching.attend(frame, time.monotonic())
        self._models.look(now_s, teaching=self._teaching.active)
        return self.wants_other_model

    def interval_s(self) -> float:
        """Return the shortest time between two frames."""
        if self._every_frame:
            return 0.0
        most_hz = self._equipment.settings.camera.max_fps
        return max(1 / most_hz, self._heat.interval_s(self._equipment.classifier.timing))

    def loading(self) -> AbstractContextManager[None]:
        """Return a block in which requests are answered without the loop: a model loads."""
        return self._parts.control_state.loading()

    @property
    def wants_other_model(self) -> bool:
        """True if another model should run, or this one as another classifier: then call `change_model`."""
        return self._models.wanted or self._teaching.wants_exchange

    def change_model(self) -> None:
        """Take the better model, or the one that the memory allows, or teach with this one.

        Raises NoModelFits if none fits any more.
        """
        if self._teaching.wants_exchange:
            if not self._teaching.take_network():
                self._models.know_taught()
            look_anew(self._parts.announcer, self._parts.motion)
        if self._models.wanted and self._models.change():
            self._models.renew()
            self._join()
        else:
            self.stages = dataclasses.replace(self.stages, classifier=self._equipment.classifier)
            self._know_the_model()

    def reload(self, reread: Callable[[], Settings] | None) -> None:
        """Reread the settings and apply them; bad ones change nothing, and are reported.

        Raises EdgeError if they cannot be used and the old state cannot be restored either.
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
            self._parts.adjustments.configure(settings.speech)
            equipment.voice.adjust(self._parts.adjustments.volume, self._parts.adjustments.rate_wpm)
            self._parts.answers.tones = settings.input.tones
            self._parts.answers.sayable = settings.link.say
            self._parts.control_state.allow_pictures(settings.link.picture)
            self._parts.control_state.teachable = settings.link.teach
            self._parts.schedule.configure(settings.announce)
            self._notices.configure(settings.aloud)
            reporter.reloaded(restart_needed=settings.service != old.service)
        if equipment.selector is not selector:
            if equipment.selector.running != before:
                why = "the settings were reloaded"
                reporter.model_changed(before, equipment.selector.running, Cause.SETTINGS, why)
            self._announce_fallback()
        if equipment.camera is not camera:
            self._visibility = Visibility(live=equipment.camera.live, fault=self._visibility.fault)
            look_anew(self._parts.announcer, self._parts.motion)
        self._models.renew()
        self._join()

    def _announce_fallback(self) -> None:
        """Announce a fallback model, if one runs."""
        if fallback := self._equipment.selector.fallback:
            self._notices.once("model", _FALLBACK_SENTENCES[fallback])


def look_anew(announcer: Announcer, motion: MotionDetector) -> None:
    """Forget what was seen before: the scene may have changed while the camera was away."""
    announcer.forget()
    motion.reset()
