"""Signals become an end: at once while things are opened, tidily from the loop, by force where nothing answers.

Or, of SIGHUP to a daemon, a wish to read the settings anew.
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
"""How long a signal leaves the loop to end by itself."""
FAREWELL_S = 0.5
"""And then for killing children and last words: together less than the 2 s that are promised."""


class StopRequested(BaseException):
    """A signal came while the stages were being opened. Like KeyboardInterrupt it is no error."""


def has_terminal() -> bool:
    """Whether this process would be told by SIGHUP that its terminal is gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Signals:
    """Turns SIGTERM and SIGINT into an end within 2 s, also while a C call runs; and SIGHUP where there is a terminal.

    Without one nobody is gone: then SIGHUP means, as for any daemon, that the settings are to be read anew. Where it
    was ignored from the start (nohup) it stays so.

    Python runs signal handlers between two of its own instructions, so a long C call would hold them up. The wakeup
    file descriptor is written at once, and a thread of ours reads it: if the loop does not end in time, the thread
    closes what has children and leaves.
    """

    def __init__(self, last_words: Callable[[], None]) -> None:
        """`last_words` is called before leaving by force."""
        self._last_words = last_words
        self._forced: list[Callable[[], None]] = []
        self._at_once = False
        # no Event: its lock is no place for a handler, which may interrupt itself
        self._stopping = False
        self._finished = threading.Event()
        self.reload_is_wanted = False
        """Whether somebody has asked to read the settings anew; whoever does it sets it back before."""
        self._stop_signals = (*STOP_SIGNALS, signal.SIGHUP) if has_terminal() else STOP_SIGNALS

    def stopping(self) -> bool:
        """Whether somebody wants the daemon to end."""
        return self._stopping

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
        """The thread does the rest, or sees to it that it is done."""
        if number not in self._stop_signals:
            self.reload_is_wanted = True
            return
        self._stopping = True
        # whoever asks again while it ends already must not kill it after all; and while another thread keeps this one
        # waiting, a signal that is sent again and again would interrupt its own handler until there is no stack left
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
        # in a thread again: whoever reads what we print may be stuck too
        farewell = threading.Thread(target=self._farewell, daemon=True)
        farewell.start()
        farewell.join(FAREWELL_S)
        os._exit(EX_OK)

    def _farewell(self) -> None:
        for close in self._forced:
            close()
        self._last_words()
