"""`edge link` as a process: what it tells systemd, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rigs.daemon import ROOT
from rigs.processes import PATIENCE_S, wait_until
from rigs.systemd import Listener

pytestmark = pytest.mark.integration


@pytest.fixture(name="port")
def a_port_where_nothing_listens() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def arguments(folder: Path, settings: str) -> list[str]:
    (folder / "link.toml").write_text(settings)
    command = [sys.executable, "-m", "edge", "link", "--config", str(folder / "link.toml")]
    return [*command, "--socket", str(folder / "control.sock")]


@contextmanager
def link(folder: Path, settings: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        arguments(folder, settings), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def refusal(folder: Path, settings: str) -> tuple[int, str]:
    """The exit code and the lines of a link that cannot start."""
    done = subprocess.run(
        arguments(folder, settings), cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert not done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ready_without_a_daemon_and_a_broker_and_ends_on_a_signal(
    tmp_path: Path, listener: Listener, port: int, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with link(tmp_path, f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nnode = "kitchen"\n') as child:
        wait_until(lambda: listener.heard() is not None and "READY=1" in listener.states)
        status = f"STATUS=edge is not reached; MQTT as kitchen at 127.0.0.1:{port}: nothing listens there; "
        wait_until(lambda: listener.heard() is not None and any(one.startswith(status) for one in listener.states))
        wait_until(lambda: listener.heard() is not None and "WATCHDOG=1" in listener.states)
        child.send_signal(number)
        lines, _ = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 0
        listener.heard()
        assert listener.states[-1] == "STOPPING=1"
    # each reason once, although it tried many times
    assert sorted(lines.splitlines()[1:], reverse=True) == [
        "edge is not running; the link keeps trying.",
        f"MQTT broker 127.0.0.1:{port}: nothing listens there; is the broker running, and port in [mqtt] right? "
        "(the link keeps trying)",
    ]


def test_without_a_part_there_is_nothing_to_do(tmp_path: Path) -> None:
    code, lines = refusal(tmp_path, "")
    assert (code, lines.count("\n")) == (78, 1)
    assert "nothing to do: set host in [mqtt], or listen in [metrics]" in lines


def test_a_fault_of_the_settings_is_one_line(tmp_path: Path) -> None:
    code, lines = refusal(tmp_path, f'[mqtt]\nhost = "a"\nuser = "edge"\npassword_file = "{tmp_path}/none"\n')
    assert (code, lines) == (78, f"edge: [mqtt] password_file = '{tmp_path}/none': No such file or directory\n")


def test_the_program_does_not_load_what_it_does_not_need(tmp_path: Path) -> None:
    """A link takes less memory than the daemon: no arrays, no pictures, no engines."""
    code = (
        "import sys; from edge.cli import main; main(['link', '--config', 'none.toml']); "
        "print([name for name in ('numpy', 'cv2', 'mxnet', 'asyncio') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
