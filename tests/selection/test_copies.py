"""A thing is cut out of its place and drawn before others, always in the same way."""

import cv2
import numpy as np
import pytest

from edge.selection.copies import SIDE, beside, cut_out, elsewhere, nearer, place_copy
from edge.selection.taught import unlike
from edge.stages import Pixels

RED = (220, 30, 30)


def place(shift: int = 0, light: float = 1.0) -> Pixels:
    """A table with a pattern, that the camera sees from a slightly other side, or with another exposure."""
    rows, columns = np.mgrid[:240, :320]
    grey = 120 + 40 * np.sin((columns + shift) / 25) + 30 * np.sin((rows - shift) / 18)
    picture = np.stack([grey, 0.9 * grey, 0.8 * grey], -1) + np.random.default_rng(shift).normal(0, 4, (240, 320, 3))
    return np.asarray(np.clip(light * picture, 0, 255), np.uint8)


def with_thing(picture: Pixels, light: float = 1.0) -> Pixels:
    """The place with a red cup that has a handle."""
    shown = picture.copy()
    color = tuple(int(light * one) for one in RED)
    cv2.rectangle(shown, (110, 70), (190, 190), color, -1)
    cv2.circle(shown, (200, 130), 25, color, 8)
    return shown


def truth() -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Where the thing is, in the size of a mask."""
    mask = with_thing(np.zeros((240, 320, 3), np.uint8))[..., 0] > 0
    return np.asarray(cv2.resize(mask.astype(np.uint8), (160, 120), interpolation=cv2.INTER_AREA) > 0)


@pytest.mark.parametrize(("shift", "light"), [(0, 1.0), (2, 1.0), (1, 0.7)], ids=["still", "moved", "darker"])
def test_a_thing_is_cut_out_by_its_difference_from_the_place(shift: int, light: float) -> None:
    empty = [place_copy(place()), place_copy(place(1))]
    mask = cut_out(with_thing(place(shift, light), light), empty)
    assert mask is not None
    assert (mask & truth()).sum() >= 0.97 * truth().sum(), "the whole thing"
    assert (mask | truth()).sum() <= 1.25 * truth().sum(), "and little more: a handle's hole, the border"


def test_what_cannot_be_cut_out_is_said() -> None:
    assert cut_out(with_thing(place()), []) is None
    assert cut_out(place(1), [place()]) is None, "nothing has come into view"
    other = np.random.default_rng(3).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    elsewhere_now = cv2.resize(other, (320, 240))
    assert cut_out(np.asarray(elsewhere_now), [place()]) is None, "the camera looks elsewhere"


def test_the_thing_comes_along_and_the_place_stays() -> None:
    picture, empty = with_thing(place()), [place()]
    found, backgrounds = [], []
    for seed in range(6):
        copy = elsewhere(np.random.default_rng(seed), picture, cut_out(picture, empty)).astype(int)
        assert copy.shape == picture.shape
        middle = copy[110:130, 150:170].reshape(-1, 3).mean(axis=0)
        found.append(middle[0] > 2.5 * max(middle[1:]))
        backgrounds.append(copy[:8].mean(axis=(0, 1)).round())
    assert all(found), "the red cup is in the middle"
    assert len(np.unique(backgrounds, axis=0)) == 6


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (1200, 1600), (5, 7), (1, 1)])
def test_pictures_of_all_sizes_have_copies(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*shape, 3)).astype(np.uint8)
    mask = cut_out(picture, [place()])
    for alter in (nearer, lambda rng, picture: elsewhere(rng, picture, mask)):
        copy, again = (alter(np.random.default_rng(2), picture) for _ in range(2))
        assert copy.dtype == np.uint8
        assert max(copy.shape) <= SIDE
        assert np.array_equal(copy, again)
    assert 0 < max(beside(picture).shape) <= SIDE + 6


def test_what_is_beside_the_thing_stands_for_its_place() -> None:
    stand_in = beside(with_thing(place()))
    assert not (stand_in[..., 0] > 2.5 * stand_in[..., 1]).any(), "no red"
    assert stand_in.mean() == pytest.approx(place().mean(), abs=10)


def test_what_is_as_like_the_thing_as_its_views_is_not_its_place() -> None:
    rng = np.random.default_rng(4)
    thing, other = rng.random((2, 50))
    views = (thing + 0.2 * rng.random((8, 50))).astype(np.float32)
    rows = np.stack([other, thing, other + 0.1, 3 * thing]).astype(np.float32)
    np.testing.assert_array_equal(unlike(rows, views), rows[[0, 2]])
