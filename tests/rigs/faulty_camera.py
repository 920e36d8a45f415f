"""A camera driver for the child process that does what a file tells it to: good frames, and every fault there is.

The file named by [camera] source has one word: what the driver does from now on.
"""

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Frame
from edge.vision.images import Place, new_place

FAULTS = ("hang", "crash", "exception", "bug", "exit", "timeout", "garbage", "leak", "silence")
"""What it can be told to do instead of `good`."""
RATE_HZ = 30.0


class FaultyCamera:
    """Frames of one colour that counts up, as fast as a camera's, until it is told otherwise."""

    live = True

    def __init__(self, settings: CameraSettings) -> None:
        self._orders = Path(settings.source)
        self.description = "the faulty camera"
        if self._orders.read_text() == "leak":
            self._kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
            raise CameraError(f"{self.description}: opened in vain")
        if self._orders.read_text() == "hang":
            self._orders.with_suffix(".hangs").touch()
            hang()
        self._size = (settings.height, settings.width, 3)
        self._begun_s = time.monotonic()
        self._sequence = -1

    def read(self, timeout_s: float) -> Frame | None:
        order = self._orders.read_text()
        pixels: Any = None
        match order:
            case "hang":
                hang()
            case "crash":
                ctypes.string_at(0)
            case "exception" | "leak":
                raise CameraError(f"{self.description}: unplugged")
            case "bug":
                raise ZeroDivisionError("in the vendor's library")
            case "exit":
                os._exit(3)
            case "timeout":
                time.sleep(timeout_s)
                return None
            case "silence":
                time.sleep(3600)
            case "garbage":
                pixels = np.zeros((7, 0, 5, 2), np.float64)
        # the newest frame there is, or the next
        now = (time.monotonic() - self._begun_s) * RATE_HZ
        if int(now) <= self._sequence:
            time.sleep((self._sequence + 1 - now) / RATE_HZ)
        self._sequence = max(int(now), self._sequence + 1)
        if pixels is None:
            pixels = picture(self._sequence, self._size)
        return Frame(pixels, self._sequence, self._begun_s + self._sequence / RATE_HZ)

    def close(self) -> None:
        pass


def picture(sequence: int, size: tuple[int, int, int]) -> Any:
    """A picture that shows its number in each pixel: red the low byte, green the high one; and something to see."""
    pixels = np.empty(size, np.uint8)
    pixels[..., 0], pixels[..., 1] = sequence % 256, sequence // 256 % 256
    pixels[..., 2] = 40
    pixels[:, : size[1] // 2, 2] = 220
    return pixels


def hang() -> None:
    """A C call that never returns, and never lets another Python thread run."""
    ctypes.PyDLL(None).pause()
    while True:  # a signal ends pause()
        ctypes.PyDLL(None).pause()


class PlacingCamera:
    """Puts its pictures where it is told to."""

    live = True
    description = "a camera that is told where"

    def __init__(self, settings: CameraSettings) -> None:
        self.place: Place = new_place
        self._size = (settings.height, settings.width, 3)
        self._sequence = -1

    def read(self, _timeout_s: float) -> Frame:
        self._sequence += 1
        there = self.place(self._size)
        there[...] = picture(self._sequence, self._size)
        return Frame(there, self._sequence, time.monotonic())

    def close(self) -> None:
        pass


def open_faulty(settings: CameraSettings) -> FaultyCamera:
    """For ProcessCamera's `driver`."""
    return FaultyCamera(settings)
