"""The control socket, with real clients: good ones, strangers, and such as send rubbish or nothing."""

import grp
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles import RecordingAnswers
from rigs.processes import PATIENCE_S, grown, wait_until

from edge.announce.announcer import Missed
from edge.cli.flags import seconds
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import LONGEST_LINE, MOST_CLIENTS, ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.history import History
from edge.daemon.socket_access import may_connect
from edge.errors import ControlError
from edge.host.control_client import ask, control_path
from edge.input.actions import Action
from edge.stages import Announcement, Outcome

LABELS = ["web site", "dog", "electric guitar"]


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def control_state(tmp_path: Path, history: History) -> ControlState:
    control_state = ControlState(tmp_path / "state" / "mutes.json", history=history)
    control_state.mutes.know(lambda: [(label, [label]) for label in LABELS])
    return control_state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def server(control_state: ControlState, path: Path) -> Iterator[ControlServer]:
    before = threads_and_files()
    server = ControlServer(path, ControlCommands(control_state).answer)
    yield server
    server.close()
    assert not path.exists()
    wait_until(lambda: not grown(before, threads_and_files()))


def answer(control_state: ControlState, request: dict[str, Any]) -> dict[str, Any]:
    return ControlCommands(control_state).answer(request)


def threads_and_files() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(str(path))
    return client


def read_line(client: socket.socket) -> Any:
    with client.makefile("rb") as lines:
        return json.loads(lines.readline())


# ---- what is asked


def test_a_snooze_ends_by_itself_or_when_told(control_state: ControlState) -> None:
    assert answer(control_state, {"command": "wake"}) == {"snoozed": False}
    until = answer(control_state, {"command": "snooze", "seconds": 60})["until"]
    assert until == answer(control_state, {"command": "status"})["snoozed_until"]
    assert 59 < control_state.snoozed_until_s - time.monotonic() <= 60
    assert answer(control_state, {"command": "wake"}) == {"snoozed": True}
    assert answer(control_state, {"command": "status"})["snoozed_until"] is None
    control_state.snoozed_until_s = time.monotonic() - 0.1
    assert answer(control_state, {"command": "status"})["snoozed_until"] is None


def test_mutes(control_state: ControlState, tmp_path: Path) -> None:
    assert answer(control_state, {"command": "mute", "label": "Web_Site"}) == {
        "muted": "web site",
        "lasting": True,
    }
    assert control_state.mutes.plain == {"web site"}
    assert ControlState(tmp_path / "state" / "mutes.json").mutes.plain == {"web site"}
    assert answer(control_state, {"command": "mutes"}) == {"mutes": ["web site"]}
    assert answer(control_state, {"command": "unmute", "label": "web site"}) == {
        "unmuted": "web site",
        "lasting": True,
    }
    assert control_state.mutes.plain == frozenset()
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == ["mutes.json"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({}, "unknown command None; known: status, snooze"),
        ({"command": "reboot"}, "unknown command 'reboot'"),
        ({"command": ["status"]}, "unknown command"),
        ({"command": "snooze"}, "cannot snooze for None s; give 1 s to 7 days"),
        ({"command": "snooze", "seconds": True}, "cannot snooze"),
        ({"command": "snooze", "seconds": 1e9}, "cannot snooze"),
        ({"command": "snooze", "seconds": float("nan")}, "cannot snooze"),
        ({"command": "mute"}, "a label is a text"),
        ({"command": "mute", "label": " "}, "a label is a text"),
        ({"command": "mute", "label": "x" * 1000}, "a label is a text"),
        ({"command": "mute", "label": "electric gitar"}, "no label 'electric gitar'; did you mean electric guitar?"),
        ({"command": "unmute", "label": "dog"}, "'dog' is not muted"),
        ({"command": "volume"}, "None is no volume: from 10 to 100 percent"),
        ({"command": "volume", "percent": 9}, "9 is no volume"),
        ({"command": "volume", "percent": 100.5}, "100.5 is no volume"),
        ({"command": "volume", "percent": True}, "True is no volume"),
        ({"command": "volume", "percent": float("nan")}, "nan is no volume"),
        ({"command": "volume", "percent": 50}, "edge is starting"),
        ({"command": "say"}, "a sentence is a text with a letter or a digit"),
        ({"command": "say", "text": 5}, "a sentence is a text"),
        ({"command": "say", "text": " \x07!\n"}, "a sentence is a text"),
        ({"command": "say", "text": "\U0001f389"}, "a sentence is a text"),
        ({"command": "say", "text": "x" * 301}, "of at most 300 characters"),
        ({"command": "say", "text": "x", "urgent": 1}, "urgent: 1 is neither true nor false"),
        ({"command": "say", "text": "x"}, "edge is starting"),
        ({"command": "why", "last": 0}, "0 is no number of decisions: from 1"),
        ({"command": "why", "last": "all"}, "'all' is no number of decisions"),
        ({"command": "why", "last": True}, "True is no number of decisions"),
    ],
)
def test_what_cannot_be_done_is_told(control_state: ControlState, request_: dict[str, Any], error: str) -> None:
    told = answer(control_state, request_)
    assert list(told) == ["error"]
    assert error in told["error"]


