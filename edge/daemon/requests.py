"""The link between the control state, which holds the requests, and the loop, which carries them out."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from edge import __version__, pipeline
from edge.announce.announcer import Announcer
from edge.announce.answers import CLOSED
from edge.announce.decisions import Decision, Reason
from edge.announce.notices import PAUSED, RESUMED, Notices, code_of, sentence_of
from edge.announce.schedule import Schedule
from edge.cameras import PausableCamera
from edge.daemon.answers import Answers
from edge.daemon.control_state import ControlState, by_word, no_such_label
from edge.daemon.reporter import Reporter
from edge.selection.selector import ModelSelector
from edge.stages import Announcement, Frame
from edge.vision.images import jpeg
from edge.vision.visibility import Visibility

_log = logging.getLogger(__name__)


class RequestHandler:
    """Carries out the requests once a turn of the loop, and answers with the status."""

    def __init__(
        self,
        control_state: ControlState,
        answers: Answers,
        *,
        announcer: Announcer,
        schedule: Schedule,
        reporter: Reporter,
        summary: pipeline.Summary,
    ) -> None:
        self._control_state = control_state
        self._answers = answers
        self._announcer = announcer
        self._schedule = schedule
        self._reporter = reporter
        self._summary = summary
        self._unknown: list[str] = []
        """The labels of [announce] muted that were reported last, because the model has none of them."""
        self._paused = False
        """Whether the last decision about a pause was that the camera is closed."""

    def know(self, stages: pipeline.Stages, selector: ModelSelector) -> None:
        """Take other stages, and the labels of their model."""
        labels = selector.labels
        self._control_state.know(lambda: self._announcer.claims.names(labels))
        self._control_state.show(lambda: self._status(stages), self._look, self._announcer.decisions.last)
        self._check_mutes(labels)

    def _check_mutes(self, labels: Mapping[str, str]) -> None:
        """Report the labels that the settings mute, and that the model does not have: a misspelt one mutes nothing."""
        claims = self._announcer.claims
        unknown = claims.unknown_mutes(labels)
        if unknown and unknown != self._unknown:
            known = by_word(claims.names(labels))
            for one in unknown:
                _log.warning(f"[announce] muted: {no_such_label(one, known)}")
        self._unknown = unknown

    def attend(self, frame: Frame | None) -> None:
        """Carry out the requests; call it once a turn."""
        self._control_state.tidy()
        if frame is not None and self._control_state.wants_snapshot():
            self._control_state.give_snapshot(jpeg(frame.pixels))
            self._reporter.snapshot_taken()
        self._schedule.snoozed_until_s = self._control_state.snoozed_until_s
        self._announcer.claims.muted = self._control_state.muted
        self._note_answers()
        if frame is not None and self._answers.is_aiming:
            self._answers.see(frame.pixels)

    def shut_or_open(self, camera: PausableCamera, visibility: Visibility, notices: Notices) -> bool:
        """Close the camera while that is requested; return True if that has changed. Call it once a turn, too."""
        paused = self._control_state.paused
        changed = paused != camera.paused
        if changed:
            camera.set_shut(paused)
            self._reporter.paused(paused)
        if paused != self._paused:  # also at a start with a pause that was asked for before
            self._paused = paused
            decision = Decision(Reason.PAUSED if paused else Reason.NO_FRAME)
            self._announcer.decisions.note(decision, pipeline.moment())
        notices.set("shutter", PAUSED if paused else "", RESUMED)
        if changed and self._control_state.pause_was_told:
            notices.skip("shutter")
        if paused:
            visibility.begin_anew()  # seeing nothing is no fault now
        return changed

    def _note_answers(self) -> None:
        """Let the announcer know which labels a person has heard as answers: they are no news then."""
        begun, said = self._control_state.take_answers()
        now = pipeline.moment()
        for announcement in begun:
            self._summary.last_words = announcement.text
            if announcement.id:
                self._announcer.taken(announcement, now.s, now)
        for outcome in said:
            if outcome.announcement.id:
                self._announcer.finished(outcome)

    def _look(self) -> Announcement:
        """Return what would be said about the current view. May be called from any thread."""
        fault = CLOSED if self._control_state.paused else sentence_of(self._summary.sight_fault)
        return self._announcer.look(pipeline.moment(), fault)

    # called by the socket's thread while the loop runs: they read only values that are replaced as a whole

    def _status(self, stages: pipeline.Stages) -> dict[str, Any]:
        """Return the current status."""
        summary, looked, now = self._summary, self._look(), pipeline.moment()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "model": stages.classifier.name,
            "engine": stages.classifier.engine,
            "calibrated": stages.classifier.calibrated,
            "camera": stages.camera.description,
            "sight": sentence_of(summary.sight_fault) or None,
            "sight_condition": code_of(summary.sight_fault),
            "frames": summary.frames,
            "looks": summary.looks,
            "frames_per_second": round(summary.frames_per_second, 2),
            "speech": stages.speaker.description,
            "sound": summary.speech_problem or None,
            "last_words": summary.last_words,
            "in_view": looked.label or None,
            "in_view_text": looked.text if looked.label else None,
            "silence": self._schedule.silence(now) or None,
            "silent_because": self._announcer.silent_because(now),
        }
