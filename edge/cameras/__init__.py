"""Where the frames come from: `open_camera` finds the driver that the setting asks for.

Live sources: picamera2.py (CSI cameras) and opencv.py (USB cameras, streams). Played ones: files.py (videos, images,
folders) and demo.py (the bundled clip), at the pace that player.py gives them.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from edge.cameras import demo, files, opencv, picamera2
from edge.cameras.reopening import Reopening
from edge.libraries import preload
from edge.settings import CameraSettings
from edge.stages import Camera

__all__ = ["DEMO_CLIP", "live_camera_is_present", "open_camera", "open_lasting"]

DEMO_CLIP = demo.DESCRIPTION

# Read by OpenCV when it is first loaded, whoever loads it (mxnet does too): so they stand here, where no vendor library
# has been imported yet. Its complaints and FFMPEG's would bury our one line. A picture of more than 64 million pixels
# would take the memory of a small Pi. A USB camera that hangs is held for as long as OpenCV waits for it (seconds).
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")


def open_camera(settings: CameraSettings, every_frame: bool = False, sysfs: Path = opencv.SYSFS) -> Camera:
    """Open what `settings.source` names: auto | csi[:N] | usb[:N] | demo | a URL | a file, folder or device.

    `auto` takes the first CSI camera, else the first USB camera, else the demo clip. N counts from 0; the order of USB
    cameras is that of their sockets, so it survives a reboot. A file that is called like a camera is reached as ./demo.
    `every_frame` plays files, folders and the demo without pace and without skipping; live sources don't know it.
    Raises CameraError with one line that says what to do.
    """
    source = settings.source
    if source == "auto":
        source = _first_present(sysfs)
    if source == "demo":
        return demo.open_clip(settings, every_frame)
    if camera := re.fullmatch(r"(csi|usb)(?::(\d+))?", source):
        number = int(camera[2] or 0)
        return picamera2.PiCamera(settings, number) if camera[1] == "csi" else opencv.open_usb(settings, number, sysfs)
    if "://" in source:
        return opencv.open_stream(settings)
    return files.open_path(settings, every_frame)


def open_lasting(settings: CameraSettings, tell: Callable[[str], object], every_frame: bool = False) -> Camera:
    """The same; but a live camera that gets lost is opened again, and `tell` hears of it."""
    preload("cv2", "**/cv2*.so")  # nearly every driver imports it
    if not live_camera_is_present(settings):
        return open_camera(settings, every_frame)
    return Reopening(lambda: open_camera(settings, every_frame), tell)


def live_camera_is_present(settings: CameraSettings, sysfs: Path = opencv.SYSFS) -> bool:
    """Whether `open_camera` would open something that shows the world now; `auto` looks what is plugged in."""
    source = settings.source if settings.source != "auto" else _first_present(sysfs)
    return source.startswith(("csi", "usb")) or "://" in source


def _first_present(sysfs: Path) -> str:
    if picamera2.is_present():
        return "csi"
    return "usb" if opencv.usb_nodes(sysfs) else "demo"
