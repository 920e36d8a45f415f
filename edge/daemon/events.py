"""Events for other programs: one JSON object a line."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from io import FileIO
from typing import Any

from edge.errors import ConfigError
from edge.host.clock import local_time
from edge.host.terminal import expect_json


class Events:
    """Writes {event, time (ISO 8601), elapsed_s, ...}. Several threads may use it. Without a target it does nothing."""

    def __init__(self, target: str = "") -> None:
        """Open `target`: a file to append to, '-' for standard output, or empty for none.

        Raises ConfigError if the file cannot be opened.
        """
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._write: Callable[[str], None] | None = None
        self._torn = False
        self.lost = 0
        """Number of events that could not be written, for example because the disk was full."""
        if target == "-":
            expect_json(sys.stdout)
            self._write = _print
        elif target:
            try:
                # unbuffered: what a full disk refuses must not come back with a later line. Non-blocking: a FIFO may
                # have no reader
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
                self._file = FileIO(os.open(target, flags, 0o666), "ab")
            except OSError as error:
                raise ConfigError(f"[service] events = {target!r}: {error.strerror}; name a file, or -") from error
            self._write = self._append

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event at once. Raises BrokenPipeError if the reader of standard output is gone."""
        if self._write is None:
            return
        line = {
            "event": event,
            "time": local_time().isoformat(timespec="milliseconds"),
            "elapsed_s": round(time.monotonic() - self._start_s, 3),
            **fields,
        }
        # bounded: the thread that ends the daemon must not wait for one that hangs in a write
        if not self._lock.acquire(timeout=0.2):
            self.lost += 1
            return
        try:
            self._write(json.dumps(line, ensure_ascii=False) + "\n")
        except BrokenPipeError:
            self._write = None
            raise
        except OSError:
            # a full disk must not stop the daemon
            self.lost += 1
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the file; standard output stays open."""
        self._write = None
        if self._file is not None:
            self._file.close()

    def _append(self, line: str) -> None:
        assert self._file is not None
        # if the disk became full in the middle of a line, start the next event on a new line
        data = ("\n" + line if self._torn else line).encode(errors="backslashreplace")
        try:
            written = self._file.write(data) or 0  # None: the FIFO is full
        except BrokenPipeError as error:
            # the reader of a FIFO may come back
            raise OSError(str(error)) from error
        if written:
            self._torn = written < len(data)
        if written < len(data):
            self.lost += 1


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
