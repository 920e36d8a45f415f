"""Keeps one subscription to the daemon's events, and the state that they tell."""

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.errors import ControlError, NotRunning
from edge.host.backoff import Backoff
from edge.host.control_client import Subscription, ask
from edge.link.parts import Part
from edge.link.state import DOWN, LinkState, after

_log = logging.getLogger(__name__)
STATUS_S = 10.0
"""How often the daemon is asked for its status; events tell the rest at once."""
STARTING_S = 1.0
"""How often it is asked while it starts: no event tells that it is paused, or waits for a camera, and is ready so."""
FIRST_S, LONGEST_S = 0.25, 4.0
"""Pauses between two tries to reach the daemon, but for a random part of a quarter."""
SILENT_S = 30.0
"""A subscription's thread that has not turned for this time is stuck."""


_CHANGES_MUCH = ("ready", "model_changed", "reloaded")
"""Events after which the status tells more than they do."""


class Subscriber:
    """The thread that reads the events, asks for the status, and tells the parts."""

    def __init__(self, paths: Sequence[Path], parts: Sequence[Part]) -> None:
        """Prepare; `paths` are the control sockets to try, in this order."""
        self._paths = list(paths)
        self._parts = parts
        self._frames = any(part.wants_frames for part in parts)
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self._turned_s = time.monotonic()
        self._why = ""
        self.state = DOWN
        """The last known state; replaced as a whole."""
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_for_first_try(self, timeout_s: float) -> None:
        """Wait until the daemon was reached, or not, for the first time."""
        self._tried.wait(timeout_s)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request to the daemon; return its answer. Raises ControlError."""
        return ask(self._paths, request)

    def alive(self) -> bool:
        """Return False if the thread has ended or is stuck."""
        return self._thread.is_alive() and time.monotonic() - self._turned_s < SILENT_S

    def stop(self) -> None:
        """Ask the thread to end; it ends within a second."""
        self._stopping.set()

    def _run(self) -> None:
        self._become(DOWN, first=True)
        backoff = Backoff(FIRST_S, LONGEST_S)
        while not self._stopping.is_set():
            self._turned_s = time.monotonic()
            try:
                with Subscription(self._paths, frames=self._frames) as subscription:
                    self._follow(subscription, backoff)
            except ControlError as error:
                self._lost(error)
            self._tried.set()
            self._stopping.wait(backoff.double() * random.uniform(0.75, 1.25))

    def _follow(self, subscription: Subscription, backoff: Backoff) -> None:
        """Read events until the link ends. Raises ControlError if the daemon is gone."""
        asked_s = time.monotonic()  # the first event is the status
        while not self._stopping.is_set():
            now_s = self._turned_s = time.monotonic()
            every_s = STATUS_S if self.state.ready else STARTING_S
            if now_s - asked_s >= every_s:
                asked_s = now_s
                self._take({**self.ask({"command": "status"}), "event": "status"})
            event = subscription.next(min(1.0, max(0.0, asked_s + every_s - now_s)))
            if event is None:
                continue
            self._take(event)
            if event.get("event") == "status":
                backoff.reset()
                self._tried.set()
            elif event.get("event") in _CHANGES_MUCH:
                asked_s = -STATUS_S

    def _take(self, event: Mapping[str, Any]) -> None:
        if "error" in event:
            raise ControlError(str(event["error"]))
        for part in self._parts:
            part.happened(event)
        # a frame changes nothing here, and there are ten a second
        if event.get("event") != "frame":
            self._become(after(self.state, event))

    def _become(self, state: LinkState, *, first: bool = False) -> None:
        if state == self.state and not first:
            return
        if state.up and not self.state.up:
            _log.info(f"edge {state.version} is reached.", extra={"event": "daemon_reached"})
            self._why = ""
        self.state = state
        for part in self._parts:
            part.changed(state)

    def _lost(self, error: ControlError) -> None:
        """Tell that the daemon is not reached, once for each reason."""
        why = "edge is not running" if isinstance(error, NotRunning) else str(error)
        if why != self._why:
            self._why = why
            _log.warning(f"{why}; the link keeps trying.", extra={"event": "daemon_lost", "reason": why})
        self._become(DOWN)
