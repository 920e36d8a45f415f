"""Names and labels that the terminal cannot show, or would act on, in the locales of old and bare systems."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rigs.stores import DEMO

pytestmark = pytest.mark.integration
KNOWN = DEMO.parent / "known.png"
LOCALES = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    "latin-1": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
ODD_NAMES = (b"gut-\xe9.png", b"two\nlines \x1b[31mred.png", "\u202efdp 🎸.png".encode())
ACTED_ON = {*range(32), *range(0x7F, 0xA0)} - {ord("\n")}


def edge(*arguments: str | bytes, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "edge", *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> list[bytes]:
    (tmp_path / "pictures").mkdir()
    paths = [bytes(tmp_path / "pictures") + b"/" + name for name in ODD_NAMES]
    for path in paths:
        shutil.copy(os.fsencode(KNOWN), path)
    return paths


@pytest.fixture
def odd_model(tmp_path: Path) -> str:
    """The demo with a label that no ASCII terminal can show."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    text = (folder / "synset.txt").read_text(encoding="utf-8")
    (folder / "synset.txt").write_text(text.replace(" guitar", " crème 🎸 \x1b[31mred"), encoding="utf-8")
    return str(folder / "demo")


@pytest.mark.parametrize("locale", LOCALES)
def test_odd_names_and_labels_end_no_program(locale: str, pictures: list[bytes], odd_model: str) -> None:
    missing = pictures[1] + b".missing"
    done = edge("classify", "--model", odd_model, "--top", "1", *pictures, missing, **LOCALES[locale])
    assert done.returncode == 69, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(pictures)
    assert b"gut-\\xe9.png" in lines[0]
    assert b"two\\nlines \\x1b[31mred.png" in lines[2]
    assert (b"cr\\xe8me \\U0001f3b8" if locale == "ascii" else b"me ") in lines[1]
    wrong = [line for line in done.stderr.splitlines() if b"missing" in line]
    assert len(wrong) == 1
    if locale != "latin-1":  # whose letters are among these bytes
        text = (done.stdout + done.stderr).decode()
        assert not {ord(character) for character in text} & ACTED_ON

    done = edge("classify", "--model", odd_model, "--top", "1", "--json", *pictures, **LOCALES[locale])
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.decode("utf-8"))
    assert [row["predictions"][0]["label"] for row in rows] == ["crème 🎸 red"] * len(pictures)
    assert os.fsencode(rows[0]["image"]) == pictures[0] or locale == "ascii"


@pytest.mark.parametrize("locale", LOCALES)
def test_the_daemon_says_odd_labels_and_names(
    locale: str, pictures: list[bytes], odd_model: str, tmp_path: Path
) -> None:
    settings = {**LOCALES[locale], "EDGE_SPEECH_DRIVER": "log", "EDGE_CAMERA_IMAGE_S": "1"}
    events = tmp_path / "events"
    for camera, target in ((os.path.dirname(pictures[0]), "-"), (pictures[0], str(events))):  # noqa: PTH120 - of bytes
        done = edge("run", "--model", odd_model, "--camera", camera, "--every-frame", "--events", target, **settings)
        assert done.returncode == 0, done.stderr
        if target == "-":
            assert [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
