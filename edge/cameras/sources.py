"""Select the driver for a source: picamera2.py, opencv.py, files.py or demo.py."""

import dataclasses
import re
from pathlib import Path

from edge.cameras import demo, files, opencv, picamera2
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Camera


def open_camera(settings: CameraSettings, every_frame: bool = False, sysfs: Path = opencv.SYSFS) -> Camera:
    """Open the source in `settings.source`: auto | csi[:N] | usb[:N] | demo | a URL | a file, folder or device.

    `auto` takes the first CSI camera, else the first USB camera, else the demo clip. N counts from 0. USB cameras are
    ordered by their sockets, so the order survives a reboot. Write ./demo for a file that is named like a camera.
    `every_frame` plays files, folders and the demo without pace and without skipping; live sources ignore it.
    Raises CameraError with one line that says what to do.
    """
    source = settings.source
    if source == "auto":
        source = find_source(sysfs)
    if source == "demo":
        return demo.open_clip(settings, every_frame)
    if camera := re.fullmatch(r"(csi|usb)(?::(\d+))?", source):
        number = int(camera[2] or 0)
        return picamera2.PiCamera(settings, number) if camera[1] == "csi" else opencv.open_usb(settings, number, sysfs)
    if "://" in source:
        return opencv.open_stream(settings)
    return files.open_path(settings, every_frame)


def open_found(settings: CameraSettings) -> Camera:
    """Open the live camera that `auto` stands for now. Raises CameraError if there is none."""
    source = find_source()
    if source == "demo":
        raise CameraError("no camera was found: plug in a CSI or USB camera")
    return open_camera(dataclasses.replace(settings, source=source))


def find_source(sysfs: Path = opencv.SYSFS) -> str:
    """Return the source that `auto` stands for."""
    if picamera2.is_present():
        return "csi"
    return "usb" if opencv.usb_nodes(sysfs) else "demo"


def is_live(source: str) -> bool:
    """Return True if a source other than auto is live."""
    if re.fullmatch(r"(?:csi|usb)(?::\d+)?", source) or "://" in source:
        return True
    try:
        return Path(source).is_char_device()
    except (OSError, ValueError):
        return False
