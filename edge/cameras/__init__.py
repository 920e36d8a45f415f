"""Cameras, the sources of frames: one driver per file, and the process that hosts a live one.

`open_lasting` opens the daemon's camera, `open_camera` any source. sources.py selects the driver for a source. Live
drivers are picamera2.py (CSI cameras) and opencv.py (USB cameras, streams); process.py hosts them in a child process,
which runs child.py. Played sources are files.py (videos, images, folders) and demo.py (the clip), at the pace of
player.py.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Callable

from edge.cameras import demo, opencv
from edge.cameras.pausable import PausableCamera
from edge.cameras.process import ProcessCamera, find_in_child, ignore
from edge.cameras.sources import find_source, is_live, open_camera
from edge.errors import CameraError
from edge.host.libraries import preload
from edge.settings import CameraSettings

__all__ = [
    "DEMO_CLIP",
    "PausableCamera",
    "find_settings",
    "find_source",
    "live_camera_is_present",
    "open_camera",
    "open_lasting",
]

DEMO_CLIP = demo.DESCRIPTION

# OpenCV reads these when it is first loaded, also if another library loads it (mxnet does). So they are set here,
# before any vendor library is imported. The messages of OpenCV and FFMPEG would bury our one line. A picture of more
# than 64 million pixels would use up the memory of a small Pi. A USB camera that hangs is held for as long as OpenCV
# waits for it (seconds). Nothing that edge asks of OpenCV gets faster by a second thread: scaling by areas uses
# one anyway, and the others would only be woken for each frame.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")


def open_lasting(
    settings: CameraSettings,
    lost: Callable[[str], object] = ignore,
    back: Callable[[str], object] = ignore,
    every_frame: bool = False,
    *,
    paused: bool = False,
    wait: bool = True,
) -> PausableCamera:
    """Open a camera for the daemon. A live camera's driver runs in its own process; a lost camera is reopened.

    `lost` is called with the reason each time, `back` with the camera. A live camera that is `paused` is not opened
    yet. Without `wait`, a live camera is still being opened: call its `wait_until_open` before anything else. Call
    this, and the camera's `read`, in the main thread.
    """
    settings = find_settings(settings)
    if settings.source == "auto" or is_live(settings.source):
        finds = {"driver": "edge.cameras.sources:open_found"} if settings.source == "auto" else {}
        camera = ProcessCamera(settings, lost, back, **finds, paused=paused, wait=wait)
        _preload_opencv()
        return PausableCamera(camera)
    _preload_opencv()
    return PausableCamera(open_camera(settings, every_frame))


def _preload_opencv() -> None:
    """Load OpenCV for the drivers of files, and for preprocessing."""
    preload("cv2", "**/cv2*.so")


def find_settings(settings: CameraSettings) -> CameraSettings:
    """Return the settings with `auto` replaced by the source found now; `wait` keeps `auto`, for any camera to come."""
    if settings.source != "auto" or settings.wait:
        return settings
    return dataclasses.replace(settings, source=_find_aside())


def live_camera_is_present(settings: CameraSettings) -> bool:
    """Return True if `open_lasting` would open a live source; for `auto`, look for the cameras that are plugged in."""
    return is_live(settings.source if settings.source != "auto" else _find_aside())


def _find_aside() -> str:
    """Return what `find_source` finds, but with libcamera, which may hang, in another process."""
    if importlib.util.find_spec("picamera2") is None:
        return find_source()
    try:
        return find_in_child()
    except CameraError:  # libcamera does hang
        return "usb" if opencv.usb_nodes() else "demo"
