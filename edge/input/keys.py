"""The keys as a source of requests: a thread that reads the devices of the settings."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from edge.input.actions import Receiver
from edge.input.keymap import read_keymap
from edge.input.watch import FOLDER, KeyWatch, Pressed
from edge.settings import InputSettings

_log = logging.getLogger(__name__)
_LONGEST_STEP_S = 60.0
_PAUSE_S = 1.0
"""How long the thread waits after an unexpected error."""
_END_S = 1.0
"""How long `close` waits for the thread; it needs milliseconds."""


class Keys:
    """Reads keys in a separate thread: no press waits for the loop, which is slow while a model loads."""

    def __init__(self, settings: InputSettings, receiver: Receiver, *, folder: Path = FOLDER) -> None:
        """Start the thread. Raises ConfigError if the settings name an unknown key or action."""
        self._receiver = receiver
        self._watch = KeyWatch(
            settings.devices,
            read_keymap(settings),
            lambda _device, _code: receiver.on_down(),
            self._pressed,
            grab=settings.grab,
            folder=folder,
        )
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watch.watch_also(self._stop)
        self._closing = False
        self._closing_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why a device cannot be used for now, in a few words; empty if there is no known problem."""
        return self._watch.problem

    def set_paused(self, paused: bool) -> None:
        """Do nothing: a key has to end the pause."""

    def status(self) -> dict[str, Any]:
        """Return the names of the devices that are open, and the problem, if there is one."""
        return {"devices": list(self._watch.devices), "problem": self._watch.problem or None}

    def close(self) -> None:
        """End the thread and close the devices. May be called twice, and from any thread."""
        with self._closing_lock:
            if not self._closing:
                os.eventfd_write(self._stop, 1)
                self._closing = True  # from now on the thread may close the descriptor
        self._thread.join(_END_S)

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._watch.step(time.monotonic, _LONGEST_STEP_S)
                except Exception:
                    # a bug must not take the keys away for good
                    _log.exception("The keys are read again after an unexpected error")
                    self._watch.close()
                    time.sleep(_PAUSE_S)
        finally:
            self._watch.close()
            os.close(self._stop)

    def _pressed(self, pressed: Pressed) -> None:
        if pressed.action is not None:
            self._receiver.on_action(pressed.action)
