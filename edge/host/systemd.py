"""Status and watchdog messages to systemd, and log entries to its journal; their fields need systemd-python."""

import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from edge.host.terminal import LineFormatter, printable

STALE_S = 5.0
"""How long a live camera that is not lost may give no frame and still count as progress."""
PATIENCE_S = 600.0
"""How long it may take to open a model (which may include measuring several), a camera or a voice while edge runs."""
LINGER_S = 0.25
BUSY_S = 0.2
"""How long a thread waits while another writes a line, before its own line is lost."""
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.NOTSET: 7}
"""The journal's priorities (syslog(3)), by the lowest level of each."""
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message"}


def notify(state: str) -> bool:
    """Send lines such as 'READY=1' or 'STATUS=...' to systemd (sd_notify(3)); return True if they were sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # @: a socket without a file (unix(7), abstract)
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendall(state.encode(errors="backslashreplace"))
    except OSError:
        # a socket that is gone is no reason to stop
        return False
    return True


class Watchdog:
    """Feeds systemd's watchdog while there is progress from end to end; call `look` in each turn of the loop."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the variables of sd_watchdog_enabled(3); without them nothing is sent."""
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        try:
            period_s = int(environment["WATCHDOG_USEC"]) / 1e6 if mine else math.inf
        except (KeyError, ValueError):
            period_s = math.inf
        self._period_s = period_s
        self._every_s = period_s / 4  # sd_watchdog_enabled(3) asks for at most half the period
        self._told_s = self._progress_s = -math.inf

    def look(self, now_s: float, *, progress: bool, interval_s: float) -> None:
        """Feed the watchdog if there was progress within `interval_s` (the intended time between frames) + STALE_S."""
        if progress or self._progress_s == -math.inf:
            self._progress_s = now_s
        if now_s - self._progress_s <= interval_s + STALE_S:
            self.feed(now_s)

    def feed(self, now_s: float) -> None:
        """Feed the watchdog, unless that was done within the last quarter of its period."""
        if math.isfinite(self._every_s) and now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            notify("WATCHDOG=1")

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Extend the watchdog's period to PATIENCE_S in the block, for slow work while the loop does not turn."""
        if not math.isfinite(self._period_s):
            yield
            return
        notify(f"WATCHDOG_USEC={round(1e6 * max(PATIENCE_S, self._period_s))}")
        try:
            yield
        finally:
            notify(f"WATCHDOG_USEC={round(1e6 * self._period_s)}\nWATCHDOG=1")
            self._told_s = self._progress_s = time.monotonic()


class LineHandler(logging.Handler):
    """Writes each log record as a line on the terminal, or as an entry with fields in systemd's journal.

    Each value of `extra=` becomes the field EDGE_NAME in the journal, unless it is None.
    """

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._terminal = terminal
        self._journal = _journal() if _is_journal(terminal) else None
        self._turn = threading.RLock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record; return False if another thread has been writing for too long.

        Raises BrokenPipeError if the reader of the output is gone: edge must not go on in silence then.
        """
        # not the handler's own lock, which has no timeout: the thread that ends the daemon must not wait for one that
        # hangs in a write
        if not self._turn.acquire(timeout=BUSY_S):
            return False
        try:
            self.emit(record)
        finally:
            self._turn.release()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        # a full disk, or a terminal that is gone, must not stop the daemon
        try:
            if self._journal:
                self._journal.send(self.format(record), **_fields(record))
            else:
                print(self.format(record), file=self._terminal, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            pass

    def linger(self) -> None:
        """Wait a moment before the process ends, so that the journal can still find the unit of the last line.

        It finds the sender's unit by its process id. If the process is gone, the line is missing in `systemctl status`
        and `journalctl --unit`.
        """
        if self._journal:
            time.sleep(LINGER_S)


@contextmanager
def lines_to(terminal: TextIO, logger: logging.Logger) -> Iterator[LineHandler]:
    """Write the records of `logger` and its children, from INFO on, to `terminal` and nowhere else, in the block."""
    handler = LineHandler(terminal)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _fields(record: logging.LogRecord) -> dict[str, str]:
    """Return the journal's fields of a record (systemd.journal-fields(7))."""
    priority = next(priority for least, priority in PRIORITIES.items() if record.levelno >= least)
    own = {
        f"EDGE_{name.upper()}": printable(str(value))
        for name, value in vars(record).items()
        if name not in _OF_EVERY_RECORD and value is not None
    }
    return {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "edge", **own}


def _is_journal(terminal: TextIO) -> bool:
    """Return True if output to `terminal` goes to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(terminal.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _journal() -> Any:
    try:
        from systemd import journal
    except ImportError:
        print("edge: systemd-python is not installed: journal entries have no fields", file=sys.stderr)
        return None
    return journal
