"""Sweeps the thresholds of [announce] over recorded answers, and chooses among them.

A threshold is chosen on one half of the photos and judged on the other. On the half where it is chosen, each photo is
seen with a calibration that was not fitted to it: cross-validation in PARTS parts.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.models.calibration_file import Calibration
from edge.models.checkpoint import find_checkpoint
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings
from truth.answers import HALVES, Answers, Model
from truth.films import GAPS, Counts, Film, Photo, Shot, make_film
from truth.intervals import wilson
from truth.processes import count, run_all
from truth.replay import Replay, make_replay
from truth.scoring import score

FRAMES = {"visit": 30, "unknown": 20, **dict.fromkeys(GAPS, 10)}
"""How many frames of each shot are seen, at 10 a second."""
UNKNOWN = 80
"""Unknown things in each half's film."""
SURE, MAYBE = (0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99), (0.5, 0.65, 0.75, 0.8, 0.85, 1.0)
FLOOR, MARGIN = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.2, 0.4, 0.6, 0.8)
SMOOTHING_S, PERSISTENCE_S = (0.0, 0.1, 0.15, 0.3, 0.5, 1.0), (0.0, 0.2, 0.3, 0.5, 1.0)
NAMES = ("sure", "maybe", "floor", "margin", "smoothing_s", "persistence_s")
DEFAULTS = AnnounceSettings()
LEAST = {"I see": 0.98, "maybe": 0.85, "all": 0.96}
"""The share of the sentences of each form that must be right. An uncalibrated model has one form only."""
MOST_UNKNOWN_SURE, MOST_UNKNOWN = 0.05, 0.1
"""The share of the unknown things that may be named with "I see", and that may be named at all."""
PARTS = 4
"""Into how many parts a half is divided, for the calibrations that are fitted within it."""
NOT_ASKED = frozenset({"squeezenet_v1.0"})
"""Models that are shown, but do not choose: half of its first labels are wrong, and no threshold changes that."""
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
class View:
    """Photos, and the calibration with which they are seen."""

    half: str
    """One of HALVES."""
    own: bool
    """True if each photo is seen with a calibration that was fitted to other photos of the same half.

    False if the calibration was fitted to the other half.
    """


VIEWS = tuple(View(half, own) for half in HALVES for own in (True, False))


@dataclass(frozen=True)
class Point:
    """What one model says with one setting."""

    model: str
    setting: Setting
    view: View
    found: Mapping[str, Any]
    """truth.scoring.score, without what is drawn."""


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


@dataclass(frozen=True)
class Case:
    """A model on the film of one half."""

    model: str
    view: View
    calibrated: bool
    replay: Replay

    def measure(self, setting: Setting) -> Point:
        """Return what the model says with one setting."""
        heard = self.replay.listen(setting.announce)
        count()
        return Point(self.model, setting, self.view, score([self.replay.film], [heard], drawn=False))


def make_cases(answers: Mapping[Model, Answers], films: Mapping[str, Film]) -> list[Case]:
    """Return each model in each view, with calibration and without it.

    Raises ModelError if a model cannot be calibrated.
    """
    cases = []
    for model, found in answers.items():
        checkpoint = find_checkpoint(model.name)
        labels = tuple(read_labels(checkpoint.synset))
        background = np.array([label.id in checkpoint.background for label in labels])
        for view in VIEWS:
            for calibrated in (True, False):
                seen = calibrations(found, view, background) if calibrated else None
                replay = make_replay(films[view.half], found.films[view.half], labels, checkpoint.background, seen)
                cases.append(Case(str(model), view, calibrated, replay))
    return cases


