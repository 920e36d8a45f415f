"""Network cameras over HTTP: MJPEG as cameras really send it, and single pictures that are asked for again and again.

FFMPEG reads only streams that keep to the rules, and does not say what is wrong. So the connection is made here, and
only what is neither MJPEG nor a picture is left to OpenCV. Everything is bounded: a picture in bytes, a wait in time.
"""

import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import Any, Protocol

from edge.cameras.multipart import MOST_BYTES, PictureSplitter, StreamError
from edge.settings import CameraSettings
from edge.vision.images import decode_frame

_HEAD_SHARE = 0.8
"""Share of `open_timeout_s` in which a server has to answer: then there is time left to say that it did not."""
_CHUNK = 2**16
_UNTYPED = ("", "application/octet-stream", "video/x-motion-jpeg", "video/mjpeg", "video/x-jpeg", "application/x-mjpeg")
_TEXTS = {
    "text/html": "a web page",
    "application/xhtml+xml": "a web page",
    "application/json": "JSON",
    "text/xml": "XML",
    "application/xml": "XML",
}
_ADDRESS = "check the address: the camera's manual has that of its stream or picture"


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
    connection = _Connection(settings)
    response = connection.ask()
    kind = response.headers.get_content_type() if response.headers.get("Content-Type") else ""
    note = connection.note
    if kind.startswith("multipart/"):
        boundary = response.headers.get_param("boundary") or ""
        # a boundary has no character set, so it is a text and not the tuple that the type allows
        return StreamCapture(response, PictureSplitter(boundary)), note  # type: ignore[arg-type]
    start = b""
    if kind in _UNTYPED:
        start = _some(response)
        if start.lstrip().startswith(b"--") or start[:8].lower() == b"content-":
            return StreamCapture(response, PictureSplitter(), start), note
        if not start.startswith(b"\xff\xd8"):
            response.close()
            if start.lstrip()[:1] == b"<":
                raise StreamError(f"it sends a web page, and no pictures; {_ADDRESS}")
            if not start:
                raise StreamError(f"it ended the answer without a picture; {_ADDRESS}")
            return None, note
    elif not kind.startswith("image/"):
        response.close()
        if kind.startswith(("video/", "audio/")) or "mpegurl" in kind or "dash" in kind:
            return None, note
        raise StreamError(f"it sends {_TEXTS.get(kind, kind[:60])}, and no pictures; {_ADDRESS}")
    if response.length is None:
        capture = StreamCapture(response, PictureSplitter(), start)
        if capture.goes_on():
            return capture, note
    else:
        response.close()
    one = "it sends one picture, which is asked for again and again"
    return SnapshotCapture(connection, settings), f"{note}; {one}" if note else one


class StreamCapture:
    """The pictures of one answer that does not end."""

    def __init__(self, response: http.client.HTTPResponse, splitter: PictureSplitter, start: bytes = b"") -> None:
        self._response = response
        self._splitter = splitter
        self._pictures: list[bytes] = splitter.feed(start) if start else []
        self._taken = b""
        self._ended = False
        self._count = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Return True."""
        return True

    def goes_on(self) -> bool:
        """Return True if a second picture comes in this answer; False if it ends after the first."""
        while not self._pictures:
            if not self._fill():
                return False
        return True

    def grab(self) -> bool:
        """Take the next picture; wait for it."""
        while not self._pictures:
            if not self._fill():
                raise StreamError("lost, the server ended the stream")
        self._taken = self._pictures.pop(0)
        return True

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the picture."""
        return decoded(self._taken)

    def release(self) -> None:
        """Close the connection."""
        self._response.close()

    def _fill(self) -> bool:
        """Read what has come; return False at the end of the answer."""
        data = _some(self._response)
        if data:
            # if several came at once, the newest is enough
            self._pictures = self._splitter.feed(data)[-1:] or self._pictures
        return bool(data)


class SnapshotCapture:
    """A server that sends one picture for each request: it is asked `max_fps` times a second."""

    def __init__(self, connection: "_Connection", settings: CameraSettings) -> None:
        self._connection = connection
        self._interval_s = 1 / settings.max_fps if settings.max_fps else 0.0
        self._patience_s = _HEAD_SHARE * settings.read_timeout_s
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
        try:
            if not response.headers.get_content_type().startswith(("image/", "application/octet-stream", "text/plain")):
                raise StreamError(f"it sends no picture any more; {_ADDRESS}")
            data = bytearray()
            while chunk := _some(response):
                data += chunk
                if len(data) > MOST_BYTES:
                    raise StreamError(f"it sends more than {MOST_BYTES >> 20} MiB, which is no picture")
        finally:
            response.close()
        return bytes(data)


def decoded(data: bytes) -> tuple[bool, Any]:
    """Return whether the bytes are a picture, and its pixels (H x W x 3, blue first)."""
    image = decode_frame(data)
    return image is not None, image


