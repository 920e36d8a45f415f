"""A still scene costs no forward; a change is looked at at once."""

import numpy as np
import pytest
from rigs.camera import scene

from edge.stages import Pixels
from edge.vision.motion import SETTLE_FRAMES, MotionDetector
from edge.vision.thumbnail import CELLS, make_thumbnail

LONGEST_S = 5.0
NOISE = np.random.default_rng(12).normal(0, 6, (8, 480, 640, 3)).astype(np.int8)
"""Of a sensor; to make it for every frame would take minutes."""


def room(*, thing: bool = False, light: float = 1.0) -> Pixels:
    """A wall with a picture on it; the thing takes 3 % of the frame."""
    pixels = np.full((480, 640, 3), 140.0)
    pixels[100:200, 80:220] = (90, 120, 60)
    if thing:
        pixels[250:350, 300:392] = (200, 80, 70)
    return np.asarray((pixels * light).clip(0, 255), np.uint8)


class Watched:
    """A gate, and the second it is."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self.motion = MotionDetector(longest_s)
        self.now_s = 0.0

    def live(self, seconds: float, picture: Pixels, rate_hz: float = 10) -> list[int]:
        """The numbers of the frames that were worth a look."""
        worth = []
        frames = round(seconds * rate_hz)
        seen = [
            make_thumbnail((np.int16(0) + picture + noise).clip(0, 255).astype(np.uint8)) for noise in NOISE[:frames]
        ]
        for number in range(frames):
            self.now_s += 1 / rate_hz
            if self.motion.worth_a_look(seen[number % len(seen)], self.now_s):
                worth.append(number)
        return worth


def test_a_still_scene_is_looked_at_now_and_then() -> None:
    watched = Watched()
    assert watched.live(1, room()) == list(range(10))
    looks = watched.live(60, room())
    assert 11 <= len(looks) <= 14
    assert max(np.diff(looks)) <= 10 * LONGEST_S + 1


@pytest.mark.parametrize("rate_hz", [0.5, 2, 10, 30])
@pytest.mark.parametrize(
    "change", [room(thing=True), room(light=0.9), room(light=1.1), np.zeros((480, 640, 3), np.uint8)]
)
def test_a_change_is_looked_at_at_once_and_until_it_has_settled(change: Pixels, rate_hz: float) -> None:
    watched = Watched()
    watched.live(20, room(), rate_hz)
    looks = watched.live(20, change, rate_hz)
    assert looks[:SETTLE_FRAMES] == list(range(SETTLE_FRAMES))
    assert watched.live(20, room(), rate_hz)[:1] == [0]


def test_a_slow_change_is_seen_too() -> None:
    """Dusk: against the frame before nothing changes, against the last that was looked at it does."""
    watched = Watched(3600)
    watched.live(5, room())
    looks = [watched.live(1, room(light=1 - 0.002 * step)) for step in range(200)]
    assert sum(map(len, looks)) > 20


def test_every_frame_where_that_is_wanted() -> None:
    watched = Watched(0)
    assert watched.live(30, room()) == list(range(300))


def test_after_a_reset_the_next_frame_is_looked_at() -> None:
    watched = Watched()
    watched.live(4, room())
    assert watched.live(0.5, room()) == []
    watched.motion.reset()
    assert watched.live(0.1, room()) == [0]


def test_a_clip_that_begins_again_is_looked_at() -> None:
    watched = Watched()
    watched.live(20, room())
    watched.now_s = 0.0
    assert watched.live(0.1, room()) == [0]


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 6, 3), (15, 700, 3), (64, 64, 3), (1080, 1920, 3), (97, 161, 3)])
def test_a_glance_at_any_size(shape: tuple[int, int, int]) -> None:
    seen = make_thumbnail(np.full(shape, 77, np.uint8))
    assert np.min(seen.grey) == np.max(seen.grey) == 77
    assert max(seen.grey.shape) <= 2 * CELLS
    # a picture of a few pixels is too small to tell
    assert seen.contrast == (0 if shape[1] >= 64 else 255)


def test_frames_of_other_sizes_are_a_change() -> None:
    motion = MotionDetector(LONGEST_S)
    for number in range(20):
        motion.worth_a_look(make_thumbnail(scene(0)), float(number))
    assert motion.worth_a_look(make_thumbnail(scene(0)[:20]), 19.5)
