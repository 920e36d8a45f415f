"""scripts/make_random_checkpoint.py: the true architectures, by their published sizes, and honest about the weights."""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_random_checkpoint import make

from edge.engines.mxnet import MxnetClassifier
from edge.engines.preprocess import to_input
from edge.models.checkpoint import find_checkpoint
from edge.models.labels import read_labels
from edge.vision.images import read_image

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "make_random_checkpoint.py"
FILES = ("model.toml", "synset.txt", "{}-symbol.json", "{}-0000.params")
# as MXNet's table of the Gluon zoo has them; of Inception-BN only the rounded figure is published
PARAMETERS = {
    "squeezenet1.1": 1_235_496,
    "squeezenet_v1.0": 1_248_424,
    "mobilenet_v2_1.0": 3_539_136,
    "mobilenet0.5": 1_342_536,
    "mobilenet1.0": 4_253_864,
    "inception-v3": 23_869_000,
    "resnet-50": 25_629_032,
    "resnet-152": 60_329_140,
    "vgg16": 138_357_544,
    "inception-bn": 11_315_272,
}
SMALL = ("squeezenet1.1", "mobilenet0.5", "mobilenet_v2_1.0")


def write(folder: Path, seed: int = 1, synset: Path | None = None) -> None:
    """As the command does for its flags, without a process that imports MXNet again."""
    make("squeezenet1.1", folder, seed, synset)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_is_the_true_architecture(name: str, tmp_path: Path, long: bool) -> None:
    """As many parameters as published; loaded by the daemon's engine, different pictures give different results."""
    if name not in SMALL and not long:
        pytest.skip("large: with --long")
    make(name, tmp_path)
    checkpoint = find_checkpoint(str(tmp_path / name))
    assert checkpoint.about.random_weights
    assert checkpoint.about.top1 is not None
    assert checkpoint.about.top5 is not None
    assert 0.5 < checkpoint.about.top1 < checkpoint.about.top5 < 1
    assert checkpoint.input.size == (299 if name == "inception-v3" else 224)
    classifier = MxnetClassifier(checkpoint, top=5)
    assert classifier.parameters == PARAMETERS[name]
    pictures = [
        read_image(ROOT / "edge" / "data" / "known.png"),
        np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8),
    ]
    results = [classifier.probabilities(to_input(pixels, checkpoint.input)) for pixels in pictures]
    for probabilities in results:
        assert np.isfinite(probabilities).all()
        assert 1 / 1000 < np.max(probabilities) < 0.999
    assert np.max(np.abs(results[0] - results[1])) > 1e-4
    classifier.close()
    shutil.rmtree(tmp_path)  # half a GB for VGG-16


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / folder, seed)
    files = [file.format("squeezenet1.1") for file in FILES]
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(files)
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False) == (files, [], [])
    _, different, _ = filecmp.cmpfiles(tmp_path / "a", tmp_path / "c", files, shallow=False)
    assert different == ["model.toml", "squeezenet1.1-0000.params"]


def test_labels_are_invented_or_copied(tmp_path: Path) -> None:
    write(tmp_path / "a")
    labels = read_labels(tmp_path / "a" / "synset.txt")
    assert (len(labels), labels[0].id, labels[0].name) == (1000, "n00000001", "label 1")
    own = tmp_path / "own.txt"
    own.write_text("".join(f"x{number} thing {number}\n" for number in range(1000)))
    write(tmp_path / "a", synset=own)
    assert (tmp_path / "a" / "synset.txt").read_text() == own.read_text()


def test_the_command_takes_its_flags_and_says_that_the_weights_are_random(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("".join(f"x{number} thing {number}\n" for number in range(1000)))
    done = run("squeezenet1.1", "--out", tmp_path / "a", "--seed", 2, "--synset", own)
    assert done.returncode == 0, done.stderr
    assert "RANDOM" in done.stdout
    write(tmp_path / "b", 2, own)
    files = [file.format("squeezenet1.1") for file in FILES]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False) == (files, [], [])


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    done = run("alexnet", "--out", tmp_path)
    assert done.returncode == 2
    assert "invalid choice: 'alexnet'" in done.stderr
    (tmp_path / "file").touch()
    done = run("squeezenet1.1", "--out", tmp_path / "file" / "folder")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make_random_checkpoint: " in done.stderr
