"""Finds the pictures in a stream of bytes: multipart/x-mixed-replace as cameras send it, or JPEGs one after the other.

Cameras differ: some send the boundary only after the first picture, write 'image/jpg' or no type, leave out the length
or write a wrong one, or send a boundary other than the one they announced. So a part is taken for a picture by its
bytes, not by its head, and a JPEG ends where its own marks say.
"""

import re

MOST_BYTES = 2**24
"""A picture may have 16 MiB: a JPEG of 64 million pixels in good quality."""
_MOST_HEAD = 2**14
"""Bytes before the first picture; between two pictures there may be MOST_BYTES, such as padding."""
JPEG_START = b"\xff\xd8\xff"
_END = re.compile(rb"\xff\xd9|\xff\xd8\xff")
"""The mark of a JPEG's end, or the start of the next one: its data has neither."""
_MARK, _SCAN = 0xFF, 0xDA
_BOUNDARY = re.compile(rb"--[\x21-\x7e][\x20-\x7e]{0,127}")
_LONG = 5
"""A boundary of so many bytes does not occur in a picture by chance."""
_LENGTH = re.compile(rb"(?i)content-length\s*[:=]\s*\"?([0-9]{1,9})\"?")
_IMAGE = re.compile(rb"(?i)content-type\s*[:=]\s*\"?image/")


class StreamError(Exception):
    """What is wrong with a stream, in words for the user."""


class PictureSplitter:
    """Takes bytes as they come, and gives the pictures in them; it holds at most one picture and a half."""

    def __init__(self, boundary: str = "") -> None:
        """`boundary` is that of the Content-Type; empty if it is unknown, or if there is none."""
        self._buffer = bytearray()
        self._token = boundary.strip("\"' ").lstrip("-").encode("latin-1", "replace")
        self._in_body = self._is_image = self._has_pictures = False
        self._length: int | None = None
        self._lengths_are_right = False
        """Whether the last picture ended where the head of its part had said."""
        self._skipped = 0
        """Bytes since the last part: heads, and what is left of a damaged part."""
        self._searched = self._scan = 0
        """Bytes of the body in which its end was looked for, and where a JPEG's data begins (0: not known yet)."""

    @property
    def missing(self) -> int:
        """Return how many bytes of the current picture have not come yet; 0 if that is not certain."""
        if not self._in_body or self._length is None or not self._lengths_are_right:
            return 0
        return max(0, self._length - len(self._buffer))

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pictures that are complete now. Raises StreamError if a part is larger than any picture."""
        self._buffer += data
        pictures = []
        while (part := self._body() if self._in_body else self._find_body()) is not None:
            if part:
                pictures.append(part)
                self._has_pictures = True
        if len(self._buffer) > MOST_BYTES:
            raise _too_large()
        return pictures

    def _find_body(self) -> bytes | None:
        """Read the head of a part; return b'' if its body begins now, None if bytes are missing."""
        while True:
            start = self._buffer.find(JPEG_START)
            end = self._buffer.find(b"\n", 0, start if start >= 0 else len(self._buffer))
            if end < 0:
                if start >= 0:
                    self._skip(start)
                    self._begin_body(None)
                    return b""
                if len(self._buffer) >= _MOST_HEAD:  # no line of a head
                    self._skip(len(self._buffer) - 1)
                return None
            line = bytes(self._buffer[: min(end, _MOST_HEAD)]).strip()
            self._skip(end + 1)
            if _BOUNDARY.fullmatch(line):
                # it may differ from the one that was announced; the last one has -- behind it
                if not self._token or not line.lstrip(b"-").startswith(self._token):
                    self._token = line.lstrip(b"-")
                self._length, self._is_image = None, False
            elif match := _LENGTH.fullmatch(line):
                self._length = int(match[1])
                if self._length > MOST_BYTES:
                    raise _too_large()
            elif _IMAGE.match(line):
                self._is_image = True
            elif not line and (self._length is not None or self._is_image):
                self._begin_body(self._length)
                return b""
            # other headers, empty lines, and what is left of a damaged part are skipped

    def _skip(self, size: int) -> None:
        del self._buffer[:size]
        self._skipped += size
        if self._skipped > (MOST_BYTES if self._has_pictures else _MOST_HEAD):
            raise StreamError("it sends something else than pictures")

    def _begin_body(self, length: int | None) -> None:
        self._in_body, self._length = True, length
        self._skipped = self._searched = self._scan = 0

    def _body(self) -> bytes | None:
        """Return the picture, or b'' if the part is none; None if bytes are missing."""
        while self._buffer.startswith((b"\r", b"\n")):  # some send an empty line too many
            del self._buffer[:1]
            self._length = max(0, self._length - 1) if self._length else self._length
        if len(self._buffer) < len(JPEG_START) and self._length is None:
            return None
        end = self._end_of_jpeg() if self._buffer.startswith(JPEG_START) else self._length
        boundary = self._boundary()
        if boundary >= 0 and (end is None or boundary < end):
            return self._take(boundary)
        if end is None or end > len(self._buffer):
            self._searched = len(self._buffer)
            return None
        return self._take(end)

    def _end_of_jpeg(self) -> int | None:
        """Return where the JPEG ends by its own marks; None if they have not come yet."""
        at = 2
        while not self._scan:
            if len(self._buffer) < at + 4:
                return None
            mark, kind = self._buffer[at], self._buffer[at + 1]
            if kind == _MARK:  # a fill byte
                at += 1
                continue
            # a segment, such as EXIF with a small picture in it, has its length in front
            length = 2 + int.from_bytes(self._buffer[at + 2 : at + 4], "big") if mark == _MARK else 0
            if mark != _MARK or kind == _SCAN:  # a damaged one has no segment there
                self._scan = at + length
            at += length
        found = _END.search(self._buffer, max(self._scan, self._searched - 2))
        if found is None:
            return None
        return found.start() if found[0] == JPEG_START else found.end()

    def _boundary(self) -> int:
        """Return where the next boundary begins; -1 if it has not come yet."""
        if not self._token:
            return -1
        if self._buffer.startswith(b"--" + self._token):
            return 0
        at = max(0, self._searched - 256)
        found = self._buffer.find(b"\n--" + self._token, at)
        if found < 0 and len(self._token) >= _LONG:
            found = self._buffer.find(b"\n" + self._token, at)
        return found

    def _take(self, size: int) -> bytes:
        part = bytes(self._buffer[:size])
        self._lengths_are_right = self._length == size and part.startswith(JPEG_START)
        del self._buffer[:size]
        self._in_body = self._is_image = False
        self._length = None
        # no picture begins like a boundary or a page of text
        return b"" if part[:1] in (b"-", b"<", b"{") or not part.strip(b"\r\n") else part


def _too_large() -> StreamError:
    return StreamError(f"it sends a part of more than {MOST_BYTES >> 20} MiB, which is no picture")
