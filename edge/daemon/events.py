"""Events for other programs: one JSON object a line, into a file and to the clients that subscribed."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from io import FileIO
from typing import Any

from edge.daemon.subscribers import FRAME, Subscribers
from edge.errors import ConfigError
from edge.host.clock import local_time
from edge.host.terminal import expect_json


class Events:
    """Writes {event, time (ISO 8601), elapsed_s, ...} to a file and to the subscribers. Several threads may use it.

    Without either it does nothing.
    """

    def __init__(self, target: str = "", *, frames: bool = False) -> None:
        """Open `target`: a file to append to, '-' for standard output, or empty for none; with `frames`, for these too.

        Raises ConfigError if the file cannot be opened.
        """
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._write: Callable[[str], None] | None = None
        self._frames = frames
        self._torn = False
        self.subscribers = Subscribers()
        """The clients of the control socket that follow the events."""
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

    def wants(self, event: str) -> bool:
        """Return True if anybody gets such events: else it is useless to gather their fields."""
        return self._is_written(event) or self.subscribers.wants(event)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event at once. Raises BrokenPipeError if the reader of standard output is gone."""
        if not self.wants(event):
            return
        text = self._text(event, fields)
        if self.subscribers.wants(event):
            self.subscribers.publish(event, _encoded(text))
        if self._is_written(event):
            self._write_down(text)

    def line(self, event: str, **fields: Any) -> bytes:
        """Return an event as a line of JSON, for a single client."""
        return _encoded(self._text(event, fields))

    def _is_written(self, event: str) -> bool:
        return self._write is not None and (self._frames or event != FRAME)

    def _text(self, event: str, fields: Mapping[str, Any]) -> str:
        line = {
            "event": event,
            "time": local_time().isoformat(timespec="milliseconds"),
            "elapsed_s": round(time.monotonic() - self._start_s, 3),
            **fields,
        }
        return json.dumps(line, ensure_ascii=False) + "\n"

    def _write_down(self, text: str) -> None:
        # bounded: the thread that ends the daemon must not wait for one that hangs in a write
        if not self._lock.acquire(timeout=0.2):
            self.lost += 1
            return
        try:
            if self._write is not None:
                self._write(text)
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
        data = _encoded("\n" + line if self._torn else line)
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


def _encoded(line: str) -> bytes:
    return line.encode(errors="backslashreplace")
