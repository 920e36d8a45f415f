"""What systemd is told, over a real socket, and what goes to its journal."""

import itertools
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from rigs.systemd import Listener

from edge.host.systemd import PATIENCE_S, STALE_S, Watchdog, lines_to, notify


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


LOG = logging.getLogger("edge.daemon")


def test_on_a_terminal_it_is_a_line_without_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_to(sys.stdout, LOG):
        LOG.info("I see a violin (91%)", extra={"event": "announced", "probability": 0.91})
        logging.getLogger("edge.daemon.reporter").warning("It is lost")
        LOG.debug("nobody wants to know")
        logging.getLogger("edge.engines").info("nor this")
    LOG.info("nor this")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("I see a violin (91%)\nIt is lost\n", "")


def test_nothing_of_it_stays_when_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    before = (list(LOG.handlers), LOG.level, LOG.propagate)
    for _ in range(2):
        with lines_to(sys.stdout, LOG):
            LOG.info("once")
        assert (list(LOG.handlers), LOG.level, LOG.propagate) == before
    assert capsys.readouterr().out == "once\nonce\n"


Sent = list[tuple[str, dict[str, str]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What systemd-python is asked to send; that journald takes it, the booted systemd shows."""
    journal = pytest.importorskip("systemd.journal", reason="systemd-python is not installed")
    sent: Sent = []
    monkeypatch.setattr(journal, "send", lambda line, **fields: sent.append((line, fields)))
    return sent


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A stream that ends up in the journal."""
    with (tmp_path / "output").open("w") as output:
        number = os.fstat(output.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{number.st_dev}:{number.st_ino}")
        yield output


def test_in_the_journal_it_has_fields(tmp_path: Path, sent: Sent, output: TextIO) -> None:
    with lines_to(output, LOG):
        LOG.info("I see a violin (91%)", extra={"event": "announced", "probability": 0.91, "reason": None})
    assert (tmp_path / "output").read_text() == ""
    assert sent == [
        (
            "I see a violin (91%)",
            {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "edge", "EDGE_EVENT": "announced", "EDGE_PROBABILITY": "0.91"},
        )
    ]


@pytest.mark.parametrize(("level", "priority"), [("CRITICAL", "2"), ("ERROR", "3"), ("WARNING", "4"), ("INFO", "6")])
def test_its_priority_is_the_level(sent: Sent, output: TextIO, level: str, priority: str) -> None:
    with lines_to(output, LOG):
        LOG.log(logging.getLevelNamesMapping()[level], "a line")
    assert sent == [("a line", {"PRIORITY": priority, "SYSLOG_IDENTIFIER": "edge"})]


def give_up(stream: TextIO) -> None:
    """Let what it still holds go nowhere: else it complains when it is closed."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def test_a_full_disk_or_a_dead_journal_is_no_reason_to_stop(
    sent: Sent, output: TextIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_line: str, **_fields: str) -> None:
        raise ConnectionRefusedError

    with Path("/dev/full").open("w") as full, lines_to(full, LOG):
        LOG.info("a line")
        give_up(full)
    journal = pytest.importorskip("systemd.journal")
    monkeypatch.setattr(journal, "send", refuse)
    with lines_to(output, LOG):
        LOG.info("a line")
    assert capsys.readouterr().err == ""


def test_that_nobody_reads_any_more_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone, lines_to(gone, LOG):
        with pytest.raises(BrokenPipeError):
            LOG.info("a line")
        give_up(gone)
    assert capsys.readouterr().err == ""


def test_who_ends_the_daemon_does_not_wait_for_one_that_hangs_in_a_write() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as taking, os.fdopen(writer, "w") as full, lines_to(full, LOG):
        hanging = threading.Thread(target=LOG.info, args=("x" * 2**20,))
        hanging.start()
        assert taking.read(1) == b"x"  # it has begun, and nobody goes on reading
        LOG.info("the last words")
        assert hanging.is_alive()
        taken = b"x" + taking.read(2**20)
        hanging.join(60)
    assert taken == b"x" * 2**20 + b"\n"
