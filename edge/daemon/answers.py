"""Answers a person's requests aloud, from its own thread: also while the loop waits for a camera or a model.

Keys and words call it (edge/input), and so does the control socket. What is said first is decided by the voice
(announce/voice.py).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from edge import pipeline
from edge.announce import answers
from edge.announce.adjustments import Adjustments
from edge.announce.messages import MOST_WAITING, Messages, given
from edge.announce.notices import PAUSED, RESUMED
from edge.announce.voice import Voice
from edge.daemon.aim import Guide
from edge.daemon.control_state import ControlState
from edge.daemon.history import History
from edge.daemon.mute_list import Refused
from edge.daemon.reporter import Reporter
from edge.input.actions import Action
from edge.stages import Announcement, Pixels
from edge.vision.focus import Reading, read

_log = logging.getLogger(__name__)
TURN_S = 0.01
"""How often the voice is asked while something is to be said."""
HALF_HOUR_S = 1800.0
MOST_DOWNS = 20
"""Key presses that wait, at most; more come from no finger."""


class _Event:
    """Something for the thread to do that is no action."""

    DOWN, STOP = object(), object()


_CHANGES = {
    Action.LOUDER: ({"volume_steps": 1}, answers.LOUDER, answers.LOUDEST),
    Action.QUIETER: ({"volume_steps": -1}, answers.QUIETER, answers.QUIETEST),
    Action.FASTER: ({"rate_steps": 1}, answers.FASTER, answers.FASTEST),
    Action.SLOWER: ({"rate_steps": -1}, answers.SLOWER, answers.SLOWEST),
}


class Answers:
    """The receiver of requests (input/actions.py), and the thread that answers them."""

    def __init__(
        self,
        voice: Voice,
        control_state: ControlState,
        *,
        history: History,
        adjustments: Adjustments,
        reporter: Reporter,
        messages: Messages,
        translate: Callable[[str], str],
        tones: Sequence[Sequence[float]],
    ) -> None:
        """Start the thread. `translate` returns a sentence about edge in the spoken language.

        `tones` are the notes, in Hz, for a key that goes down and for an end that comes by itself.
        """
        self._voice = voice
        self._control_state = control_state
        self._history = history
        self._adjustments = adjustments
        self._reporter = reporter
        self._messages = messages
        self._translate = translate
        self._down_hz, self._end_hz = tones
        self.tones = True
        """False: a key that goes down makes no tone."""
        self.sayable = "polite"
        """Which sentences of others it says; see [link] say."""
        self._guide: Guide | None = None
        self._holds = False
        """True while a thing is taught: announcements wait."""
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._begun: list[Announcement] = []
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._queue.put(_Event.STOP)
        self._thread.join(1.0)

    # ---- any thread

    def on_down(self) -> None:
        """Break off what is said, and play the tone."""
        if self._queue.qsize() < MOST_DOWNS:
            self._queue.put(_Event.DOWN)

    def on_action(self, action: Action) -> None:
        """Carry out an action and answer aloud."""
        self._queue.put(action)

    @property
    def is_aiming(self) -> bool:
        """True while frames are wanted for aiming."""
        return self._guide is not None

    def see(self, pixels: Pixels) -> None:
        """Take a frame for aiming."""
        if self._guide is not None and self._queue.qsize() < MOST_DOWNS:
            self._queue.put(read(pixels))

    def carry_out(self, action: Action) -> dict[str, Any]:
        """Carry out an action, answer aloud, and return the answer as a JSON object: its `text`, and more."""
        announcement, facts = self._do(action)
        self._queue.put(announcement)
        return {"text": announcement.text, **facts}

    def tell(self, text: str) -> None:
        """Say a sentence, in the spoken language, as an answer."""
        self._queue.put(self._spoken(text))

    def is_speaking(self) -> bool:
        """Return True while something is said or played, or waits to be."""
        return not self._queue.empty() or self._voice.is_busy()

    def hold(self, held: bool) -> None:
        """Let announcements wait, and do not help to aim meanwhile; or let them come again."""
        self._holds = held
        self._end_aiming()

    def aim(self, *, on: bool | None) -> dict[str, Any]:
        """Begin or end to aim, or neither (None); return what it tells now."""
        if on is not None and on != self.is_aiming:
            self.carry_out(Action.AIM)
        guide = self._guide
        return {"aiming": guide is not None, **(guide.as_json(time.monotonic()) if guide else {})}

    def say(self, text: str, *, urgent: bool) -> dict[str, Any]:
        """Say a sentence that another program gave, if the settings allow it; return what that program gets as answer.

        `text` is one line. An `urgent` one is said like an answer.
        """
        if self.sayable == "off":
            return {"error": 'the settings do not allow this: [link] say = "off"'}
        if urgent:
            if self.sayable != "urgent":
                return {"error": 'the settings allow no urgent sentence: set [link] say = "urgent"'}
            self._queue.put(given(text))
            return {"text": text, "queued": True, "reason": None}
        if self._messages.full:
            return {"error": f"{MOST_WAITING} sentences wait already"}
        held_back = self._messages.put(text, pipeline.moment(), snoozed_until_s=self._control_state.snoozed_until_s)
        return {"text": text, "queued": not held_back, "reason": held_back or None}

    def set_volume(self, volume: float) -> dict[str, Any]:
        """Use another volume, 0..1, without a word; return what `louder` returns, but for its text."""
        return self._adjusted(*self._adjustments.set_volume(volume))

    # ---- the thread

    def _run(self) -> None:
        while True:
            try:
                event = self._next()
                if event is _Event.STOP:
                    return
                self._handle(event)
            except Exception:
                # a fault in one answer must not end the thread
                _log.exception("A request could not be answered. Please report this.")

    def _next(self) -> Any:
        """Return the next event; None if the voice or the guide must be attended to before one comes."""
        busy = self._voice.turn()
        self._report()
        guide = self._guide
        timeout_s = TURN_S if busy else max(0.0, guide.until_s - time.monotonic()) if guide else None
        try:
            return self._queue.get(timeout=timeout_s)
        except Empty:
            return None

    def _handle(self, event: Any) -> None:
        if event is _Event.DOWN:
            self._voice.signal(self._down_hz if self.tones else ())
        elif isinstance(event, Action):
            self._reporter.asked(event)
            self._voice.answer(self._do(event)[0])
        elif isinstance(event, Announcement):
            self._voice.answer(event)
        elif isinstance(event, Reading):
            self._guide_by(event)
        if (guide := self._guide) is not None and (time.monotonic() >= guide.until_s or self._control_state.paused):
            self._end_aiming()
            self._voice.signal(self._end_hz if self.tones else ())
            self._voice.answer(self._sentence(answers.AIMED))

    def _report(self) -> None:
        for announcement in self._voice.begun():
            self._reporter.notified(announcement)
            self._control_state.said(announcement)
        for outcome in self._voice.answered():
            self._reporter.answered(outcome)
            self._control_state.was_said(outcome)
            if outcome.announcement.id or outcome.announcement.given:
                self._history.add(outcome)

    def _guide_by(self, reading: Reading) -> None:
        guide = self._guide
        if guide is None:
            return
        advice = guide.update(reading, time.monotonic(), free=not self._voice.is_busy())
        if advice.word:
            self._voice.answer(self._sentence(advice.word))
        elif advice.look:
            self._voice.answer(self._control_state.present())
        elif advice.note_hz and self.tones:
            self._voice.beep((advice.note_hz,))

    # ---- what each action does

    def _do(self, action: Action) -> tuple[Announcement, dict[str, Any]]:
        """Carry out an action; return the answer, and what the control socket tells besides its text."""
        state = self._control_state
        if action is Action.LOOK:
            looked = state.present()
            return looked, {"label": looked.label or None, "probability": round(looked.probability, 4)}
        if action in _CHANGES:
            return self._change(action)
        if action is Action.MISSED:
            texts = [one.get("text") or one["label"] for one in reversed(state.missed())]
            return self._list(texts, answers.MISSED, answers.NOTHING_MISSED), {}
        if action is Action.HISTORY:
            texts = [one["text"] for one in self._history.recent()]
            return self._list(texts, answers.SAID, answers.NOTHING_SAID), {}
        if action is Action.SNOOZE:
            snoozed = state.toggle_snooze(HALF_HOUR_S)
            return self._sentence(answers.SNOOZING if snoozed else answers.AWAKE), {"snoozed": snoozed}
        if action is Action.PAUSE:
            paused = state.toggle_pause()
            return self._sentence(PAUSED if paused else RESUMED), {"paused": paused}
        if action is Action.MUTE_LAST:
            return self._mute_last()
        return self._toggle_aiming(), {}

    def _change(self, action: Action) -> tuple[Announcement, dict[str, Any]]:
        steps, done, at_limit = _CHANGES[action]
        facts = self._adjusted(*self._adjustments.change(**steps))
        return self._sentence(done if facts["changed"] else at_limit), facts

    def _adjusted(self, changed: bool, lasting: bool) -> dict[str, Any]:
        """Speak with the volume and rate in effect from now on, and return them."""
        volume, rate_wpm = self._adjustments.volume, self._adjustments.rate_wpm
        self._voice.adjust(volume, rate_wpm)
        return {"volume": volume, "rate_wpm": rate_wpm, "changed": changed, "lasting": lasting}

    def _mute_last(self) -> tuple[Announcement, dict[str, Any]]:
        last = next((one for one in self._history.recent() if one["labels"]), None)
        if last is None:
            return self._sentence(answers.NOTHING_TO_MUTE), {"muted": None, "lasting": True}
        try:
            muted = [self._control_state.mutes.mute(label) for label in last["labels"]]
        except Refused as error:
            return self._sentence(answers.FAILED), {"error": str(error)}
        text = f"{self._translate(answers.NO_MORE)} {last['text'].rstrip('.')}."
        facts = {"muted": " and ".join(label for label, _ in muted), "lasting": all(lasting for _, lasting in muted)}
        return self._spoken(text), facts

    def _toggle_aiming(self) -> Announcement:
        if self._guide is not None:
            self._end_aiming()
            return self._sentence(answers.AIMED)
        if self._control_state.paused:
            return self._sentence(answers.CLOSED)
        if self._holds:
            return self._sentence(answers.FAILED)
        self._guide = Guide(time.monotonic())
        self._voice.held = True
        return self._sentence(answers.AIMING)

    def _end_aiming(self) -> None:
        self._guide, self._voice.held = None, self._holds

    def _list(self, texts: Sequence[str], intro: str, none: str) -> Announcement:
        return self._spoken(answers.list_of(texts, intro, none, self._translate))

    def _sentence(self, sentence: str) -> Announcement:
        return self._spoken(self._translate(sentence))

    @staticmethod
    def _spoken(text: str) -> Announcement:
        return Announcement("", "", 1.0, text)
