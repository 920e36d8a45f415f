"""The state behind the control commands, shared by the loop and the control socket.

The socket's thread answers from here at once, even while the loop is busy; the loop reads the state once a turn. Only
the mutes, a pause, volume and rate survive a restart: they are on disk before the answer is sent. Nothing else is ever
written.
"""

import base64
import contextlib
import difflib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from edge.announce.adjustments import Adjustments
from edge.announce.announcer import Missed
from edge.announce.answers import LOADING, STARTING
from edge.announce.english import plain
from edge.announce.mutes import read_mutes, write_mutes
from edge.daemon.history import History
from edge.host.atomic import to_disk
from edge.host.clock import local_time
from edge.input.actions import Action, Receiver
from edge.settings import SpeechSettings
from edge.stages import Announcement, Outcome

_log = logging.getLogger(__name__)
LONGEST_SNOOZE_S = 7 * 86400.0
MOST_MISSED = 200
"""Number of missed announcements that are kept, in memory."""
FEW_DECISIONS = 10
"""Number of decisions in an answer, if the client names none."""
LONGEST_LABEL = 200
SNAPSHOT_S = 1.0
"""How long a snapshot waits to be fetched."""


class Refused(Exception):  # noqa: N818 - it is an answer
    """A request that cannot be met; the text gives the reason."""


