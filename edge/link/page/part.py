"""The part of the link that serves the page: its files, its stream, and its requests."""

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from edge.errors import ControlError, LinkError, os_reason
from edge.link.http_server import HttpServer, Page, Request, Response
from edge.link.page import access, tokens
from edge.link.page.access import Access
from edge.link.page.feed import Feed, OpenPictures
from edge.link.page.requests import MalformedError, parsed, read_object
from edge.link.parts import Ask
from edge.link.settings import PageSettings
from edge.link.state import LinkState

_log = logging.getLogger(__name__)
MOST_PAGES = 24
"""Pages that can be open at once."""
MOST_CLIENTS = 24
WARN_EVERY_S = 60.0
_JSON = "application/json"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


class PagePart:
    """The page. Without the token it gives its empty form and nothing that edge knows."""

    wants_frames = False

    def __init__(self, settings: PageSettings, open_pictures: OpenPictures) -> None:
        """Prepare; `open_pictures` opens a connection to the daemon for pictures."""
        self._settings = settings
        self._feed = Feed(open_pictures)
        self.changed: Callable[[LinkState], None] = self._feed.changed
        self.happened: Callable[[Mapping[str, Any]], None] = self._feed.happened
        self._tokens = threading.Lock()
        self._warned_s = -WARN_EVERY_S
        self.server: HttpServer | None = None

    def start(self, ask: Ask) -> None:
        """Open the port; make the token if there is none. Raises LinkError."""
        settings = self._settings
        token = tokens.read_or_make(tokens.token_path(settings.token_file))
        self._access = Access(token, settings.url, access.names_of_machine())
        self._ask = ask
        folder = files("edge") / "data" / "page"
        pages: dict[str, Page] = {
            path: self._guarded(_constant((folder / name).read_bytes(), kind)) for path, (name, kind) in _FILES.items()
        }
        pages["/events"] = self._guarded(self._events)
        self.server = HttpServer(
            settings.listen,
            pages,
            posts={
                "/enter": self._guarded(self._enter, changes=True),
                "/leave": self._guarded(self._leave, changes=True),
                "/ask": self._guarded(self._request, changes=True),
            },
            tls=tls_of(settings),
            most_clients=MOST_CLIENTS,
            most_streams=MOST_PAGES,
        )
        self._feed.start(ask)
        self.server.start()
        _log.info(
            f"Page: {self.server.url}/ (edge link --token shows how to open it)",
            extra={"event": "page", "url": self.server.url},
        )

    def alive(self) -> bool:
        """Return False if a thread of it has ended."""
        return self.server is not None and self.server.alive() and self._feed.alive()

    def describe(self) -> str:
        """Return where the page is, and how many are open."""
        opened = f", open {self._feed.pages} times" if self._feed.pages else ""
        return f"page at {self._settings.listen}{opened}"

    def stop(self) -> None:
        """Close the port and all pages."""
        self._feed.stop()
        if self.server is not None:
            self.server.stop()

    # ---- a client's thread

    def _guarded(self, page: Page, *, changes: bool = False) -> Page:
        """Return a page that refuses what comes from another site. `changes`: it does more than show."""

        def guarded(request: Request) -> Response:
            if not self._access.is_host_allowed(request.headers.get("Host", "")):
                what = "This name is not allowed. Open the page by its IP address, or set url in [page] of link.toml."
                response = _refusal(HTTPStatus.MISDIRECTED_REQUEST, what)
            elif changes and not self._access.is_same_origin(request.headers):
                response = _refusal(HTTPStatus.FORBIDDEN, "Only the page itself may ask this.")
            elif changes and request.headers.get_content_type() != _JSON:
                response = _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Only {_JSON} is taken.")
            else:
                response = page(request)
            headers = {**_HEADERS, **response.headers}
            return Response(response.body, response.content_type, response.status, headers, response.stream)

        return guarded

    def _events(self, request: Request) -> Response:
        if self._access.is_foreign(request.headers) or not self._access.has_cookie(request.headers):
            return _refusal(HTTPStatus.UNAUTHORIZED, "The token is needed.")
        stream = self._feed.stream(pictures=request.query != "picture=off")
        # nginx would collect the events before it passes them on
        return Response(b"", "text/event-stream", headers={"X-Accel-Buffering": "no"}, stream=stream)

    def _enter(self, request: Request) -> Response:
        try:
            token = read_object(request.body).get("token")
        except MalformedError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        if not isinstance(token, str):
            return _refusal(HTTPStatus.BAD_REQUEST, "no token")
        now_s = time.monotonic()
        with self._tokens:
            if wait_s := self._access.wait_s(request.client, now_s):
                response = _refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens. Wait a little.")
                return Response(response.body, _JSON, response.status, {"Retry-After": str(int(wait_s) + 1)})
            is_right = self._access.is_token(request.client, token, now_s)
            warn = not is_right and now_s - self._warned_s >= WARN_EVERY_S
            if warn:
                self._warned_s = now_s
        if not is_right:
            if warn:
                what = f"A wrong token for the page came from {request.client}."
                _log.warning(what, extra={"event": "wrong_token", "client": request.client})
            return _refusal(HTTPStatus.FORBIDDEN, "This is not the token.")
        secure = bool(self._settings.cert_file) or self._settings.url.startswith("https:")
        return _answer({"entered": True}, {"Set-Cookie": self._access.cookie(secure=secure)})

    def _leave(self, _request: Request) -> Response:
        return _answer({"entered": False}, {"Set-Cookie": access.cleared()})

    def _request(self, request: Request) -> Response:
        if not self._access.has_cookie(request.headers):
            return _refusal(HTTPStatus.UNAUTHORIZED, "The token is needed.")
        try:
            asked = parsed(request.body)
        except MalformedError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        try:
            return _answer(self._ask(asked))
        except ControlError as error:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def tls_of(settings: PageSettings) -> ssl.SSLContext | None:
    """Return the TLS of the page; None without a certificate. Raises LinkError if its files cannot be used."""
    if not settings.cert_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file or None, password=lambda: "")
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise LinkError(
            f"{settings.cert_file}: no certificate with its key, in PEM and without a password ({reason})"
        ) from error
    except OSError as error:
        path = settings.cert_file if not settings.key_file else f"{settings.cert_file} or {settings.key_file}"
        raise LinkError(f"{path}: {os_reason(error)}") from error
    return context


def _constant(body: bytes, content_type: str) -> Page:
    return lambda _request: Response(body, content_type)


def _answer(answer: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(answer).encode(), _JSON, headers=headers or {})


def _refusal(status: HTTPStatus, why: str) -> Response:
    return Response(json.dumps({"error": why}).encode(), _JSON, status)
