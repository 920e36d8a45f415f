"""Tell systemd how the daemon is doing, and its journal what happens; the journal's fields need systemd-python."""

import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

STALE_S = 5.0
"""For so long a live camera that is not lost may give no frame, and it still counts as progress."""
PATIENCE_S = 600.0
"""How long opening a network (which may mean measuring some), a camera or a voice may take while it runs."""
LINGER_S = 0.25
INFO, WARNING, ERROR = 6, 4, 3
"""Priorities of the journal (syslog(3))."""


def notify(state: str) -> bool:
    """Send lines such as 'READY=1' or 'STATUS=...' to systemd (sd_notify(3)); return whether it took them."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # @: a socket without a file (unix(7), abstract)
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendall(state.encode(errors="replace"))
    except OSError:
        # a socket that is not there any more: never a reason to stop
        return False
    return True


class Watchdog:
    """Tells systemd's watchdog that there is progress from end to end; to be asked in each turn of the loop."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read sd_watchdog_enabled(3)'s variables; without them nothing is told."""
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        try:
            period_s = int(environment["WATCHDOG_USEC"]) / 1e6 if mine else math.inf
        except (KeyError, ValueError):
            period_s = math.inf
        self._period_s = period_s
        self._every_s = period_s / 4  # sd_watchdog_enabled(3) asks for at most half the period
        self._told_s = self._progress_s = -math.inf

    def look(self, now_s: float, *, progress: bool, interval_s: float) -> None:
        """Feed it while there was progress within `interval_s`, which frames are apart on purpose, and STALE_S."""
        if progress or self._progress_s == -math.inf:
            self._progress_s = now_s
        if now_s - self._progress_s <= interval_s + STALE_S:
            self.feed(now_s)

    def feed(self, now_s: float) -> None:
        """Feed it, unless that was just done."""
        if math.isfinite(self._every_s) and now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            notify("WATCHDOG=1")

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Give what takes long PATIENCE_S; the loop does not turn meanwhile."""
        if not math.isfinite(self._period_s):
            yield
            return
        notify(f"WATCHDOG_USEC={round(1e6 * max(PATIENCE_S, self._period_s))}")
        try:
            yield
        finally:
            notify(f"WATCHDOG_USEC={round(1e6 * self._period_s)}\nWATCHDOG=1")
            self._told_s = self._progress_s = time.monotonic()


class Teller:
    """Tells people what happens: a line on the terminal, or an entry with fields in systemd's journal."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._journal = _journal() if _is_journal(terminal) else None

    def __call__(self, line: str, *, priority: int = INFO, **fields: Any) -> None:
        """Tell a line. Each of `fields` that is not None becomes EDGE_NAME in the journal."""
        # a full disk, or a terminal that is gone, must not end what the daemon is for
        try:
            if self._journal:
                named = {f"EDGE_{name.upper()}": str(value) for name, value in fields.items() if value is not None}
                self._journal.send(line, PRIORITY=str(priority), SYSLOG_IDENTIFIER="edge", **named)
            else:
                print(line, file=self._terminal, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            pass

    def linger(self) -> None:
        """Wait a moment before the process ends, so that the journal can still ask whose the last line was.

        It looks the sender's unit up by its process id; a line of a process that is gone is missing in
        `systemctl status` and `journalctl --unit`.
        """
        if self._journal:
            time.sleep(LINGER_S)


def _is_journal(terminal: TextIO) -> bool:
    """Whether what is written there ends up in the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(terminal.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _journal() -> Any:
    try:
        from systemd import journal
    except ImportError:
        print("edge: systemd-python is not installed: the journal has lines without fields", file=sys.stderr)
        return None
    return journal
