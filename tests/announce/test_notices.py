"""What edge says of itself: how things are, once, and not what was."""

from itertools import pairwise
from pathlib import Path

import pytest
from rigs.boards import BOARDS, write, write_board

from edge.announce.notices import (
    BLURRED,
    COVERED,
    DARK,
    HOT,
    LOST,
    PAUSED,
    READY,
    RESUMED,
    SENTENCES,
    SIGHT_AGAIN,
    SMALLER,
    Notices,
    sentence_of,
)
from edge.daemon.health import COOL_C, HOT_C
from edge.daemon.monitors import HeatMonitor
from edge.host.machine import Machine
from edge.settings import AloudSettings
from edge.stages import Condition, Timing


def say_all(notices: Notices, now_s: float) -> list[str]:
    """What is said at this moment, one after the other."""
    said: list[str] = []
    while sentence := notices.due(now_s):
        assert len(said) < 10
        notices.told(sentence, now_s)
        said.append(sentence)
    return said


@pytest.fixture
def notices() -> Notices:
    notices = Notices(AloudSettings(repeat_s=60))
    notices.set("sight", "", SIGHT_AGAIN)
    return notices


def test_each_state_is_said_once(notices: Notices) -> None:
    notices.once("ready", READY)
    assert say_all(notices, 0) == [READY]
    for now_s, state, said in ((1, DARK, [DARK]), (2, DARK, []), (3, "", [SIGHT_AGAIN]), (4, "", [])):
        notices.set("sight", state)
        assert say_all(notices, now_s) == said


def test_a_camera_that_comes_and_goes_is_told_ever_more_seldom(notices: Notices) -> None:
    said = []
    for now_s in range(0, 8 * 3600, 20):
        notices.set("sight", LOST if now_s % 40 == 0 else "")
        said += [now_s for sentence in say_all(notices, now_s) if sentence == LOST]
    assert said[:4] == [0, 80, 200, 440]  # the state alternates each 20 s
    assert len(said) < 16
    assert max(after - before for before, after in pairwise(said)) < 3700
    notices.set("sight", "")
    say_all(notices, 9 * 3600)
    # after hours of good sight it is news as before
    for now_s in (20 * 3600, 20 * 3600 + 80):
        notices.set("sight", LOST)
        assert say_all(notices, now_s) == [LOST]
        notices.set("sight", "")
        say_all(notices, now_s + 20)


def test_a_pause_is_told_each_time(notices: Notices) -> None:
    for now_s in range(0, 900, 60):
        notices.set("shutter", PAUSED, RESUMED)
        assert say_all(notices, now_s) == [PAUSED]
        notices.set("shutter", "", RESUMED)
        assert say_all(notices, now_s + 30) == [RESUMED]


def test_what_was_over_before_one_could_speak_is_not_said(notices: Notices) -> None:
    notices.set("sight", DARK)
    notices.set("sight", COVERED)
    notices.set("sight", "")
    assert say_all(notices, 0) == []
    notices.set("sight", DARK)
    assert notices.due(1) == DARK  # the speaker is busy
    notices.set("sight", COVERED)
    assert say_all(notices, 2) == [COVERED]


def test_the_same_is_not_said_again_too_soon(notices: Notices) -> None:
    said: list[str] = []
    for second in range(300):
        notices.set("sight", DARK if second % 10 < 5 else "")
        said += say_all(notices, second)
    assert said.count(DARK) == 3  # after 60 and 120 s more
    assert said.count(SIGHT_AGAIN) <= 6
    notices.set("sight", "")
    assert say_all(notices, 1000) == [] or said[-1] == DARK


def test_what_nobody_could_hear_is_said_when_there_is_sound_if_it_lasts(notices: Notices) -> None:
    notices.once("ready", READY)
    for now_s, state in ((0, DARK), (1, ""), (2, COVERED), (3, COVERED)):
        notices.set("sight", state)
        for _ in say_all(notices, now_s):
            notices.ended(heard=False, lasting=True)
    notices.audible_again()
    # neither what was once, nor what is over
    assert say_all(notices, 4) == [COVERED]
    notices.ended(heard=True, lasting=False)
    notices.audible_again()
    assert say_all(notices, 5) == []


def test_what_was_well_again_before_there_was_sound_is_not_said(notices: Notices) -> None:
    for now_s, state in ((0, DARK), (1, "")):
        notices.set("sight", state)
        for _ in say_all(notices, now_s):
            notices.ended(heard=False, lasting=True)
    notices.audible_again()
    assert say_all(notices, 100) == []


