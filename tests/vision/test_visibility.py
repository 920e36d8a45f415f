"""Is there anything to see? On drawn pictures, and through minutes of frames."""

import dataclasses
from importlib import resources

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rigs.camera import scene

from edge.stages import Condition, Pixels
from edge.vision.thumbnail import CELLS, SAMPLES, make_thumbnail
from edge.vision.visibility import (
    AGAIN_S,
    BLUR_S,
    FROZEN_S,
    LEAST_CONTRAST,
    PERSIST_S,
    Visibility,
    fault,
    shows_something,
)

SIZE = (480, 640, 3)
NOISE = np.random.default_rng(3).normal(0, 6, SIZE)


def noisy(brightness: float | NDArray[np.float64]) -> Pixels:
    return (NOISE + brightness).clip(0, 255).astype(np.uint8)


def lamp() -> Pixels:
    """A dark room with a small lamp in it."""
    picture = noisy(8)
    cv2.circle(picture, (500, 100), 30, (255, 250, 220), -1)
    return picture


def wall() -> Pixels:
    """A white wall, lit from one side."""
    return noisy(np.linspace(150, 190, SIZE[1])[None, :, None])


def face_down() -> Pixels:
    """A camera that lies on a table: a little light comes in at one edge."""
    picture = noisy(6)
    picture[-8:] = 14
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (noisy(0), Condition.DARK),
        (noisy(12), Condition.DARK),
        (face_down(), Condition.DARK),
        (noisy(128), Condition.COVERED),
        (noisy(254), Condition.BRIGHT),
        (np.zeros(SIZE, np.uint8), Condition.DARK),
        (np.full(SIZE, 255, np.uint8), Condition.BRIGHT),
        (lamp(), None),
        (wall(), None),
        (scene(3), None),
    ],
)
def test_pictures(picture: Pixels, expected: Condition | None) -> None:
    assert fault(make_thumbnail(picture)) == expected


def test_every_frame_of_the_demo_can_be_seen() -> None:
    clip = cv2.VideoCapture(str(resources.files("edge") / "data" / "demo" / "clip.mp4"))
    faults = []
    while (read := clip.read())[0]:
        faults.append(fault(make_thumbnail(np.asarray(read[1], np.uint8))))
    assert len(faults) > 300
    assert set(faults) == {None}


class Eye:
    """A sight, and the second it is."""

    def __init__(self, *, live: bool = True) -> None:
        self.visibility = Visibility(live=live)
        self.now_s = 0.0

    def live(
        self, seconds: float, picture: Pixels | None, *, still: bool = False
    ) -> list[tuple[float, Condition | None]]:
        """At ten frames a second; the changes of the fault, and after how many seconds."""
        changes, start_s = [], self.now_s
        seen = None if picture is None else make_thumbnail(picture)
        for _ in range(round(10 * seconds)):
            self.now_s += 0.1
            before = self.visibility.fault
            if seen and not still:
                seen = dataclasses.replace(seen, samples=str(self.now_s).encode())  # a sensor's noise
            self.visibility.update(seen, self.now_s)
            if self.visibility.fault != before:
                changes.append((round(self.now_s - start_s, 1), self.visibility.fault))
        return changes


@pytest.mark.parametrize(
    ("picture", "why"), [(noisy(5), Condition.DARK), (noisy(99), Condition.COVERED), (None, Condition.LOST)]
)
def test_what_lasts_is_a_fault_and_ends_when_something_is_seen_for_a_second(
    picture: Pixels | None, why: Condition
) -> None:
    eye = Eye()
    assert eye.live(5, scene(0)) == []
    ((begun_s, found),) = eye.live(60, picture)
    assert found == why
    assert PERSIST_S <= begun_s <= PERSIST_S + 0.2
    ((ended_s, found),) = eye.live(60, scene(0))
    assert found is None
    assert AGAIN_S <= ended_s <= AGAIN_S + 0.2


def test_somebody_who_passes_by_is_no_fault() -> None:
    eye = Eye()
    for _ in range(20):
        assert eye.live(PERSIST_S - 0.3, noisy(80)) == []
        assert eye.live(0.5, scene(0)) == []


def test_a_flash_of_light_does_not_end_it() -> None:
    eye = Eye()
    assert [what for _, what in eye.live(10, noisy(5))] == [Condition.DARK]
    for _ in range(5):
        assert eye.live(AGAIN_S - 0.3, scene(0)) == []
        assert eye.live(1, noisy(5)) == []


def test_one_blindness_becomes_another() -> None:
    eye = Eye()
    assert [what for _, what in eye.live(10, noisy(5))] == [Condition.DARK]
    assert [what for _, what in eye.live(10, noisy(120))] == [Condition.COVERED]
    assert [what for _, what in eye.live(10, None)] == [Condition.LOST]
    assert [what for _, what in eye.live(10, noisy(5))] == [Condition.DARK]


