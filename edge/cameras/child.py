"""The far side of process.py: a driver in a process of its own (edge/worker.py), whose frames go into shared memory.

It answers three requests: {"find": true} with the source that `auto` stands for, {"open": true} with what the camera
is and how long that took, and {"read": SECONDS} with the newest frame's place and times, or null when none came.
"""

import ctypes
import importlib
import math
import mmap
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edge.cameras import picamera2
from edge.errors import CameraError, hide_secrets, one_line
from edge.settings import CameraSettings
from edge.stages import Camera, EndOfFrames, Frame, Pixels
from edge.vision.images import Place, turn

LARGEST = 2**28
"""Bytes of a frame; a camera of 64 million pixels has 192 MiB."""
WARM_UP_S, WARM_UP_FRAMES = 0.5, 10
"""What a camera gives before its exposure has settled is dropped: so long, or so many frames, whichever is less."""
_PR_SET_PDEATHSIG = 1


class Slot:
    """Shared memory for one frame."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def write(self, pixels: Pixels, rotation: int, *, mirror: bool) -> tuple[int, ...]:
        """Put the pixels there, turned clockwise and then mirrored; return the shape that they have there."""
        height, width, depth = pixels.shape
        shape = (width, height, depth) if rotation in (90, 270) else pixels.shape
        there = self.array(shape)
        if rotation or mirror:
            turn(pixels, rotation, mirror, there)
        else:
            np.copyto(there, pixels)
        return shape

    def array(self, shape: tuple[int, ...]) -> Pixels:
        """The memory, as a picture of that shape."""
        size = math.prod(shape)
        if self._map is None or len(self._map) < size:
            os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
        return np.frombuffer(self._map, np.uint8, size).reshape(shape)


@runtime_checkable
class Placing(Protocol):
    """A driver that puts a frame's pixels where it is told to, so that they need not be copied there."""

    place: Place


class Host:
    """Has the driver, and answers for it."""

    def __init__(self, settings: CameraSettings, slots: Sequence[Slot], driver: str) -> None:
        self._settings = settings
        self._slots = slots
        module, _, function = driver.partition(":")
        self._open: Callable[[CameraSettings], Camera] = getattr(importlib.import_module(module), function)
        self._camera: Camera | None = None
        self._written = 0
        self._placed: Pixels | None = None
        """The memory that the driver was given last."""

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what is asked. Raises CameraError, which names the camera."""
        try:
            return self._answer(request)
        except CameraError:
            raise
        except Exception as error:
            traceback.print_exc()
            name = self._camera.description if self._camera else f"camera {hide_secrets(self._settings.source)}"
            raise CameraError(f"{name}: {type(error).__name__}: {one_line(error)}") from error

    def _answer(self, request: dict[str, Any]) -> Any:
        if "find" in request:
            from edge.cameras.sources import find_source

            return find_source()
        if "open" in request:
            begun_s = time.monotonic()
            self._camera = self._open(self._settings)
            if isinstance(self._camera, Placing) and not (self._settings.rotation or self._settings.mirror):
                self._camera.place = self._place
            self._warm_up(self._camera)
            return {"description": self._camera.description, "took_s": time.monotonic() - begun_s}
        assert self._camera, "open it first"
        try:
            frame = self._camera.read(request["read"])
        except EndOfFrames:
            raise CameraError(f"{self._camera.description}: it has ended") from None
        return None if frame is None else self._put(frame)

    def _place(self, shape: tuple[int, ...]) -> Pixels:
        there = self._placed = self._slots[self._written % len(self._slots)].array(shape)
        return there

    def _warm_up(self, camera: Camera) -> None:
        until_s = time.monotonic() + WARM_UP_S
        frames = 0
        while camera.live and frames < WARM_UP_FRAMES and (left_s := until_s - time.monotonic()) > 0:
            frames += camera.read(left_s) is not None

    def _put(self, frame: Frame) -> dict[str, Any]:
        pixels: Any = frame.pixels
        good = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 3
        if not good or pixels.shape[2] != 3 or not 0 < pixels.nbytes <= LARGEST:
            assert self._camera
            what = f"{getattr(pixels, 'dtype', type(pixels).__name__)} {getattr(pixels, 'shape', '')}"
            raise CameraError(f"{self._camera.description}: gave {what.strip()}, which is no picture")
        slot = self._written % len(self._slots)
        if self._placed is not None and pixels is self._placed:
            shape = self._placed.shape
        else:
            shape = self._slots[slot].write(pixels, self._settings.rotation, mirror=self._settings.mirror)
        self._written += 1
        return {
            "slot": slot,
            "shape": shape,
            "sequence": frame.sequence,
            "captured_s": frame.captured_s,
            "written_s": time.monotonic(),
        }


def open_driver(options: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """See edge/worker.py. Only what every driver needs is loaded here: opening the camera has a deadline of its own."""
    die_with(options["daemon"])
    # a driver's crash must not leave on the disk what the camera saw
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options["settings"]["source"].startswith("csi"):
        picamera2.load()
    elif options["settings"]["source"] != "auto":
        importlib.import_module("cv2")
    slots = [Slot(fd) for fd in options["slots"]]
    return Host(CameraSettings(**options["settings"]), slots, options["driver"]).answer


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies: a driver may hold Python's lock for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has died already
        os.kill(os.getpid(), signal.SIGKILL)
