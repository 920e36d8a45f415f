"""`edge link` in a process of its own, beside a daemon (rigs/daemon.py)."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rigs.broker import USER, Broker
from rigs.daemon import ROOT, socket_of
from rigs.processes import wait_until

from edge.host import control_client

NODE = "door"


def settings(folder: Path, broker: Broker | None = None, *, port: int = 0, metrics: int = 0, node: str = NODE) -> Path:
    """Write a link.toml, and return its path. `port` leads to the broker by another way."""
    lines = []
    if broker:
        lines += ["[mqtt]", 'host = "127.0.0.1"', f"port = {port or broker.port}", f'user = "{USER}"']
        lines += [f'password_file = "{broker.password_file}"', f'node = "{node}"']
        if broker.authority:
            lines += [f'ca_file = "{broker.authority.file}"']
    if metrics:
        lines += ["[metrics]", f'listen = "127.0.0.1:{metrics}"']
    file = folder / "link.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


@contextmanager
def link(folder: Path, config: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start it for the daemon with this temp folder; its lines are in the file `link.log` there. It is gone at the end.

    It is stopped in order, and must end well, unless it has been killed before.
    """
    command = [sys.executable, "-m", "edge", "link", "--config", str(config), "--socket", str(socket_of(folder))]
    with (folder / "link.log").open("wb") as log:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command, *arguments],
            cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield child
        if child.poll() is None:
            child.terminate()
            assert child.wait(10) == 0, log_of(folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait(10)


def log_of(folder: Path) -> str:
    """What the link has logged."""
    return (folder / "link.log").read_text(encoding="utf-8")


def logs(folder: Path, text: str) -> None:
    """Return when the link has logged this."""
    wait_until(lambda: text in log_of(folder))


def memory_kib(pid: int) -> int:
    """Return the proportional share of memory of a process: what it alone costs."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (line,) = (one for one in lines if one.startswith("Pss:"))
    return int(line.split()[1])


def end(child: "subprocess.Popen[bytes]") -> None:
    """Kill it at once."""
    child.send_signal(signal.SIGKILL)
    child.wait(10)


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the daemon with this temp folder, and return its answer."""
    return control_client.ask([socket_of(folder)], request)


def forget(folder: Path, config: Path) -> None:
    """Remove from the broker what the link has published."""
    command = [sys.executable, "-m", "edge", "link", "--config", str(config), "--forget"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
