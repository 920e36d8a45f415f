"""The clients of the control socket that follow the events.

`publish` only appends to queues of a limited size: the loop never waits for a client. A client whose queue is full is
to be dropped, because an event must not be missing in the middle without a sign.
"""

import threading
from collections import deque
from collections.abc import Callable

FRAME = "frame"
"""The event that each frame makes; only those who ask for it get it."""
MOST_WAITING = 256 * 1024
"""Bytes that may wait for one client. The kernel's buffer of about 200 KiB comes on top."""


class Subscriber:
    """One client's queue."""

    def __init__(self, *, frames: bool) -> None:
        self.frames = frames
        self.too_slow = False
        """True if an event found no place in the queue: the client must be dropped."""
        self._lines: deque[bytes] = deque()
        self._bytes = 0

    def put(self, line: bytes) -> None:
        """Append a line, or note that the queue is full."""
        if self.too_slow or self._bytes + len(line) > MOST_WAITING:
            self.too_slow = True
            return
        self._lines.append(line)
        self._bytes += len(line)

    def take(self) -> bytes:
        """Return all lines that wait, and remove them."""
        lines = b"".join(self._lines)
        self._lines.clear()
        self._bytes = 0
        return lines


class Subscribers:
    """All of them. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: frozenset[Subscriber] = frozenset()
        self.wake: Callable[[], object] = lambda: None
        """Called, by the thread that publishes, when lines wait; it must not wait itself."""

    def wants(self, event: str) -> bool:
        """Return True if anybody follows such events."""
        everyone = self._all  # replaced as a whole
        return any(one.frames for one in everyone) if event == FRAME else bool(everyone)

    def publish(self, event: str, line: bytes) -> None:
        """Queue an event, a line of JSON, for those who follow it."""
        with self._lock:
            for one in self._all:
                if one.frames or event != FRAME:
                    one.put(line)
        self.wake()

    def add(self, *, frames: bool) -> Subscriber:
        """Return a new subscriber, which gets all events from now on; with `frames` also each frame."""
        with self._lock:
            one = Subscriber(frames=frames)
            self._all |= {one}
            return one

    def remove(self, one: Subscriber) -> None:
        """Send it nothing any more."""
        with self._lock:
            self._all -= {one}

    def take(self, one: Subscriber) -> bytes:
        """Return what waits for a subscriber, and remove it."""
        with self._lock:
            return one.take()

    def __len__(self) -> int:
        return len(self._all)
