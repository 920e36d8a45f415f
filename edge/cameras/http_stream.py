"""Network cameras over HTTP: MJPEG as cameras really send it, and single pictures that are asked for again and again.

FFMPEG reads only streams that keep to the rules, and does not say what is wrong. So the connection is made here, and
only what is neither MJPEG nor a picture is left to OpenCV. Everything is bounded: a picture in bytes, a wait in time.
"""

import http.client
import os
import socket
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from edge.cameras.http_connection import ADDRESS, HEAD_SHARE, Connection
from edge.cameras.multipart import JPEG_START, MOST_BYTES, PictureSplitter, StreamError
from edge.settings import CameraSettings
from edge.vision.images import decode_frame

_CHUNK = 2**16
_LARGEST_WAIT = 2**18
"""Bytes of a picture that are waited for at once."""
_UNTYPED = ("", "application/octet-stream", "binary/octet-stream", "application/dash+xml")
_TEXTS = {
    "text/html": "a web page",
    "application/xhtml+xml": "a web page",
    "application/json": "JSON",
    "text/plain": "text",
    "text/xml": "XML",
    "application/xml": "XML",
}


class Capture(Protocol):
    """What a reader of pictures and cv2.VideoCapture have in common."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Return True if there may be pictures."""

    def grab(self) -> bool:
        """Take the next picture, and wait for it; return False if there is none now. May raise StreamError."""

    def retrieve(self) -> tuple[bool, Any]:
        """Return whether the picture taken last can be decoded, and its pixels (H x W x 3, blue first)."""

    def release(self) -> None:
        """Close it."""


def open_http(settings: CameraSettings) -> tuple["Capture | None", str]:
    """Return a reader of the http(s) URL in `settings.source`, and what the user should know about it.

    None: the server sends something that is left to OpenCV. Raises StreamError, in words without the URL.
    """
    connection = Connection(settings)
    response = connection.ask()
    kind = response.headers.get_content_type() if response.headers.get("Content-Type") else ""
    note = connection.note
    if kind.startswith("multipart/"):
        return StreamCapture(response, connection, settings), note
    start = b""
    is_image = kind.startswith("image/")
    if not is_image or response.length is None:
        # what it is shows in its first bytes: some servers call everything a text
        start = _some(response)
        if start.lstrip().startswith(b"--") or start.lstrip()[:8].lower() == b"content-":
            return StreamCapture(response, connection, settings, start), note
        if not is_image and not start.lstrip().startswith(JPEG_START):
            response.close()
            _refuse_pages(kind, start)
            return None, note
    if response.length is None:
        capture = StreamCapture(response, connection, settings, start)
        if capture.goes_on():
            return capture, note
    response.close()
    one = "it sends one picture, which is asked for again and again"
    return SnapshotCapture(connection, settings), f"{note}; {one}" if note else one


def _refuse_pages(kind: str, start: bytes) -> None:
    """Raise StreamError if it is certain that OpenCV will not find pictures in this either."""
    if not start:
        raise StreamError(f"it ended the answer without a picture; {ADDRESS}")
    if start.lstrip().startswith(b"#EXTM3U") or kind.startswith(("video/", "audio/")) or "mpegurl" in kind:
        return
    what = "a web page" if start.lstrip()[:1] == b"<" and "xml" not in kind else _TEXTS.get(kind, kind[:60])
    if kind not in _UNTYPED or what == "a web page":
        raise StreamError(f"it sends {what}, and no pictures; {ADDRESS}")


