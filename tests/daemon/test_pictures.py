"""Clients that look at the picture: few pictures, none in secret, none while paused; a slow client costs nothing."""

import base64
import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rigs.daemon import daemon, named, read_events, say, socket_of
from rigs.processes import PATIENCE_S, wait_until

from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.pictures import LONGEST_SIDE, Pictures
from edge.daemon.viewers import MOST_VIEWERS, Viewers
from edge.errors import ControlError
from edge.host.control_client import Pictures as Looking
from edge.host.control_client import Subscription, ask, line_of
from edge.stages import Frame, Pixels


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def state(tmp_path: Path) -> ControlState:
    return ControlState(tmp_path / "state" / "mutes.json")


@pytest.fixture
def server(path: Path, state: ControlState) -> Iterator[ControlServer]:
    server = ControlServer(path, ControlCommands(state).answer, viewers=state.viewers)
    yield server
    server.close()
    assert not len(state.viewers)


def look(path: Path) -> Looking:
    return Looking([path], timeout_s=PATIENCE_S)


def next_of(looking: Looking) -> dict[str, Any]:
    """The next line, which must come."""
    line = looking.next(PATIENCE_S)
    assert line is not None
    return line


def publish(state: ControlState, **picture: Any) -> None:
    state.viewers.publish(line_of(picture), state.viewers.round)


def frame(number: int, width: int = 640, height: int = 480) -> Frame:
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[:, ::8] = 200
    return Frame(pixels, number, number / 30)


