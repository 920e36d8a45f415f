"""scripts/score_truth.py: the score of events made by hand, and real networks before films of real photos."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import score_truth
from rigs.processes import PATIENCE_S, wait_until
from truth.films import Film, Shot
from truth.intervals import bootstrap, wilson
from truth.report import report, sheet
from truth.scoring import FORMS, Listened, form_of, ids_of, listen, read_groups, reliability, score

from edge.announce.translation import our_translation, read_translation

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {
    "mobilenet_v2_1.0": ["--size", "224", "--mean", "127.5", "--std", "127.5", "--short-side", "256"],
    "mobilenet0.5": [
        *("--size", "224", "--mean", "123.68,116.779,103.939", "--std", "58.393,57.12,57.375", "--short-side", "256"),
    ],
}
SAMOYED, TENCH, GUITAR = "n02111889", "n01440764", "n02676566"
DOG = next(identity for identity, members in read_groups().items() if SAMOYED in members and TENCH not in members)


# ---- intervals


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # R: prop.test(..., correct = FALSE)
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (5, 10, 0.236593, 0.763407),
        (15, 148, 0.062346, 0.160550),
        (81, 263, 0.255286, 0.366179),
    ],
)
def test_wilson_has_the_published_values(count: int, of: int, low: float, high: float) -> None:
    """The last two are Newcombe's examples (Statistics in Medicine 17, 1998), with R's digits."""
    assert wilson(count, of) == pytest.approx((low, high), abs=2e-4)


def test_without_cases_a_share_may_be_anything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(3).normal(10, 2, 400)
    low, high = bootstrap([float(one) for one in values], lambda drawn: float(drawn.mean()))
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.1)
    assert (low, high) == bootstrap([float(one) for one in values], lambda drawn: float(drawn.mean()))


def test_the_bootstrap_of_equal_values_and_of_none() -> None:
    assert bootstrap([0.5] * 7, lambda drawn: float(np.median(drawn))) == (0.5, 0.5)
    assert all(math.isnan(one) for one in bootstrap([], lambda drawn: float(np.median(drawn))))


# ---- scoring


def test_forms_are_told_apart_by_the_id() -> None:
    groups = read_groups()
    ids = (SAMOYED, DOG, f"maybe {TENCH}", f"{TENCH} or {GUITAR}", "not sure")
    assert tuple(form_of(identity, groups) for identity in ids) == FORMS
    assert SAMOYED in ids_of(DOG, groups)
    assert ids_of(f"{TENCH} or {GUITAR}", groups) == {TENCH, GUITAR}
    assert ids_of(f"maybe {TENCH}", groups) == {TENCH}


def film(*kinds: tuple[str, str]) -> Film:
    """Shots of these kinds and ids: 4 s each, the gaps between them 3 s."""
    shots, at_s = [], 0.0
    for number, (kind, identity) in enumerate(kinds):
        to_s = at_s + (3 if kind in ("wall", "dark", "blur") else 4)
        shots.append(Shot(kind, number, (), frozenset(identity.split()), at_s, to_s))
        at_s = to_s
    return Film(Path(), 1, 10.0, tuple(shots))


def said(identity: str, frame_s: float, probability: float = 0.9) -> dict[str, Any]:
    return {
        "event": "announced",
        "text": f"I see {identity}",
        "id": identity,
        "probability": probability,
        "frame_s": frame_s,
    }


def frame(identity: str | None, frame_s: float, smoothed: float | None = 0.7) -> dict[str, Any]:
    return {"event": "frame", "frame_s": frame_s, "smoothed_id": identity, "smoothed": smoothed}


def test_events_made_by_hand_get_the_score_that_a_person_would_give() -> None:
    # 0-3 wall, 3-7 samoyed, 7-10 dark, 10-14 tench, 14-17 blur, 17-21 unknown, 21-24 wall, 24-28 pan, 28-31 dark,
    # 31-35 pair, 35-38 blur, 38-42 guitar, 42-45 wall
    shown = film(
        ("wall", ""), ("visit", SAMOYED), ("dark", ""), ("visit", TENCH), ("blur", ""), ("unknown", ""), ("wall", ""),
        ("pan", TENCH), ("dark", ""), ("pair", f"{TENCH} {GUITAR}"), ("blur", ""), ("visit", GUITAR), ("wall", ""),
    )  # fmt: skip
    events = [
        said(GUITAR, 1.0),  # in a wall
        said(DOG, 3.5),  # right: a Samoyed is a dog
        said(SAMOYED, 4.4),
        said(SAMOYED, 5.0),  # again
        frame(TENCH, 5.0, 0.2),
        frame(SAMOYED, 6.9, 0.8),
        frame(TENCH, 7.0, 0.9),  # in the gap: counts for no visit
        said(f"maybe {GUITAR}", 11.5, 0.5),  # wrong
        said(f"{GUITAR} or {TENCH}", 14.2, 0.6),  # right, and just after the visit
        frame(GUITAR, 13.9, 0.6),
        said(TENCH, 18.0),  # false
        said("not sure", 20.0, 0.1),
        said(f"maybe {TENCH}", 25.0),  # in a pan
        said(GUITAR, 32.0),  # right
        frame(TENCH, 38.0, 0.9),  # a visit's first frame tells of the gap before
        frame(None, 41.9, None),
    ]
    found = score([shown], [listen(events, shown)])
    precision = {form: (one["count"], one["of"]) for form, one in found["precision"].items()}
    assert precision == {
        "I see, label": (2, 2), "I see, group": (1, 1), "maybe X": (0, 1), "maybe X or Y": (1, 1),
        "I see": (3, 3), "maybe": (1, 2), "all": (4, 5),
    }  # fmt: skip
    shares = {
        name: (one["count"], one["of"]) for name, one in found.items() if isinstance(one, dict) and "count" in one
    }
    assert shares == {
        "precision_of_pairs": (1, 1), "precision_of_everything": (5, 9), "recall": (2, 3), "recall_sure": (1, 3),
        "recall_of_pairs": (1, 1), "repeats": (1, 10), "pans": (1, 1), "unknown_sure": (1, 1), "unknown_any": (1, 1),
    }  # fmt: skip
    assert {kind: (one["count"], one["of"]) for kind, one in found["gaps"].items()} == {
        "wall": (1, 3), "dark": (0, 2), "blur": (0, 2),
    }  # fmt: skip
    assert found["not_sure"] == 1
    latency = found["latency"]
    assert (latency["I see, group"]["median_s"], latency["I see, group"]["median_frames"]) == (0.5, 6)
    assert (latency["maybe X"]["median_s"], latency["all"]["of"]) == (1.5, 2)
    assert latency["I see, label"]["of"] == 0, "the group came first"
    assert found["ece_seen"]["of"] == 2
    assert found["ece_seen"]["ece"] == pytest.approx((0.2 + 0.6) / 2)
    assert found["ece_said"]["of"] == 5
    assert found["ece_said"]["says"] == pytest.approx((3 * 0.9 + 0.5 + 0.6) / 5)
    text = report(found)
    assert "4 of 5" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_may_be_said_of_an_unknown_picture_is_not_false() -> None:
    shown = film(("wall", ""), ("unknown", TENCH), ("wall", ""))
    found = score([shown], [listen([said(TENCH, 4.0)], shown)])
    assert (found["unknown_any"]["count"], found["unknown_accepted"]) == (0, 1)


def test_silence_is_no_error() -> None:
    shown = film(("wall", ""), ("visit", TENCH), ("wall", ""))
    found = score([shown], [Listened((), ())])
    assert found["precision"]["all"]["share"] is None
    assert (found["recall"]["count"], found["ece_said"]["ece"], found["latency"]["all"]["median_s"]) == (0, None, None)
    assert "0 of 1" in report(found)


def test_the_calibration_error_is_small_for_true_confidence_and_large_for_false() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.3, 1, 2000)
    right = rng.random(2000) < sure
    true = reliability(list(zip(sure.tolist(), right.tolist(), strict=True)))
    assert true["ece"] < true["by_chance"] < 0.06
    false = reliability(list(zip((sure**0.25).tolist(), right.tolist(), strict=True)))
    assert false["interval"][0] > 0.1
    assert false["interval"][0] <= false["ece"] <= false["interval"][1]


def test_the_sheet_shows_the_frame_at_which_it_was_said() -> None:
    shown = Film(Path(), 1, 10.0, (Shot("dark", 0, (), frozenset(), 0, 3), Shot("wall", 0, (), frozenset(), 3, 6)))
    heard = listen([said(TENCH, 1.0), said(GUITAR, 5.9)], shown)
    drawn = sheet([shown], heard.sentences, {TENCH: "tench, a fish"})
    assert drawn is not None
    left, right = drawn[4:240, 4:320], drawn[4:240, 330:640]
    assert left.mean() < 40 < right.mean()
    assert sheet([shown], (), {}) is None


# ---- the whole


def run(*arguments: object, code: int = 0, **environment: str) -> str:
    command = [sys.executable, "scripts/score_truth.py", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=os.environ | environment, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if not code else done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere/labels.csv"),
        (["scripts", "--fps", "0"], "must be 0.25 to 60"),
        (["scripts", "--photos", "-1"], "must be 0 to 100000"),
    ],
)
def test_bad_input_gets_one_line(arguments: list[str], message: str) -> None:
    error = run(*arguments, code=2 if "--" in "".join(arguments) else 1)
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error


@pytest.mark.integration
def test_the_whole_way_with_the_bundled_model(tmp_path: Path) -> None:
    """Two pictures that the demo model has never seen, at one frame a second; and the daemon's own words."""
    for name in ("0a.png", "8b.png"):
        checks = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((60, 60), int))
        cv2.imwrite(str(tmp_path / name), (60 + 120 * checks).astype(np.uint8))
    (tmp_path / "labels.csv").write_text("file,ids\n0a.png,guitar\n8b.png,guitar\n")
    out, picture = tmp_path / "out.json", tmp_path / "wrong.png"
    flags = (
        "--keep",
        str(tmp_path / "films"),
        "--half",
        "judge",
        "--gaps",
        "1",
        "--pans",
        "1",
        "--pairs",
        "1",
        "--unknown",
        "1",
        "--fps",
        "1",
    )
    text = run(tmp_path, *flags, "--json", out, "--sheet", picture, "--", "--model", "demo")
    (film,) = (tmp_path / "films").iterdir()
    made_ns = film.stat().st_mtime_ns
    assert text.startswith("demo, ")
    found = json.loads(out.read_text())
    assert found["shots"] == {"visit": 1, "pair": 1, "pan": 1, "unknown": 1, "wall": 2, "dark": 2, "blur": 2}
    assert found["recall"]["of"] == 1
    assert found["ece_seen"]["of"] == 1, "the daemon tells what it smoothed"
    wrong = [one for one in found["sentences"] if not one["right"]]
    assert picture.exists() == bool(wrong)
    again = run(tmp_path, *flags, "--", "--model", "demo")
    # the first run also tells where its contact sheet is
    assert text.startswith(again.rstrip())
    assert [one.stat().st_mtime_ns for one in (tmp_path / "films").iterdir()] == [made_ns], "it is used again"
    assert "edge run ended with " in run(tmp_path, *flags, "--", "--model", "nothing-of-that-name", code=1)
    assert "do not limit them" in run(tmp_path, *flags, "--", "--model", "demo", "--frames", "3", code=1)


