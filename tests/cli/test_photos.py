"""Real photos, seen by real networks as a camera would show them: what is said is right, once, soon, not of gaps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.announce.translation import our_translation, read_translation

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {
    "mobilenet_v2_1.0": ["--size", "224", "--mean", "127.5", "--std", "127.5", "--short-side", "256"],
    "mobilenet0.5": [
        *("--size", "224", "--mean", "123.68,116.779,103.939", "--std", "58.393,57.12,57.375", "--short-side", "256"),
    ],
}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("model", "fps", "seed"),
    [("mobilenet_v2_1.0", 10, 1), ("mobilenet_v2_1.0", 0.5, 1), ("mobilenet0.5", 10, 2), ("mobilenet_v2_1.0", 10, 3)],
)
def test_a_stream_of_photos(shared: Path, model: str, fps: float, seed: int, *, long: bool) -> None:
    if fps > 1 and not long:  # it takes most of a minute
        pytest.skip("as many frames as a camera gives, other orders and networks: with --long")
    checkpoints = shared / "checkpoints"
    command = [sys.executable, "scripts/score_photos.py", str(shared / "images"), "--fps", str(fps)]
    command += ["--seed", str(seed), "--json", "--", "--model", str(checkpoints / model / model)]
    command += ["--synset", str(checkpoints / "synset.txt"), *FLAGS[model]]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=200, cwd=ROOT).stdout)
    assert found["named"] >= 12
    assert found["precision"] >= 0.95
    assert (found["again"], found["in_gaps"]) == (0, 0)
    if fps == 10:
        assert found["median_s"] < 1.5  # by the film's clock, not by this machine's
    else:
        assert found["median_frames"] <= 3


@pytest.mark.integration
def test_a_stream_of_photos_in_german_has_no_english_word(shared: Path) -> None:
    checkpoints, model = shared / "checkpoints", "mobilenet_v2_1.0"
    command = [sys.executable, "scripts/score_photos.py", str(shared / "images"), "--fps", "0.5", "--json", "--"]
    command += ["--model", str(checkpoints / model / model), "--synset", str(checkpoints / "synset.txt"), *FLAGS[model]]
    german = os.environ | {"EDGE_SPEECH_LANGUAGE": "de"}
    done = subprocess.run(command, check=True, capture_output=True, timeout=200, cwd=ROOT, env=german)
    path = our_translation("de")
    assert path is not None
    words = read_translation(path).words.values()
    texts = json.loads(done.stdout)["texts"]
    assert len(texts) >= 12
    assert set(texts) <= {f"Ich sehe {forms['accusative']}" for forms in words}
