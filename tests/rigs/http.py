"""A web server on the loopback with the faults that web servers have."""

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

S = TypeVar("S", bound="Server")


class Server(http.server.ThreadingHTTPServer):
    """A server on a port of the loopback. Its handlers may wait for `over`, which says that it ends."""

    def __init__(self, port: int, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.over = threading.Event()


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run a server; at the end its threads and sockets are gone."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class FileServer(Server):
    """Serves `files` (path -> bytes); each fault is an attribute that may be set at any time."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(0, _Handler)
        self.files = files
        self.ranges = True
        """Whether it goes on in the middle of a file when asked to."""
        self.cut_after: int | None = None
        """Bytes after which it closes each connection."""
        self.stall_after: int | None = None
        """Bytes after which it says nothing more."""
        self.status: int | None = None
        """What it answers instead of a file."""
        self.redirect_to = ""
        """Where it sends everybody, with the same path."""
        self.chunk_s = 0.0
        """Seconds between two pieces of 16 KiB."""
        self.asked: list[tuple[str, str]] = []
        """(path, Range header) of each request."""
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        # through a proxy the whole address is asked for
        path = re.sub(r"^http://[^/]+", "", self.path).lstrip("/")
        server.asked.append((path, self.headers.get("Range", "")))
        self.close_connection = True
        data = server.files.get(path)
        status = server.status or (302 if server.redirect_to else 200 if data is not None else 404)
        if status != 200 or data is None:
            self.send_response(status)
            if server.redirect_to:
                self.send_header("Location", server.redirect_to + path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        tag = f'"{len(data)}-{hash(data)}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if server.ranges and asked and self.headers.get("If-Range", tag) == tag:
            start = int(asked[1])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._send(data[start:])

    def _send(self, data: bytes) -> None:
        server = self.server
        sent = 0
        while sent < len(data) and not server.over.is_set():
            piece = data[sent : sent + 16384]
            for limit, then in ((server.cut_after, "cut"), (server.stall_after, "stall")):
                if limit is not None and sent + len(piece) > limit:
                    self.wfile.write(piece[: limit - sent])
                    if then == "stall":
                        server.over.wait(30)
                    return
            self.wfile.write(piece)
            sent += len(piece)
            time.sleep(server.chunk_s)

    def log_message(self, *_args: object) -> None:
        """Nothing: tests look at `asked`."""


def serving(files: dict[str, bytes]) -> AbstractContextManager[FileServer]:
    """Run a server of files; at the end its threads and sockets are gone."""
    return running(FileServer(files))
