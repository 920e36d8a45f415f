"""One taught thing, and its file: a line of JSON, then its features as float16 numbers (little-endian).

A file has no compression, no paths and no code, and its line states all sizes. So it is read only if it is as large as
it says, and a hostile one costs no more memory than its bytes.
"""

import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.stages import TAUGHT

Floats = NDArray[np.float32]

MOST_VIEWS, MOST_EMPTY = 40, 10
"""Views of a thing, and of its place without it, that are kept."""
MOST_FEATURES = 8192
"""Longest vector of features; VGG-16's has 4096 numbers."""
MOST_NAME = 80
"""Characters of a name."""
MOST_BYTES = 4096 + 2 * MOST_FEATURES * (MOST_VIEWS + MOST_EMPTY)
"""Largest file of a thing: 0.8 MB; with 1280 features, 40 views and no empty ones it has 100 kB."""
_KIND, _VERSION = "edge taught thing", 1
_MOST_LINE = 2048
_JOINERS = dict.fromkeys((0x200C, 0x200D))
"""Invisible characters that the writing of some languages needs (Persian, Hindi), and some emoji."""
_NO_KIND = "it is not a file of taught things"


class NewerFileError(ValueError):
    """A later release of edge wrote the file: it is not damaged, only unknown here."""


@dataclass(frozen=True, eq=False)
class TaughtThing:
    """What edge knows about a thing: no pictures, only what one network computed of them."""

    name: str
    """As the user calls it: 'my keys', 'Rex'."""
    model: str
    """Fingerprint of the network."""
    model_name: str
    views: Floats
    """Features of its views, N x M."""
    empty: Floats
    """Features of the place without it, K x M; K may be 0."""
    pictures: str = ""
    """Digest of the pictures that it was learnt from (pictures.py); empty: none are kept."""

    @property
    def id(self) -> str:
        """Its id in predictions."""
        return id_of(self.name)


def id_of(name: str) -> str:
    """Return the id of a thing of that name.

    Upper case, spaces, the way accents are written and invisible joiners do not matter.
    """
    # once more, because a changed case may fall apart into letter and accent
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", _visible(name)).casefold())
    return TAUGHT + " ".join(folded.split())


def stem_of(name: str) -> str:
    """Return how the names of its files begin; a name may have any characters."""
    return hashlib.sha256(id_of(name).encode("utf-8", "surrogatepass")).hexdigest()[:20]


def file_name_of(name: str) -> str:
    """Return the name of its file."""
    return f"{stem_of(name)}.thing"


def checked_name(name: str) -> str:
    """Return a name without needless spaces. Raises ValueError, for people, if it cannot be a name."""
    words = " ".join(unicodedata.normalize("NFC", name).split())
    if not words or not any(one.isalnum() for one in words):
        raise ValueError("a name needs a letter or a digit")
    if len(words) > MOST_NAME:
        raise ValueError(f"the name has {len(words)} characters; at most {MOST_NAME} are allowed")
    if not _visible(words).isprintable():
        raise ValueError("the name has characters that cannot be printed")
    return words


def _visible(text: str) -> str:
    return text.translate(_JOINERS)


def to_bytes(thing: TaughtThing) -> bytes:
    """Return the file of a thing."""
    numbers = np.concatenate([thing.views, thing.empty]).astype("<f2").tobytes()
    line = {
        "kind": _KIND,
        "version": _VERSION,
        "name": thing.name,
        "model": thing.model,
        "model_name": thing.model_name,
        "views": len(thing.views),
        "empty": len(thing.empty),
        "features": thing.views.shape[1],
        "crc": zlib.crc32(numbers),
        **({"pictures": thing.pictures} if thing.pictures else {}),
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n" + numbers


def from_file(file: BinaryIO, most_views: int = MOST_VIEWS) -> TaughtThing | None:
    """Return the next thing of a file; None at its end. Raises ValueError, for people, if it is damaged."""
    line = read_line(file, _KIND)
    if line is None:
        return None
    views, empty, features = (_whole(line, key) for key in ("views", "empty", "features"))
    if not (1 <= views <= most_views and empty <= MOST_EMPTY and 1 <= features <= MOST_FEATURES):
        raise ValueError(f"a thing has {views} and {empty} views of {features} numbers, which is not possible")
    numbers = read_whole(file, 2 * features * (views + empty))
    if zlib.crc32(numbers) != line.get("crc"):
        raise ValueError("it is damaged: its numbers do not match their checksum")
    rows = np.frombuffer(numbers, "<f2").astype(np.float32).reshape(views + empty, features)
    if not np.isfinite(rows).all():
        raise ValueError("it is damaged: not all of its numbers are finite")
    name = checked_name(_text(line, "name", 4 * MOST_NAME))
    pictures = _text(line, "pictures", 64) if "pictures" in line else ""
    if pictures and not re.fullmatch("[0-9a-f]{16}", pictures):  # it becomes a part of a file's name
        raise ValueError("it is damaged: its pictures have no checksum")
    return TaughtThing(
        name, _text(line, "model", 64), _text(line, "model_name", 200), rows[:views], rows[views:], pictures
    )


def read_line(file: BinaryIO, kind: str) -> dict[str, Any] | None:
    """Return the line that begins a record of that kind; None at the end of the file. Raises ValueError, for people."""
    first = file.tell() == 0
    text = file.readline(_MOST_LINE)
    if not text:
        return None
    if not text.endswith(b"\n"):
        raise ValueError(_NO_KIND if first else "it ends in the middle of a thing")
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(_NO_KIND) from error
    if not isinstance(line, dict) or line.get("kind") != kind:
        raise ValueError(_NO_KIND)
    if line.get("version") != _VERSION:
        raise NewerFileError("a newer edge wrote it")
    return line


def read_whole(file: BinaryIO, length: int) -> bytes:
    """Return the next bytes of a file. Raises ValueError, for people, if it ends before."""
    data = file.read(length)
    if len(data) < length:
        raise ValueError("it ends in the middle of a thing")
    return data


def _whole(line: Mapping[str, Any], key: str) -> int:
    value = line.get(key)
    if type(value) is not int or not 0 <= value <= 2**20:
        raise ValueError(f"{key} must be a whole number")
    return value


def _text(line: Mapping[str, Any], key: str, most: int) -> str:
    value = line.get(key)
    if not isinstance(value, str) or len(value) > most or not _visible(value).isprintable():
        raise ValueError(f"{key} must be a short text")
    return value
