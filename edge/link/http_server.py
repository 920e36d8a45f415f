"""A small HTTP server for what the link shows: bounded in clients, time and size.

The standard library reads the requests, a thread each (docs/decisions/0036-metrics-and-their-server.md).
"""

import contextlib
import errno
import http.client
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from urllib.parse import urlsplit

from edge.errors import LinkError
from edge.link.settings import address_of

_log = logging.getLogger(__name__)
MOST_CLIENTS = 16
"""Clients that are served at once. One more drops the one that has been connected for longest, so clients that only
hold their connection do not keep others out."""
CLIENT_S = 5.0
"""Longest time for a client from connection to the end of its answer."""
LONGEST_HEAD = 16384
"""Longest head of a request, in bytes: its line and all headers."""
_POLL_S = 0.5
_ENDING_S = 0.5
_ENDING_S = 0.5
_THREAD_BYTES = 256 * 1024
"""Stack of a thread; the system's default is 8 MiB."""


@dataclass(frozen=True)
class Request:
    """A request to read something."""

    path: str
    """The path without the query, as it was sent: not decoded."""
    query: str
    headers: Message
    """The headers; a name in any case finds its header."""


@dataclass(frozen=True)
class Response:
    """The answer to a request."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Page = Callable[[Request], Response]
"""Answers requests for one path. Several threads call it at once."""


class HttpServer:
    """Serves pages by their exact path. It knows GET and HEAD; everything else is refused."""

    def __init__(self, listen: str, pages: Mapping[str, Page]) -> None:
        """Open the port. `listen` is ADDRESS:PORT; port 0 takes any. Raises LinkError if the port cannot be opened."""
        host, port = address_of(listen)
        try:
            self._server = _Server(host, port, pages)
        except OSError as error:
            raise LinkError(f"{listen}: {_port_fault(error, port)}") from error
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True)

    @property
    def url(self) -> str:
        """Return the address of its root, such as 'http://127.0.0.1:9417'."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self) -> None:
        """Begin to answer, in separate threads."""
        self._thread.start()

    def alive(self) -> bool:
        """Return True while it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the port and all connections; it takes at most half a second."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self._changed = threading.Condition()
        self._until_s: dict[socket.socket, float] = {}
        """The time at which each connection is broken off, the one that was opened first being first."""
        self._ending: set[socket.socket] = set()
        """Those that were broken off, and whose threads have not ended yet."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family is socket.AF_INET6:
            # [::] takes IPv4 too
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._changed:
            while len(self._until_s) >= MOST_CLIENTS:
                self._break_off(next(iter(self._until_s)))
            # the threads of those that were broken off end at once; more than this many there are never
            if not self._changed.wait_for(lambda: len(self._ending) < MOST_CLIENTS, _ENDING_S):
                super().shutdown_request(request)
                return
            self._until_s[request] = time.monotonic() + CLIENT_S
        before = threading.stack_size(_THREAD_BYTES)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system gives no more threads
            self.shutdown_request(request)
        finally:
            threading.stack_size(before)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        super().shutdown_request(request)
        with self._changed:
            self._until_s.pop(request, None)
            self._ending.discard(request)
            self._changed.notify_all()

    def service_actions(self) -> None:
        """Break off the connections whose time is over. serve_forever calls it after each turn."""
        now_s = time.monotonic()
        with self._changed:
            for connection in [one for one, until_s in self._until_s.items() if now_s >= until_s]:
                self._break_off(connection)

    def server_close(self) -> None:
        super().server_close()
        with self._changed:
            for connection in list(self._until_s):
                self._break_off(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        _log.exception("The HTTP server could not answer a request.")

    def _break_off(self, connection: socket.socket) -> None:
        """Let every read and write of a connection end at once, in its thread."""
        del self._until_s[connection]
        self._ending.add(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of one connection, and closes it."""

    server: _Server
    protocol_version = default_request_version = "HTTP/1.1"
    server_version, sys_version = "edge", ""
    timeout = CLIENT_S
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    # for an answer to a request that is not read to its end
    command, requestline, request_version = "", "", default_request_version

    def setup(self) -> None:
        super().setup()
        self.rfile = _Head(self.rfile)  # type: ignore[assignment]

    def handle(self) -> None:
        self.close_connection = True
        try:
            self.handle_one_request()
        except http.client.LineTooLong:
            with contextlib.suppress(OSError):
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except OSError:
            pass  # the client is gone, or was dropped

    def parse_request(self) -> bool:
        good = super().parse_request()
        self.close_connection = True
        return good

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def do_GET(self) -> None:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        page = self.server.pages.get(parts.path)
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        response = page(Request(parts.path, parts.query, self.headers))
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_HEAD = do_GET  # noqa: N815 - the library's names

    def _refuse(self) -> None:
        self.send_response(HTTPStatus.METHOD_NOT_ALLOWED)
        self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse  # noqa: N815

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep no list of who asked for what."""


class _Head:
    """The head of a request. Reads at most LONGEST_HEAD bytes."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = LONGEST_HEAD
        self.close = file.close

    def readline(self, limit: int = -1) -> bytes:
        """Return the next line. Raises LineTooLong if the head is too long."""
        line = self._file.readline(self._left + 1 if limit < 0 else min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("head")
        return line


def _port_fault(error: OSError, port: int) -> str:
    """Return why a port could not be opened, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"another program has this port (sudo ss -ltnp 'sport = :{port}' shows which); set another one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have this address (yet); ip address lists those that it has"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "this port is not allowed: take one from 1024 on; the service may open only those that SocketBindAllow= "
            "of its unit names (docs/metrics.md)"
        )
    return error.strerror or str(error)
