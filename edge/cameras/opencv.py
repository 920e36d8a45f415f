"""USB cameras and network streams, through OpenCV. It cannot read CSI cameras: see picamera2.py."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.cameras.busy import usb_user
from edge.cameras.multipart import StreamError
from edge.errors import CameraError, hide_secrets
from edge.host.noise import quiet
from edge.settings import CameraSettings
from edge.stages import Camera, Frame, Pixels
from edge.vision.images import Place, new_place

if TYPE_CHECKING:
    import cv2

    from edge.cameras.http_stream import Capture

SYSFS = Path("/sys")
_UNDECODED = "it sends pictures, but damaged ones or of a format that edge does not know; choose JPEG in its settings"
_DAMAGED_S = 3.0
"""How long a camera may send only damaged pictures when it is opened."""
SCHEMES = ("http", "https", "rtsp", "rtsps")


def usb_nodes(sysfs: Path = SYSFS) -> list[Path]:
    """Return the device nodes of the USB cameras, such as /dev/video0, ordered by the socket they are plugged into.

    The number of a node depends on which camera was found first; the path of its socket survives a reboot.
    """
    cameras = []
    for entry in (sysfs / "class" / "video4linux").glob("video*"):
        try:
            # index 0: a camera has further nodes, for metadata. usb: a Pi also has nodes for its codecs.
            is_camera = (entry / "index").read_text().strip() == "0"
            is_usb = (entry / "device" / "subsystem").resolve().name == "usb"
        except OSError:
            continue  # unplugged while we looked
        if is_camera and is_usb:
            cameras.append((str((entry / "device").resolve()), Path("/dev") / entry.name))
    return [node for _, node in sorted(cameras)]


def open_usb(settings: CameraSettings, number: int = 0, sysfs: Path = SYSFS) -> Camera:
    """Open the USB camera with that number in `usb_nodes`. Raises CameraError if it is missing or gives no frame."""
    nodes = usb_nodes(sysfs)
    if number >= len(nodes):
        found = ", ".join(f"usb:{i} ({node})" for i, node in enumerate(nodes)) or "none"
        raise CameraError(
            f"camera usb:{number}: there is no such camera; found: {found}. Plug it in, or use --camera demo"
        )
    return open_node(settings, nodes[number], f"USB camera {number} ({nodes[number]})")


def open_node(settings: CameraSettings, node: Path, description: str) -> Camera:
    """Open a V4L2 device node. Raises CameraError if access is denied or it gives no frame."""
    if not os.access(node, os.R_OK | os.W_OK):
        raise CameraError(f"{description}: no access to it; add the user to the group video (usermod -aG video USER)")

    def connect() -> "tuple[Capture, str]":
        import cv2

        capture = cv2.VideoCapture(str(node), cv2.CAP_V4L2)
        configure(capture, settings)
        return capture, ""

    def advice() -> str:
        return usb_user(node) or "check that no other program uses it, or plug it in again"

    return LiveCapture(connect, description, settings, advice, node.exists)


def configure(capture: "cv2.VideoCapture", settings: CameraSettings) -> None:
    """Ask an open USB camera for the format in the settings; it uses the nearest that it supports.

    This is not done at opening, which fails if the camera lacks the size. MJPG comes first, because it decides which
    sizes and rates are available: USB 2 cannot carry the raw pictures of two cameras, or of a large size.
    """
    import cv2

    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
    if settings.frame_rate:
        capture.set(cv2.CAP_PROP_FPS, settings.frame_rate)


def open_stream(settings: CameraSettings) -> Camera:
    """Open an http(s) MJPEG or rtsp URL. Raises CameraError if it gives no picture within `open_timeout_s`.

    Every URL counts as live: a stream that ends is a lost camera.
    """
    scheme = settings.source.partition("://")[0].lower()
    shown = hide_secrets(settings.source)
    check_name(settings.source)
    if scheme not in SCHEMES:
        raise CameraError(
            f"camera {shown}: {scheme}:// is not supported; choose one of {', '.join(SCHEMES)}, or a file"
        )

    def connect() -> "tuple[Capture, str]":
        import cv2

        note = ""
        if scheme in ("http", "https"):
            from edge.cameras.http_stream import open_http  # late: TLS and HTTP, which only streams need

            capture, note = open_http(settings)
            if capture is not None:
                return capture, note
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(settings.open_timeout_s * 1000)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(settings.read_timeout_s * 1000)]
        return cv2.VideoCapture(settings.source, cv2.CAP_FFMPEG, limits), note

    return LiveCapture(connect, f"stream {shown}", settings, lambda: "check the address and the network")


def check_name(name: str) -> None:
    """Raise CameraError for a path or URL that is not UTF-8: instead of refusing it, OpenCV crashes the process."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise CameraError(f"camera {hide_secrets(name)}: OpenCV needs a name in UTF-8; rename it") from error


