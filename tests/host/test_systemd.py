"""What systemd is told, over a real socket, and what goes to its journal."""

import itertools
import os
import socket
import sys
from pathlib import Path

import pytest
from rigs.systemd import Listener

from edge.host.systemd import PATIENCE_S, STALE_S, Teller, Watchdog, notify


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    """With or without systemd-python, on a socket with a file or without one."""
    monkeypatch.setitem(sys.modules, "systemd", None)
    path = f"@edge-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path.replace("@", "\0"))
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify("READY=1\nSTATUS=21 °C")
        assert listener.recv(100).decode() == "READY=1\nSTATUS=21 °C"


@pytest.mark.parametrize("address", ["", "nowhere", "vsock:2:1234", "/" + "x" * 200])
def test_an_address_that_is_none_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


def test_a_socket_that_is_gone_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


def feeds(watchdog: Watchdog, listener: Listener, from_s: float, to_s: float, *, progress: bool) -> list[float]:
    """When the watchdog was fed, with ten turns a second."""
    found = []
    for tenth in range(round(10 * from_s), round(10 * to_s)):
        watchdog.look(tenth / 10, progress=progress, interval_s=1.0)
        if "WATCHDOG=1" in listener.heard():
            found.append(tenth / 10)
    return found


def test_the_watchdog_is_fed_at_most_at_half_its_period_and_only_while_there_is_progress(listener: Listener) -> None:
    watchdog = Watchdog({"WATCHDOG_USEC": "8000000"})
    found = feeds(watchdog, listener, 100, 160, progress=True)
    assert len(found) == 30
    assert all(1 < later - sooner <= 4 for sooner, later in itertools.pairwise(found))
    # a camera that is not lost and gives nothing: patience, and no more
    found = feeds(watchdog, listener, 160, 200, progress=False)
    assert found
    assert found[-1] <= 160 + 1 + STALE_S
    assert feeds(watchdog, listener, 200, 203, progress=True)


def test_what_takes_long_gets_patience_and_then_no_more(listener: Listener) -> None:
    watchdog = Watchdog({"WATCHDOG_USEC": "8000000"})
    with watchdog.patience():
        (state,) = listener.heard()
        assert int(state.removeprefix("WATCHDOG_USEC=")) == 1e6 * PATIENCE_S
    assert listener.heard() == ["WATCHDOG_USEC=8000000\nWATCHDOG=1"]
    with Watchdog({}).patience():
        pass
    assert listener.heard() == []


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}])
def test_where_no_watchdog_is_armed_none_is_fed(listener: Listener, environment: dict[str, str]) -> None:
    assert feeds(Watchdog(environment), listener, 0, 60, progress=True) == []


def test_on_a_terminal_it_is_a_line_without_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Teller(sys.stdout)("I see a violin (91%)", event="announced", probability=0.91)
    assert capsys.readouterr().out == "I see a violin (91%)\n"


def test_in_the_journal_it_has_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry as systemd-python sends it; that journald takes it, the booted systemd shows."""
    journal = pytest.importorskip("systemd.journal", reason="systemd-python is not installed")
    sent: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(journal, "send", lambda line, **fields: sent.append((line, fields)))
    with (tmp_path / "output").open("w") as output:
        number = os.fstat(output.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{number.st_dev}:{number.st_ino}")
        Teller(output)("I see a violin (91%)", event="announced", probability=0.91, reason=None)
    assert (tmp_path / "output").read_text() == ""
    assert sent == [
        (
            "I see a violin (91%)",
            {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "edge", "EDGE_EVENT": "announced", "EDGE_PROBABILITY": "0.91"},
        )
    ]
