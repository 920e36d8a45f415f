"""The bundled demo: what is in the package, what it knows, and the scripts that make and score it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_render import Studio
from demo_things import BACKGROUND, HELD_OUT, THINGS
from score_clip import Score, score

from edge.cameras.demo import open_clip
from edge.engines import open_classifier
from edge.models.checkpoint import find_checkpoint
from edge.models.labels import read_labels
from edge.settings import CameraSettings
from edge.stages import EndOfFrames, Frame

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, DEMO = ROOT / "scripts", ROOT / "edge" / "data" / "demo"
OF_THESE_TESTS = 4
"""A random stream that neither training nor the clips draw from."""


def script(name: str, *arguments: object) -> str:
    """Run one of the scripts and return what it prints."""
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900).stdout


def check_truth(truth: dict[str, Any]) -> None:
    """At least ten things one after the other, all known, and an empty stretch of two seconds."""
    things = truth["things"]
    assert len(things) >= 10
    known = {label.id for label in read_labels(DEMO / "synset.txt")}
    ends = [0.0, *(thing["to_s"] for thing in things)]
    starts = [*(thing["from_s"] for thing in things), truth["duration_s"]]
    assert all(thing["id"] in known and thing["from_s"] < thing["to_s"] for thing in things)
    gaps = [start - end for start, end in zip(starts, ends, strict=True)]
    assert min(gaps) >= 0
    assert max(gaps) >= 2
    assert 25 <= truth["duration_s"] <= 40


def test_the_package_holds_a_small_demo() -> None:
    network = ("demo-symbol.json", "demo-0000.params", "synset.txt", "model.toml", "calibration.json")
    assert sum((DEMO / name).stat().st_size for name in network) < 2_000_000
    assert (DEMO / "clip.mp4").stat().st_size < 1_000_000
    labels = read_labels(DEMO / "synset.txt")
    assert len(labels) > 40
    assert len({label.id for label in labels}) == len({label.name for label in labels}) == len(labels)
    assert "background" in {label.id for label in labels}


def test_the_labels_are_those_of_the_drawings() -> None:
    assert [label.id for label in read_labels(DEMO / "synset.txt")] == [
        *(thing.id for thing in THINGS),
        BACKGROUND,
    ]


def test_the_bundled_clip_has_its_truth() -> None:
    truth = json.loads((DEMO / "clip.json").read_text())
    check_truth(truth)
    camera = open_clip(CameraSettings(), every_frame=True)
    times = []
    try:
        while frame := camera.read(1.0):
            times.append(frame.media_s)
    except EndOfFrames:
        camera.close()
    assert times[-1] == pytest.approx(truth["duration_s"], abs=0.2)


@pytest.mark.integration
def test_it_knows_drawings_that_it_was_not_trained_on() -> None:
    """A coarse guard; scripts/train_demo.py prints the accuracy that the README gives."""
    studio = Studio(HELD_OUT)
    classifier = open_classifier(find_checkpoint("demo"))
    things = [thing.id for thing in THINGS]
    right = []
    for number in range(300):
        rng = np.random.default_rng((OF_THESE_TESTS, number))
        index = None if number % 4 == 0 else number % len(things)
        best = classifier.classify(Frame(studio.scene(rng, index), number, 0.0))[0]
        right.append(best.id == ("background" if index is None else things[index]))
    assert np.mean(right) > 0.85


@pytest.mark.integration
def test_a_seed_makes_a_clip_and_always_the_same(tmp_path: Path) -> None:
    made = []
    for name in ("one.mp4", "two.mp4"):
        script("make_demo_clip.py", "--seed", "77", "--out", tmp_path / name)
        made.append(((tmp_path / name).read_bytes(), (tmp_path / name).with_suffix(".json").read_text()))
    assert made[0] == made[1]
    assert len(made[0][0]) < 1_000_000
    check_truth(json.loads(made[0][1]))


@pytest.mark.integration
def test_training_writes_a_checkpoint_and_its_accuracy(tmp_path: Path, long: bool) -> None:
    if not long:
        pytest.skip("takes minutes: ./scripts/test --long")
    assert "accuracy" in script("train_demo.py", "--rounds", "2", "--tests", "500", "--out", tmp_path)
    assert len(open_classifier(find_checkpoint(str(tmp_path / "demo"))).classify(frame_of_noise())) == 5


def frame_of_noise() -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), 0, 0.0)


def test_the_score_counts_things_once_and_announcements_each() -> None:
    things = [{"from_s": 1, "to_s": 2, "id": "a"}, {"from_s": 3, "to_s": 4, "id": "b"}]
    said = [
        {"frame_s": 1.5, "id": "a"},
        {"frame_s": 2.0, "id": "a"},
        {"frame_s": 3.5, "id": "a"},
        {"frame_s": 2.5, "id": "b"},
    ]
    assert score(things, said) == Score(things=2, found=1, announced=4, right=2, while_empty=1)
    assert "recall 0.50 (1 of 2), precision 0.50 (2 of 4), 1 in empty stretches" in str(score(things, said))
    assert str(score([], [])) == "recall - (0 of 0), precision - (0 of 0), 0 in empty stretches"


def test_the_score_of_events_that_are_there(tmp_path: Path) -> None:
    clip, events = tmp_path / "clip.mp4", tmp_path / "events"
    clip.with_suffix(".json").write_text('{"things": [{"from_s": 0, "to_s": 2, "id": "a"}]}')
    events.write_text('{"event": "started"}\n{"event": "announced", "id": "a", "frame_s": 1.0}\n')
    said = script("score_clip.py", "--events", events, clip)
    assert said == f"{clip}: recall 1.00 (1 of 1), precision 1.00 (1 of 1), 0 in empty stretches\n"
