"""The child process of process.py (edge/worker.py): it runs a driver and puts its frames into shared memory.

It answers three requests: {"find": true} with the source that `auto` stands for, {"open": true} with the camera's
description and how long opening took, and {"read": SECONDS} with the newest frame's slot and times, or null if none
came.
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
from edge.host.memory import give_back_start
from edge.host.noise import prepare_child
from edge.settings import CameraSettings
from edge.stages import Camera, EndOfFrames, Frame, Pixels
from edge.vision.images import Place, turn

LARGEST = 2**28
"""Largest frame, in bytes; a camera of 64 million pixels gives 192 MiB."""
WARM_UP_S, WARM_UP_FRAMES = 0.5, 10
"""Frames before the exposure has settled are dropped: for this time or this many frames, whichever ends first."""
STARTED_FRAMES = 10
"""After so many frames the start is over, and memory that only the start needed is given back."""
_PR_SET_PDEATHSIG = 1


class Slot:
    """Shared memory for one frame."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def write(self, pixels: Pixels, rotation: int, *, mirror: bool) -> tuple[int, ...]:
        """Write the pixels, turned clockwise and then mirrored; return their shape after that."""
        height, width, depth = pixels.shape
        shape = (width, height, depth) if rotation in (90, 270) else pixels.shape
        there = self.array(shape)
        if rotation or mirror:
            turn(pixels, rotation, mirror, there)
        else:
            np.copyto(there, pixels)
        return shape

    def array(self, shape: tuple[int, ...]) -> Pixels:
        """Return the memory as a picture of that shape."""
        size = math.prod(shape)
        if self._map is None or len(self._map) < size:
            # it is sealed against shrinking, and an earlier child had larger frames
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
        return np.frombuffer(self._map, np.uint8, size).reshape(shape)


@runtime_checkable
class Placing(Protocol):
    """A driver that writes a frame's pixels into memory given to it, which saves a copy."""

    place: Place


class Host:
    """Owns the driver and answers requests for it."""

    def __init__(self, settings: CameraSettings, slots: Sequence[Slot], driver: str) -> None:
        self._settings = settings
        self._slots = slots
        module, _, function = driver.partition(":")
        self._open: Callable[[CameraSettings], Camera] = getattr(importlib.import_module(module), function)
        self._camera: Camera | None = None
        self._written = 0
        self._placed: Pixels | None = None
        """The memory given to the driver last."""

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the answer to a request. Raises CameraError, which names the camera."""
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
            raise CameraError(f"{self._camera.description}: gave {what.strip()}, which is not an image")
        slot = self._written % len(self._slots)
        if self._placed is not None and pixels is self._placed:
            shape = self._placed.shape
        else:
            shape = self._slots[slot].write(pixels, self._settings.rotation, mirror=self._settings.mirror)
        self._written += 1
        if self._written == STARTED_FRAMES:
            give_back_start()
        return {
            "slot": slot,
            "shape": shape,
            "sequence": frame.sequence,
            "captured_s": frame.captured_s,
            "written_s": time.monotonic(),
        }


def open_driver(options: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """Return the function that answers requests; see edge/worker.py.

    It loads libraries but does not open the camera: opening has its own deadline.
    """
    die_with(options["daemon"])
    prepare_child()
    # a driver's crash must not leave a frame on the disk, in a core dump
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options["settings"]["source"].startswith("csi"):
        picamera2.load()
    elif options["settings"]["source"] != "auto":
        importlib.import_module("cv2")
    slots = [Slot(fd) for fd in options["slots"]]
    return Host(CameraSettings(**options["settings"]), slots, options["driver"]).answer


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies: a driver may hold Python's lock forever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent has died already
        os.kill(os.getpid(), signal.SIGKILL)
