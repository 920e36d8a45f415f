"""Video files, images and folders of images, played as a camera."""

from pathlib import Path
from typing import TYPE_CHECKING

from edge.cameras.opencv import check_name, open_node, rgb
from edge.cameras.player import Player
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Camera, Pixels
from edge.vision.images import SUFFIXES, ImageReel, images_in, os_errors_told

if TYPE_CHECKING:
    import cv2

# How many grabs may fail in a row before a file counts as ended, if its header promises no more frames.
_FAILED_GRABS = 3
_FILMS = (".mjpeg", ".mjpg")
_MAX_FAILED_GRABS = 100_000
_SMALL = 800 * 600
"""Pixels. One thread is enough to decode a film up to this size."""
# FFMPEG's codec for a text file, which it plays as a film of a terminal.
_TEXT_CODEC = int.from_bytes(b"ansi", "little")


def open_path(settings: CameraSettings, every_frame: bool = False) -> Camera:
    """Open a video file, an image, a folder of images, or the device node of a camera (/dev/v4l/by-id/...).

    Raises CameraError for everything else, such as a FIFO, an empty file or a text file.
    """
    path = Path(settings.source)
    with os_errors_told(path):
        if path.is_char_device():
            return open_node(settings, path, f"camera {path}")
        if path.is_dir() and settings.source:
            reel = ImageReel(path, lambda: images_in(path), settings.image_s, once=every_frame)
            return Player(reel, f"folder {path}", loop=settings.loop, every_frame=every_frame)
        if not path.is_file():
            # a FIFO would block forever
            what = "this is neither a file nor a folder" if path.exists() else "there is no such file or folder"
            raise CameraError(
                f"camera {settings.source}: {what}; choose auto, csi[:N], usb[:N], demo, a file, a folder or a URL"
            )
        with path.open("rb") as file:
            if not file.read(1):
                raise CameraError(f"camera {path}: the file is empty; choose a video, an image or a folder of images")
    if _is_image(path):
        reel = ImageReel(path, lambda: [path], settings.image_s, once=every_frame)
        return Player(reel, f"image {path}", loop=settings.loop, every_frame=every_frame)
    return Player(VideoReel(path), f"video {path}", loop=settings.loop, every_frame=every_frame)


def _is_image(path: Path) -> bool:
    """Return True for a file that shows one picture. Raises CameraError for a video that OpenCV cannot open."""
    import cv2

    suffix = path.suffix.lower()
    try:
        check_name(str(path.absolute()))
    except CameraError:
        if suffix in SUFFIXES:  # we read the bytes ourselves
            return True
        raise
    # OpenCV would take a film of JPEGs for its first picture
    return suffix not in _FILMS and cv2.haveImageReader(str(path))


class VideoReel:
    """A video file as a reel. Raises CameraError if it has no frame."""

    _capture: "cv2.VideoCapture"
    interval_s: float
    shown_s = 0.0
    _frames: int
    """Number of frames that the header promises; negative or far too large in a damaged file."""
    _grabbed: int
    _first_stamp_s: float | None
    """Time stamp of the first frame, from which the others are counted."""
    _media_s: float

    def __init__(self, path: Path) -> None:
        # absolute, so that FFMPEG does not mistake part of the name for a protocol
        self._path = path.absolute()
        self._open()
        if self.advance() is None:
            self.close()
            raise self._not_a_video()
        self.rewind()

    def advance(self) -> float | None:
        """Grab the next frame, which costs less than `picture`, and return its time in seconds; None after the last."""
        import cv2

        # A damaged stretch gives one failure per frame and then continues. The header tells how many failures are
        # possible. It promises too many if the file is cut off, but failures at the end cost a microsecond each.
        missing = min(self._frames - self._grabbed, _MAX_FAILED_GRABS)
        for _ in range(max(_FAILED_GRABS, missing)):
            if self._capture.grab():
                break
        else:
            return None
        self._grabbed += 1
        stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._first_stamp_s is None:
            self._first_stamp_s = stamp_s
            self._media_s = 0.0
        else:
            media_s = stamp_s - self._first_stamp_s
            # streams without a container have no times, damaged ones have wrong times: add an interval instead
            self._media_s = media_s if media_s > self._media_s else self._media_s + self.interval_s
        return self._media_s

    def picture(self) -> Pixels | None:
        """Return the grabbed frame, decoded; None if it cannot be decoded."""
        decoded, bgr = self._capture.retrieve()
        return rgb(bgr) if decoded else None

    def rewind(self) -> None:
        """Open the file again: seeking is inexact in some files, and impossible in damaged ones."""
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _open(self) -> None:
        import cv2

        # more threads would only wake each other for small pictures, and each would keep some of them
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if self._capture.get(cv2.CAP_PROP_FRAME_WIDTH) * self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > _SMALL:
            self._capture.release()
            self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened() or self._capture.get(cv2.CAP_PROP_FOURCC) == _TEXT_CODEC:
            self._capture.release()
            raise self._not_a_video()
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        self.interval_s = 1 / rate_hz if 0.01 <= rate_hz <= 1000 else 0.04
        self._frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._grabbed = 0
        self._first_stamp_s = None
        self._media_s = 0.0

    def _not_a_video(self) -> CameraError:
        return CameraError(f"camera {self._path}: not a video or image that can be read, or it is damaged or gone")
