"""All engines say the same of the same weights as MXNet, and a wrong one would be told from a right one."""

import dataclasses
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rigs import zoo

from edge.engines import engine_problem, open_classifier
from edge.engines.backend import Backend
from edge.engines.graph import GraphClassifier
from edge.engines.preprocess import to_input
from edge.importer.quantised import FLOAT16, FLOAT32
from edge.models.checkpoint import Checkpoint
from edge.vision.images import read_image

pytestmark = pytest.mark.integration
Floats = NDArray[np.float32]
OTHERS = ("onnx", "openvino", "ncnn")
INPUTS, FEW = 50, 12
"""With --long, and without."""
TOLERANCE = 1e-3
"""Of the logits' standard deviation over the inputs."""
SMALL = ("mobilenet0_25", "squeezenet1_1")
"""What is compared each time; all of the zoo with --long."""


def other(checkpoint: Checkpoint, engine: str) -> GraphClassifier:
    if problem := engine_problem(engine):
        pytest.skip(problem)
    network = open_classifier(checkpoint, backend=Backend(engine))
    assert isinstance(network, GraphClassifier)
    return network


def agrees(found: Floats, expected: Floats, *, of: float) -> bool:
    """Whether scores (inputs x labels) are the same to `of`, and the top five of each input too.

    Two labels nearer to each other than that may change places.
    """
    if np.abs(found - expected).max() > of:
        return False
    best, right = (np.argsort(-scores, axis=1, kind="stable")[:, :5] for scores in (found, expected))
    gaps = np.take_along_axis(expected, best, 1) - np.take_along_axis(expected, right, 1)
    return bool(np.abs(gaps).max() <= 2 * of)


@pytest.fixture(scope="module", params=zoo.NAMES)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    if request.param not in SMALL and not request.config.getoption("--long"):
        pytest.skip("the whole zoo is compared with --long")
    folder = tmp_path_factory.mktemp("zoo")
    checkpoint = zoo.make(request.param, folder)
    yield checkpoint
    for path in folder.iterdir():
        path.unlink()


def test_the_zoo_with_random_weights(network: Checkpoint, long: bool) -> None:
    pictures = zoo.pictures(INPUTS if long else FEW, network.input.size)
    expected = zoo.scores_of_mxnet(network, list(zoo.normalised(pictures, network.input)))
    spread = float(expected.std(0).mean())
    assert len(set(expected.argmax(1))) >= 5, "it says the same of all inputs, and this could not fail"
    for engine in OTHERS:
        classifier = other(network, engine)
        inputs = zoo.normalised(pictures, classifier.input)
        found = np.array([classifier.scores(one[np.newaxis]) for one in inputs])
        swapped = np.array([classifier.scores(np.ascontiguousarray(one[np.newaxis, ::-1])) for one in inputs[:5]])
        classifier.close()
        difference = np.abs(found - expected).max() / spread
        print(f"{network.name}, {engine}: {difference:.1e} of the logits' standard deviation")
        assert agrees(found, expected, of=TOLERANCE * spread), f"{engine}: off by {difference:.1e}"
        assert not agrees(swapped, expected[:5], of=TOLERANCE * spread), "swapped channels are not noticed"

    text = network.symbol.read_text()
    wrong = (
        text.replace('"eps": "1e-05"', '"eps": "0.001"') if '"1e-05"' in text else text.replace('"0.001"', '"1e-05"')
    )
    if wrong != text:
        changed = dataclasses.replace(network, symbol=network.symbol.with_name("wrong-symbol.json"))
        changed.symbol.write_text(wrong)
        for engine in OTHERS:
            classifier = other(changed, engine)
            inputs = zoo.normalised(pictures[:5], classifier.input)
            found = np.array([classifier.scores(one[np.newaxis]) for one in inputs])
            classifier.close()
            assert not agrees(found, expected[:5], of=TOLERANCE * spread), "a wrong epsilon is not noticed"
    else:
        assert "BatchNorm" not in text


