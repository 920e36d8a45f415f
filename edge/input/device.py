"""Reads an input device of Linux, /dev/input/event*: its name, its keys, and when they go down and up.

Numbers and layouts: linux/input.h and linux/input-event-codes.h.
"""

import array
import errno
import fcntl
import os
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from edge.errors import os_reason

UP, DOWN, REPEAT = 0, 1, 2
"""Values of a key's event."""

_EVENT = struct.Struct("@llHHi")
"""struct input_event: seconds, microseconds, type, code, value; 24 bytes on 64-bit systems, 16 on 32-bit ones."""
_EVENTS_READ = 64
_SYN, _KEY, _ABS = 0x00, 0x01, 0x03
"""Types of events."""
_SYN_REPORT, _SYN_DROPPED = 0, 3
"""Codes of _SYN: the end of a group of events; events were lost, because they were not read in time."""
_KEYS = 0x300
"""KEY_CNT: number of key codes."""
_STALE_S = 600.0
"""An event's time stamp that is older than this, or later than now, is of another clock, or none."""


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key went down or up, or repeats."""

    code: int
    value: int
    """UP, DOWN or REPEAT."""
    at_s: float
    """When, in seconds of time.monotonic()."""


class InputDevice:
    """An open input device. Reading does not wait, and other programs get its keys too, unless it is grabbed.

    A FIFO with the records of an input device stands for one whose keys are not known, for tests.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises OSError, also if it is no input device."""
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._down: set[int] = set()
        self._lost = False
        """True from lost events to the end of their group: what comes between is incomplete."""
        try:
            self._is_fifo = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
            self.name, self.keys, self.has_axes = self._describe()
            self.down_at_start = self._pressed()
            """Codes of the keys that were down when it was opened."""
            self._down |= self.down_at_start
        except BaseException:
            self.close()
            raise

    def _describe(self) -> tuple[str, frozenset[int], bool]:
        """Return its name, the codes of its keys, and whether it has absolute axes."""
        if self._is_fifo:
            return self.path.name, frozenset(), False
        try:
            name = _ask(self._fd, 0x06, 256)  # EVIOCGNAME
            keys = _bits(_ask(self._fd, 0x20 + _KEY, _KEYS // 8))  # EVIOCGBIT
            types = _bits(_ask(self._fd, 0x20, 4))
            # with the same clock as time.monotonic(), a late reader still knows how long a key was down: EVIOCSCLOCKID
            fcntl.ioctl(self._fd, _request(1, 0xA0, 4), array.array("i", [time.CLOCK_MONOTONIC]))
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                raise OSError(errno.ENODEV, "is no input device (/dev/input/event*)", str(self.path)) from error
            raise
        return name.split(b"\0")[0].decode(errors="replace").strip(), frozenset(keys), _ABS in types

    def _pressed(self) -> frozenset[int]:
        """Return the codes of the keys that are down now. The kernel drops the events of keys that wait to be read."""
        return frozenset() if self._is_fifo else frozenset(_bits(_ask(self._fd, 0x18, _KEYS // 8)))  # EVIOCGKEY

    def grab(self) -> None:
        """Let no other program have its events any more, until it is closed. Raises OSError."""
        if not self._is_fifo:
            fcntl.ioctl(self._fd, _request(1, 0x90, 4), 1)  # EVIOCGRAB

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._fd

    def read(self, now_s: float) -> list[KeyEvent]:
        """Return the events of keys since the last call, oldest first. Raises OSError if the device is gone."""
        events: list[KeyEvent] = []
        while True:
            try:
                records = os.read(self._fd, _EVENTS_READ * _EVENT.size)
            except BlockingIOError:
                return events
            if len(records) < _EVENT.size:
                if events:
                    return events  # the next call tells that it is gone
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), str(self.path))
            for second, microsecond, kind, code, value in _EVENT.iter_unpack(
                records[: len(records) // _EVENT.size * _EVENT.size]
            ):
                stamp_s = second + microsecond / 1e6
                at_s = stamp_s if now_s - _STALE_S < stamp_s <= now_s else now_s
                events += self._take(KeyEvent(code, value, at_s), kind)

    def _take(self, event: KeyEvent, kind: int) -> list[KeyEvent]:
        """Return the events of keys that one event amounts to."""
        if kind == _SYN:
            if event.code == _SYN_DROPPED:
                self._lost = True
            elif event.code == _SYN_REPORT and self._lost:
                self._lost = False
                return self._catch_up(event.at_s)
        elif kind == _KEY and not self._lost:
            (self._down.discard if event.value == UP else self._down.add)(event.code)
            return [event]
        return []

    def _catch_up(self, at_s: float) -> list[KeyEvent]:
        """Return the events that lead from the keys that were down to those that are down now."""
        before, self._down = self._down, set(self._pressed())
        return [
            *(KeyEvent(code, UP, at_s) for code in sorted(before - self._down)),
            *(KeyEvent(code, DOWN, at_s) for code in sorted(self._down - before)),
        ]

    def close(self) -> None:
        """Close it. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_fault(error: OSError) -> str:
    """Return why a device cannot be opened, and what to do about it."""
    if isinstance(error, PermissionError):
        return f"{error.filename}: no permission; it needs the group input (`sudo usermod -aG input USER`), or root"
    return f"{error.filename}: {os_reason(error)}"


def _request(direction: int, number: int, size: int) -> int:
    """Return the number of an ioctl, _IOC(direction, 'E', number, size): direction 1 writes, 2 reads."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


def _ask(fd: int, number: int, size: int) -> bytes:
    """Return the bytes that the kernel answers to a reading ioctl. Raises OSError."""
    return fcntl.ioctl(fd, _request(2, number, size), bytes(size))


def _bits(mask: bytes) -> set[int]:
    """Return the numbers of the bits that are set, of an array of the kernel's unsigned longs (little-endian)."""
    number = int.from_bytes(mask, "little")
    return {bit for bit in range(8 * len(mask)) if number >> bit & 1}
