"""Image files: one for `edge classify`, or a folder of them as a camera."""

import logging
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.errors import CameraError
from edge.host.noise import quiet
from edge.stages import Pixels
from edge.vision.orientation import upright, webp_orientation

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes that mark an image in a folder, which may contain other files too."""

Place = Callable[[tuple[int, ...]], Pixels]
"""A function that returns the memory for a picture of that shape."""

# How often a camera would see a picture held in front of it. The announcer believes no single frame, so it would stay
# silent if each image were shown only once.
_LOOK_S = 0.25

_MAX_BYTES = 2**28
_JPEG_QUALITY = 90
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_BLOCK = 8  # the side of the smallest part of a JPEG, in pixels
_NO_DATA = 128

_log = logging.getLogger(__name__)


def read_image(path: Path) -> Pixels:
    """Return the picture in a BMP, JPEG, PNG, PNM, TIFF or WebP file: uint8 H x W x 3, red first, upright as EXIF says.

    Grey, 16-bit and palette images become 8-bit colour; transparency is dropped. A JPEG may lack its last bytes.
    Raises CameraError if it is missing, not an image, damaged, or larger than 64 million pixels.
    """
    import cv2

    with os_errors_told(path):
        if not path.is_file():
            raise CameraError(f"{path}: {_what_it_is(path)}; give the path of an image")
        if path.stat().st_size > _MAX_BYTES:
            raise CameraError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; give a smaller image")
        data = path.read_bytes()
    if not data:
        raise CameraError(f"{path}: the file is empty; give the path of an image")
    # libpng prints its errors at any log level, so it gets only complete files
    if data.startswith(b"\x89PNG") and not _is_whole_png(data):
        raise CameraError(f"{path}: the PNG is damaged or cut off")
    try:
        # we read the bytes ourselves: imread returns None alike for a missing, a forbidden and a broken file, and
        # returns the upper half of a JPEG that is cut off as if it were the whole picture
        with quiet():
            image = decode(data)
    except (cv2.error, MemoryError) as error:
        raise CameraError(f"{path}: too large (more than 64 million pixels) or damaged") from error
    if image is None:
        raise CameraError(f"{path}: not an image, or a damaged one; BMP, JPEG, PNG, PNM, TIFF and WebP can be read")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode(data: bytes) -> Pixels | None:
    """Return the picture in an image file's bytes, blue first, upright; None if it is damaged. Raises cv2.error."""
    import cv2

    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        return None if stored is None else upright(np.asarray(stored, np.uint8), webp_orientation(data))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is not None or not data.startswith(_JPEG_START):
        return None if image is None else np.asarray(image, np.uint8)
    # some cameras leave out the mark of the end, and browsers do not mind
    image = cv2.imdecode(np.frombuffer(data + _JPEG_END, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None or _lacks_its_end(np.asarray(image)) else np.asarray(image, np.uint8)


def decode_frame(data: bytes) -> Pixels | None:
    """Return the picture in the bytes that a camera sent, blue first; None if it is damaged or too large."""
    import cv2

    try:
        return decode(data) if data else None
    except (cv2.error, MemoryError):
        return None


def _lacks_its_end(image: Pixels) -> bool:
    """Return True if a corner is grey: libjpeg fills so what it has no data for, and that ends in a corner."""
    rows, columns = (slice(_BLOCK), slice(-_BLOCK, None)), (slice(_BLOCK), slice(-_BLOCK, None))
    return any((image[row, column] == _NO_DATA).all() for row in rows for column in columns)


class ImageReel:
    """Images as a reel: each is shown for `image_s`. Unreadable ones are left out.

    With `once`, an image is one frame that says how long it is shown. Otherwise it is several equal frames, as if it
    were held in front of a camera.
    `find` returns their paths; it is asked again for each round. Raises CameraError if none of them can be read.
    """

    def __init__(self, where: Path, find: Callable[[], list[Path]], image_s: float, *, once: bool) -> None:
        self._where = where
        self._find = find
        self._images = find()
        self._unreadable: dict[Path, tuple[int, int]] = {}
        """Size and time of change of those that were left out."""
        self._looks = 1 if once else max(1, round(image_s / _LOOK_S))
        self.interval_s = image_s / self._looks
        self.shown_s = image_s if once else 0.0
        self._index = -1
        self._shown: Pixels | None = None
        self._shown_is: tuple[Path, tuple[int, int]] | None = None
        """Path of the current image, with its size and time of change when it was read."""
        self._load(0)

    def advance(self) -> float | None:
        """Advance one frame, to the next image if this one was shown often enough; return its time, None at the end."""
        self._index += 1
        number, look = divmod(self._index, self._looks)
        if look == 0 and number < len(self._images):
            self._load(number)
        return self._index * self.interval_s if number < len(self._images) else None

    def picture(self) -> Pixels | None:
        """Return the current image."""
        return self._shown

    def rewind(self) -> None:
        """Go back to before the first image that is there now."""
        # one that was left out is tried again when it has changed: it may have been half written
        self._images = [path for path in self._find() if self._unreadable.get(path, ()) != _version(path)]
        self._index = -1

    def close(self) -> None:
        """Free the current image; no file is open."""
        self._shown = None

    def _load(self, number: int) -> None:
        """Load the image with that number; drop images that turn out to be unreadable."""
        while number < len(self._images):
            path = self._images[number]
            if self._shown is not None and self._shown_is == (path, _version(path)):
                return  # a single image in a loop
            try:
                self._shown_is = path, _version(path)
                self._shown = read_image(path)
            except CameraError as error:
                if self._where == self._images[number]:
                    raise
                # dropped, so that the log reports it once and not in every round
                _log.warning("skipped: %s", error)
                self._unreadable[self._images[number]] = _version(self._images[number])
                del self._images[number]
            else:
                return
        if not self._images:
            raise CameraError(f"{self._where}: none of its images can be read; choose a folder of images")


def _version(path: Path) -> tuple[int, int]:
    """Return size and time of change of a file; zeros if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name. Raises CameraError if there is none."""
    with os_errors_told(folder):
        if not folder.is_dir():
            what = "this is not a folder" if os.path.lexists(folder) else "there is no such folder"
            raise CameraError(f"{folder}: {what}; give the path of a folder with images")
        images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not images:
        raise CameraError(f"{folder}: there is no image in this folder; edge reads {', '.join(sorted(SUFFIXES))}")
    return images


@contextmanager
def os_errors_told(path: Path) -> Iterator[None]:
    """Turn an OSError about a path into a CameraError that names it."""
    try:
        yield
    except CameraError:
        raise
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}; choose a path that this user may read") from error


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "this is a folder"
    return "this is not a file" if os.path.lexists(path) else "there is no such file"


def _is_whole_png(data: bytes) -> bool:
    """Return True if all chunks up to the last one, IEND, are present with correct checksums."""
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end
    return False


def new_place(shape: tuple[int, ...]) -> Pixels:
    """Return new memory for a picture: the default `Place`."""
    return np.empty(shape, np.uint8)


def jpeg(pixels: Pixels, quality: int = _JPEG_QUALITY) -> bytes:
    """Return a picture as a JPEG file; `quality` is 0..100."""
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def fitted(pixels: Pixels, longest: int) -> Pixels:
    """Return a picture whose longer side has at most so many pixels: a smaller copy, or the picture itself."""
    import cv2

    height, width = pixels.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return pixels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def turn(pixels: Pixels, rotation: int, mirror: bool, out: Pixels) -> None:
    """Write a picture to `out`, turned clockwise by `rotation` degrees and then mirrored."""
    # OpenCV, because NumPy would take fifty times as long
    import cv2

    pixels = np.ascontiguousarray(pixels)
    if rotation:
        code = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}[rotation]
        cv2.rotate(pixels, code, dst=out)
    if mirror:
        cv2.flip(out if rotation else pixels, 1, dst=out)
