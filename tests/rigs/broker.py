"""A real Mosquitto on the loopback, and a client that remembers what was published; each fault is a method."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from rigs.certificates import Authority
from rigs.debian import program
from rigs.processes import wait_until

USER, PASSWORD = "edge", "only for tests"
_JUDGE = "judge"


class Broker:
    """Mosquitto with a password, and TLS if it is given an authority. It keeps its port when it is started again.

    Retained messages are lost when it ends: what is there afterwards was published anew.
    """

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self.password_file.chmod(0o600)
        self.authority = authority
        self.log = folder / "log"
        self._certificate = authority.certificate("broker") if authority else None
        self._process: subprocess.Popen[bytes] | None = None
        self.passwords(PASSWORD)

    def passwords(self, password: str) -> None:
        """Let it have this password for USER from its next start on; another than PASSWORD makes it refuse."""
        users = self.folder / "users"
        users.unlink(missing_ok=True)
        for name, its in ((USER, password), (_JUDGE, PASSWORD)):
            command = [*program("mosquitto", "mosquitto_passwd"), "-b", *([] if users.exists() else ["-c"])]
            subprocess.run([*command, str(users), name, its], check=True, capture_output=True)

    def certificate(self, files: tuple[Path, Path]) -> None:
        """Let it show another certificate from its next start on."""
        self._certificate = files

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {self.folder / 'users'}",
            "persistence false",
            "log_dest stderr",
            "log_type all",
        ]
        if self._certificate:
            lines += [f"certfile {self._certificate[0]}", f"keyfile {self._certificate[1]}"]
        if os.geteuid() == 0:
            lines += ["user root"]  # else it becomes a user that only the installed package makes
        settings = self.folder / "mosquitto.conf"
        settings.write_text("\n".join(lines) + "\n")
        with self.log.open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", *program("mosquitto", "mosquitto"), "-c", str(settings)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._accepts)

    def _accepts(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """End it at once, without a word to its clients."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in order: clients are told."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def logged(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace")


class Judge:
    """A client that sees all that others publish: `retained` is what a new subscriber would be told, by topic."""

    def __init__(self, broker: Broker, topics: str = "#") -> None:
        """Connect, and return when it is subscribed."""
        self.messages: list[tuple[str, bytes, bool]] = []
        """(topic, payload, whether it is from before this client), in order."""
        self.last: dict[str, bytes] = {}
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(_JUDGE, PASSWORD)
        if broker.authority:
            self._client.tls_set(str(broker.authority.file))
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe(topics, qos=1)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        self.messages.append((message.topic, payload, message.retain))
        self.last[message.topic] = payload

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, qos: int = 1) -> None:
        """Publish, and return when the broker has it."""
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(30)

    def wait_for(self, topic: str, payload: bytes) -> None:
        """Return when the last message on a topic is this one."""
        wait_until(lambda: self.last.get(topic) == payload)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def judging(broker: Broker, topics: str = "#") -> Iterator[Judge]:
    """A new client, which is told all that is retained."""
    judge = Judge(broker, topics)
    try:
        yield judge
    finally:
        judge.close()


class Proxy:
    """Passes connections on to a port of the loopback, with the faults of a network."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.delay_s = 0.0
        """How long each piece takes, in both directions."""
        self.stalled = False
        """Whether nothing is passed on, and no connection closed."""
        self.connections = 0
        """How many have been passed on so far."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                here, _ = self._server.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self._to), 5)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            self.connections += 1
            self._sockets = [one for one in self._sockets if one.fileno() >= 0] + [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                time.sleep(self.delay_s)
                while self.stalled and not self._over.is_set():
                    time.sleep(0.02)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """End all connections."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._over.set()
        self._server.close()
        self.cut()


@contextmanager
def proxy(to: int) -> Iterator[Proxy]:
    """A way to a port with the faults of a network; at the end its connections are gone."""
    between = Proxy(to)
    try:
        yield between
    finally:
        between.close()


@contextmanager
def mosquitto(folder: Path, authority: Authority | None = None) -> Iterator[Broker]:
    """A broker that runs; at the end its process is gone."""
    broker = Broker(folder, authority)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
