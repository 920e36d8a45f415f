"""The orientation that a camera noted in a WebP file, which OpenCV heeds in JPEG, PNG and TIFF only."""

import numpy as np

from edge.stages import Pixels

UPRIGHT = 1
_TAG = 0x0112
_MOST_TAGS = 512


def webp_orientation(data: bytes) -> int:
    """Return the EXIF orientation, 1 to 8, of a WebP file; 1 if it has none, or a damaged one.

    RIFF chunks: 4 letters, the size in 4 bytes, and the content, padded to an even size (developers.google.com/speed/
    webp/docs/riff_container). EXIF is a TIFF header with tags of 12 bytes (Exif 2.32, 4.6).
    """
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return _orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return UPRIGHT


def _orientation(exif: bytes) -> int:
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return UPRIGHT

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], "little" if exif.startswith(b"II") else "big")

    start = number(4, 4)
    for tag in range(min(number(start, 2), _MOST_TAGS)):
        at = start + 2 + 12 * tag
        if number(at, 2) == _TAG:
            found = number(at + 8, 2)
            return found if 1 <= found <= 8 else UPRIGHT
    return UPRIGHT


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return a picture as it should be seen; `orientation` is EXIF's number, 1 to 8, for how it was stored."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
