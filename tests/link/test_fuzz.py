"""Whoever reaches the link from the network can neither end it, nor occupy it, nor have edge do what is no command."""

import contextlib
import random
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rigs.broker import Judge, free_port, judging, mosquitto
from rigs.daemon import apart, daemon, named, read_events
from rigs.link import NODE, ask, link, log_of, memory_kib, settings
from rigs.processes import wait_until

pytestmark = pytest.mark.integration

MIB = 1 << 20
LONGEST_LOG = 100_000
"""What the link may log, in bytes, whatever it is told."""
GROWTH_KIB = 6 * 1024
STEADY = ("paused", "snoozed_until", "volume", "rate_wpm", "teaching", "taught", "not_known")
"""Of the status: what commands change."""


def number_of(long: bool) -> int:
    return 10_000 if long else 300


@contextlib.contextmanager
def nothing_done(folder: Path) -> Iterator[None]:
    """Whatever happens meanwhile, the daemon is asked for nothing, and is as it was."""
    before = ask(folder, {"command": "status"})
    yield
    after = ask(folder, {"command": "status"})
    assert {key: after[key] for key in STEADY} == {key: before[key] for key in STEADY}
    assert not named(read_events(folder / "events"), "asked")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temp folder of a daemon: nothing that the tests do may change it."""
    folder = tmp_path_factory.mktemp("edge")
    with daemon(folder, "--speech", "log", "--events", str(folder / "events"), **apart(folder)):
        wait_until(lambda: named(read_events(folder / "events"), "ready"))
        yield folder


# ---- HTTP


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def serves(port: int) -> bool:
    with contextlib.suppress(OSError):
        return "edge_" in metrics(port)
    return False


REQUESTS = [
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics?name[]=edge_frames_total HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
    b"GET http://[::1/metrics HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b'{"command": "look"}\n',
]


def mutated(pick: random.Random, text: bytes) -> bytes:
    """A request with bytes that are others, missing, doubled, or far too many."""
    data = bytearray(text)
    for _ in range(pick.randrange(6)):
        at = pick.randrange(len(data) + 1)
        match pick.randrange(5):
            case 0:
                data[at : at + 1] = pick.randbytes(1)
            case 1:
                del data[at : at + pick.randrange(8)]
            case 2:
                data[at:at] = pick.randbytes(pick.randrange(40))
            case 3:
                data[at:at] = data[: pick.randrange(60)]
            case _:
                data[at:at] = pick.choice([b"\0", b"\r\n", b":", b"%00", b"A"]) * pick.choice([1, 100, 70_000])
    return bytes(data)


def send(port: int, data: bytes, pick: random.Random) -> None:
    """Say it and leave, sometimes after the answer."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(data)
        if pick.random() < 0.5:
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass


def test_http(edge: Path, long: bool) -> None:
    port = free_port()
    with link(edge, settings(edge, metrics=port)) as child:
        wait_until(lambda: serves(port))
        with nothing_done(edge):
            pick = random.Random(27)
            before = 0
            for number in range(number_of(long)):
                send(port, mutated(pick, pick.choice(REQUESTS)), pick)
                if number == 100:
                    before = memory_kib(child.pid)
            wait_until(lambda: serves(port))
            assert memory_kib(child.pid) - before < GROWTH_KIB
            assert child.poll() is None
        assert len(log_of(edge)) < LONGEST_LOG
        assert "Traceback" not in log_of(edge)


