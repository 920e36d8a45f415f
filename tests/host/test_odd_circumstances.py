"""Circumstances of bare and odd systems: a time zone of no place, no home, no /proc. edge goes on, or says one line."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rigs.stores import DEMO

from edge.host.clock import local_time
from edge.host.processes import is_alive
from edge.importer.cache import graph_of
from edge.models.checkpoint import find_checkpoint

KNOWN = DEMO.parent / "known.png"
SERVICE = Path("/var/lib/edge")


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", ["XXX+30", "XXX-26", "Europe/Berlin", "nonsense", ""])
def test_there_is_a_time_in_every_zone(name: str, zone: pytest.MonkeyPatch) -> None:
    zone.setenv("TZ", name)
    time.tzset()
    now = local_time()
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert local_time(datetime.fromisoformat("2026-01-01T12:00:00+01:00")).timestamp() == 1767265200


def test_processes_are_told_from_those_that_have_ended() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert not is_alive(process.pid)
    assert is_alive(os.getpid())
    assert is_alive(1)


def run(
    *arguments: object, before: tuple[str, ...] = (), odd: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "edge", *map(str, arguments)],
        env={name: value for name, value in (os.environ | (odd or {})).items() if value != "(unset)"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


DAEMON = ("run", "--model", "demo", "--camera", "demo", "--frames", "3", "--speech", "log", "--events")


@pytest.mark.integration
@pytest.mark.parametrize(
    "odd",
    [
        {"TZ": "XXX+30"},
        {"OMP_NUM_THREADS": "2,1"},
        {"OMP_NUM_THREADS": "many"},
        {"HOME": "/proc", "XDG_DATA_HOME": "", "XDG_STATE_HOME": ""},
        {"HOME": "(unset)", "XDG_DATA_HOME": "(unset)", "XDG_STATE_HOME": "(unset)"},
        {"XDG_STATE_HOME": "/proc/1/root/root/x", "XDG_DATA_HOME": "/proc/1/root/root/x"},
    ],
    ids=str,
)
def test_the_daemon_runs(odd: dict[str, str], tmp_path: Path) -> None:
    if odd.get("HOME") == "(unset)" and os.geteuid() == 0:
        pytest.skip("without a home, root writes into /")
    events = tmp_path / "events"
    done = run(*DAEMON, events, "--engine", "mxnet", odd=odd)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert told[-1]["event"] == "stopped"
    assert all(datetime.fromisoformat(one["time"]).tzinfo for one in told)


@pytest.mark.integration
def test_a_home_that_cannot_be_written_makes_no_store_for_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    if SERVICE.exists():
        pytest.skip("there is a service here")
    monkeypatch.setenv("XDG_DATA_HOME", "/proc")
    with graph_of(find_checkpoint("demo")) as graph:
        assert graph.parameters
    assert not SERVICE.exists()


@pytest.mark.root
@pytest.mark.integration
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_system_without_proc(tmp_path: Path) -> None:
    without = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    done = run(*DAEMON, tmp_path / "events", "--engine", "mxnet", before=without)
    assert done.returncode == 0, done.stderr
    # ONNX Runtime opens its weights through /proc
    done = run("classify", "--model", "demo", "--engine", "onnx", KNOWN, before=without)
    assert done.returncode in (0, 78)
    assert sum(line.startswith("edge: ") for line in done.stderr.splitlines()) == (done.returncode != 0)