def decoded(jpeg: str) -> Pixels:
    """The picture in a JPEG, blue first."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


# ---- the socket


@pytest.mark.usefixtures("server")
def test_all_who_look_get_the_same_pictures(path: Path, state: ControlState) -> None:
    publish(state, number=0)  # for nobody
    with look(path) as one, look(path) as two:
        assert ask([path], {"command": "status"}, PATIENCE_S)["watched"] == 2
        for number in range(1, 4):
            publish(state, number=number)
            assert (next_of(one), next_of(two)) == ({"number": number}, {"number": number})
        with look(path) as late:
            assert next_of(late) == {"number": 3}
        wait_until(lambda: len(state.viewers) == 2)
    wait_until(lambda: not len(state.viewers))
    with look(path) as again:
        assert again.next(0.05) is None  # the last picture of those before is forgotten


@pytest.mark.usefixtures("server")
def test_a_slow_one_misses_pictures_and_the_others_none(path: Path, state: ControlState) -> None:
    text = "x" * 50_000
    with look(path) as slow, look(path) as quick:
        for number in range(50):
            publish(state, number=number, text=text)
            assert next_of(quick)["number"] == number
        got = [next_of(slow)["number"]]
        while got[-1] < 49:
            got.append(next_of(slow)["number"])
    assert len(got) < 5
    assert got == sorted(got)


@pytest.mark.usefixtures("server")
def test_one_that_takes_nothing_is_dropped(path: Path, state: ControlState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.control_socket.PICTURE_S", 0.2)
    with look(path) as idle:
        assert idle.next(0.4) is None  # there is nothing to take: it stays
        publish(state, text="x" * 200_000)
        wait_until(lambda: not len(state.viewers))
        with pytest.raises(ControlError):
            list(idle)


@pytest.mark.usefixtures("server")
def test_a_pause_ends_it_and_nobody_looks_while_paused(path: Path, state: ControlState) -> None:
    with look(path) as one, look(path) as stuck, look(path) as other:
        publish(state, text="x" * 200_000)
        assert len(next_of(one)["text"]) == 200_000
        taken = state.viewers.round
        ask([path], {"command": "pause"}, PATIENCE_S)
        assert next_of(one) == {"ended": "paused"}
        with pytest.raises(ControlError, match="closed the connection"):
            one.next(PATIENCE_S)
        # what was sent in part is either completed at once or broken off; nothing follows
        for client in (stuck, other):
            with pytest.raises(ControlError):
                list(client)
        with pytest.raises(ControlError, match="edge is paused: edge resume opens"):
            look(path)
        ask([path], {"command": "resume"}, PATIENCE_S)
        with look(path) as again:
            state.viewers.publish(line_of({"number": 1}), taken)  # a frame from before the pause
            publish(state, number=2)
            assert next_of(again) == {"number": 2}


def test_a_pause_that_lasts_over_a_restart_holds_for_the_picture_too(path: Path, tmp_path: Path) -> None:
    ControlState(tmp_path / "mutes.json").set_paused(True)
    state = ControlState(tmp_path / "mutes.json")
    with pytest.raises(ControlError, match="edge is paused"):
        state.viewers.add("anybody")
    state.set_paused(False)
    assert len([state.viewers.add("anybody")]) == 1


@pytest.mark.usefixtures("server")
def test_the_settings_may_forbid_it(path: Path, state: ControlState) -> None:
    with look(path) as client:
        state.allow_pictures(False)
        assert next_of(client) == {"ended": "off"}
    with pytest.raises(ControlError, match=r"do not allow this: \[link\] picture = false"):
        look(path)
    assert ask([path], {"command": "status"}, PATIENCE_S)["picture"] is False
    state.set_paused(True)
    state.set_paused(False)
    with pytest.raises(ControlError, match="do not allow"):
        look(path)
    state.allow_pictures(True)
    look(path).close()


def test_the_end_of_the_daemon_is_told(path: Path, state: ControlState) -> None:
    server = ControlServer(path, ControlCommands(state).answer, viewers=state.viewers)
    with look(path) as client:
        server.close()
        assert next_of(client) == {"ended": "stopped"}
        with pytest.raises(ControlError):
            client.next(PATIENCE_S)


@pytest.mark.usefixtures("server")
def test_there_is_a_limit_and_a_viewer_cannot_ask(path: Path, state: ControlState) -> None:
    looking = [look(path) for _ in range(MOST_VIEWERS)]
    with pytest.raises(ControlError, match="4 programs look at the picture already"):
        look(path)
    for one in looking:
        one.close()
    wait_until(lambda: not len(state.viewers))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        client.sendall(b'{"command": "picture"}\n{"command": "pause"}\n{"command": "picture"}\n')
        with client.makefile("rb") as lines:
            assert lines.readline() == b'{"watching": true}\n'
            publish(state, number=1)
            assert lines.readline() == b'{"number": 1}\n'
    assert not state.paused


# ---- from a frame to a picture


class Eye:
    """Pictures for one viewer, each awaited."""

    def __init__(self) -> None:
        self.viewers = Viewers()
        self.pictures = Pictures(self.viewers)
        self.viewer = self.viewers.add("somebody")
        self.lines: list[bytes] = []

    def take(self, one: Frame, now_s: float) -> None:
        self.pictures.take(one, now_s)
        # from Python 3.13 on a thread is no longer listed a moment before it counts as ended
        if (thread := self.pictures._thread) is not None:
            thread.join(PATIENCE_S)
        if line := self.viewers.take(self.viewer):
            self.lines.append(line)


def drawing() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "picture"]


@pytest.mark.parametrize(("rate_hz", "pictures"), [(100, 15), (30, 15), (12, 12), (10, 15), (7, 10), (5, 15), (2, 6)])
def test_there_are_at_most_five_a_second(rate_hz: int, pictures: int) -> None:
    eye = Eye()
    for number in range(3 * rate_hz):
        eye.take(frame(number, 64, 48), 1000 + number / rate_hz)
    assert pictures - 1 <= len(eye.lines) <= 16  # both ends of 3 s count


def test_a_picture_shows_the_frame_and_how_sharp_it_is() -> None:
    eye = Eye()
    sharp, shape = frame(0, 1280, 960), (480, 640, 3)
    flat = Frame(np.full((960, 1280, 3), 120, np.uint8), 1, 0.0)
    told = []
    for number, one in enumerate([sharp, sharp, sharp, flat]):
        eye.take(one, number)
        told.append(json.loads(eye.lines[-1]))
    assert [(one["width"], one["height"]) for one in told] == [(LONGEST_SIDE, 480)] * 4
    assert decoded(told[0]["jpeg"]).shape == shape
    assert abs(float(decoded(told[3]["jpeg"]).mean()) - 120) < 2
    assert told[2]["best"] == told[2]["sharpness"] > told[3]["sharpness"]
    assert [one["still"] for one in told] == [True, True, True, False]
    assert {one["light"] for one in told} == {"good"}


def test_the_camera_may_overwrite_its_frame() -> None:
    viewers = Viewers()
    viewer = viewers.add("somebody")
    one = Frame(np.full((480, 640, 3), 250, np.uint8), 0, 0.0)
    Pictures(viewers).take(one, 1000)
    one.pixels[:] = 0
    line = wait_until(lambda: viewers.take(viewer))
    assert decoded(json.loads(line)["jpeg"]).mean() > 240


def test_none_is_made_while_nobody_looks() -> None:
    eye = Eye()
    eye.viewers.remove(eye.viewer)
    eye.take(frame(0), 1000)
    eye.viewers.close("paused")
    eye.take(frame(1), 2000)
    assert eye.lines == []


# ---- the daemon itself


@pytest.mark.integration
def test_looking_is_seen_heard_and_logged(tmp_path: Path) -> None:
    sock, events = socket_of(tmp_path), tmp_path / "events"
    config = tmp_path / "edge.toml"
    text = '[camera]\nsource = "demo"\nloop = true\n[model]\nname = "demo"\n[speech]\ndriver = "log"\n'
    config.write_text(text)
    arguments = ["--config", str(config), "--events", str(events)]
    with daemon(tmp_path, *arguments, XDG_STATE_HOME=str(tmp_path / "state")) as child:
        wait_until(lambda: sock.exists() and ask([sock], {"command": "status"}, PATIENCE_S).get("looks"))
        with Subscription([sock], timeout_s=PATIENCE_S) as following, look(sock) as client:
            pictures = [next_of(client) for _ in range(8)]
            assert decoded(pictures[0]["jpeg"]).shape == (240, 320, 3)
            numbers = [one["sequence"] for one in pictures]
            assert numbers == sorted(set(numbers))
            assert len({one["jpeg"] for one in pictures}) > 1
            assert max(one["best"] for one in pictures) > 0
            status = ask([sock], {"command": "status"}, PATIENCE_S)
            assert (status["watched"], status["picture"], status["quiet_hours"]) == (1, True, None)
            assert status["needed"] == {"see": 0.96, "maybe": 0.8}
            assert "SHOWN to 1 program" in say(tmp_path, "status").stdout
            wait_until(lambda: [one for one in named(read_events(events), "notice") if "looking" in one["text"]])
            ask([sock], {"command": "pause"}, PATIENCE_S)
            while "ended" not in (last := next_of(client)):
                pass
            assert last == {"ended": "paused"}
            told: list[int] = []
            while not told or told[-1] != 0:
                event = following.next(PATIENCE_S)
                assert event is not None
                told += [event["clients"]] if event["event"] == "watched" else []
            assert told == [1, 0]
        assert ask([sock], {"command": "status"}, PATIENCE_S)["watched"] == 0
        ask([sock], {"command": "resume"}, PATIENCE_S)
        with look(sock) as client:
            next_of(client)
            config.write_text(f"{text}[link]\npicture = false\n")
            child.send_signal(signal.SIGHUP)
            while "ended" not in (last := next_of(client)):
                pass
            assert last == {"ended": "off"}
        labels = ask([sock], {"command": "labels"}, PATIENCE_S)["labels"]
        assert "guitar" in labels
        assert labels == sorted(set(labels))
        found = wait_until(lambda: ask([sock], {"command": "doctor"}, PATIENCE_S)["findings"])
        assert {"memory", "disk", "clock", "voice", "camera", "model", "silence"} <= {one["check"] for one in found}
        assert {"check", "grade", "text", "advice"} == set(found[0])
        wait_until(lambda: [one["clients"] for one in named(read_events(events), "watched")] == [1, 0, 1, 0])
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        assert child.stdout
        log = child.stdout.read()
    assert log.count("Somebody is looking at the picture: a program of the user") == 2
    assert log.count("The picture is not shown any more.") == 2
