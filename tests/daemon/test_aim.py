"""Aiming by ear: the tone rises with sharpness, and "best" is said where the picture is best."""

import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.announce.answers import BEST, HOLD_STILL, LESS_SHARP, LIGHT_GOOD, SHARPER, TOO_BRIGHT, TOO_DARK
from edge.daemon.aim import AIM_S, Advice, Guide, pitch_hz
from edge.stages import Pixels
from edge.vision.focus import Reading, read

STEPS = 15
BLUR_A_STEP = 0.5
"""Standard deviation in pixels that each step away from the best adds."""
FRAME_S, STEP_S, WORD_S = 0.1, 0.6, 0.5
"""Time between two frames, between two steps of the person's hand, and of a word."""


def drawing(seed: int) -> Pixels:
    """A picture with edges of all sizes: rectangles, lines, letters."""
    some = random.Random(seed)
    pixels = np.full((480, 640, 3), 120, np.uint8)
    for _ in range(60):
        x, y, size = some.randrange(640), some.randrange(480), some.randrange(5, 120)
        colour = [some.randrange(256) for _ in range(3)]
        cv2.rectangle(pixels, (x, y), (x + size, y + some.randrange(5, 120)), colour, -1)
        cv2.line(pixels, (x, y), (some.randrange(640), some.randrange(480)), colour[::-1], some.randrange(1, 4))
        cv2.putText(pixels, "edge", (x, y), cv2.FONT_HERSHEY_SIMPLEX, size / 60, colour, 2)
    return pixels


