"""The part that speaks MQTT, with a real broker."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from rigs.broker import USER, Broker, Judge, judging
from rigs.processes import wait_until

from edge.errors import ControlError
from edge.link.mqtt.forget import forget
from edge.link.mqtt.names import Names, names_of
from edge.link.mqtt.part import Mqtt
from edge.link.settings import MqttSettings
from edge.link.state import DOWN, LinkState

pytestmark = pytest.mark.integration

NAMES = Names("kitchen", "5" * 12, "edge kitchen", "homeassistant")
READY = LinkState(up=True, version="1.0", model="net", engine="mxnet", camera_up=True)
ANNOUNCED = {"event": "announced", "label": "cup", "probability": 0.9, "text": "I see a cup"}


class RecordingAsk:
    """A daemon that takes every request, but for sentences: those it refuses."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.requests.append(dict(request))
        if request["command"] == "look":
            raise ControlError("edge does not answer")
        return {"error": "say is off"} if request["command"] == "say" else {}


@pytest.fixture(name="broker", scope="module")
def a_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(name="judge")
def a_judge(broker: Broker) -> Iterator[Judge]:
    with judging(broker) as judge:
        yield judge
        for topic, payload in list(judge.last.items()):
            if payload:
                judge.publish(topic, b"", retain=True)


def settings(broker: Broker, **more: Any) -> MqttSettings:
    return MqttSettings(
        host="127.0.0.1", port=broker.port, user=USER, password_file=str(broker.password_file), node="kitchen", **more
    )


@contextmanager
def running(broker: Broker, names: Names = NAMES, state: LinkState = READY) -> Iterator[tuple[Mqtt, RecordingAsk]]:
    part, ask = Mqtt(settings(broker), names, clash_s=0.5), RecordingAsk()
    part.start(ask)
    try:
        part.changed(state)
        yield part, ask
    finally:
        part.stop()
    wait_until(lambda: not part.alive())


def state_in(judge: Judge) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(judge.last.get(NAMES.state) or b"{}")
    return found


def told(judge: Judge, topic: str) -> list[bytes]:
    """All that was published on a topic, in order."""
    return [one[1] for one in judge.messages if one[0] == topic]


def test_an_edge_comes_changes_and_goes(broker: Broker, judge: Judge) -> None:
    with running(broker, state=DOWN) as (part, _):
        judge.wait_for(NAMES.availability, b"offline")
        assert NAMES.state not in judge.last
        part.changed(READY)
        judge.wait_for(NAMES.availability, b"online")
        # a reader of `online` finds the state
        assert state_in(judge)["model"] == "net"
        assert json.loads(judge.last[NAMES.config])["device"]["name"] == "edge kitchen"
        part.happened(ANNOUNCED)
        wait_until(lambda: NAMES.announced in judge.last)
        assert json.loads(judge.last[NAMES.announced]) == {
            "event_type": "announced",
            "label": "cup",
            "probability": 0.9,
            "text": "I see a cup",
        }
        with judging(broker) as later:
            later.wait_for(NAMES.availability, b"online")
            wait_until(lambda: {NAMES.state, NAMES.config} <= later.last.keys())
            assert NAMES.announced not in later.last
        part.changed(DOWN)
        judge.wait_for(NAMES.availability, b"offline")
        part.changed(READY)
        judge.wait_for(NAMES.availability, b"online")
    judge.wait_for(NAMES.availability, b"offline")


def test_many_changes_are_few_messages_and_the_last_one_counts(broker: Broker, judge: Judge) -> None:
    with running(broker) as (part, _):
        judge.wait_for(NAMES.availability, b"online")
        before = len([one for one in judge.messages if one[0] == NAMES.state])
        for number in range(1000):
            part.changed(LinkState(up=True, model="net", last_words=str(number)))
        wait_until(lambda: state_in(judge).get("last_said") == "999")
        assert len([one for one in judge.messages if one[0] == NAMES.state]) - before < 20


def test_what_does_not_change_is_not_published_again(broker: Broker, judge: Judge) -> None:
    with running(broker) as (part, ask):
        judge.wait_for(NAMES.availability, b"online")
        before = len(judge.messages)
        for _ in range(10):
            part.changed(READY)
        # a command goes the whole way round: by then a state would have come
        judge.publish(NAMES.command("wake"), "PRESS")
        wait_until(lambda: ask.requests)
        assert [one[0] for one in judge.messages[before:]] == [NAMES.command("wake")]


