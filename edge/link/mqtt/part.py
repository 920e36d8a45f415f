"""The part of the link that speaks MQTT: a thread that keeps a connection, and one that carries out commands."""

import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from queue import Empty, Full, Queue
from typing import Any

from edge.errors import EdgeError, LinkError
from edge.host.backoff import Backoff
from edge.link.mqtt.commands import Refused, request_of
from edge.link.mqtt.connection import Connection, Message, address_of
from edge.link.mqtt.names import OFFLINE, Names, names_of
from edge.link.mqtt.payload import announcement_of
from edge.link.mqtt.session import MOST_EVENTS, Clash, Session
from edge.link.parts import Ask
from edge.link.settings import MqttSettings, bracketed
from edge.link.state import DOWN, LinkState

_log = logging.getLogger(__name__)
FIRST_S, LONGEST_S = 0.5, 4.0
"""Pauses between two tries to reach the broker, but for a random quarter: all edges of a home come back with it."""
CLASH_S = 30.0
"""Pause while another edge has the node."""
STEADY_S = 5.0
"""A connection that lasted this long counts as a success."""
MOST_COMMANDS = 8
"""Commands that wait for the daemon; more come from no person, and are dropped."""
COMMAND_EVERY_S = 0.2
TELL_EVERY_S = 10.0
"""The log has at most one line about commands that were refused or dropped in this time."""


