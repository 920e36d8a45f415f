"""Signal handling: a signal ends edge at once during startup, in order from the loop, by force if that hangs.

SIGHUP makes a daemon without a terminal reread its settings.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from edge.errors import EX_OK

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
TIDY_S = 1.2
"""How long the loop may take to end by itself after a signal."""
FAREWELL_S = 0.5
"""Time after that for killing children and the last report: together less than the 2 s that are promised."""


class StopRequested(BaseException):
    """A signal during the opening of the stages. Like KeyboardInterrupt it is no error."""


def has_terminal() -> bool:
    """Return True if this process has a terminal: SIGHUP then means that the terminal is gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Signals:
    """Turns SIGTERM, SIGINT and, with a terminal, SIGHUP into an end within 2 s, even while a C call runs.

    Without a terminal SIGHUP means, as for any daemon, that the settings should be read again. If it was ignored from
    the start (nohup), it stays ignored.

    Python runs signal handlers between two Python instructions, so a long C call would delay them. The wakeup file
    descriptor is written at once, and a thread reads it: if the loop does not end in time, the thread closes the parts
    that have children and exits.
    """

    def __init__(self, last_words: Callable[[], None]) -> None:
        """Prepare. `last_words` is called before a forced exit."""
        self._last_words = last_words
        self._forced: list[Callable[[], None]] = []
        self._at_once = False
        # not an Event: a handler may interrupt itself, and would then wait for the Event's lock
        self._stopping = False
        self._finished = threading.Event()
        self.reload_is_wanted = False
        """True if a signal has asked to reread the settings; the caller resets it before it does so."""
        self._stop_signals = (*STOP_SIGNALS, signal.SIGHUP) if has_terminal() else STOP_SIGNALS

    def stopping(self) -> bool:
        """Return True if a signal has asked the daemon to end."""
        return self._stopping

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise StopRequested in the block: opening the stages takes seconds and need not be finished."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        if self.stopping():
            raise StopRequested

    def on_force(self, close: Callable[[], None]) -> None:
        """Register `close` to be called from another thread before a forced exit."""
        self._forced.append(close)

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        handled = [*STOP_SIGNALS, *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else [])]
        self._previous = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if self.stopping() else handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the signal; the thread makes sure that the process ends."""
        if number not in self._stop_signals:
            self.reload_is_wanted = True
            return
        self._stopping = True
        # a second signal during the end must not kill the process; and while another thread keeps this one waiting, a
        # signal that is sent again and again would interrupt its own handler until the stack is full
        for one in self._stop_signals:
            signal.signal(one, signal.SIG_IGN)
        if number == signal.SIGINT and os.isatty(2):
            os.write(2, b"\n")  # the terminal has just written ^C
        if self._at_once:
            self._at_once = False
            raise StopRequested

    def _watch(self) -> None:
        # Python writes the number of each signal there, before its handler has run
        while (told := self._reader.recv(1)) and told[0] not in self._stop_signals:
            pass
        if not told:
            return
        self._stopping = True
        if self._finished.wait(TIDY_S):
            return
        # in another thread: the reader of our output may hang too
        farewell = threading.Thread(target=self._farewell, daemon=True)
        farewell.start()
        farewell.join(FAREWELL_S)
        os._exit(EX_OK)

    def _farewell(self) -> None:
        for close in self._forced:
            close()
        self._last_words()
