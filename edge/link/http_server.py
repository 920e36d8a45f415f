"""A small HTTP server for what the link shows: bounded in clients, time and size.

The standard library reads the requests, a thread each (docs/decisions/0036-metrics-and-their-server.md). An answer may
be a stream; streams have a bound of their number, and none of their time.
"""

import contextlib
import errno
import http.client
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from urllib.parse import urlsplit

from edge.errors import LinkError
from edge.link.settings import address_of, bracketed

_log = logging.getLogger(__name__)
MOST_CLIENTS = 16
"""Clients that are served at once. One more drops the one that has been connected for longest, so clients that only
hold their connection do not keep others out."""
CLIENT_S = 5.0
"""Longest time for a client from connection to the end of its answer."""
LONGEST_HEAD = 16384
"""Longest head of a request, in bytes: its line and all headers."""
LONGEST_BODY = 8192
"""Longest body of a request, in bytes."""
_POLL_S = 0.5
_ENDING_S = 0.5
_THREAD_BYTES = 256 * 1024
"""Stack of a thread; the system's default is 8 MiB. OpenSSL's handshake needs less than this."""
_STREAM_BUFFER = 64 * 1024
"""Bytes of a stream that may wait for a slow client: more would be older than it should be."""


@dataclass(frozen=True)
class Request:
    """A request to read something, or to do something."""

    path: str
    """The path without the query, as it was sent: not decoded."""
    query: str
    headers: Message
    """The headers; a name in any case finds its header."""
    body: bytes = b""
    """The body of a POST."""
    client: str = ""
    """IP address of the client."""


@dataclass(frozen=True)
class Response:
    """The answer to a request."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Generator[bytes, None, None] | None = None
    """Parts of the body, sent one by one as they come instead of `body`. It is closed when the client is gone, but only
    once its next part has come: a stream must have a part every few seconds."""


Page = Callable[[Request], Response]
"""Answers requests for one path. Several threads call it at once."""


class HttpServer:
    """Serves pages by their exact path. It knows GET, HEAD, and POST where a path takes it; the rest is refused."""

    def __init__(
        self,
        listen: str,
        pages: Mapping[str, Page],
        *,
        posts: Mapping[str, Page] | None = None,
        tls: ssl.SSLContext | None = None,
        most_clients: int = MOST_CLIENTS,
        most_streams: int = 0,
    ) -> None:
        """Open the port. `listen` is ADDRESS:PORT; port 0 takes any. Raises LinkError if the port cannot be opened.

        `posts` are the paths that take a POST. One stream more than `most_streams` gets the status 503.
        """
        host, port = address_of(listen)
        self._scheme = "https" if tls else "http"
        try:
            self._server = _Server(
                (host, port), pages, posts or {}, tls=tls, most_clients=most_clients, most_streams=most_streams
            )
        except OSError as error:
            raise LinkError(f"{listen}: {_port_fault(error, port)}") from error
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True)

    @property
    def url(self) -> str:
        """Return the address of its root, such as 'http://127.0.0.1:9417'."""
        return f"{self._scheme}://{bracketed(self.host)}:{self.port}"

    def start(self) -> None:
        """Begin to answer, in separate threads."""
        self._thread.start()

    def alive(self) -> bool:
        """Return True while it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the port and all connections; it takes at most a second."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        pages: Mapping[str, Page],
        posts: Mapping[str, Page],
        *,
        tls: ssl.SSLContext | None,
        most_clients: int,
        most_streams: int,
    ) -> None:
        self.pages, self.posts = pages, posts
        self._tls = tls
        self._most_clients, self._most_streams = most_clients, most_streams
        self._changed = threading.Condition()
        self._until_s: dict[socket.socket, float] = {}
        """The time at which each connection is broken off, the one that was opened first being first."""
        self._ending: set[socket.socket] = set()
        """Those that were broken off, and whose threads have not ended yet."""
        self._streams: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        if self.address_family is socket.AF_INET6:
            # [::] takes IPv4 too
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            # the handshake comes with the first read, in the client's thread: a slow one keeps no other client out
            return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
        except OSError:
            connection.close()
            raise

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._changed:
            while len(self._until_s) >= self._most_clients:
                self._break_off(next(iter(self._until_s)))
            # the threads of those that were broken off end at once; more than this many there are never
            if not self._changed.wait_for(lambda: len(self._ending) < self._most_clients, _ENDING_S):
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
            self._streams.discard(request)
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
            for connection in self._streams:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def may_stream(self, connection: socket.socket) -> bool:
        """Count a connection among the streams, which end by themselves; return False if there are too many."""
        with self._changed:
            # a connection that was broken off a moment ago is no longer there
            if len(self._streams) >= self._most_streams or self._until_s.pop(connection, None) is None:
                return False
            self._streams.add(connection)
            return True

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
        self._answer(self.server.pages)

    do_HEAD = do_GET  # noqa: N815 - the library's names

    def do_POST(self) -> None:
        if not self.server.posts:
            self._refuse()
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 9 or int(length) > LONGEST_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):  # else the client is gone
                self._answer(self.server.posts, body)

    def _answer(self, pages: Mapping[str, Page], body: bytes = b"") -> None:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        page = pages.get(parts.path)
        if page is None:
            if parts.path in self.server.pages or parts.path in self.server.posts:
                self._refuse()
            else:
                self.send_error(HTTPStatus.NOT_FOUND)
            return
        response = page(Request(parts.path, parts.query, self.headers, body, str(self.client_address[0])))
        if response.stream is not None:
            self._send_stream(response, response.stream)
            return
        self._send_head(response)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _send_head(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)

    def _send_stream(self, response: Response, stream: Generator[bytes, None, None]) -> None:
        """Send a stream until it ends or the client is gone. Each write has CLIENT_S."""
        with contextlib.closing(stream):
            if not self.server.may_stream(self.connection):
                self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
                self.send_header("Retry-After", str(int(CLIENT_S)))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _STREAM_BUFFER)
            # a client whose network is gone answers nothing, and the buffer may take long to fill
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * CLIENT_S))
            self._send_head(response)
            self.end_headers()
            if self.command != "HEAD":
                for part in stream:
                    self.wfile.write(part)

    def _refuse(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:
            path = ""
        self.send_response(HTTPStatus.METHOD_NOT_ALLOWED)
        only_post = path in self.server.posts and path not in self.server.pages
        self.send_header("Allow", "POST" if only_post else "GET, HEAD")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse  # noqa: N815

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep no list of who asked for what."""


class _Head:
    """A request, whose head has at most LONGEST_HEAD bytes."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = LONGEST_HEAD
        self.close, self.read = file.close, file.read

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
