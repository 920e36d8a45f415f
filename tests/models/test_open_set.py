"""The open-set score, and the pictures that it is fitted to."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.models.calibration_file import Calibration, OpenSet, calibration_from, calibration_of, write_calibration
from edge.models.calibrator.answers import FRAMES, frames_of, others_of
from edge.models.calibrator.camera import HEIGHT, WIDTH, camera_frames
from edge.models.calibrator.drawings import other_pictures
from edge.models.calibrator.fit import fit_calibration
from edge.models.checkpoint import find_checkpoint, from_json, to_json
from edge.models.confidence import known, tempered
from edge.models.open_set import fit_open_set
from edge.models.temperature_scaling import frame_weights
from edge.settings import AnnounceSettings
from edge.stages import Pixels

LABELS = 40


def answers(count: int, seed: int, *, other: bool) -> NDArray[np.float32]:
    """Log-probabilities of a model whose logits 0 to 9 are high together for other pictures, and one of them most."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (count, LABELS))
    best = rng.integers(0, 10 if other else LABELS, count)
    logits[np.arange(count), best] += 8
    if other:
        logits[:, :10] += 3
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), np.float32)


def test_it_tells_other_pictures_that_are_as_sure() -> None:
    fitted = fit_open_set(answers(150, 1, other=False), answers(300, 2, other=True))
    assert fitted.kept > 0.95
    assert fitted.rejected > 0.95
    assert fitted.others == 300
    scores = {other: [known(np.exp(row), fitted) for row in answers(200, 3, other=other)] for other in (False, True)}
    assert np.mean(np.array(scores[False]) > 0.5) > 0.95
    assert np.mean(np.array(scores[True]) > 0.5) < 0.05


def test_its_figures_are_of_pictures_that_it_was_not_fitted_to() -> None:
    """Of noise it can learn nothing, though 40 weights fit 60 rows by heart."""
    rng = np.random.default_rng(0)
    rows = np.log(rng.dirichlet(np.ones(LABELS), 60)).astype(np.float32)
    fitted = fit_open_set(rows[:30], rows[30:])
    assert 0.5 < fitted.kept + fitted.rejected < 1.5


def test_more_labels_than_pictures_are_no_obstacle() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (90, 3000))
    logits[45:, :1500] += 2
    rows = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    fitted = fit_open_set(rows[:45], rows[45:])
    assert (fitted.kept, fitted.rejected) == (1.0, 1.0)
    assert len(fitted.weights) == 3000


