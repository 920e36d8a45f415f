"""What killed the daemon while it was loaded is known at the next start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.models.checkpoint import Checkpoint, InputSpec
from edge.models.crash_marker import CrashMarker

CHILD = """
import os, signal, sys
from pathlib import Path
from edge.models.checkpoint import Checkpoint, InputSpec
from edge.models.crash_marker import CrashMarker
path = Path(sys.argv[2])
with CrashMarker(Path(sys.argv[1])).loading(Checkpoint("net", path, path, path, InputSpec(8))):
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[3] == "error":
        raise SystemExit(1)
"""


def checkpoint(params: Path) -> Checkpoint:
    return Checkpoint("net", params, params, params, InputSpec(8))


def load_in_a_child(folder: Path, params: Path, how: str) -> None:
    subprocess.run([sys.executable, "-c", CHILD, str(folder), str(params), how], check=False, timeout=60)


@pytest.mark.parametrize(("how", "rejected"), [("killed", True), ("error", False), ("well", False)])
def test_only_a_kill_leaves_a_mark(tmp_path: Path, how: str, rejected: bool) -> None:
    folder, params = tmp_path / "run", tmp_path / "net-0000.params"
    load_in_a_child(folder, params, how)
    assert CrashMarker(folder).rejected() == ({str(params): 1} if rejected else {})


def test_it_stays_struck_until_forgiven(tmp_path: Path) -> None:
    folder, params, other = tmp_path / "run", tmp_path / "a", tmp_path / "b"
    load_in_a_child(folder, params, "killed")
    load_in_a_child(folder, other, "killed")
    load_in_a_child(folder, other, "killed")
    crash_marker = CrashMarker(folder)
    assert crash_marker.rejected() == crash_marker.rejected() == {str(params): 1, str(other): 2}
    crash_marker.forgive(checkpoint(params))
    assert crash_marker.rejected() == {str(other): 2}


def test_a_daemon_that_is_loading_now_is_not_dead(tmp_path: Path) -> None:
    with CrashMarker(tmp_path).loading(checkpoint(tmp_path / "a")):
        assert list(tmp_path.iterdir())
        assert CrashMarker(tmp_path).rejected() == {}
    assert not tmp_path.exists()


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"params": 3}', b"\xff"])
def test_a_torn_mark_is_no_mark(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "loading-1.json").write_bytes(garbage)
    assert CrashMarker(tmp_path).rejected() == {}


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    crash_marker = CrashMarker(tmp_path / "file" / "run")
    with crash_marker.loading(checkpoint(tmp_path / "a")):
        assert crash_marker.rejected() == {}


@pytest.mark.root
def test_another_users_folder_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    load_in_a_child(folder, tmp_path / "a", "killed")
    os.chown(folder, 12345, 12345)
    assert CrashMarker(folder).rejected() == {}
