"""scripts/announce_curve.py: the announcer over answers made by hand, the rule that chooses, the page and the plot."""

import datetime
import os
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import announce_curve
import numpy as np
import pytest
from numpy.typing import NDArray
from truth.answers import Answers, Model, Seen
from truth.curve import (
    DEFAULTS,
    VIEWS,
    Case,
    Point,
    Setting,
    View,
    add_up,
    calibrations,
    choose,
    family,
    settings,
)
from truth.curve_page import CHOOSE, About, chosen, page
from truth.curve_plot import panels, plot, scale
from truth.films import Counts, Film, Photo, Shot, make_film
from truth.processes import count, run_all
from truth.replay import Replay, make_replay

from edge.models.calibration_file import Calibration, OpenSet
from edge.models.labels import Label

ROOT = Path(__file__).resolve().parents[2]
TENCH, GUITAR, CAR = "n01440764", "n02676566", "n04285008"
LABELS = tuple(Label(identity, (name,)) for identity, name in ((TENCH, "tench"), (GUITAR, "guitar"), (CAR, "car")))
VISIT = 16


def film(*kinds: tuple[str, str]) -> Film:
    """Shots of VISIT frames each, of these kinds and ids."""
    shots = [
        Shot(kind, number, (), frozenset(ids.split()), number * VISIT / 10, (number + 1) * VISIT / 10)
        for number, (kind, ids) in enumerate(kinds)
    ]
    return Film(Path(), 1, 10.0, tuple(shots))


def seen(*rows: tuple[float, float, float] | None) -> Seen:
    """The same answer to all frames of a shot; None: they show nothing."""
    logs = [np.log(np.array(row, np.float32)) for row in rows if row for _ in range(VISIT)]
    return Seen(np.repeat([row is not None for row in rows], VISIT), np.array(logs))


def replay(shown: Film, what: Seen, calibration: Calibration | None = None) -> Replay:
    return make_replay(shown, what, LABELS, frozenset(), (lambda _shot: calibration) if calibration else None)


# ---- the announcer over recorded answers


def test_each_shot_is_seen_after_a_gap_and_scored_as_edge_run_is() -> None:
    shown = film(("visit", TENCH), ("wall", ""), ("visit", TENCH), ("unknown", ""))
    heard = replay(shown, seen((0.98, 0.01, 0.01), None, (0.98, 0.01, 0.01), (0.4, 0.35, 0.25))).listen(DEFAULTS)
    assert [(one.id, one.shot, one.form, one.right) for one in heard.sentences] == [
        (TENCH, 0, "I see, label", True),
        (TENCH, 2, "I see, label", True),  # no news in a film, but each shot stands for itself
    ]
    waits = [one.at_s - shown.shots[one.shot].from_s for one in heard.sentences]
    assert waits[0] == pytest.approx(waits[1])
    assert 0 < waits[0] < 0.4


def test_a_calibrated_model_says_maybe_and_an_uncalibrated_one_does_not() -> None:
    shown, answers = film(("visit", TENCH)), seen((0.92, 0.05, 0.03))
    calibration = Calibration(1.0, 100, 0.0, 0.0, "")
    assert [one.form for one in replay(shown, answers, calibration).listen(DEFAULTS).sentences] == ["maybe X"]
    assert [one.form for one in replay(shown, answers).listen(DEFAULTS).sentences] == ["I see, label"]


def test_the_temperature_and_the_open_set_score_are_applied() -> None:
    shown, answers = film(("visit", TENCH)), seen((0.98, 0.01, 0.01))
    flat = replay(shown, answers, Calibration(10.0, 100, 0.0, 0.0, ""))
    assert flat.probabilities[0].sum() == pytest.approx(1, abs=1e-5)
    assert flat.probabilities[0, 0] == pytest.approx(98**0.1 / (98**0.1 + 2), abs=1e-5)
    unknown = OpenSet((0.0, 0.0, 0.0), -3.0, 1.0, 1.0, 100)
    assert replay(shown, answers, Calibration(1.0, 100, 0.0, 0.0, "", unknown)).listen(DEFAULTS).sentences == ()