@pytest.mark.parametrize("probabilities", [[1.0, 0.0, 0.0], [1e-42, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
def test_it_is_a_probability_whatever_the_model_says(probabilities: list[float]) -> None:
    for weight in (-1e6, 0.0, 1e6):
        open_set = OpenSet((weight, -weight, 0.0), 0.0, 1.0, 1.0, 1)
        assert 0.0 <= known(np.array(probabilities, np.float32), open_set) <= 1.0


def test_a_calibration_with_a_score_is_stored_and_read(tmp_path: Path) -> None:
    noted = Calibration(0.7, 300, 0.02, 0.5, "abc", OpenSet((0.25, -1.5), 0.125, 0.98, 0.99, 450))
    like = tmp_path / "m-symbol.json"
    like.write_text("{}")
    path = write_calibration(tmp_path, noted, None, like)
    assert calibration_of(tmp_path, None) == noted
    # a release without the score reads the rest, and one without the key is read
    table = json.loads(path.read_text())["calibration"]
    del table["open_set"]
    assert calibration_from(table, "x:") == dataclasses.replace(noted, open_set=None)


def test_a_child_process_gets_the_score_too() -> None:
    noted = Calibration(0.7, 300, 0.02, 0.5, "abc", OpenSet((0.25, -1.5), 0.125, 0.98, 0.99, 450))
    checkpoint = dataclasses.replace(find_checkpoint("demo"), calibration=noted)
    for values in (to_json(checkpoint), json.loads(json.dumps(to_json(checkpoint)))):
        assert from_json(values).calibration == noted


@pytest.mark.parametrize(
    "open_set",
    [3, {}, {"weights": 3}, {"weights": ["a"], "bias": 0, "kept": 1, "rejected": 1, "others": 1}],
)
def test_a_damaged_score_is_one_line(open_set: object) -> None:
    table = {"temperature": 1.0, "pictures": 1, "ece": 0, "nll": 0, "fitted_to": "x", "open_set": open_set}
    with pytest.raises(ModelError, match=r"^file: .*open_set") as caught:
        calibration_from(table, "file:")
    assert "\n" not in str(caught.value)


def test_drawings_are_different_and_the_same_again() -> None:
    first, again, other = (list(other_pictures(45, seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    everything = [*first, *other]
    assert len({one.tobytes() for one in everything}) == len(everything)
    assert {(one.shape, one.dtype.name) for one in everything} == {((HEIGHT, WIDTH, 3), "uint8")}


@pytest.mark.parametrize("shape", [(40, 30), (300, 300), (480, 640), (900, 200)])
def test_a_camera_sees_a_picture_nearly_as_it_is(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, np.uint8)
    frames = list(camera_frames(picture, 5, np.random.default_rng(1)))
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    middle = np.mean([frame[200:280, 280:360].mean() for frame in frames])
    assert middle == pytest.approx(90, rel=0.5)
    assert not np.array_equal(frames[0], frames[1])


def test_what_shows_nothing_is_not_asked_about() -> None:
    asked = []

    def model(pixels: Pixels) -> NDArray[np.float32]:
        asked.append(pixels)
        return np.full(3, 1 / 3, np.float32)

    wall = np.full((480, 640, 3), 120, np.uint8)
    assert frames_of(wall, model, 0) is None
    assert not asked
    checks = np.kron(np.indices((12, 16)).sum(axis=0) % 2, np.ones((40, 40), int))
    frames = frames_of(np.repeat((checks * 200)[:, :, np.newaxis], 3, axis=2).astype(np.uint8), model, 0)
    assert frames is not None
    assert frames.shape == (FRAMES, 3)
    others = list(others_of(model, [wall]))
    assert others[0] is None
    assert 250 < sum(one is not None for one in others) < len(others)


def test_the_weights_are_those_of_the_announcer() -> None:
    share = AnnounceSettings().frame_share(0.1)
    weights = frame_weights(4)
    assert weights.sum() == pytest.approx(1)
    assert weights[3] / weights[2] == pytest.approx(1 / (1 - share))


def test_the_temperature_is_fitted_to_smoothed_probabilities() -> None:
    """With frames that are all alike it is that of one frame; frames that differ make it another."""
    rng = np.random.default_rng(0)
    logs = answers(400, 5, other=False)
    right = np.argmax(logs, axis=1)
    right[:120] = (right[:120] + 1) % LABELS
    accepted = np.arange(LABELS) == right[:, np.newaxis]
    same: NDArray[np.float32] = np.repeat(logs.reshape(400, 1, LABELS), 3, axis=1)
    others = answers(100, 6, other=True)
    one = fit_calibration(logs.reshape(400, 1, LABELS), accepted, others).temperature
    three = fit_calibration(same, accepted, others).temperature
    assert one.temperature == pytest.approx(three.temperature, rel=1e-3)
    assert one.after.nll == pytest.approx(three.after.nll, rel=1e-3)
    moving = same + rng.normal(0, 2, same.shape).astype(np.float32)
    smoothed = fit_calibration(moving, accepted, others).temperature
    # the judgement is of the smoothed value itself
    weights = frame_weights(3)
    means = np.einsum("nkc,k->nc", tempered(np.exp(moving), smoothed.temperature), weights)
    confidence = float(np.mean(means.max(axis=1)))
    judged = sum(one.count * one.confidence for one in smoothed.after.bins) / smoothed.after.pictures
    assert judged == pytest.approx(confidence, abs=0.02)


def test_pictures_of_the_background_are_other_pictures() -> None:
    frames = np.repeat(answers(300, 7, other=False)[:, np.newaxis], 2, axis=1)
    accepted = np.arange(LABELS) == np.argmax(frames[:, 0], axis=1)[:, np.newaxis]
    accepted[:30] = np.roll(accepted[:30], 1, axis=1)  # some are wrong
    background = np.arange(LABELS) == 5
    empty = int(accepted[:, 5].sum())
    fitted = fit_calibration(frames, accepted, answers(50, 8, other=True), background)
    assert fitted.open_set.others == 50 + 2 * empty