def by_word(names: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Return the stored name of each thing that can be muted, by each plain word for it.

    `names` has the stored name of each thing, and all plain words for it.
    """
    labels: dict[str, str] = {}
    words: dict[str, str] = {}
    for kept, ways in names:
        labels[plain(kept)] = kept
        for way in ways:
            words.setdefault(way, kept)
    return words | labels  # a label takes precedence over the spoken words of another


def no_such_label(label: str, labels: Mapping[str, str]) -> str:
    """Return the message that the model has no such label, with the nearest one; `labels` is from `by_word`."""
    near = difflib.get_close_matches(plain(label), labels, n=1)
    hint = f"; did you mean {labels[near[0]]}?" if near else ""
    return f"the model has no label {label!r}{hint}"


class Answering(Receiver, Protocol):
    """What carries out actions and answers aloud (daemon/answers.py)."""

    def carry_out(self, action: Action) -> dict[str, Any]: ...
    def aim(self, *, on: bool | None) -> dict[str, Any]: ...


class ControlState:
    """The state; all threads may use it."""

    def __init__(
        self,
        mutes_file: Path | None,
        adjustments: Adjustments | None = None,
        history: History | None = None,
        translate: Callable[[str], str] = str,
    ) -> None:
        """Read the mutes. A damaged file is renamed. `translate` returns a sentence in the spoken language."""
        self._file = mutes_file
        self._adjustments = adjustments or Adjustments(None, SpeechSettings())
        self._history = history or History()
        self._translate = translate
        self._answering: Answering | None = None
        self._lock = threading.RLock()
        self._mutes = self._read()
        self._names: Callable[[], Iterable[tuple[str, Iterable[str]]]] = tuple
        self._labels: dict[str, str] = {}
        """Stored name of each thing that can be muted, by each plain word for it; empty until it is needed."""
        self._status: Callable[[], Mapping[str, Any]] = dict
        self._missed: deque[dict[str, Any]] = deque(maxlen=MOST_MISSED)
        self._present: Callable[[], Announcement] = self._starting
        self._input: Callable[[], Mapping[str, Any]] = dict
        self._on_pause: Callable[[bool], object] = lambda _paused: None
        self._loading = 0
        """How many models are being loaded while the loop waits for them."""
        self._begun: list[Announcement] = []
        self._said: list[Outcome] = []
        self._decisions: Callable[[], Sequence[Mapping[str, Any]]] = tuple
        self._paused_mark = mutes_file.with_name("paused") if mutes_file else None
        self.paused = self._paused_mark is not None and os.access(self._paused_mark, os.F_OK)
        """True while the camera should be closed; survives a restart, as the mutes do."""
        self.pause_was_told = False
        """True if the last change of `paused` was answered aloud."""
        self._snapshot_wanted = False
        self._snapshot: tuple[float, bytes] | None = None
        """A snapshot as JPEG, and the time (time.monotonic()) since which it waits to be fetched."""
        self.snoozed_until_s = 0.0
        """End of the snooze, by time.monotonic()."""

    @property
    def adjusted(self) -> tuple[float, int]:
        """The volume, 0..1, and the rate in words per minute."""
        return self._adjustments.volume, self._adjustments.rate_wpm

    def snoozed_until(self) -> str | None:
        """Return the local time at which a snooze ends, in ISO 8601; None if there is none."""
        left_s = self.snoozed_until_s - time.monotonic()
        if left_s <= 0:
            return None
        return (local_time() + timedelta(seconds=left_s)).isoformat(timespec="seconds")

    # ---- the loop's side

    @property
    def muted(self) -> frozenset[str]:
        """The muted labels, in the form of announcer.plain."""
        with self._lock:
            return frozenset(map(plain, self._mutes))

    def know(self, names: Callable[[], Iterable[tuple[str, Iterable[str]]]]) -> None:
        """Set what can be muted from now on: `names` returns the stored name of each thing and all plain words for it.

        It is called when a client mutes something, not before.
        """
        with self._lock:
            self._names, self._labels = names, {}

    def show_status(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Set the function that returns the status while edge starts."""
        with self._lock:
            self._status = status

    def show(
        self,
        status: Callable[[], Mapping[str, Any]],
        present: Callable[[], Announcement],
        decisions: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        """Set the functions that return the status, what would be said about the current view, and the last decisions.

        The newest decision comes first. Other threads call the functions when a person asks.
        """
        with self._lock:
            self._status, self._present, self._decisions = status, present, decisions

    def miss(self, missed: Missed) -> None:
        """Keep a thing that was recognised during silence."""
        when = local_time().isoformat(timespec="seconds")
        with self._lock:
            self._missed.append(
                {
                    "time": when,
                    "label": missed.label,
                    "text": missed.text,
                    "probability": round(missed.probability, 3),
                    "reason": missed.why,
                }
            )

    def attach(
        self,
        answering: Answering,
        input_status: Callable[[], Mapping[str, Any]],
        on_pause: Callable[[bool], object],
    ) -> None:
        """Set what answers requests aloud, what tells the state of the input devices, and what follows a pause."""
        self._answering, self._input, self._on_pause = answering, input_status, on_pause

    @contextmanager
    def loading(self) -> Iterator[None]:
        """In the block, answer that a model is being loaded: what was seen before may be long gone."""
        self._loading += 1
        try:
            yield
        finally:
            self._loading -= 1

    def take_answers(self) -> tuple[list[Announcement], list[Outcome]]:
        """Return the answers that have begun, and those that have ended, since the last call."""
        with self._lock:
            begun, said, self._begun, self._said = self._begun, self._said, [], []
            return begun, said

    # ---- the side of the answers

    def present(self) -> Announcement:
        """Return what would be said about the current view, or why nothing can be said about it."""
        return self._about_itself(LOADING) if self._loading else self._present()

    def said(self, announcement: Announcement) -> None:
        """Record that an answer has begun."""
        with self._lock:
            self._begun.append(announcement)

    def was_said(self, outcome: Outcome) -> None:
        """Record the result of an answer."""
        with self._lock:
            self._said.append(outcome)

    def missed(self) -> list[dict[str, Any]]:
        """Return what was missed, the newest last."""
        with self._lock:
            return list(self._missed)

    def toggle_snooze(self, seconds: float) -> bool:
        """End a snooze, or begin one; return True if it begins."""
        with self._lock:
            now_s = time.monotonic()
            snoozed = self.snoozed_until_s <= now_s
            self.snoozed_until_s = now_s + seconds if snoozed else 0.0
            return snoozed

    def toggle_pause(self) -> bool:
        """Close the camera, or open it; return True if it closes. The answer aloud is the caller's."""
        with self._lock:
            self._set_paused(not self.paused, told=True)
            return self.paused

    def wants_snapshot(self) -> bool:
        """Return True if a client waits for a snapshot."""
        with self._lock:
            return self._snapshot_wanted

    def give_snapshot(self, jpeg: bytes) -> None:
        """Provide the requested snapshot."""
        with self._lock:
            self._snapshot_wanted, self._snapshot = False, (time.monotonic(), jpeg)

    def tidy(self) -> None:
        """Drop a snapshot that was not fetched within SNAPSHOT_S."""
        with self._lock:
            if self._snapshot and time.monotonic() - self._snapshot[0] > SNAPSHOT_S:
                self._snapshot = None

    # ---- the socket's side

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a request {"command": ...} and return the answer; {"error": ...} if that is impossible."""
        command = request.get("command")
        do = _COMMANDS.get(command) if isinstance(command, str) else None
        if do is None:
            return {"error": f"unknown command {command!r}; known: {', '.join(_COMMANDS)}"}
        try:
            with self._lock:
                return do(self, request)
        except Refused as error:
            return {"error": str(error)}

    def _snooze(self, request: Mapping[str, Any]) -> dict[str, Any]:
        seconds = request.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= LONGEST_SNOOZE_S:
            raise Refused(f"cannot snooze for {seconds!r} s; give 1 s to 7 days")
        self.snoozed_until_s = time.monotonic() + seconds
        return {"until": self.snoozed_until()}

    def _wake(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        was = self.snoozed_until()
        self.snoozed_until_s = 0.0
        return {"snoozed": was is not None}

    def _mute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("last") is True:
            return self._carry_out(Action.MUTE_LAST)
        label = self._label(request)
        labels = self._known()
        known = labels.get(plain(label))
        if known is None and labels:
            raise Refused(no_such_label(label, labels))
        self._mutes = sorted({*self._without(label), known or label})
        return {"muted": known or label, "lasting": self._write()}

    def _unmute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        label = self._label(request)
        left = self._without(label)
        if left == self._mutes:
            raise Refused(f"{label!r} is not muted (labels that the settings mute can only be unmuted there)")
        self._mutes = left
        return {"unmuted": label, "lasting": self._write()}

    def _list_mutes(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"mutes": list(self._mutes)}

    def _tell_status(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        own = {
            "snoozed_until": self.snoozed_until(),
            "paused": self.paused,
            "mutes": list(self._mutes),
            "volume": self._adjustments.volume,
            "rate_wpm": self._adjustments.rate_wpm,
            "input": dict(self._input()),
        }
        return {**self._status(), **own}

    def _subscribe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a subscription: from then on the socket sends the events (daemon/control_socket.py)."""
        if not isinstance(frames := request.get("frames", False), bool):
            raise Refused(f"frames: {frames!r} is neither true nor false")
        return {"subscribed": True}

    def _tell_missed(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"missed": list(self._missed)}

    def _tell_why(self, request: Mapping[str, Any]) -> dict[str, Any]:
        last = request.get("last", FEW_DECISIONS)
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise Refused(f"{last!r} is no number of decisions: from 1")
        return {"decisions": list(self._decisions())[:last]}

    def _pause(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        was = self.paused
        return {"was": was, "lasting": self._set_paused(True, told=False)}

    def _resume(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        was = self.paused
        return {"was": was, "lasting": self._set_paused(False, told=False)}

    def _set_paused(self, paused: bool, *, told: bool) -> bool:
        """Close the camera, or open it; return True if that will survive a restart."""
        if paused:
            self._snapshot, self._snapshot_wanted = None, False
            self._history.clear()
        if paused != self.paused:
            self.pause_was_told = told
        self.paused = paused
        self._on_pause(paused)
        return self._mark()

    def _change(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._carry_out(Action(request["command"]))

    def _tell_history(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"history": self._history.recent()}

    def _aim(self, request: Mapping[str, Any]) -> dict[str, Any]:
        on = request.get("on")
        if on is not None and not isinstance(on, bool):
            raise Refused(f"{on!r} is neither true nor false")
        if self._answering is None:
            raise Refused("edge is starting")
        if on and self.paused:
            raise Refused("edge is paused: edge resume opens the camera again")
        return self._answering.aim(on=on)

    def _press(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            action = Action(str(request.get("action")))
        except ValueError:
            known = ", ".join(Action)
            raise Refused(f"unknown action {request.get('action')!r}; known: {known}") from None
        if self._answering is None:
            raise Refused("edge is starting")
        self._answering.on_down()
        self._answering.on_action(action)
        return {"action": action}

    def _carry_out(self, action: Action) -> dict[str, Any]:
        if self._answering is None:
            raise Refused("edge is starting")
        answer = self._answering.carry_out(action)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def _take_snapshot(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        if self.paused:
            raise Refused("edge is paused: edge resume opens the camera again")
        if self._snapshot is None:
            self._snapshot_wanted = True
            return {"jpeg": None}
        jpeg, self._snapshot = self._snapshot[1], None
        return {"jpeg": base64.b64encode(jpeg).decode("ascii")}

    def _take_a_look(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._carry_out(Action.LOOK)

    def _starting(self) -> Announcement:
        return self._about_itself(STARTING)

    def _about_itself(self, sentence: str) -> Announcement:
        return Announcement("", "", 0.0, self._translate(sentence), interrupts=True)

    def _label(self, request: Mapping[str, Any]) -> str:
        label = request.get("label")
        if not isinstance(label, str) or not plain(label) or len(label) > LONGEST_LABEL:
            raise Refused(f"a label is a text of at most {LONGEST_LABEL} characters")
        return label

    def _known(self) -> dict[str, str]:
        if not self._labels:
            self._labels = by_word(self._names())
        return self._labels

    def _without(self, label: str) -> list[str]:
        same = {plain(label), plain(self._known().get(plain(label), label))}
        return [mute for mute in self._mutes if plain(mute) not in same]

    # ---- the file

    def _read(self) -> list[str]:
        if self._file is None:
            return []
        try:
            return read_mutes(self._file)
        except OSError as error:
            _log.info(f"{self._file}: {error.strerror}: the muted labels are unknown.")
            return []
        except ValueError as error:
            aside = self._file.with_name(f"{self._file.name}.damaged")
            with contextlib.suppress(OSError):
                self._file.replace(aside)
            _log.info(f"{self._file} is damaged ({error}) and was renamed to {aside.name}: nothing is muted.")
            return []

    def _mark(self) -> bool:
        """Write to disk whether the camera is closed; return True if that will survive a restart."""
        if self._paused_mark is None:
            return False
        try:
            if self.paused:
                self._paused_mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._paused_mark.touch()
            else:
                self._paused_mark.unlink(missing_ok=True)
            to_disk(self._paused_mark.parent)
        except OSError:
            return False
        return True

    def _write(self) -> bool:
        """Write the mutes to disk; return True if they will survive a restart."""
        if self._file is None:
            return False
        try:
            write_mutes(self._file, self._mutes)
        except OSError:
            return False
        return True


_COMMANDS: dict[str, Callable[[ControlState, Mapping[str, Any]], dict[str, Any]]] = {
    "status": ControlState._tell_status,
    "snooze": ControlState._snooze,
    "wake": ControlState._wake,
    "mute": ControlState._mute,
    "unmute": ControlState._unmute,
    "mutes": ControlState._list_mutes,
    "missed": ControlState._tell_missed,
    "why": ControlState._tell_why,
    "look": ControlState._take_a_look,
    "pause": ControlState._pause,
    "resume": ControlState._resume,
    "snapshot": ControlState._take_snapshot,
    "louder": ControlState._change,
    "quieter": ControlState._change,
    "faster": ControlState._change,
    "slower": ControlState._change,
    "history": ControlState._tell_history,
    "aim": ControlState._aim,
    "press": ControlState._press,
    "subscribe": ControlState._subscribe,
}
