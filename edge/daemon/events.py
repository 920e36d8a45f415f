"""What happened, as one JSON object a line, for programs that listen."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from io import FileIO
from typing import Any

from edge.errors import ConfigError


class Events:
    """Writes {event, time (ISO 8601), elapsed_s, ...}. Safe from several threads. Without a target it does nothing."""

    def __init__(self, target: str = "") -> None:
        """`target` is a file that is appended to, '-' for standard output, or empty for nowhere.

        Raises ConfigError when the file cannot be opened.
        """
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._write: Callable[[str], None] | None = None
        self._torn = False
        self.lost = 0
        """How many events could not be written, to a full disk for instance."""
        if target == "-":
            self._write = _print
        elif target:
            try:
                # unbuffered: what a full disk refuses must not come back with a later line. Not blocking: nobody may be
                # at the other end of a FIFO
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
                self._file = FileIO(os.open(target, flags, 0o666), "ab")
            except OSError as error:
                raise ConfigError(f"[service] events = {target!r}: {error.strerror}; name a file, or -") from error
            self._write = self._append

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event at once. Raises BrokenPipeError when the reader of standard output is gone."""
        if self._write is None:
            return
        line = {
            "event": event,
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
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
            # a full disk must not end what the daemon is for
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
        # where a disk was full in the middle of a line, the next one begins anew
        data = ("\n" + line if self._torn else line).encode()
        try:
            written = self._file.write(data) or 0  # None: a FIFO that is full
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
