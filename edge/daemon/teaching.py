"""Teaches the running edge a thing, as a dialogue before the camera: dialogue.py decides, this carries it out.

Any thread may begin or cancel it; the loop attends to it once a turn. All forwards of a lesson are made there, at most
LEARN_S in a turn or a single one, so that the watchdog and the control socket are served meanwhile. If it ends early,
nothing of it is kept.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.announce import teaching
from edge.daemon.answers import Answers
from edge.daemon.control_state import ControlState
from edge.daemon.dialogue import VIEWS, Dialogue, Phase, Sight
from edge.daemon.equipment import Equipment
from edge.daemon.mute_list import Refused
from edge.daemon.reporter import Reporter
from edge.errors import ModelError
from edge.models.taught.listing import Knowledge, knowledge_of, refusal
from edge.models.taught.record import checked_name, id_of
from edge.models.taught.store import MOST_THINGS, TaughtStore
from edge.selection.lesson import Learnt, Lesson
from edge.selection.opening import features_problem, model_of
from edge.stages import Classifier, Frame, Prediction, Term, Timing
from edge.vision.images import fitted
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import fault, is_blurred

_log = logging.getLogger(__name__)
WORK_S, LEARN_S = 0.2, 0.5
"""Time for forwards in a turn of the loop, while frames may count and at other times; a slow machine makes one."""
ATTEMPTS = 2
"""How often the thing is shown, at most, if edge does not recognise it."""
LONGEST_SIDE = 640
"""Views are kept in memory with this width or height at most, until they are learnt."""
_SETTLE_S = 0.3
"""How long it takes at most until a sentence that was passed on is being said."""
SHOW_EVERY_S = 0.5
"""How often the progress of learning is reported."""
_LONG_S = 1.0
"""Learning that takes longer is announced."""


@dataclass(frozen=True)
class Request:
    """What a person wants to teach."""

    name: str
    more: bool = False
    """Add to the views that are known; else they are replaced."""

    @property
    def term(self) -> Term:
        """The thing as the words need it."""
        return Term(self.name, id_of(self.name))


class IdleClassifier:
    """The classifier of the loop during a lesson: it names nothing, because all forwards are the lesson's."""

    def __init__(self, network: Classifier) -> None:
        self.name, self.engine = network.name, network.engine
        self.calibrated, self.independent = network.calibrated, network.independent
        self.timing = Timing(0.0, 0.0)

    def classify(self, _frame: Frame) -> list[Prediction]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Leave the network open: it is the model selector's."""


@dataclass
class _Session:
    """One lesson, from the request to its end."""

    request: Request
    dialogue: Dialogue
    camera: object
    attempts: int = 1
    lesson: Lesson | None = None
    """None until the network is open for it."""
    idle: Classifier | None = None
    forward_s: float = 0.0
    """How long a forward took last."""
    learnt: Learnt | None = None
    said_s: float = 0.0
    shown_s: float = 0.0
    """When a sentence was said, and when the progress was reported last."""


