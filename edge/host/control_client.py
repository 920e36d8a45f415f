"""The client's half of the control socket: asks the running daemon, and follows its events.

The daemon's half is daemon/control_socket.py; docs/reference/socket.md describes the messages.
"""

import contextlib
import grp
import json
import os
import pwd
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge.errors import ControlError, NotRunning

SERVICE_SOCKET = Path("/run/edge/control.sock")
"""The socket of the systemd service."""
CONTROL_GROUP = "edge-control"
"""The group for programs: its members may use the socket of the service, but get no snapshot."""
ANSWER_S = 2.0
"""Longest time from connection to last answer; the daemon drops a client then."""
_CHUNK = 65536
_LONGEST_LINE = 1 << 20
"""Longest line in bytes that is taken from the daemon."""


def control_path(setting: str, runtime_folder: Path) -> Path | None:
    """Return the path of the socket by [service] control; None: no socket."""
    if setting == "auto":
        return runtime_folder / "control.sock"
    return Path(setting) if setting else None


def line_of(message: Mapping[str, Any]) -> bytes:
    """Return a message as it goes over the socket: JSON in UTF-8, on one line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def ask(paths: Sequence[Path], request: Mapping[str, Any], timeout_s: float = ANSWER_S) -> dict[str, Any]:
    """Send a request to the daemon at the first socket that has one, and return its answer.

    Raises NotRunning if there is no daemon, and ControlError if it does not answer.
    """
    sock, path = _connected(paths, timeout_s)
    try:
        with sock:
            sock.sendall(line_of(request))
            with sock.makefile("rb") as replies:
                line = replies.readline()
    except OSError as error:
        raise ControlError(f"{path}: edge does not answer ({error})") from error
    if not line:
        raise ControlError(f"{path}: edge closed the connection")
    return _object(line, path)


class _Stream:
    """A connection on which the daemon sends one JSON object a line after its answer."""

    def __init__(self, paths: Sequence[Path], request: Mapping[str, Any], accepted: str, timeout_s: float) -> None:
        """Connect to the daemon at the first socket that has one; the answer to `request` must have `accepted`.

        Raises NotRunning if there is no daemon, and ControlError if it does not answer or refuses.
        """
        self._sock, self.path = _connected(paths, timeout_s)
        self._received = b""
        self._lines: deque[bytes] = deque()
        try:
            self._begin(request, accepted, timeout_s)
        except BaseException:
            self.close()
            raise

    def _begin(self, request: Mapping[str, Any], accepted: str, timeout_s: float) -> None:
        try:
            self._sock.sendall(line_of(request))
        except OSError as error:
            raise ControlError(f"{self.path}: edge does not answer ({error})") from error
        answer = self.next(timeout_s)
        if answer is None:
            raise ControlError(f"{self.path}: edge does not answer")
        if not answer.get(accepted):  # also a release that does not know the command
            raise ControlError(f"{self.path}: {answer.get('error', 'edge does not know this request')}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the objects as they come, until the daemon ends. Raises ControlError then."""
        while True:
            if (event := self.next(None)) is not None:
                yield event

    def fileno(self) -> int:
        """Return the file descriptor, for a selector. Call `next` with 0 until it returns None: it reads ahead."""
        return self._sock.fileno()

    def next(self, timeout_s: float | None) -> dict[str, Any] | None:
        """Return the next object; None if none came within `timeout_s` (None: wait without end).

        Raises ControlError if the daemon has ended, or has dropped this client because it read too slowly.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._lines:
            try:
                self._sock.settimeout(None if until_s is None else max(0.0, until_s - time.monotonic()))
                chunk = self._sock.recv(_CHUNK)
            except (TimeoutError, BlockingIOError):
                return None
            except OSError as error:
                raise ControlError(f"{self.path}: the connection to edge is lost ({error})") from error
            if not chunk:
                raise ControlError(f"{self.path}: edge closed the connection")
            *lines, self._received = (self._received + chunk).split(b"\n")
            self._lines += lines
            if len(self._received) > _LONGEST_LINE:
                raise ControlError(f"{self.path}: edge sent a line of more than {_LONGEST_LINE} bytes")
        return _object(self._lines.popleft(), self.path)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


class Subscription(_Stream):
    """Follows the events of the running daemon. The first is `status`, with the whole state at that moment.

    An event is the JSON object of docs/reference/events.md. Not for several threads at once.
    """

    def __init__(self, paths: Sequence[Path], *, frames: bool = False, timeout_s: float = ANSWER_S) -> None:
        """Connect to the daemon at the first socket that has one. With `frames`, each frame is an event too.

        Raises NotRunning if there is no daemon, and ControlError if it does not answer or refuses.
        """
        super().__init__(paths, {"command": "subscribe", "frames": frames}, "subscribed", timeout_s)


class Pictures(_Stream):
    """Looks at the picture of the running daemon, until it is closed.

    Each object is a picture as docs/reference/socket.md describes it, and the last one tells why there will be no more:
    {"ended": reason}. Not for several threads at once.
    """

    def __init__(self, paths: Sequence[Path], *, timeout_s: float = ANSWER_S) -> None:
        """Connect to the daemon at the first socket that has one.

        Raises NotRunning if there is no daemon, and ControlError if it does not answer or refuses.
        """
        super().__init__(paths, {"command": "picture"}, "watching", timeout_s)


def _object(line: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ControlError(f"{path}: what answers there is not edge ({error})") from error
    if not isinstance(found, dict):
        raise ControlError(f"{path}: what answers there is not edge")
    return found


def _connected(paths: Sequence[Path], timeout_s: float) -> tuple[socket.socket, Path]:
    """Return a connection to the first socket that has a daemon, and the path of that socket."""
    for path in paths:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(timeout_s)
            _connect(sock, path, timeout_s)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            sock.close()
        except PermissionError as error:
            sock.close()
            raise ControlError(f"{path}: you may not use it{_advice(path)}") from error
        except OSError as error:
            sock.close()
            raise ControlError(f"{path}: edge does not answer ({error})") from error
        else:
            return sock, path
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
