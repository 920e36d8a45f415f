"""Finds the pictures in a stream of bytes: multipart/x-mixed-replace as cameras send it, or JPEGs one after the other.

Cameras differ: some send the boundary only after the first picture, write 'image/jpg' or no type, leave out the length,
or send a boundary other than the one they announced. So a part is taken for a picture by its bytes, not by its head.
"""

import re

MOST_BYTES = 2**24
"""A picture may have 16 MiB: a JPEG of 64 million pixels in good quality."""
_MOST_HEAD = 2**14
_START = b"\xff\xd8"
_NEXT = re.compile(rb"\xff\xd9\s{0,64}\xff\xd8")
_LENGTH = re.compile(rb"(?i)content-length:\s*([0-9]{1,9})\s*")


class StreamError(Exception):
    """What is wrong with a stream, in words for the user."""


class PictureSplitter:
    """Takes bytes as they come, and gives the pictures in them; it holds at most one picture and a half."""

    def __init__(self, boundary: str = "") -> None:
        """`boundary` is that of the Content-Type; empty if it is unknown, or if there is none."""
        self._buffer = bytearray()
        self._token = boundary.strip("\"' ").lstrip("-").encode("latin-1", "replace")
        self._in_body = False
        self._length: int | None = None
        self._head = 0
        """Bytes of the head of the current part so far."""
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pictures that are complete now. Raises StreamError if a part is larger than any picture."""
        self._buffer += data
        pictures = []
        while (part := self._body() if self._in_body else self._find_body()) is not None:
            if part:
                pictures.append(part)
        if len(self._buffer) > MOST_BYTES:
            raise StreamError(f"it sends a part of more than {MOST_BYTES >> 20} MiB, which is no picture")
        return pictures

    def _find_body(self) -> bytes | None:
        """Read the head of a part; return b'' if its body begins now, None if bytes are missing."""
        while True:
            if self._buffer.startswith(_START):
                self._begin_body(None)
                return b""
            end = self._buffer.find(b"\n", 0, _MOST_HEAD)
            if end < 0:
                if len(self._buffer) >= _MOST_HEAD:
                    raise StreamError("it sends something else than pictures")
                return None
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            self._head += end + 1
            if self._head > _MOST_HEAD:
                raise StreamError("it sends something else than pictures")
            if line.startswith(b"--"):
                if not self._token:
                    self._token = line.lstrip(b"-")[:128]
                self._length = None
            elif match := _LENGTH.fullmatch(line):
                self._length = int(match[1])
                if self._length > MOST_BYTES:
                    raise StreamError(f"it sends a part of more than {MOST_BYTES >> 20} MiB, which is no picture")
            elif not line and (self._length is not None or self._buffer.startswith(_START)):
                self._begin_body(self._length)
                return b""
            # other headers, empty lines, and what is left of a part with a wrong length are skipped

    def _begin_body(self, length: int | None) -> None:
        self._in_body, self._length, self._head, self._searched = True, length, 0, 0

    def _body(self) -> bytes | None:
        """Return the picture, or b'' if the part is none; None if bytes are missing."""
        if self._length is not None:
            if len(self._buffer) < self._length:
                return None
            return self._take(self._length)
        # without a length, the picture ends before the next boundary, or the next picture
        at = max(0, self._searched - 256)
        found = _NEXT.search(self._buffer, at)
        end = found.start() + 2 if found else -1
        if self._token:
            boundary = self._buffer.find(b"\n--" + self._token, at)
            boundary = boundary if boundary >= 0 else self._buffer.find(b"\n" + self._token, at)
            if boundary >= 0 and (end < 0 or boundary < end):
                end = boundary
        self._searched = len(self._buffer)
        return None if end < 0 else self._take(end)

    def _take(self, size: int) -> bytes:
        part = bytes(self._buffer[:size]).rstrip(b"\r\n") if self._length is None else bytes(self._buffer[:size])
        del self._buffer[:size]
        self._in_body, self._length = False, None
        # no picture begins like a boundary or a page of text
        return b"" if part[:1] in (b"-", b"<", b"{") or not part else part
