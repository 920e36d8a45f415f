"""Sentences from outside: they wait their turn, and what silence holds back is kept."""

from datetime import datetime

import pytest
from doubles import rules

from edge.announce.announcer import Missed
from edge.announce.messages import LONGEST_WAIT_S, MOST_WAITING, Messages
from edge.announce.schedule import Moment, Schedule
from edge.stages import Announcement


def at(second: float, hour: int = 12) -> Moment:
    return Moment(second, datetime(2026, 6, 1, hour))


class Waiting:
    def __init__(self, **settings: object) -> None:
        self.schedule = Schedule(rules(**settings))
        self.missed: list[Missed] = []
        self.messages = Messages(self.schedule, self.missed.append)

    def say(self, now: Moment) -> str:
        """Say what is due, until its end."""
        due = self.messages.due(now)
        if due is None:
            return ""
        self.schedule.began(due, now)
        self.messages.began(due)
        self.schedule.ended(due)
        return due.text


def test_they_are_said_in_their_order_and_once() -> None:
    waiting = Waiting()
    for text in ("one", "two"):
        assert waiting.messages.put(text, at(0)) == ""
    assert [waiting.say(at(1)) for _ in range(3)] == ["one", "two", ""]
    assert waiting.missed == []


def test_one_that_the_speaker_refused_stays() -> None:
    waiting = Waiting()
    waiting.messages.put("one", at(0))
    due = waiting.messages.due(at(1))
    assert due == Announcement("", "", 1.0, "one", given=True)
    assert waiting.messages.due(at(2)) is due


@pytest.mark.parametrize(("why", "settings"), [("snoozed", {}), ("quiet hours", {"quiet_hours": "22:00-07:00"})])
def test_what_silence_holds_back_is_missed(why: str, settings: dict[str, str]) -> None:
    waiting = Waiting(**settings)
    waiting.messages.put("early", at(0, hour=12))
    night = at(1, hour=23)
    if why == "snoozed":
        waiting.schedule.snoozed_until_s = 100.0
    assert waiting.messages.put("late", night) == why
    assert waiting.say(night) == ""
    assert [(missed.text, missed.why, missed.label) for missed in waiting.missed] == [
        ("late", why, ""),
        ("early", why, ""),
    ]
    assert waiting.say(at(200, hour=12)) == ""


def test_a_snooze_counts_before_the_loop_knows_it() -> None:
    waiting = Waiting()
    assert waiting.messages.put("one", at(5), snoozed_until_s=6.0) == "snoozed"
    assert waiting.messages.put("two", at(5), snoozed_until_s=4.0) == ""


def test_none_comes_late() -> None:
    waiting = Waiting()
    waiting.schedule.in_the_air = Announcement("n1", "dog", 0.9, "I see a dog")
    waiting.messages.put("one", at(0))
    waiting.messages.put("two", at(30))
    assert waiting.say(at(LONGEST_WAIT_S)) == ""
    waiting.schedule.in_the_air = None
    assert waiting.say(at(LONGEST_WAIT_S + 1)) == "two"
    assert [(missed.text, missed.why) for missed in waiting.missed] == [("one", "too late")]


def test_they_count_in_the_limit_of_a_minute() -> None:
    waiting = Waiting(per_minute=2)
    for text in ("one", "two", "three"):
        waiting.messages.put(text, at(0))
    assert [waiting.say(at(1)) for _ in range(3)] == ["one", "two", ""]
    assert waiting.say(at(59.9)) == ""
    waiting.messages.put("four", at(59.9))
    assert waiting.say(at(61.1)) == "four"
    assert [missed.text for missed in waiting.missed] == ["three"]


def test_only_a_few_may_wait() -> None:
    waiting = Waiting()
    for number in range(MOST_WAITING):
        assert not waiting.messages.full
        waiting.messages.put(str(number), at(0))
    assert waiting.messages.full
