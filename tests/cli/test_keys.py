"""`edge keys`: what it shows, what it learns, and what it writes."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rigs.daemon import ROOT
from rigs.keys import F2, PAGE_DOWN, VOLUME_UP, B, FifoDevice, fifo_device

from edge.cli import main
from edge.cli.keys import MEANINGS
from edge.errors import EX_CONFIG, ConfigError
from edge.input.actions import Action
from edge.input.learn import set_in_table, write_input


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[FifoDevice]:
    with fifo_device(tmp_path / "remote") as device:
        yield device


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text("# my settings\n")
    return file


# ---- showing


def test_it_shows_what_is_pressed_and_what_that_asks_for(
    remote: FifoDevice, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text('[input]\nkeys = {"KEY_F2" = "look", "KEY_F2 long" = "snooze"}\n')
    remote.press(F2, 2.0)
    remote.press(VOLUME_UP)
    remote.press(B + 1)
    assert main(["keys", "--config", str(settings), "--device", str(remote.path), "--seconds", "0.3"]) == 0
    told = capsys.readouterr().out
    for line in (
        "remote  KEY_F2 goes down",
        "remote  KEY_F2 long  ->  snooze: be quiet for half an hour, or speak again",
        "remote  KEY_VOLUMEUP press  ->  louder: speak louder",
        "remote  KEY_N press  ->  no action",
    ):
        assert line in told


def test_without_a_device_in_the_settings_it_shows_what_auto_would_do(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "--config", str(settings), "--seconds", "0.1"]) == 0
    assert "[input] devices is empty, so edge reads no keys." in capsys.readouterr().out


def test_every_action_is_explained() -> None:
    assert set(MEANINGS) == set(Action)


@pytest.mark.parametrize("command", [["keys"], ["config", "--check"]])
def test_a_mistake_in_the_keys_is_one_line(
    settings: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text('[input]\nkeys = {"KEY_VOLUMUP" = "louder"}\n')
    given = [str(settings)] if command[-1] == "--check" else ["--config", str(settings)]
    assert main([*command, *given]) == EX_CONFIG
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "did you mean KEY_VOLUMEUP?" in told.err


# ---- learning


def learn(remote: FifoDevice, settings: Path, *flags: str) -> str:
    """Answer the questions: page down is to look, a long B to snooze, nothing for the others; return the output."""
    command = [sys.executable, "-m", "edge", "keys", "--learn", "--config", str(settings), *flags]
    with subprocess.Popen(
        [*command, "--device", str(remote.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdin
        assert child.stdout
        said: list[str] = []

        def until(text: str) -> None:
            while text not in (line := child.stdout.readline()):  # type: ignore[union-attr]
                assert line, said
                said.append(line)
            said.append(line)

        for action in Action:
            until(f"{action}: ")
            if action is Action.LOOK:
                remote.press(PAGE_DOWN)
                until("KEY_PAGEDOWN on remote")
            elif action is Action.SNOOZE:
                remote.press(B, 2.0)
                until("KEY_B long on remote")
            else:
                child.stdin.write("\n")
                child.stdin.flush()
        child.stdin.close()
        said += child.stdout.readlines()
        assert child.wait(30) == 0, said
    return "".join(said)


def test_it_learns_the_keys_of_a_device_and_prints_the_lines(remote: FifoDevice, settings: Path) -> None:
    told = learn(remote, settings)
    lines = told[told.index("[input]") : told.index("\n\n", told.index("[input]"))]
    assert tomllib.loads(lines) == {
        "input": {
            "devices": [str(remote.path)],
            "keys": {"KEY_PAGEDOWN": "look", "KEY_B long": "snooze"},
        }
    }
    assert settings.read_text() == "# my settings\n"


def test_it_writes_what_it_has_learned_and_keeps_the_rest(remote: FifoDevice, settings: Path) -> None:
    settings.write_text(
        "# my settings\n[input] # by hand\n"
        'devices = ["auto"]  # the button\nkeys = {"KEY_B" = "aim", "KEY_MUTE" = "snooze"}\n'
        '[speech]\nvoice = "en-gb"\n'
    )
    assert f"{settings}: written" in learn(remote, settings, "--write")
    text = settings.read_text()
    assert tomllib.loads(text) == {
        "input": {
            "devices": ["auto", str(remote.path)],
            "keys": {"KEY_MUTE": "snooze", "KEY_PAGEDOWN": "look", "KEY_B long": "snooze"},
        },
        "speech": {"voice": "en-gb"},
    }
    assert text.startswith("# my settings\n[input] # by hand\n")


# ---- writing

VALUES = {"devices": ["auto"], "keys": {"KEY_B long": "look"}}
DEFAULTS = (ROOT / "edge" / "data" / "edge.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "[speech]\nvoice = 'x'",
        "[input]",
        "[input]\n# devices = []\ntones = false\n\n[speech]\nrate_wpm = 150\n",
        "[ input ] # mine\ndevices = [\n  'one', # this\n  'two',\n]\ntones = false\n",
        "[input]\nkeys = {'KEY_A' = 'look'}\ndevices = ['one']\n[announce]\nmuted = [\n['x'][0]]\n".replace(
            "['x'][0]", "'x'"
        ),
        "\ufeff[input]\r\ndevices = ['one']\r\n\r\n[speech]\r\nvoice = ''\r\n",
        "[announce]\nrename = {'devices = 1' = '[input]'}\n",
        DEFAULTS,
        DEFAULTS + '\n[input.keys]\nKEY_B = "look"\n'.replace("[input.keys]\n", "# [input.keys]\n# "),
    ],
)
def test_only_these_keys_change_in_a_settings_file(text: str) -> None:
    changed = set_in_table(text, "input", VALUES)
    before: dict[str, Any] = tomllib.loads(text.removeprefix("\ufeff"))
    before.setdefault("input", {}).update(VALUES)
    assert tomllib.loads(changed.removeprefix("\ufeff")) == before
    # every comment is still there, but for that of a list that was replaced
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            assert line in changed.splitlines()
    assert ("\r\n" in text) == ("\r\n" in changed)
    assert changed.startswith("\ufeff") == text.startswith("\ufeff")
    assert set_in_table(changed, "input", VALUES) == changed


@pytest.mark.parametrize(
    "text",
    ["[input", "input = 3\n", 'input = {devices = ["one"]}\n', '[input.keys]\nKEY_B = "look"\n', "[[input]]\n"],
)
def test_a_file_that_cannot_be_changed_stays_as_it_is(text: str, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        write_input(file, VALUES)
    assert 'write this into it yourself: [input] devices = ["auto"]' in str(raised.value)
    assert file.read_text() == text


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "real.toml", tmp_path / "edge.toml"
    file.write_text("[speech]\nvoice = 'x'\n")
    file.chmod(0o640)
    link.symlink_to(file)
    write_input(link, VALUES)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert tomllib.loads(file.read_text())["input"] == VALUES


def test_a_file_that_does_not_exist_is_made(tmp_path: Path) -> None:
    write_input(tmp_path / "edge" / "edge.toml", VALUES)
    assert tomllib.loads((tmp_path / "edge" / "edge.toml").read_text()) == {"input": VALUES}
