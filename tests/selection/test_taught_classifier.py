"""Another model learns what was taught again, from pictures that are kept; without them it says what is missing."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rigs.boards import Board, write_board
from rigs.lessons import finished

from edge.config import load
from edge.engines import open_classifier
from edge.host.machine import Machine
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.taught.record import TaughtThing
from edge.models.taught.store import MOST_OTHERS, TaughtStore
from edge.selection.selector import ModelSelector
from edge.selection.taught import copies_of, small
from edge.selection.taught_classifier import TaughtClassifier
from edge.stages import Frame, Pixels

pytestmark = pytest.mark.integration
PICTURES, EMPTY = 5, 4
"""Pictures of a thing, and of its place without it."""
STEPS = PICTURES * (1 + copies_of(PICTURES)) + EMPTY
"""Forwards that a thing takes: its pictures and their copies, and its place."""


def picture(kind: int, number: int) -> Pixels:
    """Stripes of a kind, moved a little each time."""
    rng = np.random.default_rng(kind)
    colors = rng.integers(0, 256, (4, 3))
    rows, columns = np.mgrid[:96, :128]
    slope, width = rng.uniform(-1, 1, 2), rng.uniform(8, 30)
    bands = ((rows * slope[0] + columns * slope[1] + 3 * number) / width).astype(int) % 4
    return np.asarray(colors[bands], np.uint8)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with things as the demo knows them, and their pictures."""
    store = TaughtStore(tmp_path_factory.mktemp("lessons") / "taught")
    checkpoint = find_checkpoint("demo")
    network = open_classifier(checkpoint, features=True, square=True)
    model = fingerprint(checkpoint)
    for kind, name in enumerate(("my keys", "Rex")):
        views, empty = [picture(kind, number) for number in range(PICTURES)], [picture(9, one) for one in range(EMPTY)]
        lesson = finished(network, model, name, views, empty, store=store, keep_pictures=True)
        lesson.keep(lesson.result())
    network.close()
    return store.folder


@pytest.fixture
def store(lessons: Path) -> TaughtStore:
    """The user's store with the same."""
    store = TaughtStore()
    shutil.copytree(lessons, store.folder)
    return store


def of_another_model(store: TaughtStore, *, pictures: bool = True) -> None:
    """Make the things those of a model that has other features."""
    for thing in store.read():
        kept = store.pictures(thing) if pictures else None
        other = dataclasses.replace(
            thing, model="0" * 16, model_name="another", views=thing.views[:, :7], empty=thing.empty[:, :7]
        )
        store.add([other], {thing.id: kept} if kept else {})


def opened(tmp_path: Path, told: list[str], *, meanwhile: bool = True) -> tuple[ModelSelector, TaughtClassifier]:
    machine = Machine(write_board(tmp_path / "root", Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)))
    settings = load(environment={}, flags={"model": {"name": "demo", "engine": "onnx"}})
    selector = ModelSelector(settings, machine=machine, tell=told.append, meanwhile=meanwhile)
    classifier = selector.open()
    assert isinstance(classifier, TaughtClassifier)
    return selector, classifier


def named(classifier: TaughtClassifier, kind: int) -> str:
    best = classifier.classify(Frame(picture(kind, 7), 0, 0.0))[0]
    return best.id if best.id.startswith("taught:") else ""


def test_it_learns_again_one_forward_at_a_time_and_names_nothing_before(store: TaughtStore, tmp_path: Path) -> None:
    before = {thing.id: thing for thing in store.read()}
    of_another_model(store)
    told: list[str] = []
    selector, classifier = opened(tmp_path, told)
    assert told == ["Model demo learns again, from kept pictures: my keys, Rex."]
    assert classifier.unknown == []
    steps = 0
    while selector.work():
        steps += 1
        assert not selector.taught_changed()
        assert classifier.taught == {}
        if steps % 5 == 0:  # between two forwards the loop looks at a frame
            assert named(classifier, 0) == named(classifier, 1) == ""
    assert steps == 2 * STEPS
    assert selector.taught_changed()
    assert selector.know_taught() is classifier
    assert not selector.taught_changed()
    assert selector.taught == {"taught:my keys": "my keys", "taught:rex": "Rex"}
    assert [named(classifier, kind) for kind in (0, 1, 5)] == ["taught:my keys", "taught:rex", ""]
    selector.end()
    # nearly as from the pictures before they were made small
    for thing in store.read(before["taught:rex"].model):
        assert np.abs(thing.views - before[thing.id].views).mean() < 0.2 * np.abs(before[thing.id].views).mean()
    # the next start knows them at once, and the other model still does
    selector, classifier = opened(tmp_path, told)
    assert not selector.work()
    assert selector.taught == {"taught:my keys": "my keys", "taught:rex": "Rex"}
    assert len(told) == 1
    selector.end()
    assert {thing.model for thing in store.read()} == {"0" * 16}