def test_that_it_sees_again_is_still_to_be_said_when_only_that_was_not_heard(notices: Notices) -> None:
    for now_s, state, heard in ((0, DARK, True), (10, "", False)):
        notices.set("sight", state)
        assert len(say_all(notices, now_s)) == 1
        notices.ended(heard=heard, lasting=not heard)
    notices.audible_again()
    assert say_all(notices, 11) == [SIGHT_AGAIN]


def test_what_went_wrong_while_it_was_said_is_said_again_but_not_at_once(notices: Notices) -> None:
    notices.set("sight", DARK)
    assert say_all(notices, 0) == [DARK]
    notices.ended(heard=False, lasting=False)
    assert [say_all(notices, second) for second in (1, 59, 60)] == [[], [], [DARK]]


def test_each_condition_has_a_sentence_of_its_own(notices: Notices) -> None:
    assert {sentence_of(one) for one in Condition} < set(SENTENCES)
    assert len({sentence_of(one) for one in Condition}) == len(Condition)
    assert sentence_of(None) == ""
    notices.see(Condition.DARK, Condition.BLURRED)
    assert say_all(notices, 0) == [DARK, BLURRED]
    notices.see(None, None)
    assert say_all(notices, 100) == [SIGHT_AGAIN]


def test_it_may_happen_again(notices: Notices) -> None:
    for now_s in (0, 100, 200):
        notices.once("model", SMALLER)
        assert say_all(notices, now_s) == [SMALLER]


@pytest.mark.parametrize(
    ("key", "topic", "sentence"),
    [("ready", "ready", READY), ("blind", "sight", DARK), ("hot", "heat", HOT), ("smaller_model", "model", SMALLER)],
)
def test_each_can_be_switched_off(key: str, topic: str, sentence: str) -> None:
    notices = Notices(AloudSettings(**{key: False}))
    for other in ("ready", "sight", "heat", "model"):
        notices.set(other, sentence if other == topic else other)
    assert sorted(say_all(notices, 0)) == sorted({"ready", "sight", "heat", "model"} - {topic})


def test_heat_slows_it_down_and_is_said(tmp_path: Path) -> None:
    thermometer = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    flags = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    notices = Notices(AloudSettings(repeat_s=0))
    guard = HeatMonitor(Machine(write_board(tmp_path, BOARDS["pi4-2"])), notices)
    said: list[str] = []
    now_s = 0.0
    frame_s = 0.3
    for celsius, throttled, rests in (
        (50, "0", [0, 0]),
        (HOT_C, "0", [1, 2, 4, 8, 8]),  # as much again as a frame takes, then twice that...
        (COOL_C + 1, "0", [8, 8]),
        (COOL_C - 1, "0", [4, 2, 1, 0, 0]),
        (HOT_C - 1, "0", [0]),
        (50, "50000", [0]),  # it was throttled once
        (50, "4", [1, 2]),  # it is now
        (50, "0", [1, 0]),
    ):
        write(thermometer, f"{1000 * celsius:.0f}\n")
        write(flags, f"{throttled}\n")
        for rest in rests:
            for _ in range(50):
                now_s += 0.1
                guard.look(now_s)
            assert guard.interval_s(Timing(0.1, frame_s - 0.1)) == pytest.approx((1 + rest) * frame_s if rest else 0.0)
            said += say_all(notices, now_s)
    assert said == [HOT, HOT]


def test_what_is_no_pi_is_not_asked_with_each_frame_what_it_is(tmp_path: Path) -> None:
    asked: list[str] = []

    class Curious(Machine):
        def _read(self, path: str) -> str | None:
            asked.append(path)
            return None

    guard = HeatMonitor(Curious(tmp_path), Notices(AloudSettings()))
    for number in range(100):
        guard.look(10.0 + 0.1 * number)
    assert len(asked) == 2  # in ten seconds


def test_without_a_thermometer_it_goes_on(tmp_path: Path) -> None:
    notices = Notices(AloudSettings())
    guard = HeatMonitor(Machine(write_board(tmp_path, BOARDS["pi4-2"])), notices)
    for second in range(60):
        guard.look(second)
    assert guard.interval_s(Timing(0.1, 0.2)) == 0.0
    assert say_all(notices, 60) == []
