"""The link between the control state, which holds the requests, and the loop, which carries them out."""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge import __version__, pipeline
from edge.announce.announcer import Announcer
from edge.announce.answers import CLOSED
from edge.announce.decisions import Decision, Reason
from edge.announce.notices import PAUSED, RESUMED, WATCHED, Notices, code_of, sentence_of
from edge.announce.schedule import Schedule
from edge.cameras import PausableCamera
from edge.daemon.answers import Answers
from edge.daemon.control_state import ControlState
from edge.daemon.mute_list import by_word, no_such_label
from edge.daemon.pictures import Pictures
from edge.daemon.reporter import Reporter
from edge.host.memory import tree_mib
from edge.selection.selector import ModelSelector
from edge.stages import Announcement, Frame
from edge.vision.images import jpeg
from edge.vision.visibility import Visibility

_log = logging.getLogger(__name__)
MEMORY_S = 5.0
"""How often the memory is measured at most: that takes 10 ms, and a client may ask many times."""
VIEW_S = 1.0
"""How often it checks, at most, whether something else is in view."""


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
        throttled: Callable[[], bool | None],
    ) -> None:
        """`throttled` returns whether the board's firmware throttles it; None: unknown."""
        self._control_state = control_state
        self._answers = answers
        self._announcer = announcer
        self._schedule = schedule
        self._reporter = reporter
        self._summary = summary
        self._throttled = throttled
        self._pictures = Pictures(control_state.viewers)
        self._watched: tuple[int, list[str]] = (0, [])
        """How many clients look at the picture, and the names of their users, as reported last."""
        self._captured_s: float | None = None
        """When the newest frame was captured, by time.monotonic()."""
        self._camera_up = True
        """False while a live camera is lost."""
        self._view: tuple[str, str] = ("", "")
        """Label and sentence for the current view, as reported last."""
        self._viewed_s = -math.inf
        self._snoozed_until_s = 0.0
        """End of the snooze that was reported last; 0: none."""
        self._adjusted: tuple[float, int] | None = None
        """Volume and rate that were reported last."""
        self._measured: tuple[float, float] = (-math.inf, 0.0)
        """When the memory was measured last, and its MiB."""
        self._unknown: list[str] = []
        """The labels of [announce] muted that were reported last, because the model has none of them."""
        self._paused = False
        """Whether the last decision about a pause was that the camera is closed."""

    def know(self, stages: pipeline.Stages, selector: ModelSelector) -> None:
        """Take other stages, and the labels of their model."""
        labels = selector.labels
        self._control_state.mutes.know(lambda: self._announcer.claims.names(labels))
        self._control_state.show(lambda: self._status(stages, selector), self._look, self._announcer.decisions.last)
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

    def attend(self, frame: Frame | None, notices: Notices) -> None:
        """Carry out the requests; call it once a turn."""
        self._control_state.tidy()
        if frame is not None and self._control_state.wants_snapshot():
            self._control_state.give_snapshot(jpeg(frame.pixels))
            self._reporter.snapshot_taken()
        self._schedule.snoozed_until_s = self._control_state.snoozed_until_s
        self._announcer.claims.muted = self._control_state.mutes.plain
        self._note_answers()
        if frame is not None and self._answers.is_aiming:
            self._answers.see(frame.pixels)
        if frame is not None:
            self._captured_s = frame.captured_s
        now_s = time.monotonic()
        self._tell_looking(notices)
        if frame is not None and self._watched[0]:  # no picture is shown before that is reported
            self._pictures.take(frame, now_s)
        self._tell_changes(now_s)

    def _tell_looking(self, notices: Notices) -> None:
        """Report that clients begin or end to look at the picture."""
        viewers = self._control_state.viewers
        watched = len(viewers), viewers.users
        if watched != self._watched:
            self._watched = watched
            self._reporter.watched(*watched)
        notices.set("viewers", WATCHED if watched[0] else "")

    def _tell_changes(self, now_s: float) -> None:
        """Report what a client of the events would else have to ask for again and again."""
        state = self._control_state
        until_s = state.snoozed_until_s if state.snoozed_until_s > now_s else 0.0
        if until_s != self._snoozed_until_s:
            self._snoozed_until_s = until_s
            if until_s:
                self._reporter.snoozed(state.snoozed_until())
            else:
                self._reporter.awake()
        if state.adjusted != self._adjusted:
            if self._adjusted is not None:
                self._reporter.adjusted(*state.adjusted)
            self._adjusted = state.adjusted
        if now_s - self._viewed_s >= VIEW_S and self._reporter.tells_views():
            self._viewed_s = now_s
            looked = self._look()
            view = (looked.label, looked.text) if looked.label else ("", "")
            if view != self._view:
                self._view = view
                self._reporter.in_view(looked)

    def shut_or_open(self, camera: PausableCamera, visibility: Visibility, notices: Notices) -> bool:
        """Close the camera while that is requested; return True if that has changed. Call it once a turn, too."""
        self._camera_up = not camera.lost
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

    def _status(self, stages: pipeline.Stages, selector: ModelSelector) -> dict[str, Any]:
        """Return the current status."""
        summary, looked, now = self._summary, self._look(), pipeline.moment()
        inference_s = stages.classifier.timing.inference_s
        temperature_c = selector.machine.temperature_c()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "model": stages.classifier.name,
            "engine": stages.classifier.engine,
            "precision": selector.precision,
            "calibrated": stages.classifier.calibrated,
            "taught": sorted(selector.taught.values()),
            "learning_again": sorted(selector.learning_again),
            "not_known": sorted(selector.not_known),
            "camera": stages.camera.description,
            "camera_up": self._camera_up,
            "sight": sentence_of(summary.sight_fault) or None,
            "sight_condition": code_of(summary.sight_fault),
            "frames": summary.frames,
            "looks": summary.looks,
            "frames_per_second": round(summary.frames_per_second, 2),
            "frame_age_s": None if self._captured_s is None else round(now.s - self._captured_s, 3),
            "inference_ms": round(1000 * inference_s, 3) if inference_s else None,
            "speech": stages.speaker.description,
            "sound": summary.speech_problem or None,
            "last_words": summary.last_words,
            "in_view": looked.label or None,
            "in_view_text": looked.text if looked.label else None,
            "probability": round(looked.probability, 4) if looked.label else None,
            "best": self._best(),
            "needed": self._announcer.claims.needed,
            "quiet_hours": self._schedule.quiet_hours or None,
            "silence": self._schedule.silence(now) or None,
            "silent_because": self._announcer.silent_because(now),
            "memory_mib": self._memory_mib(now.s),
            "memory_budget_mib": round(selector.budget.mib, 1),
            "temperature_c": None if temperature_c is None else round(temperature_c, 1),
            "throttled": self._throttled(),
        }

    def _memory_mib(self, now_s: float) -> float:
        """Return the memory of edge and its processes in MiB."""
        if now_s - self._measured[0] >= MEMORY_S:
            self._measured = (now_s, round(tree_mib(os.getpid()), 1))
        return self._measured[1]

    def _best(self) -> dict[str, Any] | None:
        """Return the most probable label, even if it is not enough to be said; None if nothing can be seen."""
        best = self._announcer.best()
        if best is None or self._control_state.paused or self._summary.sight_fault:
            return None
        return {"label": best.label, "probability": round(best.probability, 4)}