def test_a_case_is_scored_with_a_setting() -> None:
    shown = replay(
        film(("visit", TENCH), ("unknown", ""), ("visit", CAR)),
        seen((0.98, 0.01, 0.01), (0.99, 0.005, 0.005), (0.98, 0.01, 0.01)),
    )
    point = Case("network", CHOOSE, calibrated=False, replay=shown).measure(Setting(False))
    assert (point.model, point.view) == ("network", CHOOSE)
    assert (point.found["precision"]["all"]["count"], point.found["precision"]["all"]["of"]) == (1, 2)
    assert (point.found["recall"]["count"], point.found["recall"]["of"]) == (1, 2)
    assert (point.found["unknown_sure"]["count"], point.found["gaps"]["wall"]["of"]) == (1, 0)


class Fitting(Answers):
    """Answers whose calibrations tell which photos they were fitted to."""

    def fitted_to(self, digits: str, background: NDArray[np.bool_]) -> Calibration:
        return Calibration(1.0, 100, 0.0, 0.0, "".join(sorted(digits)))


def fitted_to(view: View) -> list[str]:
    """Of two photos of the view's half, and of two walls."""
    empty: NDArray[np.float32] = np.zeros((0, 1), np.float32)
    answers = Fitting({}, empty, empty > 0, np.array([], str), empty)
    calibration_of = calibrations(answers, view, np.array([], bool))
    first = {"fit": ("3a.jpg", "4a.jpg"), "judge": ("Ba.jpg", "ca.jpg")}[view.half]
    shots = [Shot("visit", 0, (name,), frozenset()) for name in first]
    shots += [Shot("wall", number, (), frozenset()) for number in range(2)]
    return [calibration_of(shot).fitted_to for shot in shots]


def test_no_photo_is_seen_with_a_calibration_that_was_fitted_to_it() -> None:
    assert fitted_to(View("fit", own=True)) == ["014567", "012367", "234567", "014567"]
    assert fitted_to(View("judge", own=True)) == ["89cdef", "89abef", "abcdef", "89cdef"]
    assert fitted_to(View("judge", own=False)) == ["01234567"] * 4
    assert fitted_to(View("fit", own=False)) == ["89abcdef"] * 4


# ---- the settings and the rule


def test_each_setting_is_tried_once_and_the_defaults_are_among_them() -> None:
    tried = settings()
    assert len({one.key for one in tried}) == len(tried)
    for calibrated in (True, False):
        assert sum(one.is_default for one in tried if one.calibrated == calibrated) == 1


def point(setting: Setting, model: str = "network", view: View = CHOOSE, /, **of_500: float) -> Point:
    """500 sentences of each form, 1000 photos, 300 gaps and 100 unknown things: how many of them are so."""

    def share(right: float, of: int = 500) -> dict[str, Any]:
        return {"count": round(right), "of": of}

    forms = {form: share(of_500.get("right", 500)) for form in ("I see", "maybe", "all")}
    wait = {"median_s": of_500.get("wait_s", 0.4)}
    return Point(
        model,
        setting,
        view,
        {
            "precision": forms,
            "recall": share(of_500.get("named", 600), 1000),
            "recall_sure": share(of_500.get("named", 600) / 2, 1000),
            "gaps": {kind: share(of_500.get("gaps", 0), 100) for kind in ("wall", "dark", "blur")},
            "unknown_sure": share(of_500.get("unknown", 2) / 2, 100),
            "unknown_any": share(of_500.get("unknown", 2), 100),
            "latency": {"I see": wait, "all": wait},
        },
    )


