"""The model that runs knows what was taught with it, and costs nothing more where nothing was."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from rigs.boards import Board, write_board
from rigs.lessons import finished
from rigs.stores import write_scenes

from edge.config import load
from edge.engines import open_classifier
from edge.host.machine import Machine
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.taught.record import MOST_VIEWS, Floats
from edge.models.taught.store import MOST_OTHERS, TaughtStore
from edge.selection.lesson import Lesson
from edge.selection.selector import ModelSelector
from edge.selection.taught import joined, useless
from edge.selection.taught_classifier import TaughtClassifier
from edge.stages import Frame, Pixels
from edge.vision.images import images_in, read_image

pytestmark = pytest.mark.integration
BOARD = Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)
NAMES = ("my keys", "Rex")


def pattern(seed: int) -> Pixels:
    """A picture of bold stripes, slightly other each time it is drawn with the same tens digit."""
    rng = np.random.default_rng(seed // 10)
    colors = rng.integers(0, 256, (4, 3))
    rows, columns = np.mgrid[:96, :128]
    moved = np.random.default_rng(seed).integers(0, 8)
    bands = ((rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1) + moved) / rng.uniform(8, 30)).astype(int) % 4
    return np.asarray(colors[bands], np.uint8)


def table(seed: int) -> Pixels:
    """A picture of an empty table."""
    noise = np.random.default_rng(seed).normal(0, 4, (96, 128, 3))
    return np.clip(np.linspace(150, 110, 96)[:, None, None] + noise, 0, 255).astype(np.uint8)


def on_table(seed: int) -> Pixels:
    """A picture of a pattern's middle on the table."""
    shown = table(seed)
    shown[10:86, 26:102] = pattern(seed)[10:86, 26:102]
    return shown


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(write_board(tmp_path / "root", BOARD))


def selector(machine: Machine, told: list[str], *, teaches: bool = False) -> ModelSelector:
    settings = load(environment={}, flags={"model": {"name": "demo", "engine": "onnx"}})
    return ModelSelector(settings, machine=machine, tell=told.append, teaches=teaches)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store in which the demo was taught stripes of two kinds."""
    store = TaughtStore(tmp_path_factory.mktemp("lessons") / "taught")
    checkpoint = find_checkpoint("demo")
    network = open_classifier(checkpoint, features=True, square=True)
    model = fingerprint(checkpoint)
    for number, name in enumerate(NAMES):
        views = [on_table(10 * number + one) for one in range(8)]
        lesson = finished(network, model, name, views, [table(one) for one in range(3)], store=store)
        store.add([lesson.thing()])
    network.close()
    return store.folder


def teach(lessons: Path, store: TaughtStore, *names: str) -> None:
    """Put those of the lessons with these names into a store."""
    shutil.copytree(lessons, store.folder, dirs_exist_ok=True)
    for name in set(NAMES) - set(names):
        store.forget(name)


def test_it_comes_first_and_the_labels_share_the_rest(lessons: Path, machine: Machine) -> None:
    store, told = TaughtStore(), list[str]()
    teach(lessons, store, *NAMES)
    chosen = selector(machine, told)
    classifier = chosen.open()
    assert isinstance(classifier, TaughtClassifier)
    found = classifier.classify(Frame(pattern(19), 0, 0.0))
    assert (found[0].id, found[0].label) == ("taught:rex", "Rex")
    assert found[0].probability >= 0.97
    assert 0 < sum(one.probability for one in found) <= 1 + 1e-5
    assert all(not one.id.startswith("taught:") for one in found[1:])
    assert classifier.timing.inference_s > 0
    assert chosen.taught == {"taught:my keys": "my keys", "taught:rex": "Rex"}
    assert chosen.labels.items() >= chosen.taught.items()
    chosen.end()
    assert chosen.taught == {}


def test_other_frames_are_classified_exactly_as_without(lessons: Path, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    write_scenes(tmp_path / "scenes")
    frames = [Frame(read_image(path), 0, 0.0) for path in images_in(tmp_path / "scenes")]
    plain = selector(machine, []).open()
    assert not isinstance(plain, TaughtClassifier)
    before = [plain.classify(frame) for frame in frames]
    plain.close()
    teach(lessons, TaughtStore(), "my keys")
    after = selector(machine, []).open()
    assert isinstance(after, TaughtClassifier)
    found = [after.classify(frame) for frame in frames]
    after.close()
    others = [(new, old) for new, old in zip(found, before, strict=True) if new[0].id != "taught:my keys"]
    assert len(others) >= 0.95 * len(frames)
    assert all(new == old for new, old in others)


def test_things_of_another_model_are_told_and_not_misnamed(lessons: Path, machine: Machine) -> None:
    store, told = TaughtStore(), list[str]()
    teach(lessons, store, "my keys")
    (mine,) = store.read()
    store.add([dataclasses.replace(mine, model="0" * 16, model_name="efficientnet-lite0")])
    chosen = selector(machine, told)
    classifier = chosen.open()
    assert isinstance(classifier, TaughtClassifier)
    assert (classifier.taught, classifier.unknown) == ({}, ["my keys"])
    classifier.close()
    assert told == [
        "Model demo does not know: my keys. Teach it again, or run the model that it was taught with "
        "(efficientnet-lite0)."
    ]


def test_what_is_taught_or_forgotten_meanwhile_is_noticed(lessons: Path, machine: Machine) -> None:
    store = TaughtStore()
    chosen = selector(machine, [])
    chosen.open()
    assert not chosen.taught_changed()
    teach(lessons, store, "my keys")
    assert chosen.taught_changed()
    classifier = chosen.know_taught()
    assert isinstance(classifier, TaughtClassifier)
    assert classifier.taught == {"taught:my keys": "my keys"}
    assert not chosen.taught_changed()
    store.forget("my keys")
    assert chosen.taught_changed()
    assert chosen.know_taught() is classifier  # nothing is loaded again
    assert classifier.taught == {}
    chosen.end()


def test_the_drawings_are_shown_to_a_model_once(tmp_path: Path) -> None:
    store = TaughtStore(tmp_path)
    checkpoint = find_checkpoint("demo")
    network = open_classifier(checkpoint, features=True)

    def lesson() -> tuple[Floats, int]:
        """The drawings' features, and the forwards that they took."""
        lesson, forwards = Lesson(network, "0123", "", store, pictures=1), 0
        while lesson.work():
            forwards += 1
        assert lesson.others is not None
        return lesson.others, forwards

    first, forwards = lesson()
    assert forwards == MOST_OTHERS
    again, forwards = lesson()
    assert forwards == 0
    np.testing.assert_allclose(again, first, rtol=1e-3)
    (path,) = tmp_path.glob("*.others")
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(lesson()[0], first)
    assert store.read() == []
    network.close()


def test_more_views_are_thinned_out(lessons: Path, tmp_path: Path) -> None:
    store = TaughtStore(tmp_path)
    teach(lessons, store, "my keys")
    (mine,) = store.read()
    other = dataclasses.replace(mine, views=mine.views + 1)
    both = joined(mine, other)
    assert len(both.views) == MOST_VIEWS
    assert np.array_equal(both.views[0], mine.views[0])
    assert both.views[-1] in other.views


def test_a_picture_that_shows_nothing_is_no_lesson() -> None:
    assert useless(pattern(1)) == ""
    assert useless(np.zeros((48, 64, 3), np.uint8)) == "it is too dark"
    assert useless(np.full((48, 64, 3), 255, np.uint8)) == "it is too bright"
    assert useless(np.full((48, 64, 3), 120, np.uint8)) == "it shows one colour only"