class Lens:
    """What a sensor shows of a picture at each step of a lens: blurred, with noise that is never the same twice."""

    def __init__(self, pixels: Pixels, best: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._noise = np.random.default_rng(seed).normal(0, 3, (600, 800, 1)).astype(np.int16)
        self._blurred = [
            (cv2.GaussianBlur(pixels, (0, 0), BLUR_A_STEP * abs(step - best)) if step != best else pixels).astype(
                np.int16
            )
            for step in range(STEPS)
        ]

    def at(self, step: int) -> Pixels:
        top, left = self._random.randrange(120), self._random.randrange(160)
        noisy: Pixels = np.clip(self._blurred[step] + self._noise[top : top + 480, left : left + 640], 0, 255).astype(
            np.uint8
        )
        return noisy


def turn_until_best(lens: Lens, path: list[int]) -> tuple[int | None, list[str]]:
    """Turn a lens along a path; return the step at which "best" was said, and all words."""
    guide, now_s, free_s = Guide(0.0), 0.0, 0.0
    words: list[str] = []
    for step in path:
        until_s = now_s + STEP_S
        while now_s < until_s:
            advice = guide.update(read(lens.at(step)), now_s, free=now_s >= free_s)
            if advice.word:
                words.append(advice.word)
                free_s = now_s + WORD_S
            if advice.word == BEST:
                return step, words
            now_s += FRAME_S
    return None, words


def pictures_of(shared: Path) -> list[Pixels]:
    """Photos that nothing was fitted on."""
    files = [file for file in sorted((shared / "photos").glob("*.jpg")) if file.name[0] in "89abcdef"]
    return [
        np.asarray(cv2.resize(cv2.imread(str(file)), (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
        for file in files[:20]
    ]


def search(best: int, some: random.Random) -> list[int]:
    """A person's path: past the best to the one end, back past it, and back once more; a little further each time."""
    there = list(range(some.randrange(2), min(best + some.randrange(3, 6), STEPS - 1) + 1))
    back = list(range(there[-1], max(best - some.randrange(3, 6), 0) - 1, -1))
    return [*there, *back, *range(back[-1], STEPS)]


def found_within_two_steps(picture: Callable[[int], Pixels], runs: int) -> int:
    found = 0
    for run in range(runs):
        some = random.Random(run)
        best = some.randrange(3, STEPS - 3)
        step, _ = turn_until_best(Lens(picture(run), best, run), search(best, some))
        found += step is not None and abs(step - best) <= 2
    return found


def test_the_tone_rises_with_sharpness(long: bool) -> None:
    for seed in range(100 if long else 4):
        lens = Lens(drawing(seed), 0, seed)
        pitches = [pitch_hz(float(np.mean([read(lens.at(step)).sharpness for _ in range(3)]))) for step in range(STEPS)]
        assert pitches == sorted(pitches, reverse=True)
        assert len(set(pitches)) == STEPS
    values = [pitch_hz(10.0**exponent) for exponent in np.arange(-9, 4, 0.25)]
    assert values == sorted(set(values))
    assert 200 == pitch_hz(0.0) < values[0]
    assert values[-1] < 2000


def test_the_tone_rises_with_sharpness_of_photos(shared: Path, long: bool) -> None:
    for number, photo in enumerate(pictures_of(shared)[: 20 if long else 3]):
        lens = Lens(photo, 0, number)
        pitches = [pitch_hz(float(np.mean([read(lens.at(step)).sharpness for _ in range(3)]))) for step in range(STEPS)]
        assert pitches == sorted(pitches, reverse=True)


def test_best_is_said_within_two_steps_of_the_best(long: bool) -> None:
    runs = 100 if long else 4
    assert found_within_two_steps(drawing, runs) >= 0.95 * runs


def test_best_is_said_within_two_steps_of_the_best_of_photos(shared: Path, long: bool) -> None:
    photos, runs = pictures_of(shared), 100 if long else 4
    assert found_within_two_steps(lambda run: photos[run % len(photos)], runs) >= 0.95 * runs


def test_words_tell_the_changes() -> None:
    lens = Lens(drawing(1), 7, 1)
    step, words = turn_until_best(lens, [*range(13), *range(12, 0, -1)])
    assert step is not None
    assert abs(step - 7) <= 2
    assert words[0] == SHARPER
    assert LESS_SHARP in words
    assert words[-1] == BEST


def words_of(sharpnesses: list[float]) -> list[str]:
    """The words about a picture whose sharpness takes these values, each for a second."""
    guide, grey, now_s, words = Guide(0.0), np.full((30, 30), 100, np.float32), 0.0, []
    for sharpness in sharpnesses:
        for _ in range(10):
            reading = Reading(sharpness, 100.0, False, False, grey)
            words.append(guide.update(reading, now_s, free=True).word)
            now_s += FRAME_S
    return [word for word in words if word]


def test_the_best_is_found_again_also_when_noise_makes_it_a_little_better() -> None:
    assert words_of([0.01, 0.02, 0.01, 0.0203]) == [SHARPER, LESS_SHARP, BEST]
    assert words_of([0.01, 0.02, 0.01, 0.0197]) == [SHARPER, LESS_SHARP, BEST]
    assert BEST not in words_of([0.01, 0.02, 0.01, 0.03]), "it may become better still"
    assert words_of([0.01, 0.02, 0.01, 0.03, 0.02, 0.03])[-1] == BEST


def play(guide: Guide, pixels: Pixels, seconds: float, start_s: float) -> list[Advice]:
    times = np.arange(start_s, start_s + seconds, FRAME_S)
    return [guide.update(read(pixels), float(now_s), free=True) for now_s in times]


def test_the_light_is_told_when_it_changes_and_has_lasted() -> None:
    guide, light = Guide(0.0), drawing(2)
    assert not any(advice.word for advice in play(guide, light, 2, 0.0))
    dark = play(guide, (light // 20).astype(np.uint8), 3, 2.0)
    assert [advice.word for advice in dark if advice.word] == [TOO_DARK]
    assert not any(advice.note_hz for advice in dark), "the tone of a dark picture means nothing"
    assert [advice.word for advice in play(guide, light, 3, 5.0) if advice.word] == [LIGHT_GOOD]
    bright = np.full_like(light, 254)
    assert [advice.word for advice in play(guide, bright, 3, 8.0) if advice.word] == [TOO_BRIGHT]


def test_a_picture_that_moves_is_asked_to_be_still() -> None:
    guide, wide, words = Guide(0.0), drawing(3), []
    for number in range(60):
        moved = np.roll(wide, 40 * number, axis=1)
        words.append(guide.update(read(moved), number * FRAME_S, free=True).word)
    assert words.count(HOLD_STILL) == 1
    assert guide.as_json(6.0)["still"] is False


def test_what_is_in_view_is_told_now_and_then_and_nothing_while_the_voice_is_busy() -> None:
    guide, picture = Guide(0.0), drawing(4)
    assert [advice.look for advice in play(guide, picture, 20, 0.0)].count(True) == 2
    for now_s in np.arange(20, 30, FRAME_S):
        assert guide.update(read(picture), float(now_s), free=False) == Advice()
    state = guide.as_json(30.0)
    assert state["left_s"] == AIM_S - 30
    assert state["sharpness"] == pytest.approx(state["best"], rel=0.1)


def test_tiny_and_flat_pictures_have_no_sharpness_and_the_lowest_tone() -> None:
    for shape in ((1, 1, 3), (2, 2, 3), (3, 200, 3), (480, 640, 3)):
        assert pitch_hz(read(np.full(shape, 90, np.uint8)).sharpness) == 200