class _Connection:
    """Asks for a URL, with its user and password."""

    def __init__(self, settings: CameraSettings) -> None:
        self.note = ""
        """What the user should know about the connection."""
        self._timeout_s = _HEAD_SHARE * settings.open_timeout_s
        try:
            parts = urllib.parse.urlsplit(settings.source)
            self._host, self._port = (
                parts.hostname or "",
                parts.port or (443 if parts.scheme.lower() == "https" else 80),
            )
            self._has_user = parts.username is not None
        except ValueError as error:
            raise StreamError(f"it is no address; {_ADDRESS}") from error
        if not self._host:
            raise StreamError(f"the address has no name of a camera; {_ADDRESS}")
        self._tls = parts.scheme.lower() == "https"
        place = parts.netloc.rpartition("@")[2]
        path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        self._url = urllib.parse.urlunsplit((parts.scheme.lower(), place, path, query, ""))
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        if self._has_user:
            passwords.add_password(None, f"{parts.scheme.lower()}://{place}/", user, password, is_authenticated=False)
        self._passwords = passwords
        self._verified = True

    def ask(self) -> http.client.HTTPResponse:
        """Return the server's answer, if it is a good one. Raises StreamError, which says what else it is."""
        try:
            return self._open()
        except urllib.error.HTTPError as error:
            error.close()
            raise StreamError(self._status(error.code)) from None
        except ssl.SSLCertVerificationError:
            return self._ask_unverified()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                return self._ask_unverified()
            raise StreamError(self._fault(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StreamError(self._fault(error)) from None

    def _ask_unverified(self) -> http.client.HTTPResponse:
        # cameras sign their certificates themselves, and FFMPEG has never asked for more
        if not self._verified:
            raise StreamError("its certificate cannot be used; try http://")
        self._verified = False
        self.note = "its certificate is not trusted"
        return self.ask()

    def _open(self) -> http.client.HTTPResponse:
        context = ssl.create_default_context()
        if not self._verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.OpenerDirector()
        handlers = [
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ]
        if self._has_user:
            handlers.append(urllib.request.HTTPBasicAuthHandler(self._passwords))
            handlers.append(urllib.request.HTTPDigestAuthHandler(self._passwords))
        for handler in handlers:
            opener.add_handler(handler)
        request = urllib.request.Request(self._url, headers={"User-Agent": "edge", "Accept": "*/*"})
        response: http.client.HTTPResponse | None = opener.open(request, timeout=self._timeout_s)
        if response is None:
            raise http.client.InvalidURL("no handler")  # it was sent on to ftp:// or the like
        return response

    @property
    def _proxy(self) -> str:
        """The name of the variable with the proxy that is used; '' if there is none."""
        scheme = "https" if self._tls else "http"
        if scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(f"{self._host}:{self._port}"):
            return ""
        return next(
            (name for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY") if name in os.environ), "http_proxy"
        )

    def _status(self, code: int) -> str:
        phrase = f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else str(code)
        if code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return f"the proxy of {self._proxy or 'http_proxy'} wants a password ({phrase}); set no_proxy={self._host}"
        if self._proxy and code in (502, 503, 504):
            return f"the proxy of {self._proxy} does not reach it ({phrase}); set no_proxy={self._host}"
        if code == HTTPStatus.UNAUTHORIZED:
            if self._has_user:
                return f"it refuses this user and password ({phrase}); write special characters as %40"
            return f"it wants a user and a password ({phrase}); write them as //USER:PASSWORD@ into the address"
        if code == HTTPStatus.FORBIDDEN:
            return f"it does not allow this ({phrase}); allow it in the camera's own settings"
        if code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return f"there is nothing at this address ({phrase}); {_ADDRESS}"
        if code == HTTPStatus.SERVICE_UNAVAILABLE:
            return f"the server is busy ({phrase}); does another program watch it?"
        if code >= 500:
            return f"the server reports its own error ({phrase}); restart the camera"
        if 300 <= code < 400:
            return f"it sends edge from one address to another and back ({phrase}); {_ADDRESS}"
        return f"the server answers {phrase}; {_ADDRESS}"

    def _fault(self, reason: object) -> str:
        where = f"{self._host}:{self._port}"
        if self._proxy and isinstance(reason, OSError):
            return f"the proxy of {self._proxy} cannot be used ({_words(reason)}); set no_proxy={self._host}"
        if isinstance(reason, TimeoutError):
            return f"nothing came from {where} within {self._timeout_s:g} s; is it switched on, and the address right?"
        if isinstance(reason, socket.gaierror):
            return f"the name {self._host} is not known; check it, or use the number of the camera"
        if isinstance(reason, ConnectionRefusedError):
            return f"nothing listens at {where}; check the port, and that the camera runs"
        if isinstance(reason, http.client.RemoteDisconnected | ConnectionResetError):
            other = "http" if self._tls else "https"
            return f"{where} hung up without an answer; is it {other}:// or rtsp://?"
        if isinstance(reason, ssl.SSLError):
            return f"{where} does not speak TLS as it should; is it http://?"
        if isinstance(reason, http.client.InvalidURL | UnicodeError):
            return f"it is no address that can be used; {_ADDRESS}"
        if isinstance(reason, http.client.HTTPException):
            return f"{where} does not speak HTTP; is it https:// or rtsp://?"
        if isinstance(reason, OSError):
            return f"{where} cannot be reached ({_words(reason)}); check the address and the network"
        # urllib knows Basic and Digest
        return "it wants a password in a way that edge does not know; allow Basic or Digest in the camera's settings"


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _some(response: http.client.HTTPResponse) -> bytes:
    """Return bytes as soon as some have come; b'' at the end. Raises StreamError."""
    try:
        return response.read1(_CHUNK)
    except TimeoutError:
        raise StreamError("lost, it stopped sending; check the camera and the network") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise StreamError("lost, the connection broke; check the network") from None