@pytest.mark.parametrize("name", zoo.REAL)
def test_real_networks_on_photos(name: str, shared: Path, long: bool) -> None:
    folder = shared / "checkpoints"
    files = (folder / name / f"{name}-symbol.json", folder / name / f"{name}-0000.params")
    checkpoint = Checkpoint(name, *files, folder / "synset.txt", zoo.REAL[name])
    pictures = list(itertools.islice(views(shared / "images"), INPUTS if long else FEW))
    expected = zoo.scores_of_mxnet(checkpoint, [to_input(one, checkpoint.input)[0] for one in pictures])
    spread = float(expected.std(0).mean())
    for engine in OTHERS:
        classifier = other(checkpoint, engine)
        found = np.array([classifier.scores(to_input(one, classifier.input)) for one in pictures])
        probabilities = classifier.probabilities(to_input(pictures[0], classifier.input))
        # as a picture whose red is blue
        swapped = np.array([classifier.scores(to_input(one[:, :, ::-1], classifier.input)) for one in pictures[:5]])
        classifier.close()
        difference = np.abs(found - expected).max() / spread
        print(f"{name}, {engine}: {difference:.1e} of the logits' standard deviation")
        assert agrees(found, expected, of=TOLERANCE * spread), f"{engine}: off by {difference:.1e}"
        assert not agrees(swapped, expected[:5], of=TOLERANCE * spread)
        exponentials = np.exp(expected[0] - expected[0].max())
        np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(), atol=1e-5)


def views(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Each photo as it is, then mirrored, then its middle half."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix != ".csv"]
    yield from map(read_image, paths)
    yield from (np.ascontiguousarray(read_image(path)[:, ::-1]) for path in paths)
    for photo in map(read_image, paths):
        height, width = photo.shape[:2]
        yield photo[height // 4 : -(height // 4), width // 4 : -(width // 4)]


def test_what_differs_is_noticed() -> None:
    right = np.array([[5.0, 4, 3, 2, 1, 0]], np.float32)
    assert agrees(right + 0.001, right, of=0.01)
    assert not agrees(right + 0.1, right, of=0.01)
    near = np.array([[5.0, 4.999, 3, 2, 1, 0]], np.float32)
    assert agrees(near[:, [1, 0, 2, 3, 4, 5]], near, of=0.01)
    assert not agrees(right[:, [1, 0, 2, 3, 4, 5]], right, of=0.6)


def test_networks_at_random_say_what_plain_mxnet_says(long: bool) -> None:
    """In a process of its own; half of them always the same, half always new ones, whose seed is printed."""
    runs = 1000 if long else 8
    script = Path(__file__).resolve().parents[2] / "scripts" / "check_engines.py"
    for seed in (1, int(time.time())):
        command = [sys.executable, str(script), "--runs", str(runs // 2), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=7200)
        print(done.stdout)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", zoo.REAL)
def test_float16_says_nearly_the_same_of_photos(name: str, shared: Path, long: bool) -> None:
    folder = shared / "checkpoints"
    files = (folder / name / f"{name}-symbol.json", folder / name / f"{name}-0000.params")
    checkpoint = Checkpoint(name, *files, folder / "synset.txt", zoo.REAL[name])
    if problem := engine_problem("ncnn"):
        pytest.skip(problem)
    exact, half = (open_classifier(checkpoint, Backend("ncnn", precision)) for precision in (FLOAT32, FLOAT16))
    paths = sorted((shared / "photos").glob("*.jpg"))
    assert len(paths) > 200
    for path in paths if long else paths[::16]:
        picture = to_input(read_image(path), exact.input)
        right, found = exact.probabilities(picture), half.probabilities(picture)
        assert np.abs(found - right).max() <= 0.01, path
        second, first = np.sort(right)[-2:]
        assert found.argmax() == right.argmax() or first - second <= 0.02, path
