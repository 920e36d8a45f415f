"""The link's subscription, with the daemon's real socket: the state is right, and right again after an outage."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rigs.processes import wait_until

from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.events import Events
from edge.link.parts import Ask
from edge.link.state import DOWN, LinkState
from edge.link.subscription import Subscriber


class RecordingPart:
    """A part that keeps what it is told."""

    def __init__(self, *, wants_frames: bool = False) -> None:
        self.wants_frames = wants_frames
        self.states: list[LinkState] = []
        self.events: list[Mapping[str, Any]] = []

    def start(self, ask: Ask) -> None:
        self.ask = ask

    def changed(self, state: LinkState) -> None:
        self.states.append(state)

    def happened(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    def alive(self) -> bool:
        return True

    def describe(self) -> str:
        return "a part"

    def stop(self) -> None:
        pass


class Daemon:
    """The daemon's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.events = Events()
        self.state = ControlState(None)
        self.state.show_status(lambda: {"version": "1.0", "model": "demo", "engine": "mxnet", "camera_up": True})
        self._server = ControlServer(path, ControlCommands(self.state).answer, self.events)

    def close(self) -> None:
        self._server.close()


@pytest.fixture(name="path")
def a_path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@contextmanager
def following(path: Path, *parts: RecordingPart) -> Iterator[Subscriber]:
    subscriber = Subscriber([path], parts)
    subscriber.start()
    try:
        yield subscriber
    finally:
        subscriber.stop()
        wait_until(lambda: not subscriber.alive())


def test_the_state_follows_the_daemon_through_its_life(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    part = RecordingPart()
    with following(path, part) as subscriber:
        subscriber.wait_for_first_try(60)
        assert part.states == [DOWN]
        for _ in range(3):
            daemon = Daemon(path)
            wait_until(lambda: part.states[-1].ready)
            daemon.events.emit("in_view", label="cup", text="I see a cup", probability=0.9)
            wait_until(lambda: part.states[-1].in_view == "cup")
            daemon.events.emit("sound", problem="no card")
            wait_until(lambda: part.states[-1].sound == "no card")
            assert part.states[-1].in_view == "cup"
            daemon.close()
            wait_until(lambda: part.states[-1] == DOWN)
    # what has not changed is not told
    assert all(one != other for one, other in zip(part.states, part.states[1:], strict=False))
    assert caplog.messages[:2] == ["edge is not running; the link keeps trying.", "edge 1.0 is reached."]


STARTING = {"version": "1.0", "starting": True}
RUNNING = {"version": "1.0", "model": "demo", "camera_up": True, "paused": True}


def test_a_daemon_that_starts_is_known_as_a_whole_when_it_is_ready(path: Path) -> None:
    daemon, part = Daemon(path), RecordingPart()
    daemon.state.show_status(lambda: STARTING)
    with following(path, part):
        wait_until(lambda: part.states[-1].up)
        daemon.state.show_status(lambda: RUNNING)
        daemon.events.emit("ready", model="demo", engine="mxnet")
        wait_until(lambda: part.states[-1].ready)
    assert [one.camera_up for one in part.states if one.ready] == [True]
    daemon.close()


def test_a_daemon_that_is_ready_without_a_frame_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # paused, for example: there is no event `ready`
    monkeypatch.setattr("edge.link.subscription.STATUS_S", 3600.0)
    daemon, part = Daemon(path), RecordingPart()
    daemon.state.show_status(lambda: STARTING)
    with following(path, part):
        wait_until(lambda: part.states[-1].up)
        daemon.state.show_status(lambda: RUNNING)
        wait_until(lambda: part.states[-1].ready)
    daemon.close()


def test_frames_come_only_if_a_part_wants_them(path: Path) -> None:
    daemon = Daemon(path)
    for wants in (False, True):
        part, other = RecordingPart(wants_frames=wants), RecordingPart()
        with following(path, part, other):
            wait_until(lambda part=part: part.states[-1].ready)  # type: ignore[misc]
            before = len(part.states)
            daemon.events.emit("frame", sequence=1, inference_ms=4.0)
            daemon.events.emit("notice", text="the end")
            wait_until(lambda part=part: part.states[-1].last_words == "the end")  # type: ignore[misc]
        names = [event["event"] for event in part.events]
        assert names == ["status", *(["frame"] if wants else []), "notice"]
        # a frame is no change
        assert len(part.states) == before + 1
    daemon.close()


def test_requests_reach_the_daemon(path: Path) -> None:
    daemon = Daemon(path)
    part = RecordingPart()
    with following(path, part) as subscriber:
        wait_until(lambda: part.states[-1].ready)
        assert subscriber.ask({"command": "snooze", "seconds": 60})["until"]
    daemon.close()
