"""How much of an empty place has changed, and whether that is one thing or two."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.place import EmptyPlace

Grey = NDArray[np.float32]
ROWS, COLUMNS = 24, 32


def place(seed: int = 0, noise: float = 1.0) -> Grey:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    grey = 90 + 2 * rows + columns + np.random.default_rng(seed).normal(0, noise, (ROWS, COLUMNS))
    return np.asarray(grey, np.float32)


def with_things(*boxes: tuple[int, int, int, int], seed: int = 9) -> Grey:
    """The place with lighter boxes: top, left, height, width."""
    grey = place(seed)
    for top, left, height, width in boxes:
        grey[top : top + height, left : left + width] += 60
    return grey


@pytest.fixture
def empty() -> EmptyPlace:
    return EmptyPlace([place(seed) for seed in range(4)])


def test_the_empty_place_has_not_changed(empty: EmptyPlace) -> None:
    share, things = empty.change(place(7))
    assert share < 0.005
    assert things == 1


def test_other_light_is_no_thing(empty: EmptyPlace) -> None:
    assert empty.change(place(7) + 40)[0] < 0.005


def test_a_thing_takes_its_share(empty: EmptyPlace) -> None:
    share, things = empty.change(with_things((6, 8, 12, 16)))
    assert share == pytest.approx(12 * 16 / (ROWS * COLUMNS), abs=0.01)
    assert things == 1


@pytest.mark.parametrize(
    ("boxes", "things"),
    [
        (((6, 3, 10, 8), (6, 20, 10, 8)), 2),
        (((6, 3, 10, 8), (6, 12, 10, 8)), 1),  # they nearly touch
        (((6, 3, 10, 8), (6, 20, 3, 3)), 1),  # a speck
        (((2, 2, 20, 14), (10, 22, 6, 6)), 1),  # a hand beside a large thing
        (((2, 2, 8, 8), (2, 20, 8, 8), (16, 10, 8, 8)), 2),  # as good as three
    ],
)
def test_two_things_are_told_from_one(
    empty: EmptyPlace, boxes: tuple[tuple[int, int, int, int], ...], things: int
) -> None:
    assert empty.change(with_things(*boxes))[1] == things


def test_what_flickers_in_the_empty_place_does_not_count() -> None:
    flickering = [place(seed) for seed in range(4)]
    for number, grey in enumerate(flickering):
        grey[:, 20:] += 40 * (number % 2)
    assert EmptyPlace(flickering).change(flickering[1])[0] < 0.005


def test_a_picture_of_another_size_is_all_different(empty: EmptyPlace) -> None:
    assert empty.change(np.zeros((10, 10), np.float32)) == (1.0, 1)
