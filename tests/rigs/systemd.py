"""systemd's end of the socket that a service is given."""

import contextlib
import socket
from pathlib import Path


class Listener:
    """Stands for systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.states: list[str] = []
        """What came so far, until it was last asked for."""

    def heard(self) -> list[str]:
        """What has come since the last time."""
        states = []
        with contextlib.suppress(BlockingIOError):
            while True:
                states.append(self._socket.recv(1000).decode())
        self.states += states
        return states

    def close(self) -> None:
        self._socket.close()