def test_a_folder_of_images_is_never_lost() -> None:
    assert Eye(live=False).live(600, None) == []


def test_a_picture_that_does_not_move_at_all_is_frozen_and_one_that_is_only_still_is_not() -> None:
    eye = Eye()
    assert eye.live(100, scene(0)) == []
    ((begun_s, found),) = eye.live(60, scene(0), still=True)
    assert found == Condition.FROZEN
    assert FROZEN_S <= begun_s <= FROZEN_S + 0.2
    assert [what for _, what in eye.live(60, scene(0))] == [None]
    assert Eye(live=False).live(600, scene(0), still=True) == []


def test_a_camera_that_was_closed_on_purpose_has_no_fault() -> None:
    eye = Eye()
    eye.live(100, noisy(5))
    assert eye.visibility.fault == Condition.DARK
    eye.visibility.begin_anew()
    assert eye.visibility.fault is None
    assert eye.live(2, None) == []
    assert eye.live(60, scene(0)) == []


def street() -> Pixels:
    """Something with edges of every size."""
    picture = noisy(100)
    dice = np.random.default_rng(8)
    for size in dice.integers(4, 160, 300):
        x, y = dice.integers(0, 640), dice.integers(0, 480)
        cv2.rectangle(picture, (int(x), int(y)), (int(x + size), int(y + size)), dice.integers(0, 255, 3).tolist(), -1)
    return picture


@pytest.mark.parametrize(("sigma", "note"), [(0, None), (2, None), (12, Condition.BLURRED), (20, Condition.BLURRED)])
def test_what_is_blurred_for_long_is_noted_and_looked_at_all_the_same(sigma: int, note: Condition | None) -> None:
    picture = street()
    if sigma:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
        picture = (picture + NOISE / 2).clip(0, 255).astype(np.uint8)
    eye = Eye()
    assert eye.live(BLUR_S - 1, picture) == []
    assert eye.visibility.note is None
    assert eye.live(2, picture) == []
    assert eye.visibility.note == note
    assert eye.live(1, street()) == []
    assert eye.visibility.note is None


def test_while_a_camera_is_lost_its_picture_neither_stands_still_nor_is_blurred() -> None:
    """Or it would be taken for lost again as soon as it is back."""
    eye = Eye()
    soft = np.asarray(cv2.GaussianBlur(street(), (0, 0), 12), np.uint8)
    for _ in range(3):
        assert [what for _, what in eye.live(60, None)] == [Condition.LOST]
        assert [what for _, what in eye.live(5, soft, still=True)] == [None]
        assert eye.visibility.note is None
    eye.live(7, soft)
    assert eye.visibility.note == Condition.BLURRED
    eye.live(20, soft, still=True)
    assert eye.visibility.fault == Condition.FROZEN


@pytest.mark.parametrize("shape", [(480, 640), (1080, 1920), (97, 131), (5, 900), (1, 1)])
def test_a_cell_is_the_mean_of_its_samples(shape: tuple[int, int]) -> None:
    """Of the pixels that are taken, counted one by one."""
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    steps = [max(1, side // (SAMPLES * CELLS)) for side in shape]
    few = pixels[:: steps[0], :: steps[1]].astype(float)
    high, wide = (max(1, side // CELLS) for side in few.shape[:2])
    grey = make_thumbnail(pixels).grey
    assert grey.shape == (few.shape[0] // high, few.shape[1] // wide)
    for row in range(grey.shape[0]):
        for column in range(grey.shape[1]):
            cell = few[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            assert grey[row, column] == pytest.approx(cell.mean(), abs=1e-3)


@pytest.mark.parametrize(("sigma", "something"), [(0, True), (2, True), (12, False), (20, False)])
def test_a_blurred_frame_shows_nothing(sigma: int, something: bool) -> None:
    picture = cv2.GaussianBlur(street(), (0, 0), sigma) if sigma else street()
    seen = make_thumbnail(np.asarray(picture, np.uint8))
    assert shows_something(seen) is something
    assert Visibility(live=True).update(seen, 0.0) is something


def test_a_wall_shows_nothing_and_that_is_no_fault() -> None:
    """Nobody hears of it, however long it lasts: a camera may look at a wall."""
    visibility = Visibility(live=False)
    for now_s in range(60):
        assert not visibility.update(make_thumbnail(wall()), float(now_s))
        assert visibility.fault is None


def test_a_thing_before_the_wall_is_something() -> None:
    picture = wall()
    assert make_thumbnail(picture).contrast < LEAST_CONTRAST
    cv2.rectangle(picture, (250, 180), (400, 320), (40, 90, 60), -1)
    assert shows_something(make_thumbnail(picture))
