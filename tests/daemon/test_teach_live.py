"""A daemon with a camera at a real pace learns a thing by the command and the socket, and is killed meanwhile."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rigs.camera import MjpegServer, serving
from rigs.daemon import ROOT, daemon, named, read_events, say, socket_of
from rigs.lessons import REX, Stage
from rigs.processes import wait_until

from edge.host.control_client import ask
from edge.models.taught.store import TaughtStore

pytestmark = pytest.mark.integration
DEMO = ("--model", "demo", "--engine", "onnx", "--speech", "log")


@contextmanager
def taught_by_camera(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Path, Stage]]:
    """A daemon that is ready, its events, and what is before its camera."""
    events = tmp_path / "events"
    stage = Stage(events)
    with serving(MjpegServer(8)) as camera:
        camera.show = stage.show
        told = ["--camera", camera.url, "--events", str(events), *DEMO, *arguments]
        with daemon(tmp_path, *told, XDG_STATE_HOME=str(tmp_path / "xdg-state")) as process:
            wait_until(lambda: named(read_events(events), "ready"))
            yield process, events, stage


def teach(tmp_path: Path, *arguments: str, command: str = "teach") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "edge", command, *arguments, "--socket", str(socket_of(tmp_path))]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_follows_the_dialogue(tmp_path: Path) -> None:
    with taught_by_camera(tmp_path) as (_process, events, stage):
        command = teach(tmp_path, "my keys")
        out, err = command.communicate(timeout=120)
        assert command.returncode == 0, err
        lines = [line for line in err.splitlines() if not line.startswith(("Views", "Learning", "Empty place", "turn"))]
        assert lines[:2] == ["First show me the place without my keys.", "Now show me my keys, slowly, from all sides."]
        assert out.startswith("I know my keys now")
        assert out.endswith(" of 3 views recognised.\n")
        stage.always = True
        wait_until(lambda: [one for one in named(read_events(events), "announced") if one["taught"]])
        told = read_events(events)
        # nothing else was said meanwhile
        begun = told.index(named(told, "teaching")[0])
        ended = told.index(named(told, "teaching_ended")[0])
        assert not named(told[begun:ended], "announced")
        assert named(told, "announced")[-1]["text"] == "I see my keys"
        (end,) = named(told, "teaching_ended")
        assert (end["learnt"], end["reason"], end["held_back"]) == (True, None, 3)
        # each sentence was an answer
        notices = [one["text"] for one in named(told, "notice")]
        assert {one["text"] for one in named(told, "teaching") if one["text"]} <= set(notices)
        assert json.loads(say(tmp_path, "status", "--json").stdout)["taught"] == ["my keys"]
        again = teach(tmp_path, "my keys")
        assert again.communicate(timeout=60)[1].endswith(
            "edge knows 'my keys' already: add views (--more), or have it learnt from new views alone (--replace)\n"
        )
        assert again.returncode == 69


@pytest.mark.parametrize("by", ["ctrl-c", pytest.param("another", marks=pytest.mark.long)])
def test_the_command_ends_when_it_is_cancelled(tmp_path: Path, by: str) -> None:
    with taught_by_camera(tmp_path) as (_process, events, _stage):
        command = teach(tmp_path, "my keys")
        wait_until(lambda: any(one["phase"] == "thing" for one in named(read_events(events), "teaching")))
        if by == "ctrl-c":
            command.send_signal(signal.SIGINT)
        else:
            assert say(tmp_path, "teach", "--cancel").stdout == "Stopped learning: my keys. Nothing was changed.\n"
        err = command.communicate(timeout=60)[1]
        assert command.returncode == 78
        assert err.splitlines()[-1] == "edge: I've stopped. I've learnt nothing new about my keys; nothing was changed"
        assert named(read_events(events), "teaching_ended")[0]["reason"] == "cancelled"
        assert say(tmp_path, "teach", "--cancel").stdout == "edge is learning nothing now.\n"
    assert TaughtStore().read() == []


def test_ctrl_c_ends_aiming_too(tmp_path: Path) -> None:
    with taught_by_camera(tmp_path):
        command = teach(tmp_path, command="aim")
        assert command.stdout is not None
        assert "of the best" in command.stdout.readline()
        command.send_signal(signal.SIGINT)
        assert command.communicate(timeout=60)[0].endswith("Aiming has ended.\n")
        assert command.returncode == 0
        assert ask([socket_of(tmp_path)], {"command": "aim"}) == {"aiming": False}


def test_a_daemon_that_stops_says_that_nothing_is_learnt(tmp_path: Path) -> None:
    with taught_by_camera(tmp_path) as (process, events, _stage):
        command = teach(tmp_path, "my keys")
        wait_until(lambda: any(one["phase"] == "thing" for one in named(read_events(events), "teaching")))
        process.terminate()
        assert command.communicate(timeout=60)[1].splitlines()[-1] == "edge: edge has ended; nothing was changed"
        assert command.returncode == 78
        assert process.wait(30) == 0
        assert named(read_events(events), "teaching_ended")[0]["reason"] == "stopped"


def test_without_a_daemon_one_line_says_how(tmp_path: Path) -> None:
    command = teach(tmp_path, "my keys")
    assert command.communicate(timeout=60)[1] == (
        "edge: edge is not running here: start it with edge run, or sudo systemctl start edge; without a camera, "
        "--images DIR learns from pictures\n"
    )
    assert command.returncode == 69


def test_killed_at_any_moment_all_known_things_are_there(tmp_path: Path, long: bool) -> None:
    """All known things are there, or all but the new one; and the next start works."""
    chance = random.Random(29)
    (tmp_path / "first").mkdir()
    with taught_by_camera(tmp_path / "first") as (_process, events, _stage):
        ask([socket_of(tmp_path / "first")], {"command": "teach", "name": "my keys"})
        wait_until(lambda: named(read_events(events), "teaching_ended"))
        assert named(read_events(events), "teaching_ended")[0]["learnt"]
    state = tmp_path / "first" / "xdg-state"
    store = TaughtStore(state / "edge" / "taught")
    keys = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    learnt = 0
    for number in range(50 if long else 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "xdg-state").symlink_to(state)
        with taught_by_camera(folder) as (process, events, stage):
            assert json.loads(say(folder, "status", "--json").stdout)["taught"] == ["my keys"]
            stage.kind = REX
            ask([socket_of(folder)], {"command": "teach", "name": "Rex"})
            if number % 2 == 0:  # just when it is kept
                wait_until(lambda: any(one["phase"] == "learning" for one in named(read_events(events), "teaching")))
                time.sleep(chance.uniform(0, 1.5))
            else:
                time.sleep(chance.uniform(0, 12))
            process.kill()
            process.wait(30)
        names = [thing.name for thing in store.read()]
        assert names in (["my keys"], ["my keys", "Rex"])
        assert keys.items() <= {path.name: path.read_bytes() for path in store.folder.iterdir()}.items()
        if "Rex" in names:
            learnt += 1
            store.forget("Rex")
    if long:
        assert 0 < learnt < 50
