"""Carries between the desk, where people ask, and the loop, where it is done."""

import os

from edge import __version__, pipeline
from edge.announce.announcer import Announcer
from edge.announce.notices import PAUSED, RESUMED, Notices
from edge.announce.schedule import Schedule
from edge.cameras import PausableCamera
from edge.daemon.control_state import ControlState
from edge.daemon.reporter import Reporter
from edge.selection.selector import ModelSelector
from edge.stages import Frame
from edge.vision.images import jpeg
from edge.vision.visibility import Visibility


class RequestHandler:
    """To attend to the desk once a turn."""

    def __init__(
        self, control_state: ControlState, announcer: Announcer, schedule: Schedule, reporter: Reporter
    ) -> None:
        self._control_state = control_state
        self._announcer = announcer
        self._schedule = schedule
        self._reporter = reporter
        self._looked = ""
        """What was said last of what is in view."""

    def know(self, selector: ModelSelector) -> None:
        """Another network looks: it has other labels."""
        labels = selector.labels
        self._control_state.know(lambda: self._announcer.names(labels))

    def attend(self, stages: pipeline.Stages, summary: pipeline.Summary, frame: Frame | None) -> None:
        """Do what was asked for, and tell how things are."""
        now = pipeline.moment()
        self._control_state.tidy()
        if frame is not None and self._control_state.wants_snapshot():
            self._control_state.give_snapshot(jpeg(frame.pixels))
            self._reporter.snapshot_taken()
        self._schedule.snoozed_until_s = self._control_state.snoozed_until_s
        self._announcer.muted = self._control_state.muted
        looked = self._announcer.look(now, summary.sight_fault)
        # who asks again while it is being said hears it anyway
        if (
            self._control_state.take_look()
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
            "looks": summary.looks,
            "frames_per_second": round(summary.frames_per_second, 2),
            "speech": stages.speaker.description,
            "sound": summary.speech_problem or None,
            "last_words": self._reporter.last_words,
            "in_view": looked.label or None,
            "in_view_text": looked.text if looked.label else None,
            "silence": self._schedule.silence(now) or None,
        }
        present = {"text": looked.text, "label": looked.label or None, "probability": round(looked.probability, 4)}
        self._control_state.show(status, present)

    def shut_or_open(self, camera: PausableCamera, visibility: Visibility, notices: Notices) -> bool:
        """Close the camera while that is wanted, and return whether that has changed. To be called once a turn, too."""
        paused = self._control_state.paused
        changed = paused != camera.paused
        if changed:
            camera.set_shut(paused)
            self._reporter.paused(paused)
        notices.set("shutter", PAUSED if paused else "", RESUMED)
        if paused:
            visibility.begin_anew()  # that nothing is seen is no fault now
        return changed