def test_without_pictures_it_says_what_must_be_shown_again(store: TaughtStore, tmp_path: Path) -> None:
    of_another_model(store, pictures=False)
    told: list[str] = []
    selector, classifier = opened(tmp_path, told)
    assert told == [
        "Model demo does not know: my keys, Rex. Teach them again, or run the model that they were taught with "
        "(another)."
    ]
    assert selector.not_known == ["my keys", "Rex"]
    assert not selector.work()
    assert not selector.taught_changed()
    assert named(classifier, 0) == ""
    selector.end()


def gone(store: TaughtStore) -> None:
    for path in store.folder.glob("*.pictures"):
        path.unlink()


def undecodable(store: TaughtStore) -> None:
    (rex, keys) = sorted(store.read(), key=lambda thing: thing.name)
    kept = store.pictures(rex)
    assert kept
    # these bytes pass for a small JPEG, but are none
    false = dataclasses.replace(kept, views=(kept.views[0][: kept.views[0].index(b"\xff\xda")],))
    store.add([rex, keys], {one.id: false for one in (rex, keys)})


@pytest.mark.parametrize("damage", [gone, undecodable])
def test_damaged_pictures_are_as_none(
    store: TaughtStore, tmp_path: Path, damage: Callable[[TaughtStore], None]
) -> None:
    of_another_model(store)
    damage(store)
    told: list[str] = []
    selector, _ = opened(tmp_path, told)
    assert not selector.work()
    assert selector.not_known == ["my keys", "Rex"]
    assert sum("Teach it again" in line for line in told) == 2
    selector.end()


def test_a_store_that_cannot_be_written_is_learnt_from_all_the_same(
    store: TaughtStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_another_model(store)
    for path in store.folder.glob("*.others"):
        path.unlink()
    monkeypatch.setattr(TaughtStore, "keep_others", lambda *_: None)
    monkeypatch.setattr(TaughtStore, "keep_again", lambda *_: False)
    selector, classifier = opened(tmp_path, [])
    steps = 0
    while selector.work():
        steps += 1
    assert steps == MOST_OTHERS + 2 * STEPS
    selector.know_taught()
    assert not selector.work()
    assert named(classifier, 1) == "taught:rex"
    selector.end()


def test_what_is_taught_or_forgotten_while_it_learns_is_heeded(store: TaughtStore, tmp_path: Path) -> None:
    of_another_model(store)
    selector, _ = opened(tmp_path, [])
    for _ in range(STEPS + 2):
        assert selector.work()
    store.forget("Rex")
    assert selector.taught_changed()
    selector.know_taught()
    steps = 0
    while selector.work():
        steps += 1
    assert steps <= STEPS
    selector.know_taught()
    assert selector.taught == {"taught:my keys": "my keys"}
    assert not [path for path in store.folder.iterdir() if "Rex" in path.read_text(errors="replace")]
    selector.end()


def test_a_thing_that_lies_about_its_model_is_not_known(store: TaughtStore, tmp_path: Path) -> None:
    mine = store.read()[0]
    store.add([TaughtThing("a liar", mine.model, "demo", mine.views[:, :5], mine.empty[:, :5])])
    told: list[str] = []
    selector, classifier = opened(tmp_path, told)
    assert list(selector.taught.values()) == ["my keys", "Rex"]
    assert selector.not_known == ["a liar"]
    assert named(classifier, 0) == "taught:my keys"
    selector.end()


def test_imported_things_are_known_as_soon_as_the_drawings_are_made(store: TaughtStore, tmp_path: Path) -> None:
    for path in store.folder.glob("*.others"):
        path.unlink()
    selector, classifier = opened(tmp_path, [])
    assert named(classifier, 0) == ""
    while selector.work():
        pass
    assert selector.taught_changed()
    selector.know_taught()
    assert named(classifier, 0) == "taught:my keys"
    selector.end()
    # a command does not wait for a loop
    for path in store.folder.glob("*.others"):
        path.unlink()
    selector, classifier = opened(tmp_path, [], meanwhile=False)
    assert named(classifier, 0) == "taught:my keys"
    selector.end()


def test_a_picture_is_kept_small() -> None:
    large = np.random.default_rng(1).integers(0, 256, (900, 1600, 3)).astype(np.uint8)
    data = small(large)
    assert len(data) <= 65536
    assert small(picture(1, 1)) == small(picture(1, 1))