def test_what_was_missed_is_kept_but_not_for_ever(control_state: ControlState) -> None:
    for number in range(300):
        control_state.miss(Missed(f"thing {number}", 0.9, "snoozed"))
    missed = answer(control_state, {"command": "missed"})["missed"]
    assert [missed[0]["label"], missed[-1]["label"], len(missed)] == ["thing 100", "thing 299", 200]
    assert missed[0].keys() == {"time", "label", "text", "probability", "reason"}


def present() -> Announcement:
    return Announcement("n1", "dog", 0.9, "I see a dog")


def test_a_request_that_is_answered_aloud_is_passed_on(control_state: ControlState) -> None:
    assert answer(control_state, {"command": "look"}) == {"error": "edge is starting"}
    answering = RecordingAnswers()
    control_state.attach(answering, lambda: {"tones": True}, answering.pauses.append)
    for command, action in (("look", Action.LOOK), ("louder", Action.LOUDER), ("slower", Action.SLOWER)):
        assert answer(control_state, {"command": command}) == {"text": action}
    assert answer(control_state, {"command": "mute", "last": True}) == {"text": "mute last"}
    assert answer(control_state, {"command": "press", "action": "history"}) == {"action": "history"}
    assert answering.told == ["look", "louder", "slower", "mute last", "down", "history"]
    assert (
        "unknown action 'x'; known: look, missed" in answer(control_state, {"command": "press", "action": "x"})["error"]
    )
    assert answer(control_state, {"command": "status"})["input"] == {"tones": True}
    answer(control_state, {"command": "pause"})
    assert answering.pauses == [True]
    spoken = answer(control_state, {"command": "say", "text": "\tDinner \u202e\x1b[31m is\r\nready. "})
    assert spoken == {"text": "Dinner [31m is ready."}
    assert answering.told[-1] == "Dinner [31m is ready."
    assert answer(control_state, {"command": "volume", "percent": 33.3}) == {"volume": 0.33}
    assert "edge is paused" in answer(control_state, {"command": "aim", "on": True})["error"]
    assert answer(control_state, {"command": "aim"}) == {"on": None}
    assert answer(control_state, {"command": "aim", "on": 1})["error"] == "1 is neither true nor false"


def test_what_is_in_view_gives_way_to_the_reason_why_nothing_can_be_said(control_state: ControlState) -> None:
    assert control_state.present().text == "I'm starting."
    control_state.show(dict, present)
    assert control_state.present() == present()
    with control_state.loading():
        assert control_state.present().text == "I'm loading a model."
    assert control_state.present() == present()


