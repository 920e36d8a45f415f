"""Sends what libraries write to standard error, such as libjpeg's 'Corrupt JPEG data', to the debug log."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MOST = 2**16
"""Bytes of output that are logged at the end of one block."""
_DEBUG = "_EDGE_DEBUG"
"""Environment variable by which child processes know that the debug log is shown."""
_log = logging.getLogger(__name__)


def show_debug_log() -> None:
    """Print edge's debug log on standard error, in this process and in those that it starts."""
    os.environ[_DEBUG] = "1"
    logging.getLogger("edge").setLevel(logging.DEBUG)


def prepare_child() -> None:
    """Do in a child process what `separate_stderr` and `show_debug_log` did in its parent."""
    separate_stderr()
    if os.environ.get(_DEBUG):
        logging.basicConfig(level=logging.WARNING, format="edge: %(message)s", stream=sys.stderr)
        show_debug_log()


def separate_stderr() -> None:
    """Give Python's own standard error its own file descriptor, which `quiet` does not redirect."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none
        if sys.stderr.fileno() == 2:
            sys.stderr = open(  # noqa: SIM115, PTH123 - open until the end
                os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors
            )


class _Redirection:
    """File descriptor 2 goes to memory while at least one thread is in a block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._stderr = self._memory = -1
        """File descriptors: standard error, and the memory to which 2 is redirected; -1: there is no block."""

    def begin(self) -> bool:
        """Enter a block; return False if it is not redirected."""
        with self._lock:
            if self._blocks == 0:
                try:
                    self._memory = os.memfd_create("edge-stderr", os.MFD_CLOEXEC)
                    self._stderr = os.dup(2)
                    os.dup2(self._memory, 2)
                except OSError:  # no standard error, or no file descriptor is left
                    self._close()
                    return False
            self._blocks += 1
            return True

    def end(self) -> list[str]:
        """Leave a block; return the lines that were caught, if it was the last one."""
        with self._lock:
            self._blocks -= 1
            if self._blocks:
                return []
            os.dup2(self._stderr, 2)
            text = os.pread(self._memory, _MOST, 0)
            self._close()
        return [line for line in text.decode(errors="replace").splitlines() if line.strip()]

    def _close(self) -> None:
        for descriptor in (self._stderr, self._memory):
            if descriptor >= 0:
                os.close(descriptor)
        self._stderr = self._memory = -1


_redirection = _Redirection()


@contextmanager
def quiet() -> Iterator[None]:
    """Log at level DEBUG what is written to file descriptor 2 in the block; several threads may be in such blocks."""
    redirected = _redirection.begin()
    try:
        yield
    finally:
        if redirected:
            for line in _redirection.end():
                _log.debug("%s", line)
