"""The pictures that a thing was learnt from, if they are kept: a line of JSON, then small JPEG files.

With them another model can learn the thing by itself. They are private, so only the owner may read their files.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from edge.models.taught.record import MOST_EMPTY, read_line, read_whole

MOST_PICTURES = 20
"""Pictures of a thing. With MOST_EMPTY ones of its place, 30 are kept."""
MOST_SIDE = 300
"""Pixels on the longer side."""
MOST_JPEG = 65536
"""Bytes of a picture; one of 300 x 225 pixels usually has 10 to 25 kB."""
_KIND, _VERSION = "edge taught pictures", 1


@dataclass(frozen=True)
class KeptPictures:
    """Pictures as JPEG files."""

    views: tuple[bytes, ...]
    """Of the thing."""
    empty: tuple[bytes, ...]
    """Of the place without it."""

    def to_bytes(self) -> bytes:
        """Return their file."""
        line = {
            "kind": _KIND,
            "version": _VERSION,
            "views": [len(one) for one in self.views],
            "empty": [len(one) for one in self.empty],
        }
        return json.dumps(line).encode() + b"\n" + b"".join((*self.views, *self.empty))


def digest_of(data: bytes) -> str:
    """Return the digest of a file of pictures, by which its thing names it."""
    return hashlib.sha256(data).hexdigest()[:16]


def pictures_from_file(file: BinaryIO, digest: str) -> KeptPictures:
    """Return the pictures that come next in a file. Raises ValueError, for people, if these are others, or damaged.

    A picture is not decoded here, but it is only let through if that would cost little.
    """
    line = read_line(file, _KIND)
    if line is None:
        raise ValueError("it lacks pictures")
    views, empty = (_sizes(line.get(key), most) for key, most in (("views", MOST_PICTURES), ("empty", MOST_EMPTY)))
    if not views:
        raise ValueError("it lacks pictures")
    found = KeptPictures(*(tuple(read_whole(file, size) for size in sizes) for sizes in (views, empty)))
    if digest_of(found.to_bytes()) != digest:
        raise ValueError("it is damaged: its pictures do not match their checksum")
    if not all(map(_is_small, (*found.views, *found.empty))):
        raise ValueError(f"it has a picture that is not a JPEG, or is larger than {MOST_SIDE} pixels")
    return found


def thinned(pictures: Iterable[bytes], most: int) -> tuple[bytes, ...]:
    """Return at most so many of them, evenly chosen."""
    every = tuple(pictures)
    return every if len(every) <= most else tuple(every[number * len(every) // most] for number in range(most))


def _sizes(given: object, most: int) -> list[int]:
    if not isinstance(given, list) or len(given) > most:
        raise ValueError(f"it must have at most {most} pictures of one kind")
    if not all(type(one) is int and one > 0 for one in given):
        raise ValueError("it is damaged: the size of a picture is not a positive number")
    if max(given, default=0) > MOST_JPEG:
        raise ValueError(f"it has a picture of more than {MOST_JPEG} bytes")
    return given


def _is_small(data: bytes) -> bool:
    """Return True for a plain JPEG of few pixels. JPEG (ITU-T T.81, B.1): segments, and one states width and height.

    Only the plain kind (SOF0) is let through, because one with many scans takes long to decode.
    """
    place = 2
    if data[:2] != b"\xff\xd8":
        return False
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xC0:
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            return 1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE
        if not (0xE0 <= marker <= 0xFE or marker in (0xC4, 0xDB, 0xDD)) or length < 2:
            return False
        place += 2 + length
    return False