def test_a_pause_clears_what_was_said(control_state: ControlState, history: History) -> None:
    history.add(Outcome(present(), heard=True))
    (said,) = answer(control_state, {"command": "history"})["history"]
    assert said | {"time": ""} == {"time": "", "text": "I see a dog", "labels": [], "heard": True}
    answer(control_state, {"command": "pause"})
    assert answer(control_state, {"command": "history"}) == {"history": []}


def test_the_last_decisions_are_told_ten_unless_more_are_wanted(control_state: ControlState) -> None:
    assert answer(control_state, {"command": "why"}) == {"decisions": []}
    control_state.show(dict, present, lambda: [{"label": str(number)} for number in range(30)])
    assert [one["label"] for one in answer(control_state, {"command": "why"})["decisions"]] == list("0123456789")
    assert len(answer(control_state, {"command": "why", "last": 20})["decisions"]) == 20
    assert len(answer(control_state, {"command": "why", "last": 2000})["decisions"]) == 30


def test_how_things_are_is_made_only_when_somebody_asks(control_state: ControlState) -> None:
    made: list[str] = []

    def make(what: str) -> dict[str, str]:
        made.append(what)
        return {}

    control_state.show(lambda: make("status"), present, lambda: [make("decisions")])
    control_state.tidy()
    assert made == []
    answer(control_state, {"command": "status"})
    assert made == ["status"]
    answer(control_state, {"command": "why"})
    assert made == ["status", "decisions"]


