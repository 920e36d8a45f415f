"""The local control socket of the running daemon: each request is a line with a JSON object, and so is each answer.

One thread serves all clients, and waits for none of them: a client that sends nothing, or too much, is dropped. The
permissions of the socket file decide who may connect; the server checks this again.
"""

import contextlib
import grp
import json
import logging
import os
import pwd
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import ControlError, NotRunning

_log = logging.getLogger(__name__)
SERVICE_SOCKET = Path("/run/edge/control.sock")
"""The socket of the systemd service."""
LONGEST_LINE = 4096
"""Longest request in bytes; an answer may be longer."""
CLIENT_S = 2.0
"""Longest time for a client from connection to last answer."""
MOST_CLIENTS = 32


def control_path(setting: str, runtime_folder: Path) -> Path | None:
    """Return the path of the socket by [service] control; None: no socket."""
    if setting == "auto":
        return runtime_folder / "control.sock"
    return Path(setting) if setting else None


def may_connect(uid: int, gid: int, group: int) -> bool:
    """Return True for a process of root, of the daemon's user, or of a member of the socket's group."""
    if uid in (0, os.geteuid()) or gid == group:
        return True
    with contextlib.suppress(KeyError):
        return group in os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    return False


@dataclass
class _Client:
    until_s: float
    received: bytes = b""
    answers: bytes = field(default=b"")


class ControlServer:
    """Server of the control socket, in its own thread."""

    def __init__(self, path: Path, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Create the socket. `answer` must be quick. Raises ControlError if that fails or another edge has it."""
        self._path = path
        self._made_folder = not os.access(path.parent, os.F_OK)
        self._answer = answer
        self._server = _listen(path)
        self._group = path.stat().st_gid
        self._inode = path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._clients: dict[socket.socket, _Client] = {}
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and remove the socket file, unless another process has replaced it."""
        with contextlib.suppress(OSError):
            self._waker.send(b"x")
        self._thread.join(1.0)
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
            if self._made_folder:
                self._path.parent.rmdir()

    def _serve(self) -> None:
        while True:
            first_s = min((client.until_s for client in self._clients.values()), default=None)
            timeout_s = None if first_s is None else max(0.0, first_s - time.monotonic())
            for key, events in self._selector.select(timeout_s):
                if key.fileobj is self._woken:
                    self._end()
                    return
                if key.fileobj is self._server:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._attend(key.fileobj, events)
            now_s = time.monotonic()
            for sock in [sock for sock, client in self._clients.items() if now_s >= client.until_s]:
                self._drop(sock)

    def _end(self) -> None:
        for sock in list(self._clients):
            self._drop(sock)
        self._selector.close()
        for one in (self._server, self._woken, self._waker):
            one.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._server.accept()
        except OSError:
            return  # the client has gone again, or there are no file descriptors left
        sock.setblocking(False)
        _pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if not may_connect(uid, gid, self._group):
            with contextlib.suppress(OSError):
                sock.send(_line({"error": "you may not control this edge"}))
            sock.close()
            return
        if len(self._clients) >= MOST_CLIENTS:  # the oldest has had the most time
            self._drop(next(iter(self._clients)))
        self._clients[sock] = _Client(time.monotonic() + CLIENT_S)
        self._selector.register(sock, selectors.EVENT_READ)

    def _attend(self, sock: socket.socket, events: int) -> None:
        client = self._clients[sock]
        try:
            if events & selectors.EVENT_WRITE:
                client.answers = client.answers[sock.send(client.answers) :]
            if events & selectors.EVENT_READ:
                chunk = sock.recv(LONGEST_LINE)
                if not chunk:
                    self._drop(sock)
                    return
                self._receive(client, chunk)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(sock)
            return
        wanted = selectors.EVENT_WRITE if client.answers else selectors.EVENT_READ
        self._selector.modify(sock, wanted)

    def _receive(self, client: _Client, chunk: bytes) -> None:
        client.received += chunk
        *lines, client.received = client.received.split(b"\n")
        if len(client.received) > LONGEST_LINE:
            lines, client.received = [client.received], b""
        for line in lines:
            client.answers += _line(self._answer_to(line))

    def _answer_to(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line) if len(line) <= LONGEST_LINE else None
            json.dumps(request, ensure_ascii=False).encode()  # half a character (\ud800) cannot be encoded
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"error": f"a request is a JSON object in a line of at most {LONGEST_LINE} bytes"}
        try:
            return self._answer(request)
        except Exception:
            # one thread serves all clients: a fault in one answer must not end it
            _log.exception("A request could not be answered. Please report this.")
            return {"error": "this is a fault of edge; its log has more"}

    def _drop(self, sock: socket.socket) -> None:
        del self._clients[sock]
        self._selector.unregister(sock)
        sock.close()


def ask(paths: list[Path], request: Mapping[str, Any], timeout_s: float = CLIENT_S) -> dict[str, Any]:
    """Send a request to the daemon at the first socket that has one, and return its answer.

    Raises NotRunning if there is no daemon, and ControlError if it does not answer.
    """
    for path in paths:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(timeout_s)
                _connect(sock, path, timeout_s)
                sock.sendall(_line(request))
                with sock.makefile("rb") as replies:
                    line = replies.readline()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise ControlError(f"{path}: you may not use it{_advice(path)}") from error
        except OSError as error:
            raise ControlError(f"{path}: edge does not answer ({error})") from error
        if not line:
            raise ControlError(f"{path}: edge closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer
    raise NotRunning("edge is not running here: start it with edge run, or sudo systemctl start edge")


def _connect(sock: socket.socket, path: Path, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            sock.connect(str(path))
        except BlockingIOError:  # too many clients are connecting at this moment
            if time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def _advice(path: Path) -> str:
    with contextlib.suppress(OSError, KeyError):
        group = grp.getgrgid(path.parent.stat().st_gid).gr_name
        return f": sudo usermod -aG {group} {pwd.getpwuid(os.getuid()).pw_name}, and log in again"
    return ""


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _listen(path: Path) -> socket.socket:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid not in (os.geteuid(), 0):
            raise ControlError(f"{path.parent} belongs to another user; set another path in [service] control")
        server = socket.socket(socket.AF_UNIX)
        try:
            if path.is_socket():
                _take_over(path)
            server.bind(str(path))
            path.chmod(0o660)
            server.listen(128)
            server.setblocking(False)
        except BaseException:
            server.close()
            raise
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}; set another path in [service] control") from error
    return server


def _take_over(path: Path) -> None:
    """Remove the socket of a dead daemon. Raises ControlError if a daemon answers on it."""
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise ControlError(f"{path}: another edge is running and keeps this socket")
