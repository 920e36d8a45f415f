"""Carries between the desk, where people ask, and the loop, where it is done."""

import os

from edge import __version__, pipeline
from edge.announce.announcer import Announcer
from edge.announce.notices import PAUSED, RESUMED, Aloud
from edge.announce.schedule import Etiquette
from edge.cameras import Shutter
from edge.daemon.control_state import Desk
from edge.daemon.reporter import Reporter
from edge.selection.selector import Loader
from edge.stages import Frame
from edge.vision.images import jpeg
from edge.vision.visibility import Sight


class Clerk:
    """To attend to the desk once a turn."""

    def __init__(self, desk: Desk, announcer: Announcer, etiquette: Etiquette, reporter: Reporter) -> None:
        self._desk = desk
        self._announcer = announcer
        self._etiquette = etiquette
        self._reporter = reporter
        self._looked = ""
        """What was said last of what is in view."""

    def know(self, loader: Loader) -> None:
        """Another network looks: it has other labels."""
        labels = loader.labels
        self._desk.know(lambda: self._announcer.names(labels))

    def attend(self, stages: pipeline.Stages, summary: pipeline.Summary, frame: Frame | None) -> None:
        """Do what was asked for, and tell how things are."""
        now = pipeline.moment()
        self._desk.tidy()
        if frame is not None and self._desk.wants_snapshot():
            self._desk.give_snapshot(jpeg(frame.pixels))
            self._reporter.snapshot_taken()
        self._etiquette.snoozed_until_s = self._desk.snoozed_until_s
        self._announcer.muted = self._desk.muted
        looked = self._announcer.look(now, summary.sight_fault)
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
            "looks": summary.looks,
            "frames_per_second": round(summary.frames_per_second, 2),
            "speech": stages.speaker.description,
            "sound": summary.speech_problem or None,
            "last_words": self._reporter.last_words,
            "in_view": looked.label or None,
            "in_view_text": looked.text if looked.label else None,
            "silence": self._etiquette.silence(now) or None,
        }
        present = {"text": looked.text, "label": looked.label or None, "probability": round(looked.probability, 4)}
        self._desk.show(status, present)

    def shut_or_open(self, camera: Shutter, sight: Sight, aloud: Aloud) -> bool:
        """Close the camera while that is wanted, and return whether that has changed. To be called once a turn, too."""
        paused = self._desk.paused
        changed = paused != camera.shut
        if changed:
            camera.set_shut(paused)
            self._reporter.paused(paused)
        aloud.set("shutter", PAUSED if paused else "", RESUMED)
        if paused:
            sight.begin_anew()  # that nothing is seen is no fault now
        return changed
