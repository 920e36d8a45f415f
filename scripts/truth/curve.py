"""Sweeps the thresholds of [announce] over recorded answers, and chooses among them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np

from edge.models.checkpoint import find_checkpoint
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings
from truth.answers import HALVES, Answers, Model
from truth.films import GAPS, Counts, Film, Photo, make_film
from truth.processes import count, run_all
from truth.replay import Replay, make_replay
from truth.scoring import score

FRAMES = {"visit": 16, "unknown": 12, **dict.fromkeys(GAPS, 8)}
"""How many frames of each shot are seen. At 10 a second most sentences come within the first ten."""
UNKNOWN = 80
"""Unknown things in each half's film."""
SURE, MAYBE = (0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99), (0.5, 0.65, 0.75, 0.85, 1.0)
FLOOR, MARGIN = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.2, 0.4, 0.6, 0.8)
SMOOTHING_S, PERSISTENCE_S = (0.0, 0.1, 0.15, 0.3, 0.5, 1.0), (0.0, 0.2, 0.3, 0.5, 1.0)
NAMES = ("sure", "maybe", "floor", "margin", "smoothing_s", "persistence_s")
DEFAULTS = AnnounceSettings()
LEAST = {"I see": 0.98, "maybe": 0.85, "all": 0.96}
"""The share of the sentences of each form that must be right. An uncalibrated model has one form only."""
CLOSE = 0.01
"""A smaller difference of recall counts as none."""


@dataclass(frozen=True)
class Setting:
    """Thresholds to try."""

    calibrated: bool
    changed: Mapping[str, float] = field(default_factory=dict)
    """The settings of [announce] that differ from the defaults."""

    @property
    def announce(self) -> AnnounceSettings:
        return replace(DEFAULTS, **self.changed)  # type: ignore[arg-type]  # each of them is a float

    @property
    def key(self) -> tuple[float, ...]:
        """Return what tells it from others: a changed setting may have its default as value."""
        return self.calibrated, *(getattr(self.announce, name) for name in NAMES)

    @property
    def is_default(self) -> bool:
        """Return True if no setting differs from its default."""
        return self.key == Setting(self.calibrated).key


@dataclass(frozen=True)
class Point:
    """What one model says with one setting, on the films of both halves together."""

    model: str
    setting: Setting
    found: Mapping[str, Any]
    """truth.scoring.score."""


def settings() -> list[Setting]:
    """Return all settings to try, each once."""
    tried = [Setting(True, {"sure": sure, "maybe": maybe}) for sure in SURE for maybe in MAYBE]
    tried += [Setting(True, {"smoothing_s": one}) for one in SMOOTHING_S]
    tried += [Setting(True, {"persistence_s": one}) for one in PERSISTENCE_S]
    tried += [Setting(False, {"floor": floor, "margin": margin}) for floor in FLOOR for margin in MARGIN]
    tried += [Setting(True), Setting(False)]
    return list({one.key: one for one in tried}.values())


def make_films(folder: Path, photos: Mapping[str, Sequence[Photo]], visits: int | None, seed: int) -> dict[str, Film]:
    """Return the film of each half: its photos once each, or `visits` of them, unknown things, and gaps between."""
    films = {}
    for half in HALVES:
        shown = len(photos[half]) if visits is None else min(visits, len(photos[half]))
        film = make_film(folder, photos[half], Counts(visits=shown, unknown=UNKNOWN), seed=seed)
        films[half] = film.shortened(FRAMES)
    return films


def make_replays(
    answers: Mapping[Model, Answers], films: Mapping[str, Film]
) -> dict[tuple[str, bool], tuple[Replay, ...]]:
    """Return the films of both halves, by the model's name and whether it is calibrated (on the other half).

    Raises ModelError if a model cannot be calibrated.
    """
    replays = {}
    for model, found in answers.items():
        checkpoint = find_checkpoint(model.name)
        labels = tuple(read_labels(checkpoint.synset))
        background = np.array([label.id in checkpoint.background for label in labels])
        for calibrated in (True, False):
            replays[str(model), calibrated] = tuple(
                make_replay(
                    films[half],
                    found.films[half],
                    labels,
                    checkpoint.background,
                    found.fitted_without(half, background).calibration("") if calibrated else None,
                )
                for half in HALVES
            )
    return replays