class Mqtt:
    """The part (link/parts.py)."""

    wants_frames = False

    def __init__(self, settings: MqttSettings, names: Names | None = None, *, clash_s: float = CLASH_S) -> None:
        """Prepare. While another edge has the node, it is tried again after `clash_s`.

        Raises ConfigError if the settings cannot be used.
        """
        self._settings = settings
        self._names = names or names_of(settings)
        self._clash_s = clash_s
        self._state = DOWN
        self._events: deque[tuple[float, bytes]] = deque(maxlen=MOST_EVENTS)
        self._commands: Queue[tuple[str, bytes] | None] = Queue(MOST_COMMANDS)
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._stopping = threading.Event()
        self._modern = True
        self._why = ""
        """Why there is no connection, as the log has it; empty while there is one."""
        self._is_online = False
        self._told_s = -TELL_EVERY_S
        self._dropped = 0
        self._threads = [
            threading.Thread(target=self._run, name="mqtt", daemon=True),
            threading.Thread(target=self._obey, name="mqtt-commands", daemon=True),
        ]
        self._new_connection(deque())  # tells faults of the files now

    # ---- the part

    def start(self, ask: Ask) -> None:
        """Start the threads."""
        self._ask = ask
        for thread in self._threads:
            thread.start()

    def changed(self, state: LinkState) -> None:
        """Take the new state."""
        self._state = state
        self._wake()

    def happened(self, event: Mapping[str, Any]) -> None:
        """Take an event; only announcements are published."""
        if event.get("event") == "announced" and self._is_online:
            self._events.append((time.monotonic(), announcement_of(event)))
            self._wake()

    def alive(self) -> bool:
        """Return False if a thread has ended."""
        return all(thread.is_alive() for thread in self._threads)

    def describe(self) -> str:
        """Return how it is, such as 'MQTT as kitchen at broker.local:1883' while it is connected."""
        address = self._address()
        where = f"MQTT as {self._names.node} at {address}"
        if self._why:
            return f"{where}: {self._why.removeprefix(f'MQTT broker {address}: ')}"
        return where if self._is_online else f"{where}: connecting"

    def stop(self) -> None:
        """Say at the broker that this edge is offline, and end."""
        self._stopping.set()
        with contextlib.suppress(Full):
            self._commands.put_nowait(None)
        self._wake()
        self._threads[0].join(1.2)
        if not self._threads[0].is_alive():
            self._waker.close()
            self._woken.close()

    # ---- the thread of the connection

    def _run(self) -> None:
        backoff = Backoff(FIRST_S, LONGEST_S)
        while not self._stopping.is_set():
            began_s = time.monotonic()
            pause_s = None
            try:
                self._serve()
            except Clash as error:
                if self._is_news(str(error)):
                    _log.warning(
                        f"{error} (the link keeps trying)", extra={"event": "mqtt_clash", "reason": str(error)}
                    )
                pause_s = self._clash_s
            except EdgeError as error:  # a password file that is gone is ConfigError
                why = str(error)
                if self._is_news(why):
                    _log.warning(f"{why} (the link keeps trying)", extra={"event": "mqtt_lost", "reason": why})
            except Exception:
                _log.exception("The connection with the broker ended. Please report this.")
            self._is_online = False
            if time.monotonic() - began_s > STEADY_S:
                backoff.reset()
            self._stopping.wait(pause_s or backoff.double() * random.uniform(0.75, 1.25))

    def _serve(self) -> None:
        """Connect and serve until the link ends. Raises EdgeError if the connection is lost."""
        heard: deque[Message] = deque()
        connection = self._new_connection(heard)
        try:
            self._open(connection)
            session = Session(connection, self._names, self._events)
            while not self._stopping.is_set():
                while heard:
                    session.hear(heard.popleft(), self._command)
                due_s = session.turn(self._state, time.monotonic())
                if session.is_online and not self._is_online:
                    self._online()
                connection.turn(min(1.0, due_s), self._woken)
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
                for refused in connection.take_refused():
                    self._tell(f"{connection} refuses {refused}")
            session.good_bye()
        except Clash:
            # not the will: the other edge is online under this node
            connection.close()
            raise
        except LinkError:
            connection.drop()
            raise
        connection.close()

    def _open(self, connection: Connection) -> None:
        try:
            connection.open()
        except LinkError:
            # back to the newer one too: a broker that ends may just close the connection
            self._modern = not connection.is_unsupported
            raise

    def _new_connection(self, heard: deque[Message]) -> Connection:
        names = self._names
        return Connection(
            self._settings,
            f"edge-{names.node}-{names.id}",
            heard.append,
            will=(names.availability, OFFLINE.encode()),
            modern=self._modern,
        )

    def _address(self) -> str:
        host, port = address_of(self._settings)
        return f"{bracketed(host)}:{port}"

    def _online(self) -> None:
        self._is_online, self._why = True, ""
        _log.info(
            f"MQTT: connected with {self._address()} as {self._names.node}.",
            extra={"event": "mqtt_online", "node": self._names.node},
        )

    def _is_news(self, why: str) -> bool:
        """Note why there is no connection; return True if the log does not have that reason yet."""
        before, self._why = self._why, why
        return why != before

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway
            self._waker.send(b"x")

    # ---- commands

    def _command(self, name: str, payload: bytes) -> None:
        try:
            self._commands.put_nowait((name, payload))
        except Full:
            self._tell("Commands by MQTT come faster than edge carries them out: some were dropped")

    def _obey(self) -> None:
        while not self._stopping.is_set():
            try:
                command = self._commands.get(timeout=10.0)
            except Empty:
                continue
            if command is None:
                return
            try:
                self._carry_out(*command)
            except Exception:
                # a fault in one command must not end the thread
                _log.exception("A command could not be carried out. Please report this.")
            self._stopping.wait(COMMAND_EVERY_S)

    def _carry_out(self, name: str, payload: bytes) -> None:
        try:
            answer = self._ask(request_of(name, payload))
        except Refused as error:
            self._tell(f"A command by MQTT was refused: {error}")
        except EdgeError as error:
            self._tell(f"The command {name} by MQTT was not carried out: {error}")
        else:
            if "error" in answer:
                self._tell(f"The command {name} by MQTT was refused: {answer['error']}")
            else:
                _log.info(f"Command by MQTT: {name}.", extra={"event": "mqtt_command", "command": name})

    def _tell(self, line: str) -> None:
        """Log a line, but not many in a short time."""
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_EVERY_S:
            self._dropped += 1
            return
        more = f" ({self._dropped} more were refused or dropped)" if self._dropped else ""
        self._told_s, self._dropped = now_s, 0
        _log.warning(f"{line}{more}", extra={"event": "mqtt_refused", "reason": line})
