"""The supervised child process, with a driver that misbehaves on request: this very file is its module."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rigs.processes import PATIENCE_S, members, temp_folder, wait_until, wait_until_gone

from edge.errors import SpeechError
from edge.worker import Reply, Worker, WorkerError


def open_driver(options: dict[str, Any]) -> Callable[[Any], Any]:
    """The driver, in the child. A request is [verb, argument]."""
    match options:
        case {"fault": "driver"}:
            raise SpeechError("no such\nvoice")
        case {"fault": "bug"}:
            raise ZeroDivisionError("in the vendor's library")
        case {"fault": "stuck"}:
            time.sleep(3600)
        case {"fault": "once", "marker": marker}:
            # opens the first time only
            if Path(marker).exists():
                raise SpeechError("gone for good")
            Path(marker).touch()

    def answer(request: list[Any]) -> Any:
        verb, argument = request
        match verb:
            case "print":
                os.write(1, b"{noise of a library}\n")
                return sys.stdin.read()
            case "program":
                subprocess.Popen(["sleep", "3600"])
                Path(os.environ["TMPDIR"], "left behind").touch()
                time.sleep(argument)
            case "stuck":
                time.sleep(3600)
            case "signal":
                os.kill(os.getpid(), argument)
            case "refuse":
                raise SpeechError(argument)
            case "bug":
                raise ZeroDivisionError(argument)
        return argument

    return answer


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """Start workers that are closed after the test, and leave nothing behind."""
    workers: list[Worker] = []
    seen: list[int] = []

    def start(timeout_s: float = PATIENCE_S, **options: str) -> Worker:
        worker = Worker("test_worker", options, "the double", timeout_s)
        workers.append(worker)
        assert worker.pid
        seen.append(worker.pid)
        return worker

    yield start
    groups = [*seen, *(worker.pid for worker in workers if worker.pid)]
    for worker in workers:
        worker.close()
    for group in groups:
        wait_until_gone(group)


def reply_of(worker: Worker, verb: str, argument: object = None, timeout_s: float = PATIENCE_S) -> Reply:
    assert worker.ask([verb, argument], timeout_s)
    return next_reply(worker)


def next_reply(worker: Worker) -> Reply:
    reply = wait_until(worker.poll)
    assert reply
    return reply


def test_answers_one_request_at_a_time(start: Callable[..., Worker]) -> None:
    worker = start()
    assert worker.poll() is None
    text = "'\"\n\\ -x é 猫 \0 {}"
    assert worker.ask(["echo", text], PATIENCE_S)
    assert not worker.ask(["echo", "too early"], PATIENCE_S)
    assert next_reply(worker) == Reply(value=text)
    assert worker.poll() is None
    assert reply_of(worker, "echo", 2) == Reply(value=2)


def test_a_request_wakes_one_thread_of_the_child(start: Callable[..., Worker]) -> None:
    worker = start()
    assert reply_of(worker, "echo", 0) == Reply(value=0)
    (other,) = (one for one in Path(f"/proc/{worker.pid}/task").iterdir() if one.name != str(worker.pid))

    def wakes() -> int:
        return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", (other / "status").read_text(), re.MULTILINE)[0])

    before = wakes()
    for number in range(50):
        assert reply_of(worker, "echo", number) == Reply(value=number)
    assert wakes() - before < 10  # it may not have begun to wait before


def test_prints_of_a_library_are_no_replies(start: Callable[..., Worker], capfd: pytest.CaptureFixture[str]) -> None:
    worker = start()
    assert reply_of(worker, "print") == Reply(value="")  # and its standard input is empty
    assert capfd.readouterr().err == "{noise of a library}\n"
    assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_refused_request_keeps_the_child(start: Callable[..., Worker]) -> None:
    worker = start()
    pid = worker.pid
    assert reply_of(worker, "refuse", "no\ncard") == Reply(error="no card")
    assert reply_of(worker, "echo", 1) == Reply(value=1)
    assert worker.pid == pid


def test_bug_is_reported_and_the_child_replaced(
    start: Callable[..., Worker], capfd: pytest.CaptureFixture[str]
) -> None:
    worker = start()
    pid = worker.pid
    assert reply_of(worker, "bug", "oh") == Reply(error="ZeroDivisionError: oh")
    wait_until(lambda: worker.poll() is None and worker.pid != pid)
    assert reply_of(worker, "echo", 1) == Reply(value=1)
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("driver", "no such voice"),
        ("bug", "ZeroDivisionError: in the vendor's library"),
        ("stuck", "the double did not answer in time and was killed"),
    ],
)
def test_driver_that_does_not_open(fault: str, text: str) -> None:
    with pytest.raises(WorkerError) as caught:
        Worker("test_worker", {"fault": fault}, "the double", start_timeout_s=2.0 if fault == "stuck" else PATIENCE_S)
    assert str(caught.value) == text


def test_missing_module() -> None:
    with pytest.raises(WorkerError, match=r"^ModuleNotFoundError: No module named 'no_such_driver'$"):
        Worker("no_such_driver", {}, "the double")


def test_stuck_child_is_killed_with_what_it_started_and_replaced(start: Callable[..., Worker], long: bool) -> None:
    worker = start()
    for _ in range(100 if long else 3):
        pid = worker.pid
        assert pid
        folder = temp_folder(pid)
        reply = reply_of(worker, "program", 3600, timeout_s=0.2)
        assert reply.error == "the double did not answer in time and was killed"
        wait_until_gone(pid)
        assert not folder.exists()
        assert worker.pid not in {pid, None}
        assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_the_time_that_a_new_child_takes_to_start_is_not_the_requests(start: Callable[..., Worker]) -> None:
    """Else a second stuck request in a row would be given up only after all the time that a start may take."""
    worker = start(PATIENCE_S)
    for _ in range(3):
        asked_s = time.monotonic()
        # from the second on the child is still starting
        assert "in time" in reply_of(worker, "stuck", None, timeout_s=0.2).error
        assert time.monotonic() - asked_s < PATIENCE_S / 2


def test_killed_while_it_works(start: Callable[..., Worker]) -> None:
    worker = start()
    assert reply_of(worker, "signal", signal.SIGKILL).error == "the double died (SIGKILL)"
    assert reply_of(worker, "signal", signal.SIGSEGV).error == "the double died (SIGSEGV)"
    assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_killed_while_idle(start: Callable[..., Worker]) -> None:
    worker = start()
    pid = worker.pid
    assert pid
    folder = temp_folder(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: worker.poll() is None and worker.pid is None)
    assert not folder.exists()
    assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_ctrl_c_and_sigterm_are_the_daemons(start: Callable[..., Worker]) -> None:
    worker = start()
    assert worker.pid
    os.killpg(worker.pid, signal.SIGINT)
    os.killpg(worker.pid, signal.SIGTERM)
    assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_replacement_that_does_not_open_is_tried_only_when_asked(start: Callable[..., Worker], tmp_path: Path) -> None:
    worker = start(fault="once", marker=str(tmp_path / "marker"))
    assert "SIGKILL" in reply_of(worker, "signal", signal.SIGKILL).error
    wait_until(lambda: worker.poll() is None and worker.pid is None)
    assert reply_of(worker, "echo", 1) == Reply(error="gone for good")
    assert worker.poll() is None
    assert worker.pid is None
    (tmp_path / "marker").unlink()
    assert reply_of(worker, "echo", 1) == Reply(value=1)


def test_what_a_killed_daemon_left_is_removed_by_the_next(
    start: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    left, ours, other = (tmp_path / name for name in (f"edge-{dead.pid}-x", f"edge-{os.getpid()}-x", "edge-store"))
    for folder in (left, ours, other):
        folder.mkdir()
    start()
    assert not left.exists()
    assert ours.exists()
    assert other.exists()


def test_close_kills_at_once(start: Callable[..., Worker]) -> None:
    worker = start()
    pid = worker.pid
    assert pid
    folder = temp_folder(pid)
    assert worker.ask(["program", 3600], PATIENCE_S)
    wait_until(lambda: len(members(pid)) > 1)
    # as when the main thread hangs in a C call
    thread = threading.Thread(target=worker.close)
    thread.start()
    thread.join(PATIENCE_S)
    wait_until_gone(pid)
    assert not folder.exists()
    worker.close()
    assert worker.pid is None
    assert worker.poll() is None
    assert not worker.ask(["echo", 1], PATIENCE_S)


def test_a_child_that_ends_late_is_reaped_all_the_same() -> None:
    worker = Worker("test_worker", {}, "the double", PATIENCE_S, reap_s=0.0)
    pid = worker.pid
    assert pid
    worker.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())  # a zombie would still be there


DAEMON = """
import time
from edge.worker import Worker
worker = Worker("test_worker", {}, "the double", 60)
worker.ask(["program", 3600], 3600)
print(worker.pid, flush=True)
time.sleep(3600)
"""


def test_nothing_survives_a_kill_9_of_the_daemon(long: bool) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(100 if long else 2):
        with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, env=environment) as daemon:
            assert daemon.stdout
            try:
                pid = int(daemon.stdout.readline())
                folder = temp_folder(pid)
                wait_until((folder / "left behind").exists)
                assert len(members(pid)) == 2
            finally:
                daemon.kill()
        wait_until_gone(pid)
        assert not folder.exists()
