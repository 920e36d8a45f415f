"""Signals become an end: at once while things are opened, tidily from the loop, by force where nothing answers."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from edge.errors import EX_OK

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TIDY_S = 1.2
"""How long a signal leaves the loop to end by itself."""
FAREWELL_S = 0.5
"""And then for killing children and last words: together less than the 2 s that are promised."""


class StopRequested(BaseException):
    """A signal came while the stages were being opened. Like KeyboardInterrupt it is no error."""


class Stopper:
    """Turns SIGTERM, SIGINT and SIGHUP into an end within 2 s, also while a C call runs.

    Python runs signal handlers between two of its own instructions, so a long C call would hold them up. The wakeup
    file descriptor is written at once, and a thread of ours reads it: if the loop does not end in time, the thread
    closes what has children and leaves.
    """

    def __init__(self, last_words: Callable[[], None]) -> None:
        """`last_words` is called before leaving by force."""
        self._last_words = last_words
        self._forced: list[Callable[[], None]] = []
        self._at_once = False
        self._stop = threading.Event()
        self._finished = threading.Event()

    def stopping(self) -> bool:
        """Whether somebody wants the daemon to end."""
        return self._stop.is_set()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise StopRequested: opening the stages takes seconds, and none of it is worth finishing."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        if self.stopping():
            raise StopRequested

    def on_force(self, close: Callable[[], None]) -> None:
        """Have `close` called before leaving by force, from another thread."""
        self._forced.append(close)

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        for number, handler in self._previous.items():
            # whoever asks again while it ends already must not kill it after all
            signal.signal(number, signal.SIG_IGN if self.stopping() else handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """The thread does the rest, or sees to it that it is done."""
        self._stop.set()
        if number == signal.SIGINT and os.isatty(2):
            os.write(2, b"\n")  # the terminal has just written ^C
        if self._at_once:
            self._at_once = False
            raise StopRequested

    def _watch(self) -> None:
        if not self._reader.recv(1):
            return
        self._stop.set()
        if self._finished.wait(TIDY_S):
            return
        # in a thread again: whoever reads what we print may be stuck too
        farewell = threading.Thread(target=self._farewell, daemon=True)
        farewell.start()
        farewell.join(FAREWELL_S)
        os._exit(EX_OK)

    def _farewell(self) -> None:
        for close in self._forced:
            close()
        self._last_words()
