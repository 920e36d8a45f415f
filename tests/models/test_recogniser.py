"""A taught thing is recognised by its features, and what is none of them is none."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.models.taught.recogniser import Recogniser, probability_of, unit
from edge.models.taught.record import TaughtThing
from edge.models.taught.scenes import scenes_of

Floats = NDArray[np.float32]
LITE0 = "a81791b57bf3a4b9"
"""Fingerprint of EfficientNet-Lite0, for which edge has photos."""


class Sphere:
    """Features around directions of their own, as a network gives them: not negative, and of any length."""

    def __init__(self, length: int) -> None:
        self._random = np.random.default_rng(5)
        self._length = length
        self._everywhere = self._random.random(length)

    def around(self, number: int, count: int, spread: float = 0.3) -> Floats:
        """Views of thing `number`."""
        middle = np.random.default_rng((1, number)).random(self._length) ** 3
        rows = self._everywhere + 2 * middle + spread * self._random.standard_normal((count, self._length))
        return np.asarray(np.maximum(rows, 0) * self._random.uniform(0.5, 3, (count, 1)), np.float32)

    def others(self, count: int) -> Floats:
        """Views of as many things, one each."""
        return np.concatenate([self.around(10_000 + int(self._random.integers(10**6)), 1) for _ in range(count)])

    def thing(self, number: int, views: int = 12, empty: int = 0) -> TaughtThing:
        rows = self.around(number, views)
        return TaughtThing(f"thing {number}", "m", "n", rows, self.others(empty) if empty else rows[:0])


@pytest.fixture(params=[64, 600])
def sphere(request: pytest.FixtureRequest) -> Sphere:
    """Fewer features than views, and more."""
    return Sphere(request.param)


@pytest.mark.parametrize("count", [1, 2, 20])
def test_its_new_views_have_its_name_and_strangers_have_none(sphere: Sphere, count: int) -> None:
    known = Recogniser([sphere.thing(number, empty=number % 3) for number in range(count)], sphere.others(60))
    for number in range(count):
        found = [known.recognise(row) for row in sphere.around(number, 10)]
        assert [one.name if one else None for one in found].count(f"thing {number}") >= 9
        assert {one.id for one in found if one} == {f"taught:thing {number}"}
    strangers = [known.recognise(row) for row in sphere.others(300)]
    # in a space of few features some strangers are near
    assert sum(one is not None for one in strangers) <= 15


def test_the_scale_goes_from_nothing_to_the_thing(sphere: Sphere) -> None:
    things, others = [sphere.thing(number, views=30) for number in range(3)], sphere.others(90)
    known = Recogniser(things, others)
    for number, thing in enumerate(things):
        own = np.mean([known.values(row)[number] for row in thing.views])
        nothing = np.mean([known.values(row)[number] for row in others])
        assert own == pytest.approx(1, abs=1e-3)
        assert nothing == pytest.approx(0, abs=1e-3)


def test_the_brightness_of_features_does_not_matter(sphere: Sphere) -> None:
    known = Recogniser([sphere.thing(0)], sphere.others(60))
    row = sphere.around(0, 1)[0]
    np.testing.assert_allclose(known.values(row), known.values(7 * row), rtol=1e-4)


def test_the_probability_is_sure_from_the_threshold_on() -> None:
    assert probability_of(0.6, 0.6) == pytest.approx(0.97)
    assert probability_of(1.0, 0.6) == pytest.approx(0.999)
    values = np.linspace(-5, 5, 40)
    assert [probability_of(one, 0.6) for one in values] == sorted(probability_of(one, 0.6) for one in values)


def test_a_thing_that_looks_like_nothing_is_never_named() -> None:
    sphere = Sphere(64)
    others = np.repeat(sphere.others(1), 60, axis=0)
    blank = TaughtThing("blank", "m", "n", others[:10], others[:0])
    known = Recogniser([blank, sphere.thing(0)], others)
    assert np.isfinite(known.values(others[0])).all()
    assert known.recognise(others[0]) is None
    found = known.recognise(sphere.around(0, 1)[0])
    assert found is not None
    assert found.name == "thing 0"


def test_few_and_many_features_are_computed_alike() -> None:
    sphere = Sphere(100)
    things, others = [sphere.thing(number) for number in range(3)], sphere.others(70)
    wide = np.hstack([others, np.zeros((len(others), 400), np.float32)])
    widened = [
        TaughtThing(one.name, "m", "n", np.hstack([one.views, np.zeros((len(one.views), 400), np.float32)]), wide[:0])
        for one in things
    ]
    row = sphere.around(1, 1)[0]
    narrow = Recogniser(things, others).values(row)
    # the identity's share differs with the number of features, so the values do too, but only a little
    np.testing.assert_allclose(narrow, Recogniser(widened, wide).values(np.append(row, np.zeros(400))), atol=0.15)


@pytest.mark.parametrize("rows", [np.zeros(64), np.full(64, np.nan)])
def test_features_of_nothing_are_no_thing(rows: NDArray[Any]) -> None:
    sphere = Sphere(64)
    assert Recogniser([sphere.thing(0)], sphere.others(60)).recognise(rows.astype(np.float32)) is None


def test_one_view_and_equal_views_are_enough_to_compute() -> None:
    sphere = Sphere(64)
    row = sphere.around(0, 1)
    for views in (row, np.repeat(row, 5, axis=0)):
        known = Recogniser([TaughtThing("x", "m", "n", views, views[:0])], sphere.others(60))
        found = known.recognise(row[0])
        assert found is not None
        assert found.probability > 0.99
    np.testing.assert_allclose(np.linalg.norm(unit(row)), 1, rtol=1e-5)


def test_a_photo_is_not_named_because_it_is_no_drawing() -> None:
    photos, random = scenes_of(LITE0), np.random.default_rng(3)
    assert photos is not None
    drawings = np.abs(random.normal(0, 1, (96, photos.shape[1]))).astype(np.float32)

    def named(model: str, count: int) -> tuple[int, int, float]:
        """Of a thing's new views and of photos, how many are named, and the least value."""
        things = [
            TaughtThing(str(number), model, "n", around(number, 20), drawings[:0]) for number in range(1, count + 1)
        ]
        known = Recogniser(things, drawings)
        found = [[known.recognise(row) for row in rows] for rows in (around(1, 20), photos)]
        own, strange = (sum(one is not None for one in some) for some in found)
        return own, strange, known.threshold

    def around(number: int, count: int) -> Floats:
        """Views of a thing that is much like any photo."""
        own = np.random.default_rng(number).permutation(photos[number])
        noise = random.normal(0, 0.5 * photos.std(), (count, len(own)))
        return np.asarray(np.maximum(photos.mean(axis=0) + 0.1 * own + noise, 0), np.float32)

    own, strange, least = named(LITE0, 1)
    assert own >= 18
    assert strange <= 2
    assert named("another", 1)[1] >= 20
    assert least < named(LITE0, 20)[2]


@pytest.mark.parametrize("model", ["", "0" * 16, "../scenes/" + LITE0, "/" + LITE0])
def test_other_networks_have_no_photos(model: str) -> None:
    assert scenes_of(model) is None
