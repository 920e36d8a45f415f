"""What commands leave in the homes of those who run them: files of edge's own, and no vendor's."""

import csv
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rigs.audio.card import RecordingCard
from rigs.stores import DEMO

from edge.engines import ENGINES, GRAPH_ENGINES, engine_problem

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"HOME": "home", "TMPDIR": "tmp"} | {
    f"XDG_{name.upper()}": name for name in ("cache_home", "config_home", "data_home", "state_home", "runtime_dir")
}
OWN = [f"{FOLDERS[name]}/edge/" for name in FOLDERS if name.startswith("XDG_")]


class Person:
    """Somebody who has never run edge, nor anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: str(folder / place) for name, place in FOLDERS.items()}
        self.environment["PATH"] = os.environ["PATH"]
        for place in FOLDERS.values():
            (folder / place).mkdir(parents=True, mode=0o700)

    def without_a_session(self) -> None:
        """From here on as in a container, or by cron: there is a home and nothing else."""
        for name in FOLDERS:
            if name.startswith("XDG_"):
                del self.environment[name]

    def runs(self, *arguments: str, **settings: str) -> None:
        """Run `edge ARGUMENTS` and look that it went well."""
        done = subprocess.run(
            [sys.executable, "-m", "edge", *arguments],
            env=self.environment | settings,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())

    def strangers(self) -> list[str]:
        """The files that are not edge's own."""
        return [path for path in self.files() if not path.startswith(tuple(OWN))]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred pictures of one thing, darker and brighter, and labels.csv, which is right of most."""
    folder = tmp_path_factory.mktemp("pictures")
    known = cv2.imread(str(DEMO.parent / "known.png"))
    assert known is not None
    labels = itertools.cycle(["n03467517", "n03467517", "n03467517", "n04536866"])
    with (folder / "labels.csv").open("w", newline="") as file:
        for number, label in zip(range(100), labels, strict=False):
            shade = np.clip(known * np.linspace(0.4, 1.2, 100)[number], 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / f"{number}.png"), shade)
            csv.writer(file).writerow([f"{number}.png", label])
    return folder


def commands(engine: str, pictures: Path, *, long: bool) -> list[list[str]]:
    """What a person does with a model of their own, in this order.

    What computes hundreds of pictures is done with one engine, the one whose library counts its users, and with --long
    with each.
    """
    known = str(DEMO.parent / "known.png")
    found = [
        ["doctor"],
        ["run", "--camera", "demo", "--frames", "3"],
        ["classify", known],
        ["bench", "--models", "demo", "--frames", "5"],
        ["models", "add", str(DEMO), "--name", "mine"],
        ["models", "measure", "mine"],
        ["models", "list"],
        ["run", "--camera", "demo", "--model", "mine", "--frames", "3"],
    ]
    much = long or engine == "onnx"
    if much:
        labels = ["--labels", str(pictures / "labels.csv")]
        found += [["models", "calibrate", "mine", "--images", str(pictures), *labels], *found[-2:]]
    if much and engine in GRAPH_ENGINES and not engine_problem("onnx"):
        found += [
            ["models", "quantize", "mine", "--images", str(pictures)],
            ["classify", "--model", "mine", "--precision", "int8", known],
        ]
    return [*found, ["models", "remove", "mine"]]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_voice_leaves_nothing_in_a_home_without_a_session(tmp_path: Path) -> None:
    person = Person(tmp_path / "person")
    person.without_a_session()
    for driver in ("pyttsx3", "espeak"):
        person.runs("run", "--camera", "demo", "--frames", "3", EDGE_SPEECH_DRIVER=driver)
    person.runs("voices", "de")
    # also no folder, which libpulse makes
    own = {".local", ".local/share", ".local/share/edge", ".local/state", ".local/state/edge", ".cache", ".cache/edge"}
    home = person.folder / FOLDERS["HOME"]
    found = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert {path for path in found - own if "/edge/" not in path} == set()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_command_leaves_a_file_that_is_not_edges_own(
    engine: str, pictures: Path, tmp_path: Path, *, long: bool
) -> None:
    """Not even a number for this device or this person, by which a vendor could count them."""
    if problem := engine_problem(engine):
        pytest.skip(problem)
    person = Person(tmp_path / "person")
    (tmp_path / "card").mkdir()
    settings = {"EDGE_MODEL_ENGINE": engine, "EDGE_CAMERA_SOURCE": "demo"}
    if shutil.which("aplay") and shutil.which("espeak-ng"):
        settings |= RecordingCard(tmp_path / "card").environment
    else:
        settings["EDGE_SPEECH_DRIVER"] = "log"
    for arguments in commands(engine, pictures, long=long):
        person.runs(*arguments, **settings)
        assert person.strangers() == [], arguments
        assert not list((person.folder / FOLDERS["TMPDIR"]).iterdir()), arguments
    assert person.files(), "what edge keeps is its own, and is kept where it says"