class Teaching:
    """The dialogue that goes on, if there is one."""

    def __init__(
        self,
        control_state: ControlState,
        answers: Answers,
        equipment: Equipment,
        reporter: Reporter,
        *,
        about: Callable[..., str],
    ) -> None:
        """`about(sentence, term, other)` returns a sentence of announce/teaching.py in the spoken language."""
        self._control_state, self._answers = control_state, answers
        self._equipment, self._reporter = equipment, reporter
        self._about = about
        self._store = TaughtStore(tell=_log.info)
        self._lock = threading.Lock()
        self._request: Request | None = None
        """What was asked for; None while nothing is taught."""
        self._cancelled = False
        self._session: _Session | None = None
        self._now_s = 0.0
        """When the turn began."""
        self.wants_exchange = False
        """True if the loop should call `take_network`: a lesson needs the network, or gives it back."""
        self.state: dict[str, Any] | None = None
        """What it does now, as a JSON object; None: nothing."""

    # ---- any thread

    def begin(self, name: str, *, more: bool = False, replace: bool = False) -> dict[str, Any]:
        """Begin a dialogue about a thing. Raises Refused if that is impossible."""
        try:
            name = checked_name(name)
        except ValueError as error:
            raise Refused(f"{name[:80]!r}: {error}") from error
        if self._control_state.paused:
            raise Refused("edge is paused: edge resume opens the camera again")
        if self._store.knows(name):
            selector = self._equipment.selector
            knowledge = knowledge_of(
                name,
                {Knowledge.NOT_KNOWN: selector.not_known, Knowledge.LEARNING_AGAIN: selector.learning_again},
            )
            if why := refusal(name, knowledge, more=more, replace=replace):
                raise Refused(why)
        elif len(self._store.version()) >= MOST_THINGS:
            raise Refused(f"edge knows {MOST_THINGS} things already; forget one first: edge forget NAME")
        with self._lock:
            if self._request is not None:
                raise Refused(
                    f"edge is learning {self._request.name!r} already; wait, or end that: edge teach --cancel"
                )
            self._request, self._cancelled = Request(name, more), False
        return {"teaching": name}

    def cancel(self) -> dict[str, Any]:
        """End the dialogue, if there is one; nothing is kept."""
        with self._lock:
            name = self._request.name if self._request else None
            self._cancelled = True
        return {"cancelled": name}

    # ---- the loop

    @property
    def active(self) -> bool:
        """True while a lesson needs the network: then no other thing is learnt, and no other model prepared."""
        return self._session is not None

    def attend(self, frame: Frame | None, now_s: float) -> None:
        """Go on with the dialogue; call it once a turn, with the frame if one came."""
        self._now_s = now_s
        session = self._session
        if session is None:
            if self._request is not None:
                self._start(self._request)
            return
        if why := self._interrupted(session):
            self._end(session, *why)
        elif session.lesson is not None:
            self._see(session, session.lesson, frame)
            self._learn(session, session.lesson)

    def take_network(self) -> bool:
        """Take the network for the lesson that begins; return False if none does: the model is to name things again.

        Raises NoModelFits if the model cannot be opened again.
        """
        self.wants_exchange = False
        session, selector = self._session, self._equipment.selector
        if session is None:
            return False
        try:
            model = model_of(selector.option)
            problem = features_problem(selector.option.checkpoint.symbol)
        except ModelError as error:
            problem, model = str(error), ""
        if problem:
            self._end(session, teaching.UNTEACHABLE, "model", detail=problem)
            return True
        network = selector.begin_lesson()
        session.lesson = Lesson(
            network,
            model,
            session.request.name,
            self._store,
            pictures=VIEWS,
            keep_pictures=self._equipment.settings.teach.keep_pictures,
        )
        self._equipment.classifier = session.idle = IdleClassifier(network)
        return True

    def close(self) -> None:
        """Report that a lesson ends because edge does."""
        if self._session is not None:
            self._end(self._session, "", "stopped")

    # ---- the steps

    def _start(self, request: Request) -> None:
        self._session = session = _Session(request, Dialogue(self._now_s), self._equipment.camera)
        self._answers.hold(True)
        self.wants_exchange = True
        self._tell(session, teaching.SHOW_EMPTY)

    def _interrupted(self, session: _Session) -> tuple[str, str] | None:
        """Return the sentence and the reason if the lesson cannot go on; None if it can."""
        camera = self._equipment.camera
        if self._cancelled:
            return teaching.STOPPED, "cancelled"
        if self._control_state.paused:
            return teaching.BLIND, "paused"
        if camera is not session.camera or camera.lost:
            return teaching.BLIND, "camera"
        if session.idle is not None and self._equipment.classifier is not session.idle:
            return teaching.OTHER_MODEL, "model"
        return None

    def _see(self, session: _Session, lesson: Lesson, frame: Frame | None) -> None:
        dialogue, now_s = session.dialogue, self._now_s
        before = dialogue.phase
        free = now_s - session.said_s >= _SETTLE_S and not self._answers.is_speaking()
        known: list[Any] = []

        def features() -> Any:
            assert frame is not None
            begun_s = time.monotonic()
            known.append(lesson.features_of(frame.pixels))
            session.forward_s = time.monotonic() - begun_s
            return known[0]

        sight = None
        if frame is not None and before in (Phase.EMPTY, Phase.THING):
            thumbnail = make_thumbnail(frame.pixels)
            sight = Sight(thumbnail.grey, fault(thumbnail), is_blurred(thumbnail), features)
        advice = dialogue.update(sight, now_s, free=free)
        if advice.counts and frame is not None:
            # the camera soon overwrites its frame
            picture = fitted(frame.pixels, LONGEST_SIDE).copy()
            (lesson.add_empty if before is Phase.EMPTY else lesson.add)(picture, known[0])
        if advice.failed:
            self._end(session, teaching.NOT_LEARNT, "time")
        elif advice.say:
            self._tell(session, advice.say)
        elif advice.counts or dialogue.phase is not before:
            self._show(session)
        if dialogue.phase is Phase.LEARNING and before is not Phase.LEARNING:
            done, steps = lesson.steps
            if (steps - done) * session.forward_s > _LONG_S:
                self._tell(session, teaching.LEARNING)

    def _learn(self, session: _Session, lesson: Lesson) -> None:
        """Make some forwards of the lesson; when all are made and everything was seen, judge it."""
        if self._session is None:
            return
        begun_s = time.monotonic()
        work_s = WORK_S if session.dialogue.is_looking(self._now_s) else LEARN_S
        while works := lesson.work():
            if time.monotonic() - begun_s >= work_s:
                break
        if session.dialogue.phase is not Phase.LEARNING:
            return
        if works:
            if self._now_s - session.shown_s >= SHOW_EVERY_S:
                self._show(session)
            return
        try:
            learnt = session.learnt = lesson.result(more=session.request.more)
            if learnt.is_known:
                lesson.keep(learnt)
        except ModelError as error:
            self._end(session, teaching.NOT_KEPT, "disk", detail=str(error))
            return
        if learnt.is_known:
            self._end(session, teaching.KNOWN if learnt.right == learnt.held_back else teaching.KNOWN_PARTLY, "")
        elif session.attempts >= ATTEMPTS:
            sentence = teaching.NOT_TOLD_APART if learnt.confused else teaching.NOT_LEARNT
            self._end(session, sentence, "confused" if learnt.confused else "unsure")
        else:
            session.attempts += 1
            lesson.forget_views()
            session.dialogue.again(self._now_s)
            self._tell(session, teaching.CONFUSED if learnt.confused else teaching.UNSURE)

    def _end(self, session: _Session, sentence: str, reason: str, *, detail: str = "") -> None:
        """End the lesson. `reason` says why nothing was learnt; empty: it was."""
        session.dialogue.phase = Phase.DONE
        self._session, self.state = None, None
        # if another model was opened meanwhile, it knows what is taught
        self.wants_exchange = session.idle is not None and self._equipment.classifier is session.idle
        self._answers.hold(False)
        text = self._say(session, sentence) if sentence else ""
        learnt = session.learnt
        tested = (learnt.right, learnt.held_back) if learnt else (0, 0)
        self._reporter.taught_one(session.request.name, text, reason=reason, detail=detail, tested=tested)
        with self._lock:
            self._request = None

    # ---- sentences and reports

    def _tell(self, session: _Session, sentence: str) -> None:
        """Say a sentence, and report it."""
        self._show(session, self._say(session, sentence))

    def _say(self, session: _Session, sentence: str) -> str:
        other = session.learnt.confused if session.learnt else ""
        text = self._about(sentence, session.request.term, Term(other, id_of(other)) if other else None)
        if sentence in (teaching.KNOWN, teaching.KNOWN_PARTLY) and session.learnt and session.learnt.pictures:
            text = f"{text} {self._about(teaching.PICTURES_KEPT, session.request.term)}"
        self._answers.tell(text)
        session.said_s = self._now_s
        return text

    def _show(self, session: _Session, text: str = "") -> None:
        """Report how far it is."""
        dialogue = session.dialogue
        done, wanted = dialogue.views, dialogue.wanted
        if dialogue.phase is Phase.LEARNING and session.lesson is not None:
            done, wanted = session.lesson.steps
        session.shown_s = self._now_s
        self.state = {"name": session.request.name, "phase": dialogue.phase, "done": done, "wanted": wanted}
        self._reporter.teaching(**self.state, text=text)
