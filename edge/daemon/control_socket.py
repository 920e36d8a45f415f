"""The local control socket of the running daemon: each request is a line with a JSON object, and so is each answer.

One thread serves all clients, and waits for none of them: a client that sends nothing, or too much, is dropped. The
permissions of the socket file decide who may connect; the server checks this again.
"""

import contextlib
import errno
import json
import logging
import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.daemon.events import Events
from edge.daemon.socket_access import Access, Peer, listen
from edge.daemon.subscribers import Subscriber
from edge.daemon.viewers import STOPPED, Viewer, Viewers
from edge.errors import ControlError
from edge.host.control_client import ANSWER_S, CONTROL_GROUP, line_of

_log = logging.getLogger(__name__)
LONGEST_LINE = 4096
"""Longest request in bytes; an answer may be longer."""
MOST_CLIENTS = 32
"""Number of clients that may be asking at once."""
MOST_SUBSCRIBERS = 8
PICTURE_S = 5.0
"""Longest time that a client may take for one picture."""
_PICTURE_BUFFER = 16384
"""Bytes that the kernel keeps for a client that looks at the picture: less than a picture."""
_END_S = 0.5
"""Longest time that a client may take for the line that tells the end of the picture."""
_NO_DESCRIPTORS_S = 0.2
"""Pause after a client could not be accepted. It still waits, so the selector would return at once, again and again."""


@dataclass
class _Client:
    peer: Peer
    until_s: float
    """Time at which it is dropped, by time.monotonic(); infinite for a subscriber."""
    received: bytes = b""
    to_send: bytes = b""
    subscriber: Subscriber | None = None
    viewer: Viewer | None = None
    ends: bool = False
    """True if it is dropped as soon as everything is sent."""

    @property
    def stays(self) -> bool:
        """Return True if it follows events or looks at the picture."""
        return self.subscriber is not None or self.viewer is not None