def calibrations(answers: Answers, view: View, background: NDArray[np.bool_]) -> Callable[[Shot], Calibration]:
    """Return the function for the calibration with which a shot is seen. Raises ModelError."""
    if not view.own:
        (other,) = (digits for half, digits in HALVES.items() if half != view.half)
        whole = answers.fitted_to(other, background)
        return lambda _shot: whole
    digits = HALVES[view.half]
    parts = [digits[at : at + len(digits) // PARTS] for at in range(0, len(digits), len(digits) // PARTS)]
    without = [answers.fitted_to("".join(set(digits) - set(part)), background) for part in parts]

    def seen_with(shot: Shot) -> Calibration:
        if not shot.files:  # it shows no photo
            return without[shot.number % PARTS]
        return without[next(n for n, part in enumerate(parts) if shot.files[0][0].lower() in part)]

    return seen_with


def sweep(
    cases: Sequence[Case], tried: Iterable[Setting], tell: Callable[[int, int], object] = lambda _done, _of: None
) -> list[Point]:
    """Return a point for each case and setting, in that order. `tell` is called with how many of how many are done."""
    tried = list(tried)
    jobs = [(_measure_all, case, [one for one in tried if one.calibrated == case.calibrated]) for case in cases]
    of = sum(len(some) for _, _, some in jobs)
    return [point for points in run_all(jobs, lambda done: tell(done, of)) for point in points]


def _measure_all(case: Case, tried: Sequence[Setting]) -> list[Point]:
    return [case.measure(setting) for setting in tried]


@dataclass(frozen=True)
class Sum:
    """What several models together say with one setting."""

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
    unknown_sure: tuple[int, int]
    """Unknown things that were falsely named with "I see", and all of them."""
    unknown: tuple[int, int]
    """Unknown things with a false sentence of any form, and all of them."""
    wait_s: float
    """Mean of the models' median latencies; nan if a model says nothing."""

    @property
    def holds(self) -> bool:
        """Return True if the sentences are right as often as LEAST asks, and nothing false is said too often.

        No sentence of a form is right often enough.
        """
        forms = {"I see": self.sure, "maybe": self.maybe, "all": self.every}
        asked = LEAST if self.setting.calibrated else {"all": LEAST["all"]}
        right = all(forms[form][0] >= least * forms[form][1] for form, least in asked.items())
        if not self.setting.calibrated:  # then nothing tells unknown things from known ones
            return right
        sure, some = self.unknown_sure, self.unknown
        return (
            right and not self.gaps[0] and sure[0] <= MOST_UNKNOWN_SURE * sure[1] and some[0] <= MOST_UNKNOWN * some[1]
        )

    @property
    def surely_holds(self) -> bool:
        """Return True if the share of right sentences is above LEAST by more than chance explains.

        The lower end of Wilson's interval is compared, for "I see" and for all sentences.
        """
        asked = {"I see": self.sure, "all": self.every} if self.setting.calibrated else {"all": self.every}
        return all(not of or wilson(right, of)[0] >= LEAST[form] for form, (right, of) in asked.items())


def add_up(points: Iterable[Point]) -> list[Sum]:
    """Return the sum over the models of each setting, in the order in which they come."""
    return [_sum(group) for group in _by_setting(points)]


def _by_setting(points: Iterable[Point]) -> list[list[Point]]:
    found: dict[Any, list[Point]] = {}
    for point in points:
        found.setdefault(point.setting.key, []).append(point)
    return list(found.values())


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
        total("unknown_sure"),
        total("unknown_any"),
        math.nan if None in waits else sum(waits) / len(waits),
    )


def choose(points: Iterable[Point]) -> Sum | None:
    """Return the setting that the rule chooses, with the figures of all models that are asked; None if none qualifies.

    Precision first: each model that is asked must hold, and all of them together surely. Then recall: those settings
    count whose recall is within CLOSE of the best. Then latency: of these, the quickest.
    """
    good = []
    for group in _by_setting(point for point in points if point.model not in NOT_ASKED):
        together = _sum(group)
        if together.recall[0] and together.surely_holds and all(_sum([point]).holds for point in group):
            good.append(together)
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
