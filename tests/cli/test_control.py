"""The commands for the running edge, where none runs or one answers what a test makes up."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles import RecordingAnswers

from edge.announce import mutes
from edge.announce.announcer import Missed
from edge.cli import main
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import ControlServer
from edge.daemon.control_state import ControlState
from edge.stages import Announcement


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's file of mutes, on a machine without a service."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(mutes, "SERVICE_FILE", tmp_path / "service" / "mutes.json")
    return tmp_path / "state" / "edge" / "mutes.json"


# ---- unmute where no edge runs


def test_a_mute_is_taken_back_on_disk(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutes.write_mutes(file, ["web site", "dog"])
    assert main(["unmute", "Web_Site"]) == 0
    assert capsys.readouterr().out == "No longer muted: web site. This holds from the next start of edge.\n"
    assert ControlState(file).mutes.plain == {"dog"}


def test_a_mute_of_the_service_is_taken_back_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutes.write_mutes(file, ["dog"])
    mutes.write_mutes(mutes.SERVICE_FILE, ["cat", "bagel"])
    assert main(["unmute", "cat"]) == 0
    assert (mutes.read_mutes(file), mutes.read_mutes(mutes.SERVICE_FILE)) == (["dog"], ["bagel"])
    assert "No longer muted: cat." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "'cat' is not muted"),
        ('["dog", "web site"]', "muted are: dog, web site"),
        ("{", "is damaged"),
        ('"cat"', "is damaged (it is not a list of texts)"),
    ],
)
def test_what_cannot_be_taken_back(
    file: Path, content: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        file.parent.mkdir(parents=True)
        file.write_text(content, encoding="utf-8")
    assert main(["unmute", "cat"]) == 69
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error
    assert content is None or file.read_text(encoding="utf-8") == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_service_s_mute_that_a_user_may_not_change(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutes.write_mutes(mutes.SERVICE_FILE, ["cat"])
    mutes.SERVICE_FILE.parent.chmod(0o500)
    try:
        assert main(["unmute", "cat"]) == 69
    finally:
        mutes.SERVICE_FILE.parent.chmod(0o700)
    assert "sudo edge unmute cat" in capsys.readouterr().err
    assert mutes.read_mutes(mutes.SERVICE_FILE) == ["cat"]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("command", [["why"], ["unmute", "cat"], ["mute"], ["status"]])
def test_that_no_edge_runs_is_one_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 69
    error = capsys.readouterr().err
    assert "edge is not running here" in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("file")
def test_an_edge_that_is_named_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unmute", "cat", "--socket", str(tmp_path / "none.sock")]) == 69
    assert "edge is not running here" in capsys.readouterr().err


# ---- what it is to say


def test_a_sentence_and_a_volume(answering: ControlState, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "Dinner"]) == 69
    assert "edge is starting" in capsys.readouterr().err
    answers = Giving()
    answering.attach(answers, dict, lambda _paused: None)
    assert main(["say", "Dinner", "is", "ready."]) == 0
    assert capsys.readouterr().out == "The running edge says it as soon as it may.\n"
    assert main(["say", "--speech", "log", "Hello"]) == 0
    assert "Hello" in capsys.readouterr().out
    answers.reason = "quiet hours"
    assert main(["say", "--urgent", "Dinner"]) == 0
    assert capsys.readouterr().out == "Not said now, because of quiet hours. edge missed lists it.\n"
    assert answers.told == ["Dinner is ready.", "urgent: Dinner"]
    answering.miss(Missed("", 0.0, "quiet hours", "Dinner"))
    assert main(["missed"]) == 0
    assert re.search(r"Dinner +quiet hours", capsys.readouterr().out)
    assert main(["volume", "40"]) == 0
    assert main(["volume"]) == 0
    assert capsys.readouterr().out == "Volume 40%.\nVolume 100%.\n"
    assert main(["volume", "400"]) == 69
    assert "400.0 is no volume: from 10 to 100 percent" in capsys.readouterr().err


@pytest.mark.usefixtures("file")
def test_where_no_edge_runs_a_sentence_is_spoken_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_SPEECH_DRIVER", "log")
    assert main(["say", "Hello"]) == 0
    assert "Hello" in capsys.readouterr().out
    for flags in (["--urgent"], ["--socket", str(tmp_path / "none.sock")]):
        assert main(["say", "Hello", *flags]) == 69
        assert "edge is not running here" in capsys.readouterr().err


class Giving(RecordingAnswers):
    """Answers what the daemon would."""

    reason: str | None = None

    def say(self, text: str, *, urgent: bool) -> dict[str, Any]:
        super().say(text, urgent=urgent)
        return {"text": text, "queued": not self.reason, "reason": self.reason}

    def set_volume(self, volume: float) -> dict[str, Any]:
        return {"volume": volume, "lasting": True}


# ---- why it is silent

WHY: dict[str, Any] = {
    "time": "2026-06-01T12:00:00+00:00",
    "label": "bagel",
    "probability": 0.957,
    "said": False,
    "reason": "rate limit",
    "because": "it has reached its limit ([announce] per_minute = 12): it waits until 12:00:57",
    "until": "2026-06-01T12:00:57+00:00",
}
SAID = WHY | {"said": True, "reason": "said", "because": 'said: "I see a bagel"', "until": None}
BLIND = WHY | {"label": None, "probability": None, "reason": "blind", "because": "the camera sees nothing: it is dark"}


def nothing_in_view() -> Announcement:
    return Announcement("", "", 0.0, "I'm not sure")


@pytest.fixture
def answering(file: Path, tmp_path: Path) -> Iterator[ControlState]:
    """What answers in place of a daemon."""
    state = ControlState(file)
    server = ControlServer(tmp_path / "run" / "edge" / "control.sock", ControlCommands(state).answer)
    yield state
    server.close()


@pytest.mark.parametrize(("decision", "line"), [(WHY, True), (SAID, False)])
def test_the_status_tells_why_it_is_silent(
    answering: ControlState, decision: dict[str, Any], line: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.show_status(lambda: {"silent_because": decision})
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert ("silent because it has reached its limit" in out) == line
    assert max(map(len, out.splitlines())) <= 80
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["silent_because"] == decision


def test_the_status_of_an_edge_of_the_release_before(
    answering: ControlState, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.show_status(lambda: {"model": "demo"})
    assert main(["status"]) == 0
    assert "silent" not in capsys.readouterr().out


def test_the_decisions_are_told_in_lines_and_as_json(
    answering: ControlState, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = [BLIND, WHY, *[SAID] * 20]
    answering.show(dict, nothing_in_view, lambda: decisions)
    assert main(["why", "--last", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("12:00  the camera sees nothing: it is dark")
    assert "bagel (96%), not said: it has reached its limit" in lines[1]
    assert lines[-1].endswith('bagel (96%), said: "I see a bagel"')
    assert max(map(len, lines)) <= 80
    assert main(["why", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == decisions[:10]
    assert main(["why", "--last", "0"]) == 69
    assert "0 is no number of decisions" in capsys.readouterr().err


def test_there_are_no_decisions_yet(answering: ControlState, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why"]) == 0
    assert "edge status" in capsys.readouterr().out