def pick(*of_500: dict[str, float] | tuple[dict[str, float], ...]) -> float | None:
    """The `sure` that the rule chooses, of 0.90, 0.91 ...; two dicts are two models."""
    points = []
    for number, models in enumerate(of_500):
        for model, one in enumerate(models if isinstance(models, tuple) else (models,)):
            points.append(point(Setting(True, {"sure": 0.9 + number / 100}), f"network {model}", **one))
    found = choose(points)
    return found.setting.announce.sure if found else None


def test_precision_comes_first_then_recall_then_latency() -> None:
    assert pick({"right": 485, "named": 950}, {}) == 0.91, "97 % of I see is not enough"
    assert pick({"right": 493, "named": 950}, {}) == 0.91, "98.6 % may be chance"
    assert pick({"gaps": 1, "named": 950}, {}) == 0.91, "nothing may be said in a gap"
    assert pick({"unknown": 11, "named": 950}, {}) == 0.91, "unknown things are named too often"
    assert pick({"wait_s": 0.1}, {"named": 650}) == 0.91
    assert pick({"named": 650, "wait_s": 0.5}, {"named": 645, "wait_s": 0.4}) == 0.91, "0.005 of recall is nothing"
    assert pick({"right": 450}, {"right": 475}) is None


def test_each_model_must_hold_by_itself() -> None:
    good, bad = {"right": 500, "named": 950.0}, {"right": 485, "named": 950.0}
    assert pick((good, bad), ({}, {})) == 0.91
    weak = [point(Setting(True), "network"), point(Setting(True), "squeezenet_v1.0", right=400)]
    assert choose(weak) is not None, "this model is not asked"


def test_an_uncalibrated_model_is_not_asked_about_gaps_and_unknown_things() -> None:
    assert choose([point(Setting(False), gaps=4, unknown=20)]) is not None
    assert choose([point(Setting(False), right=470)]) is None


def test_models_are_added() -> None:
    setting = Setting(True)
    (one,) = add_up([point(setting, "a", right=450, wait_s=0.2), point(setting, "b", right=500, wait_s=0.6)])
    assert (one.every, one.recall, one.gaps) == ((950, 1000), (1200, 2000), (0, 600))
    assert one.wait_s == pytest.approx(0.4)
    assert not one.holds


def test_a_family_has_what_differs_in_its_settings_only() -> None:
    points = [point(one) for one in reversed(settings())]
    sure = [one.setting.announce.sure for one in family(points, "sure")]
    assert sure == sorted(sure)
    assert DEFAULTS.sure in sure
    assert all(
        one.setting.announce == replace(DEFAULTS, sure=one.setting.announce.sure) for one in family(points, "sure")
    )
    assert not any(one.setting.calibrated for one in family(points, "floor", "margin"))


# ---- what it writes


def all_points() -> list[Point]:
    """Of a sweep in the view where the defaults are chosen."""
    return [point(one, model) for model in ("network", "network int8") for one in settings()]


def both_halves() -> tuple[list[Point], list[Point]]:
    """The points of a sweep, and those by which the defaults are judged."""
    swept = [replace(one, view=view) for view in VIEWS if view.own for one in all_points()]
    kept = {one.setting.key for one in chosen(swept).values() if one} | {Setting(True).key, Setting(False).key}
    judged = [replace(one, view=view) for view in VIEWS if not view.own for one in all_points()]
    return swept, [one for one in judged if one.setting.key in kept]


def test_the_page_has_the_defaults_the_rule_and_each_setting() -> None:
    about = About("scripts/announce_curve.py PHOTOS", 600, datetime.date(2026, 1, 2), "Two films.")
    text = page(*both_halves(), about)
    lines = text.splitlines()
    assert "0.600 (0.569 to 0.630, n = 1000)" in text
    assert "`scripts/announce_curve.py PHOTOS` wrote it on 2026-01-02, in 10 minutes." in text
    assert all(f"## `{name}`" in text for name in ("sure", "floor", "smoothing_s", "persistence_s"))
    assert sum(line.endswith("| default |") for line in lines) == 4
    for number, line in enumerate(lines):
        if line.startswith("| ---"):
            assert line.count("|") == lines[number - 1].count("|") == lines[number + 1].count("|")


