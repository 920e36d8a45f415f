"""The clients of the control socket that look at the picture.

A picture replaces the one before that a client has not taken yet: a slow client skips pictures, and the loop never
waits for one.
"""

import threading
from collections.abc import Callable

from edge.errors import ControlError

MOST_VIEWERS = 4
"""Number of programs that may look at once. The link counts as one, and shows its pictures to all of its pages."""
PAUSED, OFF, STOPPED = "paused", "off", "stopped"
"""Reasons why the picture ends: the camera was closed, the settings do not allow it any more, edge ends."""
_REFUSALS = {
    PAUSED: "edge is paused: edge resume opens the camera again",
    OFF: "the settings do not allow this: [link] picture = false",
    STOPPED: "edge is stopping",
}


class Viewer:
    """One client."""

    def __init__(self, user: str) -> None:
        self.user = user
        """Name of its user."""
        self.line = b""
        """The newest picture, as a line of JSON; empty if the client has it already."""
        self.ended = ""
        """Why the picture has ended; empty while it goes on."""


class Viewers:
    """All of them. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: frozenset[Viewer] = frozenset()
        self._newest = b""
        self._closed_by: frozenset[str] = frozenset()
        self.round = 0
        """It grows when the first client comes and when the picture ends: an older picture must not be shown then."""
        self.wake: Callable[[], object] = lambda: None
        """Called, by the thread that publishes, when lines wait; it must not wait itself."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def users(self) -> list[str]:
        """Return the names of their users, sorted."""
        return sorted({one.user for one in self._all})

    @property
    def allowed(self) -> bool:
        """Return True if the settings allow the picture."""
        return OFF not in self._closed_by

    def close(self, reason: str, closed: bool = True) -> None:
        """End the picture for all clients and refuse others, for one of the reasons; or take that reason away."""
        with self._lock:
            if not closed:
                self._closed_by -= {reason}
                return
            self._closed_by |= {reason}
            for one in self._all:
                one.line, one.ended = b"", reason
            self._all, self._newest = frozenset(), b""
            self.round += 1
        self.wake()

    def add(self, user: str) -> Viewer:
        """Return a new viewer, which gets all pictures from now on, and the last one if others look already.

        Raises ControlError if none may look, or too many do.
        """
        with self._lock:
            for reason, text in _REFUSALS.items():
                if reason in self._closed_by:
                    raise ControlError(text)
            if len(self._all) >= MOST_VIEWERS:
                raise ControlError(f"{MOST_VIEWERS} programs look at the picture already")
            one = Viewer(user)
            one.line = self._newest
            if not self._all:
                self.round += 1
            self._all |= {one}
            return one

    def remove(self, one: Viewer) -> None:
        """Send it nothing any more."""
        with self._lock:
            self._all -= {one}
            if not self._all:
                self._newest = b""

    def publish(self, line: bytes, round_: int) -> None:
        """Let all clients have a picture, a line of JSON. It is dropped if the round has changed since it was taken."""
        with self._lock:
            if round_ != self.round or not self._all:
                return
            self._newest = line
            for one in self._all:
                one.line = line
        self.wake()

    def take(self, one: Viewer) -> bytes:
        """Return the picture that waits for a viewer, and remove it."""
        with self._lock:
            line, one.line = one.line, b""
            return line
