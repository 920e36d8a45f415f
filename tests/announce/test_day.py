"""Eight hours in front of the camera, under a simulated clock: how often edge speaks in each hour."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from doubles import PlainWords, at

from edge.announce.announcer import Announcer
from edge.announce.attention import Attention
from edge.announce.claims import Knowledge
from edge.announce.schedule import Schedule
from edge.settings import AnnounceSettings
from edge.stages import Outcome, Prediction

HOURS, STEP_S = 8, 0.5
Scene = Iterator[list[Prediction]]
"""The predictions of each frame."""


def one(label: str, probability: float, other: str = "") -> list[Prediction]:
    rest = [Prediction(other, other, 1 - probability)] if other else []
    return sorted([Prediction(label, label, probability), *rest], key=lambda prediction: -prediction.probability)


def resting(rng: np.random.Generator) -> Scene:
    """A desk: one thing stays in view, and now and then the model takes it for its neighbour or for nothing."""
    while True:
        for _ in range(int(rng.integers(200, 2000))):
            yield one("a desk", float(rng.uniform(0.75, 1)), "a table")
        wrong = rng.choice(["a table", "a bookcase", ""])
        for _ in range(int(rng.integers(3, 20))):
            yield one(str(wrong), 0.9) if wrong else []


def busy(rng: np.random.Generator) -> Scene:
    """A room in which fifteen things and animals come and go, each for 5 to 40 seconds."""
    while True:
        thing = f"thing {rng.integers(15)}"
        for _ in range(int(rng.integers(10, 80))):
            yield one(thing, float(rng.uniform(0.8, 1)))
        for _ in range(int(rng.integers(6, 40))):
            yield []


def television(rng: np.random.Generator) -> Scene:
    """A new picture every four seconds, of one of a thousand labels, without end."""
    while True:
        label = f"label {rng.integers(1000)}"
        for _ in range(8):
            yield one(label, 0.97)


@pytest.mark.parametrize(("scene", "most"), [(resting, 20), (busy, 60), (television, 120)])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_eight_hours(scene: Callable[[np.random.Generator], Scene], most: int, seed: int) -> None:
    settings = AnnounceSettings()
    subject = Announcer(settings, PlainWords(), Schedule(settings), knowledge=Knowledge(calibrated=True))
    subject.attention.configure(settings.per_hour)
    frames = scene(np.random.default_rng(seed))
    said: Counter[int] = Counter()
    for number in range(round(HOURS * 3600 / STEP_S)):
        now_s = number * STEP_S
        seen = next(frames)
        if announcement := subject.update(seen, now_s, at(now_s), something=bool(seen)):
            subject.taken(announcement, now_s, at(now_s))
            subject.finished(Outcome(announcement, heard=True))
            said[int(now_s // 3600)] += 1
    assert len(said) == HOURS, "it must not fall silent for an hour"
    assert max(said.values()) <= most, sorted(said.items())


def test_a_new_thing_is_said_after_hours_of_the_same() -> None:
    """A visitor in the busy room: the price of what is new stays one."""
    subject = Attention(60)
    for second in range(0, 4 * 3600, 10):
        if subject.free_again_s("the cat", second) <= second:
            subject.spend("the cat", second)
    assert subject.free_again_s("a visitor", 4 * 3600) - 4 * 3600 <= 60


def test_at_most_half_as_many_again_in_any_hour() -> None:
    subject = Attention(30)
    times = []
    for second in range(5 * 3600):
        if subject.free_again_s(f"{second}", second) <= second:
            subject.spend(f"{second}", second)
            times.append(second)
    assert max(sum(start <= time < start + 3600 for time in times) for start in times) <= 45
    assert len(times) == pytest.approx(15 + 5 * 30, abs=1)


def test_what_is_said_often_costs_more() -> None:
    subject = Attention(32)
    costs = []
    for _ in range(4):
        before = subject.free_again_s("it", 0.0)
        costs.append(16 + before * 32 / 3600)  # the time without a token, in tokens
        subject.spend("it", 0.0)
    assert costs == pytest.approx([1, 3, 7, 15])


def test_without_a_limit_nothing_waits() -> None:
    subject = Attention(0)
    for _ in range(1000):
        subject.spend("it", 0.0)
    assert subject.free_again_s("it", 0.0) <= 0.0


def test_a_limit_of_one_still_speaks() -> None:
    subject = Attention(1)
    subject.spend("it", 0.0)
    assert 0 < subject.free_again_s("it", 0.0) <= 3600
    assert subject.free_again_s("it", 3600.0) <= 3600.0


def test_a_clock_that_begins_again_keeps_no_old_words() -> None:
    subject = Attention(10)
    subject.spend("it", 5000.0)
    subject.spend("it", 0.0)
    assert subject.free_again_s("it", 1.0) <= 1.0