def test_the_plot_is_well_formed_and_marks_each_default() -> None:
    points = all_points()
    root = xml.etree.ElementTree.fromstring(plot(points))
    rings = [one for one in root.iter("{http://www.w3.org/2000/svg}circle") if one.get("fill") == "none"]
    assert len(rings) == 1 + 2 * len(panels(points)), "one in the legend, one for each model in each panel"
    assert all(sum(mark.is_default for mark in line) == 1 for panel in panels(points) for line in panel.lines.values())


def test_a_model_that_says_nothing_is_left_out_of_the_plot() -> None:
    silent = [
        replace(one, found={**one.found, "latency": {form: {"median_s": None} for form in ("I see", "all")}})
        for one in all_points()
    ]
    assert panels(silent)[3].lines == {}
    xml.etree.ElementTree.fromstring(plot(silent))


@pytest.mark.parametrize("values", [[0.93, 0.99], [0.5], [0.1, 2.4], [0.0, 0.0], []])
def test_an_axis_holds_all_values(values: list[float]) -> None:
    low, high, step = scale(values)
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    assert 1 <= round((high - low) / step) <= 8


# ---- films, answers, processes, the command


def test_a_shortened_film_has_the_first_frames_of_each_shot(tmp_path: Path) -> None:
    whole = make_film(tmp_path, [Photo("0.png", frozenset({TENCH}))], Counts(unknown=2), seed=3)
    short = whole.shortened({"unknown": 3, "wall": 2})
    assert {shot.kind for shot in short.shots} == {"unknown", "wall"}
    index = next(n for n, shot in enumerate(short.shots) if shot.kind == "unknown")
    other = next(n for n, shot in enumerate(whole.shots) if shot.kind == "unknown")
    frames = list(short.frames_of(index))
    assert len(frames) == 3
    assert np.array_equal(frames[2], list(whole.frames_of(other))[2])


def test_answers_come_back_from_their_file(tmp_path: Path) -> None:
    rows: NDArray[np.float32] = np.arange(6, dtype=np.float32).reshape(2, 3)
    one = Seen(np.array([True, False, True]), rows)
    kept = Answers({"fit": one, "judge": one}, rows[:, np.newaxis], rows > 2, np.array(["0", "f"]), rows)
    kept.save(tmp_path / "a.npz")
    back = Answers.load(tmp_path / "a.npz")
    assert np.array_equal(back.films["judge"].logs, rows)
    assert np.array_equal(back.films["fit"].visible, one.visible)
    assert list(back.digit) == ["0", "f"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def job(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError("a job failed")
    count()
    return number, len(os.sched_getaffinity(0))


def test_jobs_run_in_processes_of_one_processor_each() -> None:
    told: list[int] = []
    assert run_all([(job, 1), (job, 2)], told.append) == [(1, 1), (2, 1)]
    assert told[-1] == 2


def test_the_exception_of_a_job_is_raised() -> None:
    with pytest.raises(ValueError, match="a job failed"):
        run_all([(job, 1), (job, -1)], lambda _done: None)


def test_models_are_named_with_their_precision() -> None:
    assert [str(Model.parse(text)) for text in ("a", "a:float32", "a:int8")] == ["a", "a", "a int8"]
    with pytest.raises(ValueError, match="NAME:int8"):
        Model.parse("a:int4")


def test_the_command_names_no_folder(tmp_path: Path) -> None:
    options = announce_curve.parse(["/photos", "--models", "a,b:int8", "--visits", "9", "--out", str(tmp_path)])
    assert announce_curve.command(options) == "scripts/announce_curve.py PHOTOS --models a,b:int8 --visits 9"


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    script = str(ROOT / "scripts" / "announce_curve.py")
    done = subprocess.run(
        [sys.executable, script, str(tmp_path), "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "labels.csv" in done.stderr
