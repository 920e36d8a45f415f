"""The state behind the control commands, shared by the loop, the answers and the control socket.

Other threads read and change it at once, even while the loop is busy; the loop reads it once a turn. Only the mutes, a
pause, volume and rate survive a restart: they are on disk before the answer is sent. Nothing else is ever written.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from edge.announce.adjustments import Adjustments
from edge.announce.announcer import Missed
from edge.announce.answers import LOADING, STARTING
from edge.daemon.checkup import Checkup
from edge.daemon.history import History
from edge.daemon.mute_list import MuteList
from edge.daemon.viewers import OFF, PAUSED, Viewers
from edge.host.atomic import to_disk
from edge.host.clock import local_time
from edge.input.actions import Action, Receiver
from edge.settings import SpeechSettings
from edge.stages import Announcement, Outcome

MOST_MISSED = 200
"""Number of missed announcements that are kept, in memory."""
SNAPSHOT_S = 1.0
"""How long a snapshot waits to be fetched."""


class Answering(Receiver, Protocol):
    """What carries out actions and answers aloud (daemon/answers.py)."""

    def carry_out(self, action: Action) -> dict[str, Any]: ...
    def aim(self, *, on: bool | None) -> dict[str, Any]: ...
    def say(self, text: str, *, urgent: bool) -> dict[str, Any]: ...
    def set_volume(self, volume: float) -> dict[str, Any]: ...


class Teaching(Protocol):
    """What teaches edge a thing (daemon/teaching.py). Its methods raise mute_list.Refused."""

    state: dict[str, Any] | None

    def begin(self, name: str, *, more: bool, replace: bool) -> dict[str, Any]: ...
    def cancel(self) -> dict[str, Any]: ...


class ControlState:
    """The state; all threads may use it."""

    def __init__(
        self,
        mutes_file: Path | None,
        adjustments: Adjustments | None = None,
        history: History | None = None,
        translate: Callable[[str], str] = str,
    ) -> None:
        """Read the mutes. `translate` returns a sentence in the spoken language."""
        self.mutes = MuteList(mutes_file)
        self._adjustments = adjustments or Adjustments(None, SpeechSettings())
        self.history = history or History()
        self._translate = translate
        self.answering: Answering | None = None
        """What answers requests aloud; None while edge starts."""
        self._lock = threading.RLock()
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
        self.checkup: Checkup | None = None
        """What examines the running edge on request; None while it starts."""
        self.teaching: Teaching | None = None
        """What teaches edge a thing on request; None while it starts."""
        self.teachable = True
        """True if programs may teach and forget things; see [link] teach."""
        self.viewers = Viewers()
        """The clients that look at the picture."""
        self.viewers.close(PAUSED, self.paused)
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

    def allow_pictures(self, allowed: bool) -> None:
        """Allow clients to look at the picture, or not; see [link] picture."""
        self.viewers.close(OFF, not allowed)

    # ---- the loop's side

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
        """Keep what was recognised, or given to be said, during silence."""
        when = local_time().isoformat(timespec="seconds")
        with self._lock:
            self._missed.append(
                {
                    "time": when,
                    "label": missed.label or None,
                    "text": missed.text,
                    "probability": round(missed.probability, 3) if missed.label else None,
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
        self.answering, self._input, self._on_pause = answering, input_status, on_pause

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

    def snooze(self, seconds: float) -> None:
        """Be silent for some seconds from now on."""
        self.snoozed_until_s = time.monotonic() + seconds

    def wake(self) -> bool:
        """End a snooze; return True if there was one."""
        with self._lock:
            was = self.snoozed_until_s > time.monotonic()
            self.snoozed_until_s = 0.0
            return was

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
            self.set_paused(not self.paused, told=True)
            return self.paused

    def set_paused(self, paused: bool, *, told: bool = False) -> tuple[bool, bool]:
        """Close the camera, or open it; return whether it was closed, and whether that will survive a restart.

        `told` tells that the change is answered aloud.
        """
        with self._lock:
            was, self.paused = self.paused, paused
            if paused:
                self._snapshot, self._snapshot_wanted = None, False
                self.history.clear()
            self.viewers.close(PAUSED, paused)
            if paused != was:
                self.pause_was_told = told
            self._on_pause(paused)
            return was, self._mark()

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

    # ---- the side of the socket

    def status(self) -> dict[str, Any]:
        """Return the state of the daemon as a JSON object."""
        with self._lock:
            status, told = self._status, self._input
        own = {
            "snoozed_until": self.snoozed_until(),
            "paused": self.paused,
            "picture": self.viewers.allowed,
            "watched": len(self.viewers),
            "teachable": self.teachable,
            "teaching": self.teaching.state if self.teaching else None,
            "mutes": self.mutes.labels,
            "volume": self._adjustments.volume,
            "rate_wpm": self._adjustments.rate_wpm,
            "input": dict(told()),
        }
        return {**status(), **own}

    def decisions(self, most: int) -> list[Mapping[str, Any]]:
        """Return the last decisions, at most so many, the newest first."""
        return list(self._decisions())[:most]

    def take_snapshot(self) -> bytes | None:
        """Return the snapshot as JPEG, and remove it; None: the next frame is requested for it."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot_wanted = True
                return None
            jpeg, self._snapshot = self._snapshot[1], None
            return jpeg

    # ---- all of them

    def _starting(self) -> Announcement:
        return self._about_itself(STARTING)

    def _about_itself(self, sentence: str) -> Announcement:
        return Announcement("", "", 0.0, self._translate(sentence), interrupts=True)

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
