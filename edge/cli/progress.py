"""How long work shows that it goes on: one line that is overwritten on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO


def bar(name: str, done: int, total: int, what: str) -> str:
    """Return a line: the name, a bar that fills, and `what`."""
    filled = round(24 * done / total) if total else 0
    return f"{name}  {'#' * filled}{'.' * (24 - filled)}  {what}"


class Progress:
    """Writes to stderr, so that what a program reads from stdout stays clean."""

    EVERY_S = 10.0
    """How often there is a line where lines cannot be overwritten, in a log for instance."""

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
        """Say how far it is."""
        if self._overwrites:
            self._write(f"\r\033[K{line[:79]}")
            self._shown = True
        elif time.monotonic() - self._last_s >= self.EVERY_S:
            self._last_s = time.monotonic()
            self._write(f"{line}\n")

    def step(self, what: str, step: str) -> None:
        """Say which step of what it is at."""
        self.show(f"{what}: {step}")

    def line(self, line: str) -> None:
        """Say something that stays."""
        self._write(f"\r\033[K{line}\n" if self._shown else f"{line}\n")
        self._shown = False

    def _write(self, text: str) -> None:
        # progress that nobody can read any more is no reason to stop
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            pass
