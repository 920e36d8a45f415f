"""Input devices that stand in for /dev/input/event*: a FIFO with an input device's records, and the kernel's uinput."""

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

RECORD = struct.Struct("llHHi")
"""struct input_event of linux/input.h, as C lays it out on this machine."""
EV_SYN, EV_KEY, EV_MSC = 0, 1, 4
SYN_REPORT, SYN_DROPPED, MSC_SCAN = 0, 3, 4
F2, B, VOLUME_UP, VOLUME_DOWN, PAGE_DOWN = 60, 48, 115, 114, 109

UINPUT = Path("/dev/uinput")


def records(code: int, value: int, at_s: float | None = None) -> bytes:
    """What a device with scan codes sends when a key goes down (1) or up (0), or repeats (2)."""
    stamp_us = round(1e6 * (time.monotonic() if at_s is None else at_s))
    second, microsecond = divmod(stamp_us, 1_000_000)
    return (
        RECORD.pack(second, microsecond, EV_MSC, MSC_SCAN, 0x90000 + code)
        + RECORD.pack(second, microsecond, EV_KEY, code, value)
        + RECORD.pack(second, microsecond, EV_SYN, SYN_REPORT, 0)
    )


class FifoDevice:
    """A FIFO at a path; what is written into it is read as a device's events, even before it is opened there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path, 0o666)
        path.chmod(0o666)
        # opened for both, it waits for no reader
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._past_s = time.monotonic() - 500

    def key(self, code: int, value: int, at_s: float | None = None) -> None:
        os.write(self._fd, records(code, value, at_s))

    def press(self, code: int, *seconds: float) -> None:
        """Press a key for each of these times, 0.2 s apart, as if it had been some minutes ago: it takes no time."""
        data = b""
        for lasts_s in seconds or (0.1,):
            data += records(code, 1, self._past_s) + records(code, 0, self._past_s + lasts_s)
            self._past_s += lasts_s + 0.2
        self._past_s += 2
        os.write(self._fd, data)

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def pull(self) -> None:
        """Take the device away."""
        self.path.unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def fifo_device(path: Path) -> Iterator[FifoDevice]:
    device = FifoDevice(path)
    try:
        yield device
    finally:
        device.pull()


_UI_SET_EVBIT, _UI_SET_KEYBIT = 0x40045564, 0x40045565
_UI_DEV_SETUP, _UI_DEV_CREATE, _UI_DEV_DESTROY = 0x405C5503, 0x5501, 0x5502
_EV_REP = 0x14


class KernelDevice:
    """A device that the kernel's uinput makes: the real thing."""

    def __init__(self, name: str, codes: list[int], *, repeats: bool = False) -> None:
        self._fd = os.open(UINPUT, os.O_WRONLY | os.O_NONBLOCK)
        fcntl.ioctl(self._fd, _UI_SET_EVBIT, EV_KEY)
        if repeats:
            fcntl.ioctl(self._fd, _UI_SET_EVBIT, _EV_REP)
        for code in codes:
            fcntl.ioctl(self._fd, _UI_SET_KEYBIT, code)
        # struct uinput_setup: bus, vendor, product, version, name, effects
        fcntl.ioctl(self._fd, _UI_DEV_SETUP, struct.pack("HHHH80sI", 3, 1, 1, 1, name.encode(), 0))
        fcntl.ioctl(self._fd, _UI_DEV_CREATE)

    def key(self, code: int, value: int) -> None:
        os.write(self._fd, RECORD.pack(0, 0, EV_KEY, code, value) + RECORD.pack(0, 0, EV_SYN, SYN_REPORT, 0))

    def pull(self) -> None:
        if self._fd >= 0:
            fcntl.ioctl(self._fd, _UI_DEV_DESTROY)
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def kernel_device(name: str, codes: list[int], *, repeats: bool = False) -> Iterator[KernelDevice]:
    device = KernelDevice(name, codes, repeats=repeats)
    try:
        yield device
    finally:
        device.pull()