class ControlServer:
    """Server of the control socket, in its own thread."""

    def __init__(
        self,
        path: Path,
        answer: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        events: Events | None = None,
        viewers: Viewers | None = None,
        *,
        teachable: Callable[[], bool] = lambda: True,
    ) -> None:
        """Create the socket. `answer` must be quick. Clients can subscribe to the `events`, or be `viewers`.

        `teachable` returns whether members of the group edge-control may teach and forget things.

        Raises ControlError if the socket cannot be created, or another edge has it.
        """
        self._path = path
        self._made_folder = not os.access(path.parent, os.F_OK)
        self._answer = answer
        self._events = events or Events()
        self._subscribers = self._events.subscribers
        self._viewers = Viewers() if viewers is None else viewers
        self._teachable = teachable
        self._server = listen(path)
        self._access = Access(path)
        self._inode = path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._clients: dict[socket.socket, _Client] = {}
        self._closing = False
        self._subscribers.wake = self._viewers.wake = self._wake
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and remove the socket file, unless another process has replaced it."""
        self._closing = True
        self._wake()
        self._thread.join(1.0)
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
            if self._made_folder:
                self._path.parent.rmdir()

    def _wake(self) -> None:
        """Let the thread send the events that wait. Any thread may call it; it never waits."""
        with contextlib.suppress(OSError):  # the buffer is full, so the thread will wake; or it has ended
            self._waker.send(b"x")

    def _serve(self) -> None:
        while not self._closing:
            first_s = min((client.until_s for client in self._clients.values()), default=math.inf)
            timeout_s = None if first_s == math.inf else max(0.0, first_s - time.monotonic())
            for key, events in self._selector.select(timeout_s):
                if key.fileobj is self._woken:
                    with contextlib.suppress(BlockingIOError):
                        self._woken.recv(LONGEST_LINE)
                elif key.fileobj is self._server:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._attend(key.fileobj, events)
            self._tell_events()
            self._show_pictures()
            now_s = time.monotonic()
            for sock in [sock for sock, client in self._clients.items() if now_s >= client.until_s]:
                self._drop(sock)
        self._end()

    def _end(self) -> None:
        self._viewers.close(STOPPED)
        self._show_pictures()
        self._tell_events()  # the last one tells the end
        for sock in list(self._clients):
            self._drop(sock)
        self._selector.close()
        for one in (self._server, self._woken, self._waker):
            one.close()

    def _tell_events(self) -> None:
        """Send the subscribers what waits for them, as far as they take it; drop those that read too slowly."""
        for sock, client in list(self._clients.items()):
            if client.subscriber is None:
                continue
            if client.subscriber.too_slow:
                _log.info("A program that follows the events of edge read them too slowly: it was disconnected.")
                self._drop(sock)
            elif not client.to_send and (lines := self._subscribers.take(client.subscriber)):
                client.to_send = lines
                self._attend(sock, selectors.EVENT_WRITE)

    def _show_pictures(self) -> None:
        """Send the viewers the newest picture, or that there will be none any more."""
        for sock, client in list(self._clients.items()):
            if client.viewer is None or client.ends:
                continue
            if client.to_send:
                if client.viewer.ended:
                    client.until_s = min(client.until_s, time.monotonic() + _END_S)
                continue
            client.until_s = math.inf
            if client.viewer.ended:
                client.to_send, client.ends = line_of({"ended": client.viewer.ended}), True
                client.until_s = time.monotonic() + _END_S
            elif line := self._viewers.take(client.viewer):
                client.to_send = line
                client.until_s = time.monotonic() + PICTURE_S
            if client.to_send:
                self._attend(sock, selectors.EVENT_WRITE)

    def _accept(self) -> None:
        try:
            sock, _ = self._server.accept()
        except OSError as error:  # the client has gone again, or there are no file descriptors left
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(_NO_DESCRIPTORS_S)
            return
        sock.setblocking(False)
        peer = self._access.peer(sock)
        if peer is None:
            with contextlib.suppress(OSError):
                sock.send(line_of({"error": "you may not control this edge"}))
            sock.close()
            return
        asking = [one for one, client in self._clients.items() if not client.stays]
        if len(asking) >= MOST_CLIENTS:  # the oldest has had the most time
            self._drop(asking[0])
        self._clients[sock] = _Client(peer, time.monotonic() + ANSWER_S)
        self._selector.register(sock, selectors.EVENT_READ)

    def _attend(self, sock: socket.socket, events: int) -> None:
        client = self._clients[sock]
        try:
            if events & selectors.EVENT_WRITE:
                client.to_send = client.to_send[sock.send(client.to_send) :]
                if client.ends and not client.to_send:
                    self._drop(sock)
                    return
            if events & selectors.EVENT_READ:
                chunk = sock.recv(LONGEST_LINE)
                if not chunk:
                    self._drop(sock)
                    return
                self._receive(sock, client, chunk)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(sock)
            return
        # a client that stays must be noticed when it ends, although it takes nothing
        reads = selectors.EVENT_READ if client.stays or not client.to_send else 0
        self._selector.modify(sock, reads | (selectors.EVENT_WRITE if client.to_send else 0))

    def _receive(self, sock: socket.socket, client: _Client, chunk: bytes) -> None:
        client.received += chunk
        *lines, client.received = client.received.split(b"\n")
        if len(client.received) > LONGEST_LINE:
            lines, client.received = [client.received], b""
        for line in lines:
            if client.subscriber is not None:
                client.subscriber.put(line_of({"error": "this connection tells events: ask on another one"}))
            elif client.viewer is None:  # a viewer has nothing to ask on this connection
                self._answer_to(sock, client, line)

    def _answer_to(self, sock: socket.socket, client: _Client, line: bytes) -> None:
        try:
            request = json.loads(line) if len(line) <= LONGEST_LINE else None
            json.dumps(request, ensure_ascii=False).encode()  # half a character (\ud800) cannot be encoded
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            client.to_send += line_of(
                {"error": f"a request is a JSON object in a line of at most {LONGEST_LINE} bytes"}
            )
            return
        answer = self._refusal(client, request) or self._ask(request)
        if "subscribed" in answer:
            if len(self._subscribers) >= MOST_SUBSCRIBERS:
                answer = {"error": f"{MOST_SUBSCRIBERS} programs follow the events already"}
            else:
                self._subscribe(client, frames=bool(request.get("frames")))
                return
        if "watching" in answer:
            try:
                client.viewer = self._viewers.add(client.peer.user)
            except ControlError as error:
                answer = {"error": str(error)}
            else:
                client.until_s = time.monotonic() + PICTURE_S
                # what the kernel keeps for a slow client gets old
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PICTURE_BUFFER)
        client.to_send += line_of(answer)

    def _refusal(self, client: _Client, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return why this client may not ask this: only an owner gets a picture without anybody being told of it.

        What an owner was taught is not another program's to forget, if the settings say so.
        """
        if client.peer.owner:
            return {}
        if request.get("command") == "snapshot":
            return {"error": f"the group {CONTROL_GROUP} gets no snapshot: join the socket's group"}
        if request.get("command") in ("teach", "forget") and not self._teachable():
            return {"error": "the settings do not allow this: [link] teach = false"}
        return {}

    def _subscribe(self, client: _Client, *, frames: bool) -> None:
        """Tell a client the events from now on; first the status, so that it misses nothing before them."""
        client.until_s = math.inf
        # in this order: what happens meanwhile comes after the status, even if the status has it already
        client.subscriber = self._subscribers.add(frames=frames)
        status = self._events.line("status", **self._ask({"command": "status"}))
        client.to_send += line_of({"subscribed": True}) + status

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._answer(request)
        except Exception:
            # one thread serves all clients: a fault in one answer must not end it
            _log.exception("A request could not be answered. Please report this.")
            return {"error": "this is a fault of edge; its log has more"}

    def _drop(self, sock: socket.socket) -> None:
        client = self._clients.pop(sock)
        if client.subscriber is not None:
            self._subscribers.remove(client.subscriber)
        if client.viewer is not None:
            self._viewers.remove(client.viewer)
        self._selector.unregister(sock)
        sock.close()