class LiveCapture:
    """A USB camera or a stream: a thread grabs every frame, a reader gets the newest.

    Frames are decoded only while a reader waits for one; the others are grabbed and dropped.
    Everything that may block runs in that thread, including opening and releasing. So neither `read` nor `close` waits
    for a camera that hangs. It is a daemon thread, so a hanging one does not keep the process alive.
    """

    live = True

    def __init__(
        self,
        connect: "Callable[[], tuple[Capture, str]]",
        description: str,
        settings: CameraSettings,
        advice: Callable[[], str],
        is_present: Callable[[], bool] = lambda: True,
    ) -> None:
        self.description = description
        self.place: Place = new_place
        self._connect = connect
        self._advice = advice
        self._is_present = is_present
        self._read_timeout_s = settings.read_timeout_s
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._newest: tuple[NDArray[np.uint8], int, float] | None = None
        """BGR pixels, sequence and captured_s of the frame that has not been returned yet."""
        self._wanted = True
        """True while a reader waits for a frame, or after it got none."""
        self._failure = self._undecoded = ""
        self._last_s = 0.0
        """Time at which the last frame came."""
        self._thread = threading.Thread(target=self._run, name=f"grabber of {description}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._failure, timeout=settings.open_timeout_s)
            if self._newest:
                return
            why = self._failure or self._undecoded or f"no frame came within {settings.open_timeout_s:g} s; {advice()}"
        self.close()
        raise CameraError(f"{description}: {why}")

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame not returned yet, waiting at most `timeout_s` for it; None if none came.

        Raises CameraError if no frame came for `read_timeout_s`, and after `close`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._wanted = True
            while True:
                if self._closing.is_set():
                    raise CameraError(f"{self.description}: it is closed, open it again")
                now_s = time.monotonic()
                lost_s = self._last_s + self._read_timeout_s
                if self._failure or now_s >= lost_s:
                    raise CameraError(f"{self.description}: {self._failure or self._silence()}")
                if self._newest:
                    (bgr, sequence, captured_s), self._newest = self._newest, None
                    self._wanted = False
                    break
                if now_s >= deadline_s:
                    return None
                self._changed.wait(min(deadline_s, lost_s) - now_s)
        return Frame(rgb(bgr, self.place), sequence, captured_s)

    def close(self) -> None:
        """Release the device; if it hangs, the thread releases it as soon as it can."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=0.5)

    def _silence(self) -> str:
        if self._undecoded:
            return f"lost, {self._undecoded}"
        slower = "a slower camera needs a larger [camera] read_timeout_s"
        return f"lost, no frame came for {self._read_timeout_s:g} s; {self._advice()}; {slower}"

    def _run(self) -> None:
        try:
            capture, note = self._connect()
            if note:
                self.description += f" ({note})"
            try:
                if capture.isOpened():
                    self._grab(capture)
                else:
                    self._fail("it cannot be opened")
            finally:
                capture.release()
        except StreamError as error:  # in words, with its own advice
            with self._changed:
                self._failure = str(error) if self._last_s else str(error).removeprefix("lost, ")
                self._changed.notify_all()
        except Exception as error:
            # A thread that dies silently would look like a slow camera. OpenCV's message is left out: it may contain
            # the URL.
            self._fail(f"{type(error).__name__} in OpenCV")

    def _grab(self, capture: "Capture") -> None:
        sequence, begun_s = 0, time.monotonic()
        while not self._closing.is_set():
            if not self._is_present():
                # the kernel's driver may keep giving the last frame
                self._fail("lost, it was unplugged")
                return
            grabbed = capture.grab()
            captured_s = time.monotonic()
            if grabbed and not self._wanted:
                self._last_s = captured_s
                sequence += 1
                continue
            with quiet():  # libjpeg reports each frame that a USB camera has damaged
                decoded, bgr = capture.retrieve() if grabbed else (False, None)
            if not decoded:
                # a damaged frame, or the end: `read` notices by its timeout. Do not spin until then.
                self._undecoded = _UNDECODED if grabbed else self._undecoded
                if self._undecoded and not self._last_s and captured_s - begun_s > _DAMAGED_S:
                    raise StreamError(self._undecoded)
                self._closing.wait(0.01)
                continue
            with self._changed:
                self._last_s, self._undecoded = captured_s, ""
                # else a reader was served meanwhile: this frame would be old at the next request
                if self._wanted:
                    self._newest = (np.asarray(bgr, np.uint8), sequence, captured_s)
                    self._changed.notify_all()
            sequence += 1

    def _fail(self, why: str) -> None:
        with self._changed:
            self._failure = f"{why}; {self._advice()}"
            self._changed.notify_all()


def rgb(bgr: object, place: Place = new_place) -> Pixels:
    """Return OpenCV's decoded picture with red first, in the memory that `place` gives."""
    import cv2

    decoded = np.asarray(bgr)
    there = place(decoded.shape)
    cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=there)
    return there
