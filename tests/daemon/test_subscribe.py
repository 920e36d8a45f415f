"""Clients that follow the events: all of them get everything, and a slow one costs nobody anything."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rigs.daemon import ROOT, daemon, named, read_events, socket_of
from rigs.processes import PATIENCE_S, wait_until

from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import MOST_CLIENTS, MOST_SUBSCRIBERS, ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.events import Events
from edge.daemon.subscribers import MOST_WAITING
from edge.errors import ControlError, NotRunning
from edge.host.control_client import Subscription, ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def state() -> ControlState:
    state = ControlState(None)
    state.show_status(lambda: {"model": "demo"})
    return state


@pytest.fixture
def server(path: Path, state: ControlState, events: Events) -> Iterator[ControlServer]:
    server = ControlServer(path, ControlCommands(state).answer, events)
    yield server
    server.close()
    assert not len(events.subscribers)


def next_of(subscription: Subscription) -> dict[str, Any]:
    """The next event, which must come."""
    event = subscription.next(PATIENCE_S)
    assert event is not None
    return event


def follow(path: Path, *, frames: bool = False) -> Subscription:
    """Subscribe, and read the status."""
    subscription = Subscription([path], frames=frames, timeout_s=PATIENCE_S)
    status = next_of(subscription)
    assert (status["event"], status["model"], status["paused"]) == ("status", "demo", False)
    assert {"time", "elapsed_s"} < status.keys()
    return subscription


def test_a_subscriber_gets_each_event_as_the_file_does(path: Path, state: ControlState, tmp_path: Path) -> None:
    events = Events(str(tmp_path / "events"))
    server = ControlServer(path, ControlCommands(state).answer, events)
    with follow(path) as one, follow(path) as two:
        for number in range(3):
            events.emit("announced", label="piñata \udc80", number=number)
        written = [json.loads(line) for line in (tmp_path / "events").read_text(encoding="utf-8").splitlines()]
        assert len(written) == 3
        for client in (one, two):
            assert [client.next(PATIENCE_S) for _ in range(3)] == written
    server.close()
    events.close()


@pytest.mark.usefixtures("server")
def test_frames_are_told_to_those_alone_who_want_them(path: Path, events: Events) -> None:
    assert not events.wants("frame")
    with follow(path) as plain:
        assert events.wants("announced")
        assert not events.wants("frame")
        with follow(path, frames=True) as all_:
            assert events.wants("frame")
            events.emit("frame", sequence=1)
            events.emit("paused")
            assert [next_of(all_)["event"], next_of(all_)["event"]] == ["frame", "paused"]
        assert next_of(plain)["event"] == "paused"
        wait_until(lambda: not events.wants("frame"))
    wait_until(lambda: not events.wants("announced"))


def test_the_file_gets_frames_only_by_its_own_setting(tmp_path: Path) -> None:
    for frames in (False, True):
        file = tmp_path / f"events-{frames}"
        events = Events(str(file), frames=frames)
        subscriber = events.subscribers.add(frames=True)
        events.emit("frame", sequence=1)
        assert b'"sequence": 1' in events.subscribers.take(subscriber)
        events.close()
        assert ("frame" in file.read_text()) is frames


@pytest.mark.usefixtures("server")
def test_a_request_on_the_same_connection_is_refused_and_the_events_go_on(path: Path, events: Events) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        client.sendall(b'{"command": "mutes"}\n{"command": "subscribe"}\n{"command": "mutes"}\n')
        with client.makefile("rb") as lines:
            told = [json.loads(lines.readline()) for _ in range(4)]
            assert told[0] == {"mutes": []}
            assert told[1] == {"subscribed": True}
            assert told[2]["event"] == "status"
            assert "this connection tells events" in told[3]["error"]
            events.emit("paused")
            assert json.loads(lines.readline())["event"] == "paused"


@pytest.mark.usefixtures("server")
def test_a_wrong_subscription_is_refused(path: Path) -> None:
    answer = ask([path], {"command": "subscribe", "frames": "yes"}, timeout_s=PATIENCE_S)
    assert answer == {"error": "frames: 'yes' is neither true nor false"}


def test_the_last_event_is_told_and_then_the_end(path: Path, state: ControlState, events: Events) -> None:
    server = ControlServer(path, ControlCommands(state).answer, events)
    with Subscription([path]) as client:
        events.emit("stopped", frames=1)
        server.close()
        assert [next_of(client)["event"] for _ in range(2)] == ["status", "stopped"]
        with pytest.raises(ControlError, match="edge closed the connection"):
            client.next(PATIENCE_S)
    with pytest.raises(NotRunning):
        Subscription([path])


def test_an_edge_that_does_not_know_the_command_is_named(path: Path) -> None:
    server = ControlServer(path, lambda _request: {"error": "unknown command 'subscribe'; known: status"})
    try:
        with pytest.raises(ControlError, match="unknown command 'subscribe'"):
            Subscription([path])
    finally:
        server.close()


@pytest.mark.usefixtures("server")
def test_a_slow_one_is_dropped_and_the_others_miss_nothing(path: Path, events: Events) -> None:
    """The one that publishes never waits: it would for ever, because nobody reads the slow one."""
    slow = follow(path)
    with follow(path) as quick:
        text = "x" * 1000
        number = 0
        while len(events.subscribers) == 2:
            events.emit("announced", text=text, number=number)
            assert next_of(quick)["number"] == number
            number += 1
            assert number < 10 * MOST_WAITING // 1000
    with slow, pytest.raises(ControlError, match=r"closed the connection|is lost"):
        list(slow)


@pytest.mark.usefixtures("server")
def test_there_is_a_limit_and_those_who_ask_take_no_place_from_them(path: Path, events: Events) -> None:
    followers = [follow(path) for _ in range(MOST_SUBSCRIBERS)]
    with pytest.raises(ControlError, match="8 programs follow the events already"):
        Subscription([path])
    asking = [socket.socket(socket.AF_UNIX) for _ in range(MOST_CLIENTS + 8)]
    for client in asking:
        client.connect(str(path))
    assert ask([path], {"command": "mutes"}, timeout_s=PATIENCE_S) == {"mutes": []}
    events.emit("paused")
    for one in followers:
        assert next_of(one)["event"] == "paused"
        one.close()
    for client in asking:
        client.close()
    wait_until(lambda: not len(events.subscribers))


@pytest.mark.usefixtures("server")
def test_it_stays_longer_than_a_client_that_asks(path: Path, events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.control_socket.ANSWER_S", 0.05)
    with follow(path) as client:
        assert client.next(0.2) is None
        events.emit("paused")
        assert client.next(PATIENCE_S) is not None


@pytest.mark.usefixtures("server")
def test_many_threads_tell_events_to_many_who_come_and_go(path: Path, events: Events) -> None:
    ends = threading.Event()

    def tell(name: int) -> None:
        number = 0
        while not ends.is_set():
            events.emit("announced", name=name, number=(number := number + 1))
            time.sleep(0.001)

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with follow(path) as client:
                last: dict[int, int] = {}
                for _ in range(30):
                    told = next_of(client)
                    assert told["number"] == last.get(told["name"], told["number"] - 1) + 1
                    last[told["name"]] = told["number"]
    finally:
        ends.set()
        for thread in threads:
            thread.join()


# ---- the daemon itself


def follow_until(client: Subscription, name: str) -> list[dict[str, Any]]:
    """All events up to the next of that name."""
    events = [next_of(client)]
    while events[-1]["event"] != name:
        events.append(next_of(client))
    return events


@pytest.mark.integration
def test_a_running_daemon_tells_all_that_it_does(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/socket.md").read_text(encoding="utf-8")
    table = page.partition("| field | meaning |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^(\|[^|]*\|)", table))))
    sock = socket_of(tmp_path)
    with daemon(tmp_path, "--speech", "log", "--events", str(tmp_path / "events")) as child:
        wait_until(lambda: sock.exists() and ask([sock], {"command": "status"}, PATIENCE_S).get("looks"))
        with Subscription([sock], frames=True) as client:
            (status,) = follow_until(client, "status")
            assert status.keys() == documented | {"event", "time", "elapsed_s"}
            assert 50 < status["memory_mib"] < status["memory_budget_mib"] + 500
            assert status["inference_ms"] > 0
            assert 0 <= status["frame_age_s"] < PATIENCE_S
            assert (status["camera_up"], status["precision"]) == (True, "float32")
            seen = follow_until(client, "in_view")
            assert all(frame["inference_ms"] > 0 for frame in seen if frame["event"] == "frame" and frame["looked"])
            follow_until(client, "announced")
            ask([sock], {"command": "snooze", "seconds": 600}, PATIENCE_S)
            until = ask([sock], {"command": "status"}, PATIENCE_S)["snoozed_until"]
            told = follow_until(client, "snoozed")[-1]["until"]
            assert abs(datetime.fromisoformat(told) - datetime.fromisoformat(until)) <= timedelta(seconds=1)
            ask([sock], {"command": "wake"}, PATIENCE_S)
            follow_until(client, "awake")
            ask([sock], {"command": "quieter"}, PATIENCE_S)
            assert follow_until(client, "adjusted")[-1]["volume"] == 0.71
            ask([sock], {"command": "pause"}, PATIENCE_S)
            follow_until(client, "paused")
            child.send_signal(signal.SIGTERM)
            follow_until(client, "stopped")
            with pytest.raises(ControlError, match="edge closed the connection"):
                client.next(PATIENCE_S)
        assert child.wait(10) == 0
    assert not named(read_events(tmp_path / "events"), "frame")