@pytest.mark.parametrize("content", ["[1]", "{", '"x"', "\x00\xff"])
def test_damaged_mutes_are_set_aside(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mutes.json"
    file.write_text(content, encoding="latin-1")
    caplog.set_level(logging.INFO, "edge.daemon")
    assert ControlState(file).mutes.plain == frozenset()
    assert len(caplog.messages) == 1
    assert "mutes.json.damaged" in caplog.messages[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mutes.json.damaged"]


def test_mutes_that_cannot_be_written_hold_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    control_state = ControlState(tmp_path / "file" / "mutes.json")
    assert answer(control_state, {"command": "mute", "label": "dog"}) == {
        "muted": "dog",
        "lasting": False,
    }
    assert control_state.mutes.plain == {"dog"}


MUTER = """
import sys
from pathlib import Path
from edge.daemon.control_socket import ControlServer
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_state import ControlState
server = ControlServer(Path(sys.argv[1]), ControlCommands(ControlState(Path(sys.argv[2]))).answer)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_mute_survives_kill_9_right_after_its_answer(path: Path, tmp_path: Path, long: bool) -> None:
    file = tmp_path / "mutes.json"
    for number in range(50 if long else 3):
        command = [sys.executable, "-c", MUTER, str(path), str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            ask([path], {"command": "mute", "label": f"thing {number}"})
            child.send_signal(signal.SIGKILL)
        # its socket is left behind, and taken over by the next
        assert path.exists()
        assert len(ControlState(file).mutes.plain) == number + 1


# ---- who asks


FULL = """
import resource, sys, time
from pathlib import Path
from edge.daemon.control_socket import ControlServer
server = ControlServer(Path(sys.argv[1]), lambda request: {"asked": request["command"]})
most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) - 1, most[1]))
print("full", flush=True)
sys.stdin.readline()
began_s, used_s = time.monotonic(), time.process_time()
time.sleep(1)
print((time.process_time() - used_s) / (time.monotonic() - began_s), flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, most)
sys.stdin.readline()
"""


def test_without_file_descriptors_a_client_waits_and_the_processor_rests(path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "full\n"
        with connect(path) as client:
            client.settimeout(PATIENCE_S)
            client.sendall(b'{"command": "status"}\n')
            print("go", file=child.stdin, flush=True)
            share = float(child.stdout.readline())
            assert read_line(client) == {"asked": "status"}
        assert share < 0.2, "of a processor"


@pytest.mark.usefixtures("server")
def test_several_requests_on_one_line_each(path: Path) -> None:
    with connect(path) as client:
        client.sendall(b'{"command": "mutes"}\n{"command": "missed"}\n')
        with client.makefile("rb") as lines:
            assert [json.loads(lines.readline()) for _ in range(2)] == [{"mutes": []}, {"missed": []}]


@pytest.mark.usefixtures("server")
def test_rubbish_and_silence_disturb_nobody(path: Path, control_state: ControlState) -> None:
    hanging = [connect(path) for _ in range(MOST_CLIENTS + 8)]
    rubbish = random.Random(7)
    for number in range(40):
        with connect(path) as client:
            client.sendall(rubbish.randbytes(rubbish.randrange(1, 300)) + b"\n")
            if number % 2:
                assert "error" in read_line(client)
        with connect(path) as client:
            client.sendall(b'{"command": "mu')  # and it is gone
    with connect(path) as client:
        client.sendall(b"[" * (3 * LONGEST_LINE) + b"\n")
        assert "at most" in read_line(client)["error"]
    # though each of those could be waited for
    assert ask([path], {"command": "mutes"}, timeout_s=PATIENCE_S) == {"mutes": []}
    for client in hanging:
        # each is told to go, by an end of file or a reset
        wait_until(lambda client=client: hung_up(client))  # type: ignore[misc]
        client.close()
    assert answer(control_state, {"command": "mutes"}) == {"mutes": []}


def hung_up(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_half_a_character_is_rubbish_too(path: Path, tmp_path: Path) -> None:
    """Also while a network loads, when any label may be muted."""
    server = ControlServer(path, ControlCommands(ControlState(tmp_path / "mutes.json")).answer)
    try:
        for label in ("\\ud800", "\\udfff x"):
            with connect(path) as client:
                client.sendall(b'{"command": "mute", "label": "%s"}\n' % label.encode())
                assert "error" in read_line(client)
        assert ask([path], {"command": "mute", "label": "cat \U0001f408"})["lasting"]
        assert ask([path], {"command": "mutes"}) == {"mutes": ["cat \U0001f408"]}
    finally:
        server.close()


@pytest.mark.usefixtures("server")
def test_a_client_that_does_not_read_its_answers_is_dropped(path: Path, control_state: ControlState) -> None:
    for _ in range(200):
        control_state.miss(Missed("x" * 150, 0.9, "snoozed"))
    with connect(path) as client:
        client.settimeout(0.2)
        with pytest.raises(OSError, match=r"timed out|Broken pipe|reset"):
            client.sendall(b'{"command": "missed"}\n' * 1_000_000)
        # the million requests before it are read first, on a machine that may be busy
        assert ask([path], {"command": "mutes"}, PATIENCE_S) == {"mutes": []}


def test_a_fault_in_one_answer_leaves_the_others(
    server: ControlServer, path: Path, control_state: ControlState, caplog: pytest.LogCaptureFixture
) -> None:
    control_state.show_status(lambda: {"one": 1 // 0})
    assert ask([path], {"command": "status"}) == {"error": "this is a fault of edge; its log has more"}
    assert "ZeroDivisionError" in caplog.text
    assert ask([path], {"command": "mutes"}) == {"mutes": []}


def test_who_may_connect() -> None:
    me = os.geteuid()
    assert may_connect(0, {0}, 12345)
    assert may_connect(me, {54321}, None)
    assert may_connect(me + 1, {54321, 12345}, 12345)
    assert not may_connect(me + 1, {54321}, 12345)
    assert not may_connect(me + 1, set(), 12345)
    assert not may_connect(me + 1, {54321}, None)


ASK = """
import os, sys
from pathlib import Path
from edge.errors import ControlError
from edge.host.control_client import ask
os.setgroups(list(map(int, sys.argv[2:]))); os.setgid(65534); os.setuid(65534)
try:
    for command in ("mutes", "snapshot", "teach", "forget"):
        print(ask([Path(sys.argv[1])], {"command": command, "name": "Rex"}))
except ControlError as error:
    print(error)
