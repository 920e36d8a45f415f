"""A daemon in a process of its own, watched through its events and its control socket."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# started by nohup, the tests would have it ignore SIGHUP
START = ["env", "--default-signal=HUP", sys.executable, "-m", "edge", "run"]
RUN = [*START, "--camera", "demo", "--loop"]


def read_events(path: Path) -> list[dict[str, Any]]:
    """The complete lines of an events file."""
    if not path.exists():
        return []
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def socket_of(folder: Path) -> Path:
    """The control socket of a daemon with this temp folder."""
    return folder / "edge" / "control.sock"


def say(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that talks to the daemon with this temp folder, as somebody at a terminal."""
    socket = ["--socket", str(socket_of(folder))]
    return subprocess.run(
        [sys.executable, "-m", "edge", command, *arguments, *socket],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def group_of(session: int) -> list[int]:
    """The processes whose environment says that they belong to the daemon of this test."""
    mark = f"EDGE_TEST_SESSION={session}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def apart(folder: Path) -> dict[str, str]:
    """The environment of a daemon that a fixture of a module starts: conftest.py protects only what a test starts."""
    return {"XDG_DATA_HOME": str(folder / "xdg-data"), "XDG_STATE_HOME": str(folder / "xdg-state")}


@contextmanager
def daemon(tmp_path: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start it with a temp folder of its own; whatever happens, nothing of it is left.

    It plays the demo clip, unless other arguments say otherwise or its settings come from a --config.
    """
    session = random.getrandbits(62)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), **environment}
    environment |= {"EDGE_TEST_SESSION": str(session), "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [*(START if "--config" in arguments else RUN), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a daemon has no terminal
    )
    child.session = session  # type: ignore[attr-defined]
    try:
        yield child
    finally:
        for process in group_of(session):
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process, signal.SIGKILL)
        child.wait(10)
        assert child.stdout is not None
        child.stdout.close()
