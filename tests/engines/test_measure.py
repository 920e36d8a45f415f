"""What a network takes, measured in a child that may be killed; and what was measured is found again."""

import os
import signal
import threading
from importlib import resources
from pathlib import Path

import pytest
from rigs.boards import Board, write_board
from rigs.processes import wait_until, workers

from edge.engines.backend import Backend
from edge.engines.measure import measure, measure_side_by_side, percentile
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.models.checkpoint import Checkpoint, find_checkpoint, from_json, to_json
from edge.models.fingerprint import fingerprint, sha256
from edge.models.measurements import Measurement, Measurements

DEMO = Path(str(resources.files("edge") / "data" / "demo"))
MXNET, MODULE = Backend("mxnet"), Backend("module")
SOME = Measurement(200.0, 1.0, 20.0, 5.0, 6.0, 30)


@pytest.mark.integration
def test_the_demo_is_measured() -> None:
    told: list[str] = []
    found = measure(find_checkpoint("demo"), MXNET, frames=7, tell=told.append)
    assert (found.frames, found.parameters, found.killed, found.estimated) == (7, 401413, False, False)
    # MXNet and OpenCV themselves take most of it
    assert 60 < found.peak_mib < 600
    assert 0 < found.median_ms <= found.p95_ms
    assert found.first_ms > 0
    assert found.load_s > 0
    assert told[0] == "mxnet: loading"
    assert told[-1] == "mxnet: 7 of 7 frames"
    assert workers(os.getpid()) == []


@pytest.mark.integration
def test_side_by_side_with_the_tutorials_way() -> None:
    found = measure_side_by_side(find_checkpoint("demo"), [MXNET, MODULE], frames=6)
    ours, theirs = found[MXNET], found[MODULE]
    assert isinstance(ours, Measurement)
    assert isinstance(theirs, Measurement)
    assert ours.parameters == theirs.parameters
    assert ours.peak_mib < theirs.peak_mib


@pytest.mark.integration
def test_an_engine_that_cannot_is_a_result_beside_one_that_can() -> None:
    found = measure_side_by_side(find_checkpoint("demo"), [MXNET, Backend("nothing")], frames=1)
    assert isinstance(found[MXNET], Measurement)
    assert isinstance(found[Backend("nothing")], ModelError)


@pytest.mark.integration
@pytest.mark.parametrize("mib", [5, 70])
def test_a_child_killed_for_memory_is_a_result(mib: int) -> None:
    """Also when it is not ready yet."""

    def kill() -> None:
        (pid,) = wait_until(lambda: workers(os.getpid()))
        wait_until(lambda: _rss(pid) > mib * 1024)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = measure(find_checkpoint("demo"), MXNET, frames=10_000)
    thread.join()
    assert found.killed
    # it is looked at now and then, and may be gone before
    assert found.peak_mib > 30 or mib < 30


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.integration
def test_a_machine_without_memory_ends_the_child_before_it_swaps(tmp_path: Path) -> None:
    machine = Machine(write_board(tmp_path, Board("Raspberry Pi Zero 2 W Rev 1.0", 416, 20)))
    assert measure(find_checkpoint("demo"), MXNET, machine=machine).killed


@pytest.mark.integration
def test_a_broken_checkpoint_is_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "demo-0000.params"
    bad.write_bytes((DEMO / "demo-0000.params").read_bytes()[:5000])
    checkpoint = to_json(find_checkpoint("demo")) | {"params": str(bad)}
    with pytest.raises(ModelError, match="truncated"):
        measure(from_json(checkpoint), MXNET)


def test_a_checkpoint_travels_as_json() -> None:
    checkpoint = find_checkpoint("demo")
    assert from_json(to_json(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3, 1, 2], 0.5, 2), ([3, 1, 2], 0.95, 3), (range(1, 101), 0.95, 95), ([7], 0.95, 7)],
)
def test_the_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(list(values), share) == expected


def copy(tmp_path: Path, name: str, data: bytes = b"weights") -> Checkpoint:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "net-symbol.json").write_bytes(b"symbol")
    (folder / "net-0000.params").write_bytes(data)
    (folder / "model.toml").write_text("[input]\nsize = 64\n")
    return find_checkpoint(str(folder / "net"))


def test_a_fingerprint_is_of_the_files_and_the_input(tmp_path: Path) -> None:
    one = copy(tmp_path, "one")
    assert fingerprint(one) == fingerprint(copy(tmp_path, "same"))
    assert fingerprint(one) != fingerprint(copy(tmp_path, "other", b"Weights"))
    assert fingerprint(one) != fingerprint(find_checkpoint(str(tmp_path / "one" / "net"), {"size": 65}))
    digests = {path.name: sha256(path) for path in (one.symbol, one.params)}
    assert fingerprint(one, digests) == fingerprint(one)
    one.params.unlink()
    assert fingerprint(one, digests)
    with pytest.raises(ModelError, match="No such file"):
        fingerprint(one)


def test_what_was_kept_is_found_by_machine_engine_and_network(tmp_path: Path) -> None:
    kept = Measurements([tmp_path / "a"], "a board")
    assert kept.keep("id", "mxnet 1.9.1", SOME)
    assert kept.find("id", "mxnet 1.9.1") == SOME
    assert kept.find("id", "mxnet 2") is None
    assert kept.find("other", "mxnet 1.9.1") is None
    assert Measurements([tmp_path / "a"], "another board").find("id", "mxnet 1.9.1") is None
    assert Measurements([tmp_path / "none", tmp_path / "a"], "a board").find("id", "mxnet 1.9.1") == SOME


def test_the_newer_replaces_the_older_and_leaves_the_others(tmp_path: Path) -> None:
    kept = Measurements([tmp_path], "a board")
    kept.keep("id", "mxnet", SOME)
    kept.keep("other", "mxnet", SOME)
    kept.keep("id", "mxnet", Measurement(1.0, 1.0, 1.0, 1.0, 1.0, 1))
    found, other = kept.find("id", "mxnet"), kept.find("other", "mxnet")
    assert found is not None
    assert (found.peak_mib, other) == (1.0, SOME)
    assert [path.name for path in tmp_path.iterdir()] == ["measurements.json"]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "[]",
        "{",
        '{"a board, mxnet, id": 3}',
        '{"a board, mxnet, id": {"what": 1}}',
        '{"a board, mxnet, id": {"peak_mib": "x"}}',
    ],
)
def test_a_damaged_file_holds_nothing_and_is_replaced(tmp_path: Path, garbage: str) -> None:
    (tmp_path / "measurements.json").write_text(garbage)
    kept = Measurements([tmp_path], "a board")
    assert kept.find("id", "mxnet") is None
    assert kept.keep("id", "mxnet", SOME)
    assert kept.find("id", "mxnet") == SOME


def test_nowhere_to_keep_it_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not Measurements([tmp_path / "file" / "store"], "a board").keep("id", "mxnet", SOME)
    assert Measurements([tmp_path / "file" / "store", tmp_path / "b"], "a board").keep("id", "mxnet", SOME)