@pytest.mark.integration
def test_it_ends_at_once_when_it_is_interrupted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0a.png"), np.full((100, 100, 3), 128, np.uint8))
    (tmp_path / "labels.csv").write_text("file,ids\n0a.png,guitar\n")
    command = [sys.executable, "scripts/score_truth.py", str(tmp_path), "--keep", str(tmp_path / "films")]
    with subprocess.Popen([*command, "--", "--model", "demo"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        wait_until(lambda: list((tmp_path / "films").glob("*")))
        child.send_signal(signal.SIGINT)
        assert child.stderr
        assert "Traceback" not in child.stderr.read()
        assert child.wait(PATIENCE_S) == 130
    assert list((tmp_path / "films").glob("*")) == []


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the same film is kept for two tests."""
    folder = tmp_path_factory.mktemp("films")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("model", "fps", "seed"),
    [("mobilenet_v2_1.0", 10, 1), ("mobilenet_v2_1.0", 0.5, 1), ("mobilenet0.5", 10, 2), ("mobilenet_v2_1.0", 10, 3)],
)
def test_a_stream_of_photos(shared: Path, films: Path, model: str, fps: float, seed: int, *, long: bool) -> None:
    if fps > 1 and not long:  # it takes most of a minute
        pytest.skip("as many frames as a camera gives, other orders and networks: with --long")
    found = json.loads(run(*stream(shared, films, model, fps, seed)))
    assert found["recall"]["count"] >= 12
    right = found["precision"]["all"]
    assert right["count"] >= right["of"] - 1
    assert (found["repeats"]["count"], found["pans"]["count"]) == (0, 0)
    latency = found["latency"]["all"]
    if fps == 10:
        assert latency["median_s"] < 1.5  # by the film's clock, not by this machine's
    else:
        assert latency["median_frames"] <= 3


@pytest.mark.integration
def test_a_stream_of_photos_in_german_has_no_english_word(shared: Path, films: Path) -> None:
    found = json.loads(run(*stream(shared, films, "mobilenet_v2_1.0", 0.5, 1), EDGE_SPEECH_LANGUAGE="de"))
    path = our_translation("de")
    assert path is not None
    words = read_translation(path).words.values()
    texts = [one["text"] for one in found["sentences"]]
    assert len(texts) >= 12
    assert set(texts) <= {f"Ich sehe {forms['accusative']}" for forms in words}


def stream(shared: Path, films: Path, model: str, fps: float, seed: int) -> list[object]:
    """The arguments for a film of all the photos of images/, with the fewest gaps."""
    checkpoints = shared / "checkpoints"
    return [
        shared / "images", "--fps", fps, "--seed", seed, "--gaps", 0, "--pans", 2, "--pairs", 0, "--unknown", 0,
        "--json", "-", "--keep", films, "--", "--model", checkpoints / model / model,
        "--synset", checkpoints / "synset.txt", *FLAGS[model],
    ]  # fmt: skip


def test_arguments_after_two_dashes_are_edges() -> None:
    options, flags = score_truth.parse(["folder", "--gaps", "3", "--", "--model", "demo", "--", "x"])
    assert (options.gaps, flags) == (3, ["--model", "demo", "--", "x"])