def test_clients_that_only_hold_their_connections(edge: Path) -> None:
    """Slow-loris: a hundred that say a letter now and then keep nobody out for long."""
    port = free_port()
    over = threading.Event()

    def hold(number: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as client:
                for letter in b"GET /metrics HTTP/1.1\r\nX-Name: " + b"a" * 1000:
                    if over.wait(0.2 + number / 500):
                        return
                    client.send(bytes([letter]))

    with link(edge, settings(edge, metrics=port)) as child:
        wait_until(lambda: serves(port))
        with nothing_done(edge):
            holders = [threading.Thread(target=hold, args=(number,)) for number in range(100)]
            for holder in holders:
                holder.start()
            try:
                # what Prometheus does: it tries again and again
                for _ in range(5):
                    wait_until(lambda: serves(port))
                assert len(list(Path(f"/proc/{child.pid}/task").iterdir())) < 60
            finally:
                over.set()
                for holder in holders:
                    holder.join()
            assert serves(port)


# ---- MQTT


def message(pick: random.Random) -> tuple[str, bytes]:
    """(topic, payload) of what is no command, though it may look like one."""
    prefix = f"edge/{NODE}/cmd/"
    match pick.randrange(9):
        case 8:
            name = pick.choice([b"", b" ", b"!?", b"\xff", b"a\x07b", b"a" * 81, b"a" * 1100, b"../" * 300])
            return prefix + pick.choice(["teach", "forget"]), name
        case 0:
            return prefix + pick.choice(
                ["lookk", "LOOK", "look/now", "", "shutdown", "reload", "\N{SNOWMAN}" * 9]
            ), b"ON"
        case 1:
            return prefix + "pause", pick.choice([b"", b"maybe", b"ONON", b"\xff\xfe", b"[]", b"1", b"on" * 4000])
        case 2:
            return prefix + "snooze", pick.choice([b"nan", b"inf", b"-1", b"1e999", b"9" * 3000, b"0x10", b"\x80", b""])
        case 3:
            return prefix + "say", pick.choice([b"", b" ", b"\xc3\x28", b"\n\r\t", b"a" * 5000, b"\xed\xa0\x80"])
        case 4:
            return "homeassistant/status", pick.choice([b"online", b"offline", b"", pick.randbytes(50)])
        case 5:
            return f"edge/{NODE}/{pick.choice(['state', 'announced', 'availability', 'x'])}", pick.randbytes(99)
        case 6:
            # Mosquitto itself drops who publishes to a topic of more than 200 levels
            return "edge/" + "a/" * pick.randrange(190) + "cmd/look", b"ON"
        case _:
            return prefix + "x" * pick.randrange(1, 60_000), pick.randbytes(pick.choice([0, 10, 10_000]))


def reach(judge: Judge, folder: Path) -> None:
    """Return when the link has read all that was published: a command is followed, and taken back."""

    def follows(payload: bytes, snoozed: bool) -> bool:
        judge.publish(f"edge/{NODE}/cmd/snooze", payload)
        return bool(ask(folder, {"command": "status"})["snoozed_until"]) == snoozed

    wait_until(lambda: follows(b"600", True))
    wait_until(lambda: follows(b"OFF", False))


def test_mqtt(edge: Path, tmp_path: Path, long: bool) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        config = settings(edge, broker)
        with link(edge, config) as child, judging(broker) as judge:
            wait_until(lambda: judge.last.get(f"edge/{NODE}/availability") == b"online")
            with nothing_done(edge):
                pick = random.Random(27)
                before = 0
                for number in range(number_of(long)):
                    judge.publish(*message(pick), qos=pick.randrange(2))
                    if number == 100:
                        before = memory_kib(child.pid)
                for name in ("pause", "snooze", "say", "x" * 65_000):
                    judge.publish(f"edge/{NODE}/cmd/{name}", b"\xff" * MIB)
                    judge.publish(f"edge/{NODE}/cmd/{name}", b"ON" * (MIB // 2))
                reach(judge, edge)
                assert memory_kib(child.pid) - before < GROWTH_KIB
                assert child.poll() is None
            assert len(log_of(edge)) < LONGEST_LOG
            assert "Traceback" not in log_of(edge)


def test_retained_commands_are_not_followed(edge: Path, tmp_path: Path) -> None:
    """Else each new connection would follow them once more."""
    with mosquitto(tmp_path / "broker") as broker, judging(broker) as judge:
        for name, payload in (
            ("look", b""),
            ("pause", b"ON"),
            ("snooze", b"60"),
            ("say", b"boo"),
            ("teach", b"my keys"),
        ):
            judge.publish(f"edge/{NODE}/cmd/{name}", payload, retain=True)
        with link(edge, settings(edge, broker)), nothing_done(edge):
            wait_until(lambda: judge.last.get(f"edge/{NODE}/availability") == b"online")
            reach(judge, edge)


class Liar:
    """What stands where a broker should: it accepts everybody, and then sends what it likes."""

    def __init__(self, port: int, garbage: Callable[[], bytes]) -> None:
        self.met = 0
        self._garbage = garbage
        self._server = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), client:
                client.settimeout(2)
                client.recv(4096)
                client.sendall(b"\x20\x02\x00\x00" + self._garbage())
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
            self.met += 1

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def test_a_broker_that_is_none(edge: Path, tmp_path: Path) -> None:
    """Packets with wrong lengths, topics that are no UTF-8, answers to what was not asked; then the broker is back."""
    pick = random.Random(27)
    topic = f"edge/{NODE}/cmd/look".encode()
    packets = [
        b"\x30\xff\xff\xff\xff\x7f",  # a publication of more than MQTT knows
        b"\x30\x04\x00\x02\xff\xfe",  # a topic that is no UTF-8
        b"\x30\x02\xff\xff",  # a topic that is longer than its packet
        b"\x30\xff\xff\xff\x7f" + topic,  # 256 MiB, it says
        b"\x90\x03\x00\x01\x80\x40\x02\xff\xff",  # the subscription is refused; an answer to nothing
        b"\xf0\x00\x00\x00\xff\xff",  # what is no packet
        bytes([0x32, len(topic) + 4, 0, len(topic)]) + topic + b"\x00\x00",  # a number that is none
    ]
    with mosquitto(tmp_path / "broker") as broker:
        broker.kill()
        liar = Liar(broker.port, lambda: pick.choice([*packets, pick.randbytes(200)]))
        try:
            with link(edge, settings(edge, broker)) as child, nothing_done(edge):
                wait_until(lambda: liar.met >= 5)
                liar.close()
                broker.start()
                with judging(broker) as judge:
                    wait_until(lambda: judge.last.get(f"edge/{NODE}/availability") == b"online")
                assert child.poll() is None
                assert "Traceback" not in log_of(edge)
        finally:
            liar.close()
