"""Memory gets tight while the daemon runs: one step down, said once, the camera never lost."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rigs.boards import Board, meminfo, write, write_board
from rigs.processes import wait_until
from rigs.stores import store_of

from edge import service
from edge.config import load
from edge.host.machine import Machine
from edge.pipeline import Limits

pytestmark = pytest.mark.integration
CGROUP = Path("/sys/fs/cgroup/memory")
BOARD = Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(machine: Machine, events: Path, frames: int, **model: Any) -> list[dict[str, Any]]:
    camera = {"source": "demo", "loop": True}
    told = {"events": str(events), "events_frames": True}
    settings = load(flags={"camera": camera, "speech": {"driver": "log"}, "service": told, "model": model})
    assert service.run(settings, Limits(frames=frames), machine=machine) == 0
    return read_events(events)


@contextlib.contextmanager
def when_it_looks(events: Path, path: Path, text: str) -> Iterator[None]:
    """Write a file when the daemon has looked at a few frames, in the background."""

    def wait_and_write() -> None:
        wait_until(lambda: events.exists() and events.read_text().count('"event": "frame"') >= 5)
        write(path, text)

    thread = threading.Thread(target=wait_and_write)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_one_step_down_said_once_and_frames_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = write_board(tmp_path / "root", BOARD)
    machine = Machine(root)
    store_of(tmp_path / "data", machine, large=400, middle=250, small=100)
    with when_it_looks(tmp_path / "events", root / "proc" / "meminfo", meminfo(1900, 60)):
        events = run(machine, tmp_path / "events", frames=100)
    assert next(event for event in events if event["event"] == "ready")["model"] == "large"
    (change,) = (event for event in events if event["event"] == "model_changed")
    assert (change["before"], change["model"], change["cause"]) == ("large", "middle", "memory")
    assert "60 MiB are left" in change["reason"]
    assert [event["text"] for event in events if event["event"] == "notice"] == ["I'm ready.", "Using a smaller model."]
    frames = [event["elapsed_s"] for event in events if event["event"] == "frame"]
    after = [at_s for at_s in frames if at_s > change["elapsed_s"]]
    assert len(after) > 10
    # the reels were not begun anew: the camera was never closed
    numbers = [event["sequence"] for event in events if event["event"] == "frame"]
    assert numbers == sorted(numbers)
    assert capsys.readouterr().out.count("Using a smaller model") == 1


def test_the_smallest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = write_board(tmp_path / "root", BOARD)
    machine = Machine(root)
    store_of(tmp_path / "data", machine, only=200)
    with when_it_looks(tmp_path / "events", root / "proc" / "meminfo", meminfo(1900, 10)):
        events = run(machine, tmp_path / "events", frames=60)
    assert not [event for event in events if event["event"] == "model_changed"]
    assert [event["text"] for event in events if event["event"] == "notice"] == ["I'm ready."]
    assert sum(event["event"] == "frame" for event in events) > 10


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = write_board(tmp_path / "root", BOARD)
    machine = Machine(root)
    store_of(tmp_path / "data", machine, large=400, small=100)
    with when_it_looks(tmp_path / "events", root / "proc" / "meminfo", meminfo(1900, 10)):
        events = run(machine, tmp_path / "events", frames=60, step_down=False)
    assert not [event for event in events if event["event"] == "model_changed"]


def test_a_small_board_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a network that its memory does not allow."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    machine = Machine(write_board(tmp_path / "root", Board("Raspberry Pi Zero 2 W Rev 1.0", 416, 300)))
    store_of(tmp_path / "data", machine, large=400, small=100)
    events = run(machine, tmp_path / "events", frames=20)
    assert next(event for event in events if event["event"] == "ready")["model"] == "small"
    assert [event["text"] for event in events if event["event"] == "notice"] == ["I'm ready.", "Using a smaller model."]


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of our own with a memory limit."""
    folder = CGROUP / f"edge-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here: {error.strerror}")
    try:
        yield folder
    finally:
        for _ in range(100):
            try:
                folder.rmdir()
            except OSError:
                time.sleep(0.05)
            else:
                break


def run_in(group: Path, limit_mib: int, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (group / "memory.limit_in_bytes").write_text(str(limit_mib * 2**20))
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    return subprocess.run(
        ["sh", "-c", enter, str(group), sys.executable, "-m", "edge", "run", "--camera", "demo", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def kills(group: Path) -> int:
    return int((group / "memory.oom_control").read_text().rpartition("oom_kill ")[2])


@pytest.mark.system
@pytest.mark.root
def test_what_is_too_large_for_a_control_group_is_refused_and_nothing_is_killed(group: Path, tmp_path: Path) -> None:
    """By hand: a network whose weights alone fill the group, and one that nobody has measured."""
    from edge.engines.mxnet_compat import import_mxnet

    mx = import_mxnet()
    weight = mx.sym.var("w", shape=(4096, 3 * 64 * 64))
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), weight, no_bias=True, num_hidden=4096, name="hidden")
    symbol = mx.sym.softmax(mx.sym.FullyConnected(hidden, no_bias=True, num_hidden=2, name="out"))
    arguments = {"w": mx.nd.ones((4096, 3 * 64 * 64)) * 1e-4, "out_weight": mx.nd.ones((2, 4096))}
    mx.model.save_checkpoint(str(tmp_path / "net"), 0, symbol, arguments, {})
    (tmp_path / "synset.txt").write_text("a one\nb two\n")
    (tmp_path / "model.toml").write_text("[input]\nsize = 64\n")
    done = run_in(group, 300, "--model", str(tmp_path / "net"), "--frames", "3", XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 78, done.stderr
    assert "net: needs" in done.stderr
    assert "the limit of the control group" in done.stderr
    assert kills(group) == 0


@pytest.mark.system
@pytest.mark.root
def test_a_network_on_trial_is_what_dies_in_a_control_group(group: Path, tmp_path: Path) -> None:
    """It looks small and is not: the child that tries it is ended, the daemon says so."""
    from edge.engines.mxnet_compat import import_mxnet

    mx = import_mxnet()
    # a small file that unfolds into 800 MiB of work space
    wide = mx.sym.UpSampling(mx.sym.var("data"), scale=128, sample_type="nearest")
    pooled = mx.sym.Flatten(mx.sym.Pooling(wide, global_pool=True, pool_type="avg", kernel=(1, 1)))
    symbol = mx.sym.softmax(mx.sym.FullyConnected(pooled, no_bias=True, num_hidden=2, name="out"))
    mx.model.save_checkpoint(str(tmp_path / "net"), 0, symbol, {"out_weight": mx.nd.ones((2, 3))}, {})
    (tmp_path / "synset.txt").write_text("a one\nb two\n")
    (tmp_path / "model.toml").write_text("[input]\nsize = 64\n")
    done = run_in(group, 300, "--model", str(tmp_path / "net"), "--frames", "3", XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 78, done.stderr
    assert "needs more than" in done.stderr
