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
from truth.curve import DEFAULTS, Point, Setting, add_up, choose, family, measure, settings
from truth.curve_page import About, page
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
    return make_replay(shown, what, LABELS, frozenset(), calibration)


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
    shown, answers = film(("visit", TENCH)), seen((0.85, 0.1, 0.05))
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


def test_the_sum_over_both_halves() -> None:
    good = replay(film(("visit", TENCH), ("unknown", "")), seen((0.98, 0.01, 0.01), (0.99, 0.005, 0.005)))
    bad = replay(film(("visit", GUITAR), ("wall", "")), seen((0.98, 0.01, 0.01), None))
    found = measure("network", Setting(False), [good, bad]).found
    assert (found["precision"]["all"]["count"], found["precision"]["all"]["of"]) == (1, 2)
    assert (found["recall"]["count"], found["recall"]["of"]) == (1, 2)
    assert (found["unknown_sure"]["count"], found["gaps"]["wall"]["of"]) == (1, 1)


# ---- the settings and the rule


def test_each_setting_is_tried_once_and_the_defaults_are_among_them() -> None:
    tried = settings()
    assert len({one.key for one in tried}) == len(tried)
    for calibrated in (True, False):
        assert sum(one.is_default for one in tried if one.calibrated == calibrated) == 1


def point(setting: Setting, model: str = "network", /, **of_100: float) -> Point:
    """100 sentences of each form and 200 photos, of which so many are right."""

    def share(right: float, of: int = 100) -> dict[str, Any]:
        return {"count": round(right), "of": of}

    forms = {form: share(of_100.get("right", 99)) for form in ("I see", "maybe", "all")}
    wait = {"median_s": of_100.get("wait_s", 0.4)}
    return Point(
        model,
        setting,
        {
            "precision": forms,
            "recall": share(of_100.get("named", 120), 200),
            "recall_sure": share(of_100.get("named", 120) / 2, 200),
            "gaps": {kind: share(of_100.get("gaps", 0)) for kind in ("wall", "dark", "blur")},
            "unknown_sure": share(1),
            "unknown_any": share(2),
            "latency": {"I see": wait, "all": wait},
        },
    )


def chosen(*of_100: dict[str, float]) -> float | None:
    """The `sure` that the rule chooses, of 0.90, 0.91 ..."""
    points = [point(Setting(True, {"sure": 0.9 + number / 100}), **one) for number, one in enumerate(of_100)]
    found = choose(add_up(points))
    return found.setting.announce.sure if found else None


def test_precision_comes_first_then_recall_then_latency() -> None:
    assert chosen({"right": 97, "named": 190}, {"named": 120}) == 0.91, "97 % of I see is not enough"
    assert chosen({"gaps": 1, "named": 190}, {"named": 120}) == 0.91, "nothing may be said in a gap"
    assert chosen({"named": 120, "wait_s": 0.1}, {"named": 130}) == 0.91
    assert chosen({"named": 130, "wait_s": 0.5}, {"named": 129, "wait_s": 0.4}) == 0.91, "0.005 of recall is nothing"
    assert chosen({"right": 90}, {"right": 95}) is None


def test_models_are_added() -> None:
    setting = Setting(True)
    (one,) = add_up([point(setting, "a", right=90, wait_s=0.2), point(setting, "b", right=100, wait_s=0.6)])
    assert (one.every, one.recall, one.gaps) == ((190, 200), (240, 400), (0, 600))
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
    return [point(one, model) for model in ("network", "network int8") for one in settings()]


def test_the_page_has_the_defaults_the_rule_and_each_setting() -> None:
    about = About("scripts/announce_curve.py PHOTOS", 600, datetime.date(2026, 1, 2), "Two films.")
    text = page(all_points(), about)
    lines = text.splitlines()
    assert "0.600 (0.531 to 0.665, n = 200)" in text
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
    kept = Answers({"fit": one, "judge": one}, rows[:, np.newaxis], rows > 2, np.array(["fit", "judge"]), rows)
    kept.save(tmp_path / "a.npz")
    back = Answers.load(tmp_path / "a.npz")
    assert np.array_equal(back.films["judge"].logs, rows)
    assert np.array_equal(back.films["fit"].visible, one.visible)
    assert list(back.half) == ["fit", "judge"]
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
