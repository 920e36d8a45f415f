"""The whole daemon and its live camera: pause, resume, snapshot, how often it looks, and whoever is killed."""

import contextlib
import os
import random
import shutil
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import cv2
import pytest
from rigs.camera import HEIGHT, WIDTH, MjpegServer, is_red, scene, serving
from rigs.daemon import daemon, group_of, named, read_events, say
from rigs.processes import PATIENCE_S, left_in_shared_memory, shared_memory, wait_until, workers
from rigs.systemd import Listener

from edge.announce.notices import LOST, PAUSED, READY, RESUMED, SIGHT_AGAIN
from edge.stages import Frame

pytestmark = pytest.mark.integration


def notices(events: Path) -> list[str]:
    return [event["text"] for event in named(read_events(events), "notice")]


def live(server: MjpegServer, events: Path) -> list[str]:
    return ["--camera", server.url, "--speech", "log", "--events", str(events), "--events-frames"]


def test_paused_the_camera_is_closed_also_after_kill_9(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with serving(MjpegServer()) as server:
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        with daemon(tmp_path, *live(server, first / "events"), **environment) as child:
            wait_until(lambda: READY in notices(first / "events"))
            assert server.watched == 1
            assert say(tmp_path, "pause").returncode == 0
            wait_until(lambda: server.watched == 0)
            wait_until(lambda: PAUSED in notices(first / "events"))
            assert workers(child.pid) == []
            assert "silent because the camera is closed (edge resume opens it)" in say(tmp_path, "status").stdout
            refused = say(tmp_path, "snapshot", str(tmp_path / "a.jpg"))
            assert (refused.returncode, refused.stderr.count("\n")) == (69, 1)
            assert "edge resume" in refused.stderr
            frames = len(named(read_events(first / "events"), "frame"))
            time.sleep(4)  # longer than it takes to call a camera lost
            assert len(named(read_events(first / "events"), "frame")) == frames
            child.kill()
        events = read_events(first / "events")
        assert len(named(events, "paused")) == 1
        assert named(events, "sight") == named(events, "camera_lost") == []

        second.mkdir()
        with daemon(tmp_path, *live(server, second / "events"), **environment):
            wait_until(lambda: '"camera"' in say(tmp_path, "status", "--json").stdout)
            time.sleep(1)
            assert "silent because the camera is closed" in say(tmp_path, "status").stdout
            assert server.watched == 0
            assert named(read_events(second / "events"), "frame") == []
            assert say(tmp_path, "resume").returncode == 0
            wait_until(lambda: named(read_events(second / "events"), "frame"))
            assert server.watched == 1
            wait_until(lambda: {PAUSED, RESUMED, READY} == set(notices(second / "events")))
            assert named(read_events(second / "events"), "camera_lost") == []
        assert not (tmp_path / "state" / "edge" / "paused").exists()


def test_after_a_pause_a_still_scene_is_looked_at_anew(tmp_path: Path) -> None:
    """Or the answer of before the pause would be believed."""
    events = tmp_path / "events"
    with (
        serving(MjpegServer()) as server,
        daemon(tmp_path, *live(server, events), EDGE_MODEL_STILL_S="3600"),
    ):
        server.show = lambda _number: scene(5)
        wait_until(lambda: not (named(read_events(events), "frame") or [{"looked": True}])[-1]["looked"])
        assert say(tmp_path, "pause").returncode == 0
        wait_until(lambda: PAUSED in notices(events))
        frames = len(named(read_events(events), "frame"))
        assert say(tmp_path, "resume").returncode == 0
        wait_until(lambda: len(named(read_events(events), "frame")) > frames)
        assert named(read_events(events), "frame")[frames]["looked"]


def test_a_snapshot_shows_what_is_seen_now_and_nothing_else_is_written(tmp_path: Path) -> None:
    events = tmp_path / "events"
    picture = tmp_path / "now.jpg"
    with serving(MjpegServer()) as server, daemon(tmp_path, *live(server, events)):
        server.show = lambda _number: scene(5)
        wait_until(lambda: named(read_events(events), "ready"))
        before = {path for path in tmp_path.rglob("*") if stat.S_ISREG(path.lstat().st_mode)}
        told = say(tmp_path, "snapshot", str(picture))
        assert (told.returncode, told.stderr) == (0, "")
        pixels = cv2.imread(str(picture))
        assert pixels is not None
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert is_red(Frame(pixels[..., ::-1], 0, 0.0))  # type: ignore[arg-type]
        assert len(named(read_events(events), "snapshot")) == 1
        nowhere = say(tmp_path, "snapshot", str(tmp_path / "nowhere" / "now.jpg"))
        assert nowhere.returncode == 69
        assert "No such file or directory" in nowhere.stderr
        assert say(tmp_path, "snapshot", str(tmp_path / "now.gif")).returncode == 2
        after = {path for path in tmp_path.rglob("*") if stat.S_ISREG(path.lstat().st_mode)}
        assert after - before == {picture}


def test_a_camera_that_is_not_there_at_the_start_is_waited_for_if_asked(tmp_path: Path, listener: Listener) -> None:
    """As the service does, which nobody watches: it is ready when it has said so, and looks as soon as it can."""
    events = tmp_path / "events"
    with (
        serving(MjpegServer()) as server,
        daemon(tmp_path, *live(server, events), EDGE_CAMERA_WAIT="true", WATCHDOG_USEC="4000000") as child,
    ):
        server.missing.set()
        wait_until(lambda: LOST in notices(events))
        assert "READY=1" in listener.heard()
        told = len(listener.states)
        wait_until(lambda: listener.heard() and listener.states[told:].count("WATCHDOG=1") >= 3)
        assert "READY=1" not in listener.states[told:]
        assert child.poll() is None
        server.missing.clear()
        wait_until(lambda: SIGHT_AGAIN in notices(events))
        assert len(named(read_events(events), "camera_lost")) == 1
        assert len(named(read_events(events), "camera_back")) == 1
        assert named(read_events(events), "frame")
        wait_until(lambda: any("looking through stream" in state for state in listener.heard()))


def test_without_asking_it_ends(tmp_path: Path) -> None:
    with serving(MjpegServer()) as server:
        server.missing.set()
        with daemon(tmp_path, *live(server, tmp_path / "events")) as child:
            assert child.wait(60) == 69


def test_told_not_to_look_it_is_ready_nevertheless(tmp_path: Path, listener: Listener) -> None:
    """Or systemd would wait for it, and start it again and again."""
    (tmp_path / "state" / "edge").mkdir(parents=True)
    (tmp_path / "state" / "edge" / "paused").touch()
    with (
        serving(MjpegServer()) as server,
        daemon(tmp_path, *live(server, tmp_path / "events"), XDG_STATE_HOME=str(tmp_path / "state")),
    ):
        wait_until(lambda: "READY=1" in listener.heard())
        assert any("paused" in state for state in listener.states)
        assert server.watched == 0


def test_no_more_frames_a_second_than_asked_for(tmp_path: Path) -> None:
    events = tmp_path / "events"
    with (
        serving(MjpegServer(rate_hz=30)) as server,
        daemon(tmp_path, *live(server, events), "--frames", "16", EDGE_CAMERA_MAX_FPS="4") as child,
    ):
        assert child.wait(PATIENCE_S) == 0
    frames = named(read_events(events), "frame")
    assert len(frames) == 16
    # one that is late, as the first may be on a busy machine, is nearer to the last one: not all of the first are
    last = len(frames) - 1
    times_s = [frame["elapsed_s"] for frame in frames]
    assert any(last - first <= 4.2 * (times_s[last] - times_s[first]) for first in range(5))


def test_a_still_scene_is_looked_at_now_and_then_and_a_change_at_once(tmp_path: Path) -> None:
    events = tmp_path / "events"
    with serving(MjpegServer(rate_hz=20)) as server:
        server.show = lambda _number: scene(37)
        with daemon(tmp_path, *live(server, events), EDGE_MODEL_STILL_S="3600"):
            wait_until(lambda: len(named(read_events(events), "frame")) >= 40)
            before = named(read_events(events), "frame")
            assert not any(frame["looked"] for frame in before[20:])
            assert len({(frame["label"], frame["probability"]) for frame in before[20:]}) == 1
            server.show = lambda _number: scene(700)
            wait_until(lambda: any(frame["looked"] for frame in named(read_events(events), "frame")[len(before) :]))


def descriptors(pid: int) -> list[str]:
    """What a process holds for its children: pipes, sockets, memory (and files, while it reads them)."""
    held = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            held.append(str(entry.readlink()).partition(":[")[0])
    return sorted(what for what in held if what in ("pipe", "socket") or what.startswith("/memfd:"))


def test_whoever_is_killed_nothing_is_left(tmp_path: Path, long: bool) -> None:
    """The daemon, its camera's child, or both, at any moment; a child that was killed alone is replaced."""
    dice = random.Random(50)
    before, daemons = shared_memory(), set()
    temporary = tmp_path / "temporary"
    with serving(MjpegServer()) as server:
        for number in range(50 if long else 4):
            temporary.mkdir()
            events = temporary / "events"
            with daemon(temporary, *live(server, events)) as child:
                session: int = child.session  # type: ignore[attr-defined]
                daemons.add(child.pid)
                whom = dice.choice(["daemon", "camera", "both"]) if number > 2 else ("daemon", "camera", "both")[number]
                # a camera that fails when it is first opened is not waited for; each shared memory is mapped by a frame
                wait_until(lambda: named(read_events(events), "frame")[2:] if whom == "camera" else server.watched)  # noqa: B023
                time.sleep(dice.uniform(0, 1.5))
                held = descriptors(child.pid)
                if whom in ("camera", "both"):
                    for worker in workers(child.pid):
                        with contextlib.suppress(ProcessLookupError):  # another takes its place at this moment
                            os.kill(worker, signal.SIGKILL)
                if whom in ("daemon", "both"):
                    child.kill()
                else:
                    wait_until(lambda: named(read_events(events), "camera_back"))  # noqa: B023
                    frames = len(named(read_events(events), "frame"))
                    wait_until(lambda: len(named(read_events(events), "frame")) > frames + 3)  # noqa: B023
                    assert descriptors(child.pid) == held
                    child.terminate()
                child.wait(30)
                wait_until(lambda: group_of(session) == [])  # noqa: B023
            wait_until(lambda: server.watched == 0)
            shutil.rmtree(temporary)
    assert left_in_shared_memory(before, daemons) == set()