def measure(model: str, setting: Setting, replays: Sequence[Replay]) -> Point:
    """Return what a model says with one setting."""
    heard = [replay.listen(setting.announce, part) for part, replay in enumerate(replays)]
    count()
    return Point(model, setting, score([replay.film for replay in replays], heard))


def sweep(replays: Mapping[tuple[str, bool], Sequence[Replay]], tell: Callable[[int, int], object]) -> list[Point]:
    """Return a point for each model and setting, in that order. `tell` is called with how many of how many are done."""
    jobs = [
        (measure, model, setting, found)
        for (model, calibrated), found in replays.items()
        for setting in settings()
        if setting.calibrated == calibrated
    ]
    return run_all(jobs, lambda done: tell(done, len(jobs)))


@dataclass(frozen=True)
class Sum:
    """What all models together say with one setting."""

    setting: Setting
    sure: tuple[int, int]
    """Right sentences with "I see", and all of them."""
    maybe: tuple[int, int]
    every: tuple[int, int]
    """Right sentences of any form, and all of them."""
    recall: tuple[int, int]
    """Photos that were named rightly, and all of them."""
    gaps: tuple[int, int]
    """Gaps with a sentence, and all of them."""
    unknown: tuple[int, int]
    """Unknown things with a false sentence, and all of them."""
    wait_s: float
    """Mean of the models' median latencies; nan if a model says nothing."""

    @property
    def holds(self) -> bool:
        """Return True if it is right as often as LEAST asks. No sentence of a form is right often enough."""
        shares = {"I see": self.sure, "maybe": self.maybe, "all": self.every}
        asked = LEAST if self.setting.calibrated else {"all": LEAST["all"]}
        return all(right >= asked[form] * count for form, (right, count) in shares.items() if form in asked)


def add_up(points: Iterable[Point]) -> list[Sum]:
    """Return the sum over the models of each setting, in the order in which they come."""
    by_setting: dict[Any, list[Point]] = {}
    for point in points:
        by_setting.setdefault(point.setting.key, []).append(point)
    return [_sum(group) for group in by_setting.values()]


def _sum(points: Sequence[Point]) -> Sum:
    def total(*path: str) -> tuple[int, int]:
        shares = [reduce(getitem, path, point.found) for point in points]
        return sum(one["count"] for one in shares), sum(one["of"] for one in shares)

    gaps = [total("gaps", kind) for kind in GAPS]
    waits = [point.found["latency"]["all"]["median_s"] for point in points]
    return Sum(
        points[0].setting,
        total("precision", "I see"),
        total("precision", "maybe"),
        total("precision", "all"),
        total("recall"),
        (sum(count for count, _ in gaps), sum(of for _, of in gaps)),
        total("unknown_any"),
        math.nan if None in waits else sum(waits) / len(waits),
    )


def choose(sums: Iterable[Sum]) -> Sum | None:
    """Return the setting that the rule chooses: precision first, then recall, then latency; None if none holds.

    Of those that are right often enough (LEAST) and say nothing in gaps, it takes those whose recall is within CLOSE of
    the best, and of these the quickest.
    """
    good = [one for one in sums if one.holds and one.gaps[0] == 0 and one.recall[0]]
    if not good:
        return None
    most = max(one.recall[0] / one.recall[1] for one in good)
    near = [one for one in good if one.recall[0] / one.recall[1] >= most - CLOSE]
    return min(near, key=lambda one: (one.wait_s, -one.recall[0]))


def family(points: Iterable[Point], *names: str) -> list[Point]:
    """Return the points that differ from the defaults in these settings only, in ascending order of the settings."""
    calibrated = not {"floor", "margin"} & set(names)
    rest = {name: getattr(DEFAULTS, name) for name in NAMES if name not in names}
    chosen = [
        point
        for point in points
        if point.setting.calibrated == calibrated
        and all(getattr(point.setting.announce, name) == value for name, value in rest.items())
    ]
    return sorted(chosen, key=lambda point: [getattr(point.setting.announce, name) for name in names])
