"""The dialogue of teaching: what it asks for, which frames count, when it complains, gives in and gives up."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.announce import answers, notices, teaching
from edge.daemon.dialogue import (
    EMPTY_S,
    EMPTY_VIEWS,
    FEW_VIEWS,
    GIVES_IN_S,
    LEAD_S,
    REPEAT_S,
    SHORT_S,
    SHOW_S,
    VIEWS,
    Advice,
    Dialogue,
    Phase,
    Sight,
)
from edge.stages import Condition

FRAME_S = 0.2
Row = NDArray[np.float32]


def features(*parts: float) -> Row:
    """A vector of 60 numbers: how much of the empty place it has, and how much of each view."""
    row = np.zeros(60, np.float32)
    row[: len(parts)] = parts
    return row


def sight(
    row: Row | None = None, *, share: float = 0.0, fault: Condition | None = None, blurred: bool = False, parts: int = 1
) -> Sight:
    """What a frame tells: `share` of the picture has changed, in so many parts."""
    grey = np.full((24, 32), 100, np.float32)
    columns = round(share * 32)
    if parts == 2:
        half = columns // 2
        grey[:, 1 : 1 + half] = grey[:, 30 - half : 30] = 160
    else:
        grey[:, 4 : 4 + columns] = 160
    return Sight(grey, fault, blurred, lambda: features(1.0) if row is None else row)


def thing(number: int) -> Sight:
    """A good view of a thing, each number from another side."""
    row = features(0.3)
    row[1 + number] = 1.0
    return sight(row, share=0.3)


class Talk:
    """A dialogue with a person who shows something at a camera's pace."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.dialogue = Dialogue(self.now_s)
        self.said: list[str] = []
        self.failed = False
        self.counted = 0

    def frame(self, seen: Sight | None, *, free: bool = True) -> Advice:
        self.now_s += FRAME_S
        advice = self.dialogue.update(seen, self.now_s, free=free)
        self.said += [advice.say] * bool(advice.say)
        self.failed = self.failed or advice.failed
        self.counted += advice.counts
        return advice

    def show(self, seen: Callable[[int], Sight | None], seconds: float) -> None:
        for number in range(round(seconds / FRAME_S)):
            self.frame(seen(number))

    def pass_the_empty_place(self) -> None:
        while self.dialogue.phase is Phase.EMPTY and not self.failed:
            self.frame(sight())
        self.said.clear()
        self.counted = 0

    def after_the_question(self) -> None:
        """Until frames of the thing count."""
        self.pass_the_empty_place()
        self.show(lambda _: None, LEAD_S + FRAME_S)


def test_a_whole_dialogue() -> None:
    talk = Talk()
    while talk.dialogue.phase is Phase.EMPTY:
        talk.frame(sight())
    assert talk.counted == EMPTY_VIEWS
    assert talk.said == [teaching.SHOW]
    number = 0
    while talk.dialogue.phase is Phase.THING:
        talk.frame(thing(number))
        number += 1
    assert talk.counted == EMPTY_VIEWS + VIEWS
    assert talk.said == [teaching.SHOW]
    assert not talk.failed
    assert talk.dialogue.phase is Phase.LEARNING
    assert talk.now_s - 100 < 10
    talk.frame(thing(0))
    assert talk.counted == EMPTY_VIEWS + VIEWS


def test_nothing_counts_while_the_question_is_heard() -> None:
    talk = Talk()
    for _ in range(20):
        talk.frame(sight(), free=False)
    talk.show(lambda _: sight(), LEAD_S)
    assert talk.counted == 0
    while talk.dialogue.phase is Phase.EMPTY:
        talk.frame(sight())
    assert talk.counted == EMPTY_VIEWS
    for number in range(20):
        talk.frame(thing(number), free=False)
    assert talk.counted == EMPTY_VIEWS


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (sight(fault=Condition.DARK), answers.TOO_DARK),
        (sight(fault=Condition.BRIGHT), answers.TOO_BRIGHT),
        (sight(fault=Condition.COVERED), notices.COVERED),
    ],
)
def test_where_nothing_can_be_seen_no_phase_goes_on(seen: Sight, said: str) -> None:
    talk = Talk()
    talk.show(lambda _: seen, LEAD_S + 2 * REPEAT_S)
    assert (talk.counted, set(talk.said)) == (0, {said})
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda _: seen, 2 * REPEAT_S)
    assert (talk.counted, set(talk.said)) == (0, {said})


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (sight(blurred=True), answers.HOLD_STILL),
        (sight(), teaching.ONLY_EMPTY),
        (sight(features(1.0, 0.2), share=0.04), teaching.ONLY_EMPTY),
        (sight(features(1.0, 0.6), share=0.04), teaching.CLOSER),
        (sight(features(0.3, 1.0), share=0.4, parts=2), teaching.TWO_THINGS),
    ],
)
def test_a_frame_that_does_not_count_is_explained(seen: Sight, said: str) -> None:
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda _: seen, GIVES_IN_S - 1)
    assert talk.counted == 0
    assert talk.said == [said]


