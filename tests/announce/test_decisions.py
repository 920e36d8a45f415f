"""Why it is silent: each reason is reached in a scene, and the last decisions tell what a person would ask about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from doubles import PlainWords, rules

from edge.announce.announcer import Announcer
from edge.announce.claims import Knowledge
from edge.announce.decisions import LEAST_S, MOST_DECISIONS, Decision, Decisions, Reason
from edge.announce.schedule import Moment, Schedule
from edge.settings import AnnounceSettings
from edge.stages import Announcement, Group, Outcome, Prediction, Term

CALM = rules(persistence_s=0.5, smoothing_s=0.3, leave_s=1.5, cooldown_s=0.0)
DOGS = Group("dog", "dog", frozenset({"husky", "malamute", "samoyed"}))
KNOWS_DOGS = Knowledge(frozenset({"wall"}), (DOGS,))
NO_CARD = "no sound card"


def at(now_s: float, local: str = "12:00") -> Moment:
    """So many seconds after this time of a Monday."""
    return Moment(now_s, datetime.fromisoformat(f"2026-06-01T{local}") + timedelta(seconds=now_s))


class NoWords(PlainWords):
    """A language without words for anything."""

    def sayable(self, terms: object, *, spoken: bool = True) -> Term | None:
        return None


@dataclass
class Life:
    """An announcer with a speaker that ends each sentence at once, as `end` says."""

    announce: AnnounceSettings = CALM
    knowledge: Knowledge = KNOWS_DOGS
    words: PlainWords = field(default_factory=PlainWords)
    local: str = "12:00"

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.announce)
        self.subject = Announcer(self.announce, self.words, self.schedule, knowledge=self.knowledge)
        self.now_s = 0.0
        self.end: Callable[[Announcement], Outcome | None] = heard

    def see(self, seconds: float, *, something: bool = True, late_s: float = 0.0, **scene: float) -> list[str]:
        """Show something for so long, at 10 frames a second; return what is said."""
        said = []
        seen = sorted((Prediction(name, name, share) for name, share in scene.items()), key=lambda p: -p.probability)
        for _ in range(round(10 * seconds)):
            self.now_s += 0.1
            now = at(self.now_s, self.local)
            announcement = self.subject.update(seen, self.now_s - late_s, now, something=something)
            if announcement is not None:
                said.append(announcement.text)
                self.say(announcement)
        return said

    def say(self, announcement: Announcement) -> None:
        """Pass an announcement to the speaker."""
        self.subject.taken(announcement, self.now_s, at(self.now_s, self.local))
        if outcome := self.end(announcement):
            self.subject.finished(outcome)

    @property
    def why(self) -> dict[str, Any]:
        now = at(self.now_s, self.local)
        return self.subject.silent_because(now)

    def last(self) -> list[tuple[str | None, str]]:
        return [(decision["label"], decision["reason"]) for decision in self.subject.decisions.last()]


def heard(announcement: Announcement) -> Outcome:
    return Outcome(announcement, heard=True)


def printed(announcement: Announcement) -> Outcome:
    return Outcome(announcement, heard=False, printed=True)


def without_a_card(announcement: Announcement) -> Outcome:
    return Outcome(announcement, heard=False, reason=NO_CARD, lasting=True)


def broken(announcement: Announcement) -> Outcome:
    return Outcome(announcement, heard=False, reason="aplay: broken", lasting=False)


def never(_announcement: Announcement) -> None:
    """The sentence goes on and on."""


def nothing_yet(life: Life) -> None:
    pass


def a_wall(life: Life) -> None:
    life.see(2, wall=0.9)


def a_dark_picture(life: Life) -> None:
    life.see(2, something=False)


def half_sure(life: Life) -> None:
    life.see(2, cat=0.52, wall=0.1)


def two_alike(life: Life) -> None:
    life.see(2, cat=0.62, mouse=0.5)


def a_moment(life: Life) -> None:
    life.see(0.2, cat=0.62)


def gone_in_this_frame(life: Life) -> None:
    life.announce = replace(CALM, smoothing_s=2.0)
    life.__post_init__()
    life.schedule.began(Announcement("", "", 1.0, "I'm ready."), at(0))
    life.see(3, cat=0.95)
    life.schedule.in_the_air = None
    life.see(0.1, mouse=0.6, cat=0.4)


def being_said(life: Life) -> None:
    life.end = never
    life.see(2, cat=0.95)


def another_is_being_said(life: Life) -> None:
    life.end = never
    life.see(2, cat=0.95)
    life.see(2, mouse=0.95)


def said(life: Life) -> None:
    life.see(3, cat=0.95)


def its_breed_was_said(life: Life) -> None:
    life.see(2, husky=0.95)
    life.see(2, husky=0.45, malamute=0.5)


def muted(life: Life) -> None:
    life.subject.claims.muted = frozenset({"dog"})
    life.see(2, husky=0.95)


def muted_in_the_settings(life: Life) -> None:
    life.announce = replace(CALM, muted=("Husky",))
    life.__post_init__()
    life.see(2, husky=0.95)


def at_night(life: Life) -> None:
    life.announce = replace(CALM, quiet_hours="22:00-07:00")
    life.local = "23:30"
    life.__post_init__()
    life.see(2, cat=0.95)


def snoozed(life: Life) -> None:
    life.schedule.snoozed_until_s = 62.0
    life.see(2, cat=0.95)


def too_often(life: Life) -> None:
    life.announce = replace(CALM, per_minute=1)
    life.__post_init__()
    life.see(2, cat=0.95)
    life.see(2, mouse=0.95)


def often_in_this_hour(life: Life) -> None:
    life.subject.attention.configure(1)
    life.subject.attention.spend("mouse", 0.0)
    life.see(2, cat=0.95)


def refused(life: Life) -> None:
    offers = [life.subject.update([Prediction("cat", "cat", 0.9)], n / 10, at(n / 10)) for n in range(20)]
    assert offers[-1] is not None
    life.subject.refused(offers[-1], at(2))


def late(life: Life) -> None:
    life.see(2, late_s=9.0, cat=0.95)


def no_words(life: Life) -> None:
    life.words = NoWords()
    life.__post_init__()
    life.see(2, cat=0.95)


def not_heard(life: Life) -> None:
    life.end = broken
    life.see(2, cat=0.95)


def no_card(life: Life) -> None:
    life.end = without_a_card
    life.see(2, cat=0.95)


def blind(life: Life) -> None:
    life.subject.sees("I can't see: the camera is lost.", at(1))


def dark_for_long(life: Life) -> None:
    life.see(3, something=False)
    life.subject.sees("I can't see: it is dark, or the camera is covered.", at(3))
    life.see(3, something=False)


SCENES: Sequence[tuple[Callable[[Life], None], Reason, str]] = [
    (nothing_yet, Reason.NO_FRAME, "there is no frame yet"),
    (a_wall, Reason.NOTHING, "there is nothing to see"),
    (a_dark_picture, Reason.NOTHING, "there is nothing to see"),
    (half_sure, Reason.UNSURE, "it is not sure enough: cat has 52%, and 60% are needed"),
    (two_alike, Reason.TOO_CLOSE, "it is not sure enough: cat (62%) must be 20% ahead of mouse"),
    (a_moment, Reason.TOO_SHORT, "it has just come into view, and must stay for 0.4 s"),
    (gone_in_this_frame, Reason.CHANGING, "the view is changing"),
    (being_said, Reason.SPEAKING, 'it is saying "I see cat"'),
    (another_is_being_said, Reason.SPEAKING, 'it is saying "I see cat"'),
    (said, Reason.ALREADY_SAID, 'it was said already: "I see cat"'),
    (its_breed_was_said, Reason.ALREADY_SAID, 'it was said already: "I see husky"'),
    (muted, Reason.MUTED, "dog is muted (edge mute lists it, edge unmute undoes it)"),
    (muted_in_the_settings, Reason.MUTED_IN_SETTINGS, "husky is muted in the settings ([announce] muted)"),
    (at_night, Reason.QUIET_HOURS, "it is in its quiet hours until Tuesday 07:00"),
    (snoozed, Reason.SNOOZED, "it is snoozed (edge wake ends this) until 12:01:02"),
    (
        too_often,
        Reason.RATE_LIMIT,
        "it has reached its limit ([announce] per_minute = 1): it waits until 12:01:00",
    ),
    (
        often_in_this_hour,
        Reason.OFTEN,
        "it has spoken as often as it may within an hour ([announce] per_hour = 1): it waits until 13:00:00",
    ),
    (refused, Reason.BUSY, "the voice is busy"),
    (late, Reason.TOO_LATE, "the frame is too old to announce"),
    (no_words, Reason.NO_WORDS, "the spoken language has no words for it"),
    (
        not_heard,
        Reason.NOT_HEARD,
        "it was not heard (aplay: broken); it waits until 12:00:10",
    ),
    (no_card, Reason.NO_SOUND, "there is no sound (no sound card)"),
    (blind, Reason.BLIND, "the camera sees nothing: the camera is lost"),
    (dark_for_long, Reason.BLIND, "the camera sees nothing: it is dark, or the camera is covered"),
]


@pytest.mark.parametrize(("scene", "reason", "text"), SCENES, ids=[scene[0].__name__ for scene in SCENES])
def test_a_reason(scene: Callable[[Life], None], reason: Reason, text: str) -> None:
    life = Life()
    scene(life)
    assert (life.why["reason"], life.why["because"]) == (reason.code, text)


def test_each_reason_has_a_scene() -> None:
    """The daemon gives the reason of a camera that is closed; what was said is no silence."""
    assert set(Reason) - {reason for _, reason, _ in SCENES} == {Reason.PAUSED, Reason.SAID, Reason.PRINTED}


# ---- the last decisions


def test_a_thing_that_is_seen_and_said_is_one_decision() -> None:
    life = Life()
    life.see(10, cat=0.95)
    (cat,) = life.subject.decisions.last()
    assert cat["because"] == 'said: "I see cat"'
    assert (cat["label"], cat["probability"], cat["said"], cat["reason"]) == ("cat", 0.95, True, "said")
    assert cat["time"].startswith("2026-06-01T12:00:00")


def test_the_newest_comes_first_and_what_is_printed_or_not_heard_says_so() -> None:
    life = Life()
    life.see(3, cat=0.95)
    life.end = printed
    life.see(3, mouse=0.95)
    life.end = without_a_card
    life.see(3, horse=0.95)
    life.end = broken
    life.see(3, cow=0.95)
    life.see(3, bee=0.5)
    assert life.last() == [
        ("bee", "unsure"),
        ("cow", "not heard"),
        ("horse", "no sound"),
        ("mouse", "printed"),
        ("cat", "said"),
    ]
    assert [one["said"] for one in life.subject.decisions.last()] == [False, False, False, True, True]


def test_what_is_known_only_after_the_thing_has_left_is_told_of_the_right_one() -> None:
    life = Life()
    life.see(3, cat=0.95)
    life.see(3, wall=0.95)
    said: list[Announcement] = []
    life.end = said.append
    life.see(3, cat=0.95)
    life.see(3, mouse=0.5)
    life.subject.finished(broken(said[0]))
    assert life.last() == [("mouse", "unsure"), ("cat", "not heard"), ("cat", "said")]


def test_a_flicker_is_not_recorded_and_what_goes_on_after_it_is_the_same_decision() -> None:
    life = Life()
    for _ in range(5):
        life.see(3, cat=0.5)
        life.see(0.1, mouse=0.9)
    assert life.last() == [("cat", "unsure")]
    for _ in range(5):
        life.see(0.1, bee=0.8)
        life.see(0.1, bird=0.8)
    life.see(2, wall=0.9)
    assert [label for label, _ in life.last()] == ["cat"]


def test_how_sure_it_was_is_told_at_its_best() -> None:
    life = Life()
    for share in (0.3, 0.5, 0.4):
        life.see(2, cat=share)
    (cat,) = life.subject.decisions.last()
    assert cat["probability"] == pytest.approx(0.5, abs=0.01)


def test_a_maybe_that_becomes_clear_is_one_decision() -> None:
    life = Life(knowledge=Knowledge(calibrated=True))
    life.see(2, cat=0.95)
    life.see(1, violin=0.45, cello=0.4)
    assert life.last() == [("violin or cello", "too short"), ("cat", "said")]
    life.see(2, violin=0.95)
    assert life.last() == [("violin", "said"), ("cat", "said")]


def test_what_could_not_be_said_for_another_was_being_said_is_not_forgotten_for_the_next() -> None:
    """From one photo to the next there is, for a moment, "the next one or this one"."""
    life = Life(knowledge=Knowledge(calibrated=True))
    life.end = never
    life.see(2, cat=0.95)
    life.see(2, violin=0.95)
    assert life.schedule.in_the_air is not None
    life.subject.finished(heard(life.schedule.in_the_air))
    life.end = heard
    life.see(0.3, cello=0.5, violin=0.4)
    life.see(2, cello=0.95)
    assert life.last() == [("cello", "said"), ("violin", "speaking"), ("cat", "said")]


def test_a_wait_for_the_limit_and_the_announcement_after_it_are_two_decisions() -> None:
    life = Life(replace(CALM, per_minute=1))
    life.see(3, cat=0.95)
    assert life.see(70, mouse=0.95) == ["I see mouse"]
    assert life.last() == [("mouse", "said"), ("mouse", "rate limit"), ("cat", "said")]


def test_it_keeps_so_many_decisions() -> None:
    decisions = Decisions()
    for number in range(3 * MOST_DECISIONS):
        decisions.note(Decision(Reason.UNSURE, str(number), str(number), 0.5, 0.6), at(LEAST_S * number))
    assert [one["label"] for one in decisions.last()] == [
        str(number) for number in reversed(range(2 * MOST_DECISIONS, 3 * MOST_DECISIONS))
    ]


def test_a_clip_that_begins_again_is_told_of_again() -> None:
    life = Life()
    for _ in range(2):
        life.now_s = 0.0
        life.see(3, cat=0.95)
    assert life.last() == [("cat", "said")] * 2


# ---- what nobody could hear


@pytest.mark.parametrize("end", [heard, printed, without_a_card])
def test_with_and_without_sound_the_same_is_said(end: Callable[[Announcement], Outcome]) -> None:
    """A Samoyed, and soon afterwards another dog; the Samoyed again; a violin for longer than the cooldown."""
    life = Life(replace(CALM, cooldown_s=60.0), KNOWS_DOGS)
    life.end = end
    said = life.see(2, samoyed=0.95) + life.see(2, wall=0.9) + life.see(2, husky=0.5, malamute=0.45)
    said += life.see(2, wall=0.9) + life.see(2, samoyed=0.95) + life.see(1, samoyed=0.5, husky=0.45)
    said += life.see(70, violin=0.9)
    assert said == ["I see samoyed", "I see dog", "I see samoyed", "I see violin", "I see violin"]


def test_what_nobody_could_hear_keeps_no_other_words_from_being_said() -> None:
    life = Life()
    life.end = broken
    assert life.see(2, samoyed=0.95) == ["I see samoyed"]
    life.end = heard
    assert life.see(2, husky=0.5, malamute=0.45) == ["I see dog"]


def test_a_label_that_was_heard_at_the_second_try_makes_its_group_old() -> None:
    life = Life()
    life.end = broken
    life.see(2, samoyed=0.95)
    life.end = heard
    assert life.see(10, samoyed=0.95) == ["I see samoyed"]
    assert life.see(5, samoyed=0.5, husky=0.45) == []


def test_as_soon_as_there_is_sound_what_is_in_view_is_news() -> None:
    life = Life()
    life.end = without_a_card
    assert life.see(5, cat=0.95) == ["I see cat"]
    life.subject.audible_again()
    life.end = heard
    assert life.see(5, cat=0.95) == ["I see cat"]
