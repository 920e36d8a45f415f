"""What the whole daemon says of itself, and what it answers, whatever it is doing."""

import datetime
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rigs.audio.card import RecordingCard
from rigs.camera import HEIGHT, WIDTH, MjpegServer, scene, serving
from rigs.daemon import daemon, named, read_events, socket_of
from rigs.processes import PATIENCE_S, wait_until

from edge.announce.notices import COVERED, DARK, LOST, READY, SIGHT_AGAIN
from edge.errors import ControlError
from edge.host.control_client import ask
from edge.stages import Pixels

pytestmark = pytest.mark.integration


def flat(brightness: int) -> Callable[[int], Pixels]:
    """Frames of one brightness with the noise of a sensor, as of a covered camera."""
    noise = np.random.default_rng(5).normal(brightness, 2, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    return lambda _number: noise


def notices(events: Path) -> list[str]:
    return [event["text"] for event in named(read_events(events), "notice")]


class Stepper:
    """Takes away the camera's sight in each way there is, and gives it back, until `steps` are over."""

    def __init__(self, server: MjpegServer) -> None:
        self._server = server

    def blind(self, why: str) -> None:
        """Make it so that edge must say `why`."""
        if why == LOST:
            self._server.silent.set()
        else:
            self._server.show = flat(0 if why == DARK else 120)

    def give_back(self) -> None:
        """Let it see again."""
        self._server.silent.clear()
        self._server.show = scene


def test_each_blindness_is_said_once_and_its_end(tmp_path: Path) -> None:
    events = tmp_path / "events"
    with serving(MjpegServer()) as server:
        arguments = ["--camera", server.url, "--speech", "log", "--events", str(events)]
        with daemon(tmp_path, *arguments, EDGE_ALOUD_REPEAT_S="1", EDGE_CAMERA_READ_TIMEOUT_S="1"):
            stepper, expected = Stepper(server), [READY]
            wait_until(lambda: notices(events) == expected)
            for why in (COVERED, DARK, LOST):
                for sentence in (why, SIGHT_AGAIN):
                    if sentence == why:
                        stepper.blind(why)
                    else:
                        stepper.give_back()
                    expected.append(sentence)
                    wait_until(lambda: notices(events) == expected)
                    time.sleep(2)  # longer than `repeat_s`: it must not be said again
                    assert notices(events) == expected


def test_in_quiet_hours_nothing_is_said(tmp_path: Path) -> None:
    events = tmp_path / "events"
    now = datetime.datetime.now()
    quiet = "-".join(f"{now + datetime.timedelta(hours=hours):%H:%M}" for hours in (-1, 1))
    with serving(MjpegServer()) as server:
        arguments = ["--camera", server.url, "--speech", "log", "--events", str(events)]
        environment = {"EDGE_ANNOUNCE_QUIET_HOURS": quiet, "EDGE_CAMERA_READ_TIMEOUT_S": "1"}
        with daemon(tmp_path, *arguments, **environment):
            stepper = Stepper(server)
            for number, why in enumerate((COVERED, DARK, LOST)):
                wait_until(lambda: named(read_events(events), "ready"))
                stepper.blind(why)
                wait_until(lambda: sight_changes(events)[2 * number :] == [why])  # noqa: B023
                stepper.give_back()
                wait_until(lambda: sight_changes(events)[2 * number :] == [why, None])  # noqa: B023
            status = ask([socket_of(tmp_path)], {"command": "status"})
            assert status["silence"] == status["silent_because"]["reason"] == "quiet hours"
    conditions = [event["condition"] for event in named(read_events(events), "sight")]
    assert conditions == ["covered", None, "dark", None, "lost", None]
    assert {"announced", "notice", "spoken"}.isdisjoint(event["event"] for event in read_events(events))


def sight_changes(events: Path) -> list[str | None]:
    return [event["problem"] for event in named(read_events(events), "sight")]


class Asker:
    """Asks again and again from a thread, and keeps the longest wait for an answer."""

    def __init__(self, path: Path, *more: str) -> None:
        self.worst_s = 0.0
        self.answers: list[dict[str, Any]] = []
        self._path = path
        self._commands = ("status", "missed", "mutes", *more)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            for command in self._commands:
                asked_s = time.monotonic()
                try:
                    answer = ask([self._path], {"command": command}, timeout_s=PATIENCE_S)
                except ControlError:
                    if self.answers:
                        raise
                    break  # not there yet
                self.worst_s = max(self.worst_s, time.monotonic() - asked_s)
                assert "error" not in answer
                if command == "status":
                    self.answers.append(answer)


def test_it_answers_at_once_whatever_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it loads, looks, speaks, is snoozed and is blind: from the first moment that the socket is there.

    How long that takes is printed (0.2 s are promised); what is looked at is that no answer waits for the work's end.
    """
    events = tmp_path / "events"
    folder = tmp_path / "card"
    folder.mkdir()
    card = RecordingCard(folder, "real")
    speech = "pyttsx3" if shutil.which("aplay") and shutil.which("espeak-ng") else "log"
    worst_s = {}
    with serving(MjpegServer()) as server:
        arguments = ["--camera", server.url, "--model", "demo", "--speech", speech, "--events", str(events)]
        environment = {"EDGE_SPEECH_RATE_WPM": "80", "EDGE_CAMERA_READ_TIMEOUT_S": "1", **card.environment}
        with daemon(tmp_path, *arguments, **environment):
            with Asker(socket_of(tmp_path)) as asker:
                wait_until(lambda: READY in notices(events))
            assert asker.answers[0].get("starting")
            worst_s["loading"] = asker.worst_s
            with Asker(socket_of(tmp_path), "look") as asker:
                # the words that it is asked for take seconds
                wait_until(lambda: len(named(read_events(events), "spoken")) >= 3)
            assert len(asker.answers) > len(named(read_events(events), "spoken"))
            worst_s["speaking"] = asker.worst_s
            assert ask([socket_of(tmp_path)], {"command": "snooze", "seconds": 60})["until"]
            with Asker(socket_of(tmp_path)) as asker:
                wait_until(lambda: asker.answers and asker.answers[-1]["silence"])
                some_more(asker)
            worst_s["snoozed"] = asker.worst_s
            Stepper(server).blind(LOST)
            wait_until(lambda: sight_changes(events) == [LOST])
            with Asker(socket_of(tmp_path)) as asker:
                wait_until(lambda: asker.answers and asker.answers[-1]["sight"] == LOST)
                wait_until(lambda: asker.answers[-1]["silent_because"]["reason"] == "blind")
                some_more(asker)
            worst_s["blind"] = asker.worst_s
    with capsys.disabled():
        print({state: f"{1000 * worst:.0f} ms" for state, worst in worst_s.items()})


def some_more(asker: Asker) -> None:
    answers = len(asker.answers)
    wait_until(lambda: len(asker.answers) > answers + 20)


def snoozed(socket: Path) -> bool:
    """Whether it could be told; for a moment its socket is there and nobody listens yet."""
    try:
        return bool(ask([socket], {"command": "snooze", "seconds": 600})["until"])
    except ControlError:
        return False


def test_what_was_missed_is_listed(tmp_path: Path) -> None:
    """Snoozed as soon as it can be asked: nothing is said any more, and each thing is listed."""
    events = tmp_path / "events"
    with daemon(tmp_path, "--speech", "log", "--model", "demo", "--events", str(events)):
        wait_until(lambda: snoozed(socket_of(tmp_path)))
        # on a machine that does much else it may have begun to speak by then
        said = len(named(read_events(events), "announced")) + len(notices(events))
        wait_until(lambda: len(named(read_events(events), "missed")) >= 3)
        missed = ask([socket_of(tmp_path)], {"command": "missed"})["missed"]
        told = named(read_events(events), "missed")
    assert [entry["label"] for entry in missed[:3]] == [event["label"] for event in told[:3]]
    assert all(entry["reason"] == "snoozed" for entry in missed)
    for entry in missed:
        assert abs((datetime.datetime.now().astimezone() - datetime.datetime.fromisoformat(entry["time"])).seconds) < 60
    assert len(named(read_events(events), "announced")) + len(notices(events)) == said


def test_a_mute_outlives_kill_9(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for commands in ([{"command": "mute", "label": "guitar"}], []):
        folder = tmp_path / f"run {len(commands)}"
        folder.mkdir()
        arguments = ["--speech", "log", "--model", "demo", "--events", str(folder / "events")]
        with daemon(folder, *arguments, XDG_STATE_HOME=str(state)) as child:
            wait_until(lambda: named(read_events(folder / "events"), "ready"))  # noqa: B023
            for command in commands:
                assert ask([socket_of(folder)], command)["lasting"]
            if not commands:
                assert ask([socket_of(folder)], {"command": "mutes"}) == {"mutes": ["guitar"]}
            os.kill(child.pid, 9)
            child.wait()
