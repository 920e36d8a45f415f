"""A connection with brokers that behave badly; a real one is in test_part.py."""

import contextlib
import dataclasses
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rigs.certificates import Authority

from edge.errors import ConfigError, LinkError
from edge.link.mqtt.connection import LARGEST_PACKET, Connection, Message, password_of
from edge.link.settings import MqttSettings

ACCEPTED = b"\x20\x03\x00\x00\x00"
"""CONNACK of MQTT 5."""
ACCEPTED_3 = b"\x20\x02\x00\x00"
UNKNOWN_VERSION = b"\x20\x02\x00\x01"
"""What a broker of MQTT 3.1.1 answers to MQTT 5."""


@contextmanager
def broker(serve: Callable[[socket.socket], object]) -> Iterator[MqttSettings]:
    """Let a function play the broker, one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, contextlib.suppress(OSError):
                        serve(client)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield MqttSettings(host="127.0.0.1", port=server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def answers(*pieces: bytes) -> Callable[[socket.socket], None]:
    """A broker that answers a CONNECT with these bytes, and closes."""

    def serve(client: socket.socket) -> None:
        client.recv(4096)
        for piece in pieces:
            client.sendall(piece)

    return serve


def use(connection: Connection) -> None:
    """Use a connection for half a minute."""
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        connection.turn(0.1)


def failure(settings: MqttSettings, *, modern: bool = True) -> str:
    """Why there is no connection, or how it ended."""
    heard: list[Message] = []
    connection = Connection(settings, "test", heard.append, modern=modern)
    try:
        connection.open()
        use(connection)
    except LinkError as error:
        return str(error).partition(": ")[2]
    finally:
        connection.drop()
    pytest.fail("the connection did not end")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((b"",), "it refuses the connection"),
        ((b"\x20\x03\x00\x86\x00",), "it refuses the user name or the password"),
        ((b"\x20\x03\x00\x87\x00",), "it does not let this user in"),
        ((b"\x20\x03\x00\x88\x00",), "it refuses the connection (Server unavailable)"),
        ((ACCEPTED,), "it closed the connection"),
        ((ACCEPTED, b"\xe0\x02\x8e\x00"), "another program has connected with the same id"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), ""),
        ((ACCEPTED, b"\x30\x05\x00\x09abc"), ""),
        ((ACCEPTED, b"\xff" * 4096), ""),
        ((b"\x20\xff\xff\xff\xff\xff",), ""),
    ],
)
def test_every_end_has_a_reason(answer: tuple[bytes, ...], reason: str) -> None:
    with broker(answers(*answer)) as settings:
        assert failure(settings).startswith(reason)


def test_random_bytes_end_the_connection_and_nothing_else() -> None:
    chance = random.Random(27)
    for _ in range(50):
        noise = [ACCEPTED, *(chance.randbytes(chance.randrange(1, 60)) for _ in range(3))]
        with broker(answers(*noise)) as settings:
            assert failure(settings)


def test_a_broker_of_the_older_mqtt_is_noticed_and_works() -> None:
    def serve(client: socket.socket) -> None:
        connect = client.recv(4096)
        version = connect[8]
        client.sendall(ACCEPTED_3 if version == 4 else UNKNOWN_VERSION)
        if version == 4:
            client.sendall(b"\x30\x05\x00\x01a" + b"hi")
            while client.recv(4096):
                pass

    with broker(serve) as settings:
        heard: list[Message] = []
        newer = Connection(settings, "test", heard.append)
        with pytest.raises(LinkError, match="does not know this version of MQTT"):
            newer.open()
        assert newer.is_unsupported
        older = Connection(settings, "test", heard.append, modern=False)
        older.open()
        until_s = time.monotonic() + 30
        while not heard and time.monotonic() < until_s:
            older.turn(0.1)
        older.close()
    assert heard == [Message("a", b"hi", retained=False)]


def test_a_broker_that_confirms_nothing_is_given_up() -> None:
    def serve(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(ACCEPTED)
        while client.recv(4096):
            pass

    with broker(serve) as settings:
        connection = Connection(settings, "test", lambda _message: None, confirm_s=0.2)
        connection.open()
        connection.publish("a", b"b", retain=True)
        assert connection.in_flight == 1
        with pytest.raises(LinkError, match="it confirms nothing any more"):
            use(connection)
        connection.drop()


def packet(length: int) -> bytes:
    """A message to the topic 'a' whose packet has this length, of three digits in MQTT, after its head."""
    head = bytes([0x30, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    return head + b"\x00\x01a\x00" + bytes(length - 4)


@pytest.mark.parametrize("modern", [True, False])
def test_a_packet_that_is_too_large_is_not_read(modern: bool) -> None:
    answer = ACCEPTED if modern else ACCEPTED_3
    with broker(answers(answer, packet(LARGEST_PACKET + 1))) as settings:
        assert failure(settings, modern=modern).startswith("it sends a message of 65537 bytes")


def test_a_flood_by_tls_does_not_keep_it_in_one_turn(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("broker"))
    flood = packet(65001) * 256

    def serve(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as encrypted:
            encrypted.recv(4096)
            encrypted.sendall(ACCEPTED)
            while True:
                encrypted.sendall(flood)

    with broker(serve) as settings:
        heard: list[Message] = []
        connection = Connection(dataclasses.replace(settings, ca_file=str(authority.file)), "test", heard.append)
        connection.open()
        most = 0
        for _ in range(1000):
            before = len(heard)
            connection.turn(0.1)
            most = max(most, len(heard) - before)
        connection.drop()
    assert len(heard) > 100
    assert most < 10


def test_a_refused_password_is_no_question_of_the_version() -> None:
    with broker(answers(b"\x20\x03\x00\x86\x00")) as settings:
        connection = Connection(settings, "test", lambda _message: None)
        with pytest.raises(LinkError):
            connection.open()
        assert not connection.is_unsupported


def test_a_user_without_a_password_is_told_where_to_set_it() -> None:
    # so it is with a systemd credential, outside of the service
    with broker(answers(b"\x20\x03\x00\x86\x00")) as settings:
        reason = failure(dataclasses.replace(settings, user="edge"))
        assert reason.startswith("it does not let this user in without a password; set password_file in [mqtt]")


def test_a_name_and_a_port_that_are_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert failure(MqttSettings(host="127.0.0.1", port=port)).startswith("nothing listens there")
    assert failure(MqttSettings(host="nowhere.invalid")).startswith("this name is unknown")


def test_no_tls_where_it_is_expected() -> None:
    with broker(answers(b"\x20\x02\x00\x01")) as settings:
        tls = MqttSettings(host=settings.host, port=settings.port, tls=True)
        assert "TLS" in failure(tls)


# ---- the password


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes("pass wörd \r\nmore\n".encode())
    assert password_of(MqttSettings(user="edge", password_file=str(file))) == "pass wörd "


def test_the_password_comes_from_the_credential_if_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert password_of(MqttSettings(user="edge")) is None
    (tmp_path / "mqtt-password").write_text("secret\n")
    assert password_of(MqttSettings(user="edge")) == "secret"
    assert password_of(MqttSettings()) is None


@pytest.mark.parametrize(
    ("content", "user", "fault"),
    [
        (None, "edge", "No such file"),
        (b"", "edge", "its first line is empty"),
        (b"\xff\n", "edge", "is not text"),
        (b"secret\n", "", "a password needs one"),
    ],
)
def test_a_password_that_cannot_be_used_is_a_fault_of_the_settings(
    tmp_path: Path, content: bytes | None, user: str, fault: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=fault) as caught:
        Connection(MqttSettings(host="a", user=user, password_file=str(file)), "test", lambda _message: None)
    assert "secret" not in str(caught.value)


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for key in ("ca_file", "cert_file"):
        for content in (None, "no certificate"):
            if content:
                file.write_text(content)
            given = {key: str(file)}
            faulty = MqttSettings(host="a", ca_file=given.get("ca_file", ""), cert_file=given.get("cert_file", ""))
            with pytest.raises(ConfigError, match=rf"\[mqtt\] {key} = '{file}'"):
                Connection(faulty, "test", lambda _message: None)
            file.unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="a key needs its certificate"):
        Connection(MqttSettings(host="a", key_file=str(file)), "test", lambda _message: None)


def test_an_address_of_ipv6_stands_in_brackets_before_its_port() -> None:
    connection = Connection(MqttSettings(host="2001:db8::17"), "kitchen", lambda _message: None)
    assert str(connection) == "MQTT broker [2001:db8::17]:1883"