"""


NOT_TAUGHT = "edge was never taught 'Rex'; edge taught lists what it knows"


@pytest.mark.root
def test_a_group_may_use_the_socket_and_gets_no_picture(
    path: Path, control_state: ControlState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group stands for edge-control, which this machine need not have."""
    control = grp.getgrnam("games")
    monkeypatch.setattr("edge.daemon.socket_access.CONTROL_GROUP", control.gr_name)
    path.parent.mkdir(parents=True)
    for folder in (path.parent, *path.parent.parents[:3]):
        folder.chmod(0o711)
    server = ControlServer(path, ControlCommands(control_state).answer, teachable=lambda: control_state.teachable)

    def ask_with(*groups: int) -> str:
        command = [sys.executable, "-c", ASK, str(path), *map(str, groups)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        assert path.stat().st_mode & 0o777 == 0o660
        # edge forgets a thing while it starts too
        teaching = [str({"error": "edge is starting"}), str({"error": NOT_TAUGHT})]
        for groups in ((control.gr_gid,), (12345, control.gr_gid)):
            mutes, snapshot, *told = ask_with(*groups).splitlines()
            assert mutes == "{'mutes': []}"
            assert "gets no snapshot" in snapshot
            assert told == teaching
        control_state.teachable = False
        for refused in ask_with(control.gr_gid).splitlines()[2:]:
            assert "the settings do not allow this: [link] teach = false" in refused
        own = path.stat().st_gid
        allowed = ["{'mutes': []}", "{'jpeg': None}", *teaching]
        assert ask_with(own, control.gr_gid).splitlines() == ask_with(own).splitlines() == allowed
        assert "you may not use it" in ask_with(12345)
        assert "you may not use it" in ask_with()
    finally:
        server.close()
    monkeypatch.setattr("edge.daemon.socket_access.CONTROL_GROUP", "no-such-group")
    server = ControlServer(path, ControlCommands(control_state).answer)
    try:
        assert "you may not use it" in ask_with(control.gr_gid)
    finally:
        server.close()


@pytest.mark.usefixtures("server")
@pytest.mark.root
def test_another_users_connection_is_refused(path: Path) -> None:
    for folder in (path.parent, *path.parent.parents[:3]):
        folder.chmod(0o755)
    code = f"""
import os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
try:
    client.connect({str(path)!r})
except PermissionError:
    print("no permission")
else:
    print(client.makefile().readline())
"""
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "no permission\n"
    path.chmod(0o666)  # somebody has opened the first lock
    assert "you may not control this edge" in subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_a_second_daemon_does_not_take_the_socket_of_the_first(
    server: ControlServer, path: Path, control_state: ControlState
) -> None:
    with pytest.raises(ControlError, match="another edge is running"):
        ControlServer(path, ControlCommands(control_state).answer)
    assert ask([path], {"command": "mutes"}) == {"mutes": []}


def test_a_place_that_cannot_be_used(tmp_path: Path, control_state: ControlState) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ControlError, match="set another path in \\[service\\] control"):
        ControlServer(tmp_path / "file" / "control.sock", ControlCommands(control_state).answer)
    with pytest.raises(ControlError, match="too long"):
        ControlServer(tmp_path / ("x" * 200), ControlCommands(control_state).answer)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path, control_state: ControlState) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ControlError, match="File exists"):
        ControlServer(tmp_path / "notes", ControlCommands(control_state).answer)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("notes", "mine")]


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="edge is not running here"):
        ask([tmp_path / "none", tmp_path / "none" / "either"], {"command": "status"})


def test_where_it_is(tmp_path: Path) -> None:
    assert control_path("", tmp_path) is None
    assert control_path("auto", tmp_path) == tmp_path / "control.sock"
    assert control_path("/x/y", tmp_path) == Path("/x/y")


@pytest.mark.parametrize(("text", "found"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), ("5", 300)])
def test_durations(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "m", "1x", "-5", "1.5h", "1 h", "1h 30"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        seconds(text)
