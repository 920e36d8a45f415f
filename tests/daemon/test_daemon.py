"""The whole daemon: `edge run` in a process of its own and in ours, with real signals, frames and MXNet."""

import fcntl
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rigs.camera import MjpegServer, serving
from rigs.daemon import ROOT, RUN, daemon, group_of, named, read_events
from rigs.packages import hide
from rigs.processes import PATIENCE_S, wait_until

from edge.cli import main

pytestmark = pytest.mark.integration


def bytes_waiting(child: subprocess.Popen[str]) -> int:
    """How much the daemon has printed that nobody has read."""
    assert child.stdout is not None
    return int.from_bytes(fcntl.ioctl(child.stdout, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_the_demo_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unpaced, so that the whole clip takes seconds; scripts/score_clip.py measures the real thing."""
    events = tmp_path / "events"
    arguments = ["run", "--camera", "demo", "--every-frame", "--speech", "log", "--events", str(events)]
    assert main([*arguments, "--events-frames"]) == 0
    lines = read_events(events)
    truth = json.loads((ROOT / "edge" / "data" / "demo" / "clip.json").read_text())["things"]
    said = named(lines, "announced")
    right = [
        any(
            # "maybe a bicycle" is right where there is a bicycle
            t["id"] in event["id"].removeprefix("maybe ").split(" or ") and t["from_s"] <= event["frame_s"] <= t["to_s"]
            for t in truth
        )
        for event in said
    ]
    assert len(truth) >= 10
    assert sum(right) >= 0.8 * len(truth)
    assert all(right)
    assert [event["event"] for event in lines[:2]] == ["started", "ready"]
    assert lines[-1]["event"] == "stopped"
    frames = named(lines, "frame")
    assert lines[-1]["frames"] == len(frames)
    assert {"label", "id", "probability", "capture_ms", "preprocess_ms", "inference_ms"} <= set(frames[0])
    spoken = named(lines, "spoken")
    assert [event["text"] for event in spoken] == [event["text"] for event in said]
    assert not any(event["heard"] for event in spoken)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in printed if line.endswith("%)")] == [event["text"] for event in said]
    assert f"{len(frames)} frames in " in printed[-1]


def test_frames_and_seconds_end_it(tmp_path: Path) -> None:
    events = tmp_path / "events"
    assert main(["run", "--camera", "demo", "--speech", "log", "--frames", "3", "--events", str(events)]) == 0
    assert read_events(events)[-1]["frames"] == 3
    assert main(["run", "--camera", "demo", "--speech", "log", "--seconds", "1", "--events", str(events)]) == 0
    assert read_events(events)[-1]["seconds"] >= 1


def test_a_voice_that_is_not_there_silences_but_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path))
    monkeypatch.setenv("EDGE_SPEECH_VOICE", "nobody's")
    assert main(["run", "--camera", "demo", "--frames", "2"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"No sound \(.*nobody's.*\): announcements are printed instead\.", told), told


def test_on_a_real_camera_the_demo_network_speaks_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path))  # so that sound looks possible
    hide(monkeypatch, tmp_path / "packages")
    with serving(MjpegServer()) as server:
        for model, speech, told in (([], "print (no sound)", True), (["--model", "demo"], "pyttsx3", False)):
            events = tmp_path / f"events of {speech}"
            assert main(["run", "--camera", server.url, *model, "--frames", "2", "--events", str(events)]) == 0
            assert named(read_events(events), "ready")[0]["speech"] == speech
            assert ("The demo model knows only" in capsys.readouterr().out) == told


def test_a_lost_camera_is_said_and_comes_back(tmp_path: Path) -> None:
    events = tmp_path / "events"

    def said() -> list[str]:
        return [event["text"] for event in named(read_events(events), "notice")]

    with (
        serving(MjpegServer()) as server,
        daemon(
            tmp_path,
            *("--camera", server.url, "--speech", "log", "--events", str(events)),
            EDGE_CAMERA_READ_TIMEOUT_S="1",
        ) as child,
    ):
        wait_until(lambda: said() == ["I'm ready."])
        server.silent.set()
        wait_until(lambda: len(said()) == 2)
        server.silent.clear()
        wait_until(lambda: len(said()) == 3)
        child.terminate()
        printed, _ = child.communicate(timeout=PATIENCE_S)
    assert re.search(r"stream http://.*: lost, no frame came for 1 s; .*edge keeps trying to open it", printed)
    assert said() == ["I'm ready.", "I can't see: the camera is lost.", "I can see again."]
    assert [event["problem"] for event in named(read_events(events), "sight")][-1] is None


def test_events_on_standard_output_are_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--camera", "demo", "--speech", "log", "--frames", "2", "--events", "-"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()] == [
        *("started", "notice", "spoken", "ready", "stopped")  # a film begins when "I'm ready." has been said
    ]
    assert "2 frames in" in captured.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_summary(tmp_path: Path, number: signal.Signals) -> None:
    events = tmp_path / "events"
    with daemon(tmp_path, "--speech", "log", "--events", str(events)) as child:
        wait_until(lambda: named(read_events(events), "ready"))
        child.send_signal(number)
        printed, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert re.search(r"[0-9]+ frames in ", printed.splitlines()[-1])
    assert read_events(events)[-1]["event"] == "stopped"


def test_a_terminal_that_is_closed_ends_it(tmp_path: Path) -> None:
    events = tmp_path / "events"
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", *RUN, "--speech", "log", "--events", str(events)]
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        try:
            wait_until(lambda: named(read_events(events), "ready"))
            os.close(ours)  # the kernel sends SIGHUP
            assert child.wait(PATIENCE_S) == 0
        finally:
            child.kill()
    assert named(read_events(events), "stopped")


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        assert main(["run", "--camera", "demo", "--speech", "log", "--frames", "3"]) == 0
        states: list[str] = []
        while not states or states[-1] != "STOPPING=1":
            states.append(listener.recv(1000).decode())
    assert states[0] == "STATUS=demo: looking through the demo clip"
    assert states.count("READY=1") == 1


def test_sigterm_at_any_moment(tmp_path: Path, long: bool) -> None:
    """Gone, exit 0 from `started` on, and nothing left: no process, no file."""
    card = tmp_path / "asound.conf"
    # a card that takes everything at once, so that there is speech to be interrupted
    card.write_text("pcm.!default { type null }\n")
    generator = random.Random(20)
    for number in range(20 if long else 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        events = tmp_path / f"events-{number}"
        with daemon(folder, "--events", str(events), ALSA_CONFIG_PATH=str(card)) as child:
            time.sleep(generator.uniform(0.0, 6.0))
            started = bool(named(read_events(events), "started"))
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE_S) in ((0,) if started else (0, -signal.SIGTERM))
            wait_until(lambda: group_of(child.session) == [])  # type: ignore[attr-defined]
            # libpulse, which comes with espeak-ng, makes itself a folder in XDG_RUNTIME_DIR
            assert {path.name for path in folder.iterdir()} <= {"pulse"}


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    events = tmp_path / "events"
    with daemon(tmp_path, "--speech", "log", "--events", str(events)) as child:
        assert child.stdout is not None
        while "Model:" not in child.stdout.readline():
            pass
        deadline_s = time.monotonic() + PATIENCE_S
        while child.poll() is None:
            assert time.monotonic() < deadline_s
            child.terminate()
            time.sleep(0.0005)
        assert child.returncode == 0


def test_a_signal_sent_again_and_again_interrupts_no_handler(tmp_path: Path) -> None:
    """Where another thread computes, each handler waits, and the next signal comes: until the stack is full."""
    code = """
import os, signal, sys
from edge.daemon.signals import Signals
with Signals(lambda: None) as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(not signals.stopping() or signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("stdout", [">&-", ">/dev/full", ">/dev/full --events -", ">&- --events -"])
def test_an_output_that_takes_nothing_is_no_reason_to_stop(tmp_path: Path, stdout: str) -> None:
    command = (
        f"unset PYTHONUNBUFFERED; exec {sys.executable} -m edge run --camera demo --speech log --frames 2 {stdout}"
    )
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_it_ends_while_a_c_call_runs(tmp_path: Path) -> None:
    """A classifier is stuck in C for longer than the test waits: the signal thread ends the daemon all the same."""
    code = """
import hashlib, sys
from edge.selection import opening
from edge.__main__ import entry
class Stuck:
    name = engine = "stuck"
    calibrated = False
    def classify(self, frame):
        print("stuck", file=sys.stderr, flush=True)
        # unlike a sleep, a computation is not interrupted
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
    classify_uncalibrated = classify
    def close(self):
        pass
opening.open_classifier = lambda checkpoint, backend, top, square: Stuck()
sys.argv = ["edge", "run", "--camera", "demo", "--speech", "log", "--events", "-"]
entry()
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes) as child:  # type: ignore[call-overload]
        try:
            while child.stderr.readline() != "stuck\n":
                assert child.poll() is None
            child.terminate()
            assert child.wait(PATIENCE_S) == 0
        finally:
            child.kill()
        events = [json.loads(line)["event"] for line in child.stdout]
    assert (events[0], events[-1]) == ("started", "stopped")


def test_it_ends_while_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    with daemon(tmp_path, "--every-frame", "--speech", "log", "--events", "-", "--events-frames") as child:
        # the events fill the pipe, and the loop hangs in a write
        before, filled, deadline_s = -1, 0, time.monotonic() + PATIENCE_S
        while before != filled or filled < 30_000:
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
            before, filled = filled, bytes_waiting(child)
        child.terminate()
        assert child.wait(PATIENCE_S) == 0
