"""Progress output of long-running commands: one line that is overwritten on a terminal, else a line every 10 s."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from edge.host.terminal import printable


def bar(name: str, done: int, total: int, what: str) -> str:
    """Return a line with the name, a progress bar, and `what`."""
    filled = round(24 * done / total) if total else 0
    return f"{name}  {'#' * filled}{'.' * (24 - filled)}  {what}"


class Progress:
    """Progress output on stderr, so that stdout has only the result."""

    EVERY_S = 10.0
    """Time between lines if they cannot be overwritten, for example in a log."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._overwrites = self._stream.isatty()
        self._last_s = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._write("\r\033[K")
            self._shown = False

    def show(self, line: str) -> None:
        """Show the current progress."""
        if self._overwrites:
            self._write(f"\r\033[K{printable(line)[:79]}")
            self._shown = True
        elif time.monotonic() - self._last_s >= self.EVERY_S:
            self._last_s = time.monotonic()
            self._write(f"{printable(line)}\n")

    def step(self, what: str, step: str) -> None:
        """Show the current step of `what`."""
        self.show(f"{what}: {step}")

    def line(self, line: str) -> None:
        """Print a line that stays."""
        line = printable(line)
        self._write(f"\r\033[K{line}\n" if self._shown else f"{line}\n")
        self._shown = False

    def _write(self, text: str) -> None:
        # progress output without a reader is no reason to stop
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            pass
