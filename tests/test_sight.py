"""Is there anything to see? On drawn pictures, and through minutes of frames."""

from importlib import resources

import cv2
import numpy as np
import pytest
from camera_rig import scene

from edge.aloud import COVERED, DARK, LOST
from edge.sight import AGAIN_S, CELLS, PERSIST_S, Sight, cells, fault
from edge.stages import Frame, Pixels

SIZE = (480, 640, 3)
NOISE = np.random.default_rng(3).normal(0, 6, SIZE)


def noisy(brightness: float | np.ndarray) -> Pixels:  # type: ignore[type-arg]
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
        (noisy(0), DARK),
        (noisy(12), DARK),
        (face_down(), DARK),
        (noisy(128), COVERED),
        (noisy(250), COVERED),
        (np.zeros(SIZE, np.uint8), DARK),
        (np.full(SIZE, 255, np.uint8), COVERED),
        (lamp(), ""),
        (wall(), ""),
        (scene(3), ""),
    ],
)
def test_pictures(picture: Pixels, expected: str) -> None:
    assert fault(picture) == expected


def test_every_frame_of_the_demo_can_be_seen() -> None:
    clip = cv2.VideoCapture(str(resources.files("edge") / "data" / "demo" / "clip.mp4"))
    faults = []
    while (read := clip.read())[0]:
        faults.append(fault(np.asarray(read[1], np.uint8)))
    assert len(faults) > 300
    assert set(faults) == {""}


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 6, 3), (15, 700, 3), (64, 64, 3), (1080, 1920, 3), (97, 161, 3)])
def test_any_size(shape: tuple[int, int, int]) -> None:
    grid = cells(np.full(shape, 77, np.uint8))
    assert grid.min() == grid.max() == 77
    assert max(grid.shape) <= 2 * CELLS


class Eye:
    """A sight, and the second it is."""

    def __init__(self, *, live: bool = True) -> None:
        self.sight = Sight(live=live)
        self.now_s = 0.0

    def live(self, seconds: float, picture: Pixels | None) -> list[tuple[float, str]]:
        """At ten frames a second; the changes of the fault, and after how many seconds."""
        changes, start_s = [], self.now_s
        for _ in range(round(10 * seconds)):
            self.now_s += 0.1
            before = self.sight.fault
            frame = None if picture is None else Frame(picture, 0, self.now_s)
            saw = self.sight.update(frame, self.now_s)
            assert saw == (picture is not None and fault(picture) == "")
            if self.sight.fault != before:
                changes.append((round(self.now_s - start_s, 1), self.sight.fault))
        return changes


@pytest.mark.parametrize(("picture", "why"), [(noisy(5), DARK), (noisy(99), COVERED), (None, LOST)])
def test_what_lasts_is_a_fault_and_ends_when_something_is_seen_for_a_second(picture: Pixels | None, why: str) -> None:
    eye = Eye()
    assert eye.live(5, scene(0)) == []
    ((begun_s, found),) = eye.live(60, picture)
    assert found == why
    assert PERSIST_S <= begun_s <= PERSIST_S + 0.2
    ((ended_s, found),) = eye.live(60, scene(0))
    assert found == ""
    assert AGAIN_S <= ended_s <= AGAIN_S + 0.2


def test_somebody_who_passes_by_is_no_fault() -> None:
    eye = Eye()
    for _ in range(20):
        assert eye.live(PERSIST_S - 0.3, noisy(80)) == []
        assert eye.live(0.5, scene(0)) == []


def test_a_flash_of_light_does_not_end_it() -> None:
    eye = Eye()
    assert [what for _, what in eye.live(10, noisy(5))] == [DARK]
    for _ in range(5):
        assert eye.live(AGAIN_S - 0.3, scene(0)) == []
        assert eye.live(1, noisy(5)) == []


def test_one_blindness_becomes_another() -> None:
    eye = Eye()
    assert [what for _, what in eye.live(10, noisy(5))] == [DARK]
    assert [what for _, what in eye.live(10, noisy(120))] == [COVERED]
    assert [what for _, what in eye.live(10, None)] == [LOST]
    assert [what for _, what in eye.live(10, noisy(5))] == [DARK]


def test_a_folder_of_images_is_never_lost() -> None:
    assert Eye(live=False).live(600, None) == []