class StreamCapture:
    """The pictures of one answer that does not end; if it ends after the first, that is asked for again and again."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: Connection,
        settings: CameraSettings,
        start: bytes = b"",
    ) -> None:
        self._response = response
        self._splitter = _splitter_of(response)
        # encryption and chunks add bytes to those of the picture
        self._is_plain = response.length is None and not response.chunked and urlsplit(response.url).scheme == "http"
        self._waits_for = 1
        """How many bytes wake the reader."""
        self._again = SnapshotCapture(connection, settings)
        self._is_single = False
        self._patience_s = HEAD_SHARE * settings.open_timeout_s
        self._begun_s = time.monotonic()
        self._pictures: list[bytes] = self._splitter.feed(start) if start else []
        self._taken = b""
        self._count = len(self._pictures)
        """Number of pictures that have come."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Return True."""
        return True

    def goes_on(self) -> bool:
        """Return True if a second picture comes in this answer; False if the first is the only one.

        Raises StreamError if nothing comes at all.
        """
        while self._count < 2:
            try:
                if not self._fill():
                    return False
            except StreamError:
                if not self._count:
                    raise
                return False  # some servers forget to end the answer
        return True

    def grab(self) -> bool:
        """Take the next picture; wait for it."""
        if self._is_single:
            return self._again.grab()
        while not self._pictures:
            if not self._fill():
                if self._count == 1:
                    self._is_single = True
                    return self._again.grab()
                raise StreamError("lost, the server ended the stream; does another program watch it?")
        self._taken = self._pictures.pop(0)
        return True

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the picture."""
        return self._again.retrieve() if self._is_single else decoded(self._taken)

    def release(self) -> None:
        """Close the connection."""
        self._response.close()

    def _fill(self) -> bool:
        """Read what has come, and the rest of a picture in one piece; return False at the end of the answer."""
        size = max(1, min(self._splitter.missing, _LARGEST_WAIT)) if self._is_plain else 1
        if size != self._waits_for:
            self._waits_for = size
            # a network would else wake this thread for each packet (socket(7), SO_RCVLOWAT)
            with socket.socket(fileno=os.dup(self._response.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
        data = _some(self._response, max(_CHUNK, size), begun=self._count > 0)
        if data:
            found = self._splitter.feed(data)
            self._count += len(found)
            self._pictures = found[-1:] or self._pictures  # if several came at once, the newest is enough
            if not self._count and time.monotonic() - self._begun_s > self._patience_s:
                raise StreamError(f"it sends something, but no picture came within {self._patience_s:g} s; {ADDRESS}")
        return bool(data)


class SnapshotCapture:
    """A server that sends one picture for each request: it is asked `max_fps` times a second."""

    def __init__(self, connection: Connection, settings: CameraSettings) -> None:
        self._connection = connection
        self._interval_s = 1 / settings.max_fps if settings.max_fps else 0.0
        self._patience_s = HEAD_SHARE * settings.read_timeout_s
        self._next_s = self._good_s = time.monotonic()
        self._taken = b""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Return True."""
        return True

    def grab(self) -> bool:
        """Ask for a picture when it is time for it. Raises StreamError if no picture came for too long."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        begun_s = time.monotonic()
        self._next_s = begun_s + self._interval_s
        try:
            self._taken = self._ask()
        except StreamError:
            # a camera that is busy for a moment is not lost
            if time.monotonic() - self._good_s > self._patience_s:
                raise
            time.sleep(0.1)
            return False
        self._good_s = time.monotonic()
        return True

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the picture."""
        return decoded(self._taken)

    def release(self) -> None:
        """Do nothing: no connection is kept."""

    def _ask(self) -> bytes:
        response = self._connection.ask()
        data, splitter = bytearray(), _splitter_of(response)
        is_multipart = response.headers.get_content_maintype() == "multipart"
        try:
            while chunk := _some(response):
                data += chunk
                if len(data) > MOST_BYTES:
                    raise StreamError(f"it sends more than {MOST_BYTES >> 20} MiB, which is no picture")
                # some servers forget to end the answer
                is_open = is_multipart or (response.length is None and data.startswith(JPEG_START))
                if is_open and (found := splitter.feed(chunk)):
                    return found[0]
        finally:
            response.close()
        if not data:
            raise StreamError(f"it ended the answer without a picture; {ADDRESS}")
        if data.lstrip().startswith((b"<", b"{")):
            raise StreamError(f"it sends text instead of a picture; {ADDRESS}")
        return bytes(data)


def _splitter_of(response: http.client.HTTPResponse) -> PictureSplitter:
    boundary = response.headers.get_param("boundary")
    return PictureSplitter(boundary if isinstance(boundary, str) else "")


def decoded(data: bytes) -> tuple[bool, Any]:
    """Return whether the bytes are a picture, and its pixels (H x W x 3, blue first)."""
    image = decode_frame(data)
    return image is not None, image


def _some(response: http.client.HTTPResponse, most: int = _CHUNK, *, begun: bool = False) -> bytes:
    """Return bytes as soon as some have come; b'' at the end. Raises StreamError; `begun`: a picture has come."""
    try:
        return response.read1(most)
    except TimeoutError:
        what = "lost, it stopped sending" if begun else "it answered, but sent no picture"
        raise StreamError(f"{what}; check the camera and the network") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise StreamError("lost, the connection broke; check the network") from None
