"""The demo clip as if it were a live camera, which can be told to hang with Python's lock held, as libcamera does."""

import ctypes
import dataclasses

from faulty import take

from edge.cameras import demo
from edge.settings import CameraSettings
from edge.stages import Camera, Frame


class LiveDemo:
    """Loops over the clip; its frames are of now."""

    live = True
    description = "the live demo"

    def __init__(self, settings: CameraSettings) -> None:
        self._clip = demo.open_clip(dataclasses.replace(settings, loop=True), every_frame=False)

    def read(self, timeout_s: float) -> Frame | None:
        if take("camera"):
            ctypes.PyDLL(None).sleep(3600)  # a C call that never returns and keeps the lock
        frame = self._clip.read(timeout_s)
        return None if frame is None else dataclasses.replace(frame, media_s=None)

    def close(self) -> None:
        self._clip.close()


def open_it(settings: CameraSettings) -> Camera:
    """The driver."""
    return LiveDemo(settings)