def test_commands_reach_the_daemon_but_retained_ones_do_not(
    broker: Broker, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    judge.publish(NAMES.command("say"), "kept before", retain=True)
    with running(broker) as (_, ask):
        judge.wait_for(NAMES.availability, b"online")
        judge.publish(NAMES.command("look"), "kept", retain=True)
        judge.publish(NAMES.command("reboot"), "PRESS")
        judge.publish(NAMES.command("snooze"), "60")
        judge.publish(NAMES.command("say"), "hello")
        judge.publish(NAMES.command("pause"), "ON")
        wait_until(lambda: {"command": "pause"} in ask.requests)
        assert ask.requests == [
            {"command": "snooze", "seconds": 60.0},
            {"command": "say", "text": "hello"},
            {"command": "pause"},
        ]
        judge.publish(NAMES.command("look"), "PRESS")
        wait_until(lambda: {"command": "look"} in ask.requests)
    assert len([one for one in caplog.messages if "reboot" in one]) == 1


def test_a_flood_of_commands_is_dropped(broker: Broker, judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    with running(broker) as (_, ask):
        judge.wait_for(NAMES.availability, b"online")
        for _ in range(1000):
            judge.publish(NAMES.command("wake"), "PRESS", qos=0)
        judge.publish("end", b"")
        judge.wait_for("end", b"")
        # it still obeys, and did little of what was asked
        wait_until(lambda: ask.requests)
        assert len(ask.requests) < 200
    # one line in ten seconds
    assert 1 <= len([one for one in caplog.messages if "some were dropped" in one]) <= 30


def test_home_assistant_that_comes_back_gets_everything_again(broker: Broker, judge: Judge) -> None:
    with running(broker):
        judge.wait_for(NAMES.availability, b"online")
        topics = [NAMES.config, NAMES.state, NAMES.availability]
        before = len(judge.messages)
        judge.publish(NAMES.birth, "online")
        wait_until(lambda: [one[0] for one in judge.messages[before:] if one[0] in topics] == topics)


def test_of_two_edges_with_one_node_the_second_waits_and_says_so(
    broker: Broker, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    other = Names("kitchen", "1" * 12, "edge kitchen", "homeassistant")
    with running(broker) as (first, _):
        judge.wait_for(NAMES.availability, b"online")
        with running(broker, other) as (second, _):
            wait_until(lambda: "another edge (555555555555) is online as 'kitchen'" in second.describe())
            assert state_in(judge)["id"] == NAMES.id
            assert other.config not in judge.last
            first.stop()
            wait_until(lambda: state_in(judge).get("id") == other.id)
            judge.wait_for(NAMES.availability, b"online")
    assert len([one for one in caplog.messages if "another edge (555555555555) is online" in one]) == 1


def test_an_edge_that_waits_for_the_node_obeys_nothing(broker: Broker, judge: Judge) -> None:
    other = Names("kitchen", "1" * 12, "edge kitchen", "homeassistant")
    with running(broker) as (_, ask):
        judge.wait_for(NAMES.availability, b"online")
        # it begins to listen again all the time
        part, ask_other = Mqtt(settings(broker), other, clash_s=0.01), RecordingAsk()
        part.start(ask_other)
        try:
            part.changed(READY)
            wait_until(lambda: "another edge" in part.describe())
            for number in range(10):
                judge.publish(NAMES.command("wake"), "PRESS")
                wait_until(lambda number=number: len(ask.requests) > number)  # type: ignore[misc]
        finally:
            part.stop()
        assert ask_other.requests == []


def test_an_edge_that_others_call_offline_says_that_it_is_online(broker: Broker, judge: Judge) -> None:
    with running(broker):
        judge.wait_for(NAMES.availability, b"online")
        # as the last will of another edge does that was killed while it waited for the node
        judge.publish(NAMES.availability, b"offline", retain=True)
        wait_until(lambda: told(judge, NAMES.availability)[-2:] == [b"offline", b"online"])


def test_the_edge_that_keeps_the_node_replaces_the_state_of_the_other(broker: Broker, judge: Judge) -> None:
    with running(broker):
        judge.wait_for(NAMES.availability, b"online")
        its = judge.last[NAMES.state]
        # as two do that begin at the same moment; this one has the larger id, and gives way
        other = its.replace(NAMES.id.encode(), b"9" * 12)
        judge.publish(NAMES.state, other, retain=True)
        wait_until(lambda: told(judge, NAMES.state)[-2:] == [other, its])


def test_it_is_forgotten(broker: Broker, judge: Judge) -> None:
    names = names_of(settings(broker))
    with running(broker, names):
        judge.wait_for(names.availability, b"online")
        assert "was online" in forget(settings(broker))
    judge.wait_for(names.availability, b"offline")
    assert forget(settings(broker)).endswith("kitchen is forgotten.")
    with judging(broker, "#") as later:
        later.publish("end", b"")
        wait_until(lambda: "end" in later.last)
        assert set(later.last) == {"end"}


def test_it_ends_at_once_while_nothing_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        part = Mqtt(MqttSettings(host="127.0.0.1", port=taken.getsockname()[1], node="kitchen"), NAMES)
        part.start(RecordingAsk())
        wait_until(lambda: "nothing listens there" in part.describe())
        part.stop()
        wait_until(lambda: not part.alive())


def packets(client: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield (first byte, content) of each packet of MQTT that a client sends."""
    with client.makefile("rb") as stream:
        while kind := stream.read(1):
            length, shift = 0, 0
            while (digit := stream.read(1)[0]) & 0x80:
                length, shift = length | (digit & 0x7F) << shift, shift + 7
            yield kind[0], stream.read(length | digit << shift)


def serve_older_mqtt(server: socket.socket, told: dict[str, bytes]) -> None:
    """Play a broker that knows MQTT 3.1.1 alone, until the server is closed."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client:
                for kind, content in packets(client):
                    if kind >> 4 == 1:
                        client.sendall(b"\x20\x02\x00" + (b"\x00" if content[6] == 4 else b"\x01"))
                        if content[6] != 4:
                            break
                    elif kind >> 4 == 8:
                        client.sendall(b"\x90\x03" + content[:2] + b"\x01")
                    elif kind >> 4 == 3:
                        end = 2 + int.from_bytes(content[:2], "big")
                        told[content[2:end].decode()] = content[end + 2 :]
                        client.sendall(b"\x40\x02" + content[end : end + 2])


def test_a_broker_that_knows_only_the_older_mqtt_gets_everything() -> None:
    told: dict[str, bytes] = {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_older_mqtt, args=(server, told), daemon=True)
        thread.start()
        part = Mqtt(MqttSettings(host="127.0.0.1", port=server.getsockname()[1], node="kitchen"), NAMES)
        part.changed(READY)
        part.start(RecordingAsk())
        wait_until(lambda: told.get(NAMES.availability) == b"online")
        assert json.loads(told[NAMES.state])["model"] == "net"
        assert NAMES.config in told
        part.stop()
        wait_until(lambda: told[NAMES.availability] == b"offline" and not part.alive())
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
