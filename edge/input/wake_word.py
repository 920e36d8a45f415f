"""The wake word: a word that does what the press of a key does. A separate process has the microphone.

Nothing is listened to while edge itself makes a sound, nor shortly after it. While edge is paused the process does not
exist, so the microphone is closed.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from edge.host.backoff import Backoff
from edge.input.actions import Action, Receiver
from edge.input.detector import package_problem
from edge.settings import InputSettings
from edge.worker import Reply, Worker, WorkerError

_log = logging.getLogger(__name__)
TAIL_S = 0.5
"""How long after a sound of edge's own nothing is listened to: the room's echo, and what the card still has."""
ANSWER_S = 15.0
"""How long one request may take: opening several cards takes longest."""
START_S = 60.0
"""How long the process may take to load its model; a small board is busy just after booting."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""First pause between two tries of a microphone, and the longest one that it doubles up to."""
_TURN_S = 0.1


class WakeWord:
    """Listens for the word of the settings in a thread, and asks `receiver` for a look when it is heard."""

    def __init__(
        self, settings: InputSettings, receiver: Receiver, sounding: Callable[[], bool], speech_device: str
    ) -> None:
        """Start to listen.

        `sounding` tells whether edge makes a sound; it is called four times a second, from another thread.
        `speech_device` is [speech] device: without a microphone in the settings its card is tried first.
        """
        self.problem = ""
        self._word = settings.word
        self._options = {"word": settings.word, "microphone": settings.microphone, "speech_device": speech_device}
        self._receiver = receiver
        self._sounding = sounding
        self._lock = threading.Lock()
        self._changed = threading.Event()
        """Set when the thread must look at `_paused` and `_closed`."""
        self._paused = self._closed = False
        self._worker: Worker | None = None
        self._microphone = ""
        """ALSA's name of the microphone that is open; empty: none is."""
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._deaf_until_s = 0.0
        self._thread = threading.Thread(target=self._run, name="wake word", daemon=True)
        self._thread.start()

    def set_paused(self, paused: bool) -> None:
        with self._lock:
            if paused == self._paused:
                return
            self._paused = paused
            if paused:
                self._end_worker()
            self._changed.set()

    def status(self) -> dict[str, Any]:
        """Return {"word": ..., "open": bool, "microphone": ALSA's name or None, "problem": text or None}."""
        microphone = self._microphone
        return {
            "word": self._word,
            "open": bool(microphone),
            "microphone": microphone or None,
            "problem": self.problem or None,
        }

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._end_worker()
            self._changed.set()

    def _end_worker(self) -> None:
        if self._worker:
            self._worker.close()
            self._worker = None
        self._microphone = ""

    def _run(self) -> None:
        while not self._closed:
            self._changed.clear()
            try:
                self._turn()
            except Exception as error:
                # a bug must not end it for good, and must not be silent
                _log.exception("The wake word is tried again after an unexpected error")
                self._fail(f"unexpected error: {error}")

    def _turn(self) -> None:
        """Listen for a moment, and act on what was heard. If it is paused, wait until that has changed."""
        if self._paused:
            self.problem = ""  # it is closed on purpose
            self._changed.wait()
            return
        ignore = self._is_to_be_ignored()
        reply = self._ask({"ignore": ignore})
        if reply is None:  # paused or closed meanwhile
            return
        if reply.error:
            self._fail(reply.error)
            return
        self._succeed(reply.value["microphone"])
        if reply.value["heard"] and not ignore and not self._is_to_be_ignored():
            self._receiver.on_down()
            self._receiver.on_action(Action.LOOK)

    def _is_to_be_ignored(self) -> bool:
        now_s = time.monotonic()
        if self._sounding():
            self._deaf_until_s = now_s + TAIL_S
        return now_s < self._deaf_until_s

    def _ask(self, request: object) -> Reply | None:
        """Return the process's reply, after starting it if there is none; None if there will be no reply."""
        if problem := "" if self._worker else package_problem():
            return Reply(error=problem)
        with self._lock:
            if self._paused or self._closed:
                return None
            if self._worker is None:
                try:
                    self._worker = Worker("edge.input.detector", self._options, "the wake word", START_S, wait=False)
                except WorkerError as error:
                    return Reply(error=str(error))
            worker = self._worker
        worker.ask(request, ANSWER_S)
        while not self._changed.is_set():
            if (reply := worker.poll()) is not None:
                return reply
            worker.wait(_TURN_S)
        return None

    def _succeed(self, microphone: str) -> None:
        with self._lock:
            if self._worker:  # else it was closed after this reply
                self._microphone, self.problem = microphone, ""
        self._backoff.reset()

    def _fail(self, problem: str) -> None:
        with self._lock:
            self._microphone = ""
            if not self._paused:
                self.problem = problem
        self._changed.wait(self._backoff.double())
