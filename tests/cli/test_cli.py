"""The commands as a person types them: one clear line and the right exit code for what is wrong."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import __version__
from edge.cli import main

pytestmark = pytest.mark.integration


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    return path


def test_classify_names_the_labels(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--model", "demo", str(picture), "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{picture} (demo, ")
    assert len(lines) == 4
    assert re.fullmatch(r" +[\d.]+%  [\w ]+ \(\w+\)", lines[1])


def test_classify_json_is_a_list(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--model", "demo", str(picture), str(picture), "--json", "--top", "2"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert list(first) == ["image", "model", "engine", "predictions", "elapsed_ms", "calibrated"]
    assert (first["image"], first["model"], first["engine"]) == (str(picture), "demo", "mxnet")
    assert [list(prediction) for prediction in first["predictions"]] == [["id", "label", "probability"]] * 2
    assert first["predictions"] == second["predictions"]
    assert first["elapsed_ms"] > 0


def test_a_bad_picture_does_not_lose_the_good_ones(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = picture.with_name("bad.jpg")
    bad.write_text("no image")
    assert main(["classify", "--model", "demo", str(bad), str(picture), "--json"]) == 69
    captured = capsys.readouterr()
    assert [result["image"] for result in json.loads(captured.out)] == [str(picture)]
    assert captured.err.count("\n") == 1
    assert str(bad) in captured.err


def test_a_folder_means_the_pictures_in_it(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = picture.parent / "album"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        (folder / name).write_bytes(picture.read_bytes())
    (folder / "notes.txt").write_text("no picture")
    assert main(["classify", "--model", "demo", str(picture), str(folder), "--json"]) == 0
    found = [result["image"] for result in json.loads(capsys.readouterr().out)]
    assert found == [str(picture), str(folder / "a.png"), str(folder / "b.png")]
    (folder / "c.png").write_text("no picture either")
    assert main(["classify", "--model", "demo", str(folder), "--json"]) == 69
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 2
    assert captured.err.count("\n") == 1
    assert main(["compare", "--models", "demo", str(folder), "--json"]) == 69
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_a_folder_without_pictures_is_one_line(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = picture.parent / "empty"
    folder.mkdir()
    assert main(["classify", "--model", "demo", str(folder), str(picture), "--json"]) == 69
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert captured.err.startswith(f"edge: {folder}: there is no image in this folder")
    assert captured.err.count("\n") == 1


def test_the_language_can_be_given_for_once(capsys: pytest.CaptureFixture[str]) -> None:
    demo = ["run", "--camera", "demo", "--every-frame", "--speech", "log", "--frames", "60"]
    assert main([*demo, "--language", "de"]) == 0
    assert "Ich sehe " in capsys.readouterr().out
    assert main(["say", "--language", "de", "--speech", "log", "guten", "Tag"]) == 0
    assert capsys.readouterr().out == "guten Tag\n"
    assert main([*demo, "--language", "xx"]) == 0
    assert "edge has no translation for 'xx', so it speaks English" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("muted", "told"),
    [
        ("bagle", "[announce] muted: the model has no label 'bagle'"),
        ("guitr", "[announce] muted: the model has no label 'guitr'; did you mean guitar?"),
        ("guitar", ""),
        ("a guitar", ""),
        ("n03467517", ""),
        ("", ""),
    ],
)
def test_a_misspelt_mute_in_the_settings_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], muted: str, told: str
) -> None:
    monkeypatch.setenv("EDGE_ANNOUNCE_MUTED", json.dumps([muted] if muted else []))
    assert main(["run", "--camera", "demo", "--speech", "log", "--frames", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count(told) == 1 if told else "has no label" not in said


def test_config_prints_what_is_in_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[announce]\nfloor = 0.8\n")
    monkeypatch.setenv("EDGE_CAMERA_SOURCE", "usb:1")
    assert main(["config", "--config", str(path)]) == 0
    settings = tomllib.loads(capsys.readouterr().out)
    assert (settings["announce"]["floor"], settings["camera"]["source"]) == (0.8, "usb:1")


def test_config_check_tells_good_from_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[announce]\nfloor = 0.8\n")
    assert main(["config", "--check", str(path)]) == 0
    path.write_text("[announce]\nflor = 0.8\n[camera]\nwidth = -1\n")
    assert main(["config", "--check", str(path)]) == 78
    assert len(capsys.readouterr().err.splitlines()) == 2
    path.write_text("[announce]\ntemplate = 'hello'\n")
    assert main(["config", "--check", str(path)]) == 78


def test_the_installed_program_leaves_as_python_m_edge_does() -> None:
    """At once, past the vendor libraries' tidying: see docs/decisions/0004-how-it-ends.md."""
    scripts = importlib.metadata.entry_points(group="console_scripts", name="edge")
    assert [script.value for script in scripts] == ["edge.__main__:entry"]


def test_an_output_that_is_full_is_one_line(picture: Path) -> None:
    for arguments in ("config", f"classify --model demo {picture} --json"):
        command = f"unset PYTHONUNBUFFERED; exec {sys.executable} -m edge {arguments} >/dev/full"
        done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (69, 1)
        assert "No space left on device" in done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge {__version__}\n"


def test_say_can_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "I", "see", "--speech", "log"]) == 0
    assert capsys.readouterr().out == "I see\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "COMMAND"),
        (["fly"], 2, "fly"),
        (["run", "--frames", "-1"], 2, "--frames: -1 is not above 0"),
        (["run", "--frames", "many"], 2, "'many' is not a whole number"),
        (["run", "--seconds", "nan"], 2, "nan is not a number above 0"),
        (["run", "--camera", "/no/such/clip.mp4"], 69, "/no/such/clip.mp4"),
        (["run", "--camera", "usb:97"], 69, "usb:97"),
        (["run", "--camera", "csi:7"], 69, "csi"),
        (["run", "--model", "/no/such"], 78, "/no/such-symbol.json"),
        (["run", "--config", "/no/such.toml"], 78, "/no/such.toml"),
        (["run", "--speech", "siri"], 78, "driver = 'siri' must be one of pyttsx3, espeak, log"),
        (["run", "--events", "/no/such/file"], 78, "[service] events = '/no/such/file'"),
        (["run", "--size", "0"], 78, "size = 0"),
        (["run", "--mean", "1,2"], 78, "mean = [1.0, 2.0] must be one number, or three"),
        (["classify", "--model", "demo", "/no/such.jpg"], 69, "/no/such.jpg"),
        (["classify", "--model", "demo", "x.jpg", "--synset", "/no/such.txt"], 78, "/no/such.txt"),
        (["say", " "], 69, "nothing to say"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--config", "/no/such.toml", "--debug"]) == 78
    assert "Traceback" in capsys.readouterr().err