def test_the_same_side_again_is_not_counted() -> None:
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda _: thing(0), GIVES_IN_S - 1)
    assert talk.counted == 1
    assert talk.said == [teaching.TURN]
    talk.show(lambda _: thing(1), 1)
    assert talk.counted == 2


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        (sight(features(1.0, 0.6), share=0.04), True),
        (sight(features(0.3, 1.0), share=0.4, parts=2), True),
        (thing(0), True),
        (sight(blurred=True), False),
        (sight(fault=Condition.DARK), False),
        (sight(), False),
    ],
)
def test_a_complaint_that_may_be_wrong_gives_way_after_a_while(seen: Sight, counts: bool) -> None:
    talk = Talk()
    talk.after_the_question()
    talk.frame(thing(0))
    talk.counted = 0
    talk.show(lambda _: seen, 2.5 * GIVES_IN_S)
    assert talk.counted == (2 if counts else 0)


def test_complaints_come_neither_at_once_nor_often() -> None:
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda _: sight(), 0.8)
    assert talk.said == []
    talk.show(lambda _: sight(), 10.0)
    assert 2 <= len(talk.said) <= 3
    # not over another sentence
    for _ in range(100):
        talk.frame(sight(), free=False)
    assert len(talk.said) <= 3


def test_a_short_fault_between_good_frames_is_not_worth_a_word() -> None:
    talk = Talk()
    talk.after_the_question()
    for number in range(8):
        talk.frame(thing(number))
        talk.frame(sight(blurred=True))
        talk.frame(sight(blurred=True))
    assert talk.said == []
    assert talk.counted == 8


def test_too_little_seen_in_time_fails() -> None:
    talk = Talk()
    talk.show(lambda _: sight(fault=Condition.DARK), LEAD_S + EMPTY_S + 1)
    assert talk.failed
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda number: thing(number) if number < 3 else sight(), SHOW_S + 1)
    assert talk.failed
    assert talk.dialogue.phase is Phase.THING


def test_no_frames_at_all_fail_too() -> None:
    talk = Talk()
    talk.show(lambda _: None, LEAD_S + EMPTY_S + 1)
    assert talk.failed


def test_a_few_views_do_if_no_more_come() -> None:
    talk = Talk()
    talk.after_the_question()
    talk.show(lambda number: thing(number) if number < 3 * FEW_VIEWS - 2 else sight(), SHORT_S + 1)
    assert talk.counted >= FEW_VIEWS
    assert talk.dialogue.phase is Phase.LEARNING
    assert not talk.failed


def test_a_restless_empty_place_is_still_the_empty_place() -> None:
    """A camera in a hand: its views of the place differ, so a thing must differ more."""
    talk = Talk()
    number = 0
    while talk.dialogue.phase is Phase.EMPTY:
        talk.frame(sight(features(1.0, *(0.4 * (number % 4 == one) for one in range(4)))))
        number += 1
    talk.said.clear()
    talk.counted = 0
    talk.show(lambda _: None, LEAD_S + FRAME_S)
    talk.show(lambda _: sight(features(1.0, 0, 0, 0, 0, 0.4), share=0.02), 2)
    assert (talk.counted, talk.said) == (0, [teaching.ONLY_EMPTY])


def test_once_more_begins_with_the_thing() -> None:
    talk = Talk()
    talk.after_the_question()
    talk.show(thing, 10)
    assert talk.dialogue.phase is Phase.LEARNING
    talk.dialogue.again(talk.now_s)
    assert (talk.dialogue.phase, talk.dialogue.views) == (Phase.THING, 0)
    talk.show(thing, 10)
    assert talk.dialogue.phase is Phase.LEARNING
    assert not talk.failed
