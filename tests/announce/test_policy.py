"""The policy of speaking, lived through days of random scenes: what must never be said, and when."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from doubles import PlainWords, at, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.announce.announcer import Announcer, Missed
from edge.announce.claims import NOT_SURE, Knowledge
from edge.announce.notices import COVERED, DARK, SIGHT_AGAIN, SMALLER, Notices
from edge.announce.schedule import Moment, Schedule
from edge.announce.wording import Words
from edge.settings import AloudSettings, AnnounceSettings, SpeechSettings
from edge.stages import Announcement, Group, Outcome, Prediction

CALM = rules(persistence_s=0.5, smoothing_s=0.3, leave_s=1.5, cooldown_s=0.0)
DOGS = Group("dog", "dog", frozenset({"husky", "malamute", "samoyed"}))
ANIMALS = Group("animal", "animal", frozenset({*DOGS.members, "cat"}))
KNOWS_DOGS = Knowledge(groups=(DOGS, ANIMALS))
CALIBRATED = Knowledge(groups=(DOGS, ANIMALS), calibrated=True)


@dataclass
class Life:
    """An announcer with everything it needs, whose every word is heard."""

    announce: AnnounceSettings = CALM
    knowledge: Knowledge = field(default_factory=Knowledge)
    local: str = "12:00"
    heard: bool = True

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.announce)
        self.missed: list[Missed] = []
        self.forms: list[str] = []
        self.subject = Announcer(self.announce, PlainWords(), self.schedule, self.missed.append, self.knowledge)
        self.now_s = 0.0

    def see(self, seconds: float, rate: float = 10.0, **scene: float) -> list[str]:
        """Show something for so long; return what is said."""
        said = []
        predictions = [Prediction(name, name, share) for name, share in scene.items()]
        predictions.sort(key=lambda one: -one.probability)
        for _ in range(round(seconds * rate)):
            self.now_s += 1 / rate
            now = at(self.now_s, self.local)
            if announcement := self.subject.update(predictions, self.now_s, now):
                self.subject.taken(announcement, self.now_s, now)
                self.subject.finished(Outcome(announcement, self.heard))
                said.append(announcement.text)
                self.forms.append(announcement.form)
        return said


def test_a_group_is_said_where_the_breed_is_a_guess_and_the_breed_is_not_said_after_it() -> None:
    life = Life(knowledge=KNOWS_DOGS)
    assert life.see(5, husky=0.5, malamute=0.4, cat=0.1) == ["I see dog"]
    assert life.forms == ["group"]
    assert life.see(5, husky=0.95, malamute=0.04) == []
    life.see(5, wall=0.3)
    assert life.see(5, husky=0.95, malamute=0.04) == ["I see husky"]


def test_after_the_breed_neither_the_group_nor_another_breed_of_what_is_there() -> None:
    life = Life(knowledge=KNOWS_DOGS)
    assert life.see(5, husky=0.95) == ["I see husky"]
    assert life.see(1.5, husky=0.4, malamute=0.55) == []
    assert life.see(1, malamute=0.9, husky=0.05) == []
    assert life.see(5, husky=0.9) == []


def test_the_smallest_group_that_is_sure() -> None:
    assert Life(knowledge=KNOWS_DOGS).see(5, husky=0.35, malamute=0.2, cat=0.4) == ["I see animal"]


def test_groups_can_be_switched_off() -> None:
    assert Life(rules(groups=False), KNOWS_DOGS).see(5, husky=0.5, malamute=0.45) == []


@pytest.mark.parametrize(
    ("scene", "text", "form"),
    [
        ({"violin": 0.9, "cello": 0.1}, "I see violin", "label"),
        ({"violin": 0.5, "cello": 0.4}, "maybe violin or cello", "maybe"),
        ({"violin": 0.55, "cello": 0.1}, "maybe violin", "maybe"),
        ({"violin": 0.2, "cello": 0.1}, "I'm not sure", "not_sure"),
    ],
)
def test_three_ways_to_speak(scene: dict[str, float], text: str, form: str) -> None:
    asked = rules(not_sure=True, cooldown_s=0.0)
    life = Life(asked, Knowledge(calibrated=True))
    assert life.see(10, **scene) == [text]
    assert life.forms == [form]
    # a network that nobody has fitted does not say what its confidence cannot bear
    said = Life(asked).see(10, **scene)
    assert said == ([text] if text == "I see violin" else [])


def test_not_sure_only_when_it_is_asked_for() -> None:
    assert Life(CALM, CALIBRATED).see(10, violin=0.2, cello=0.1) == []


def test_what_becomes_clear_soon_is_not_first_a_maybe() -> None:
    life = Life(knowledge=CALIBRATED)
    assert life.see(0.9, violin=0.5, cello=0.4) + life.see(5, violin=0.95) == ["I see violin"]


def test_a_maybe_is_said_once_a_visit() -> None:
    life = Life(knowledge=CALIBRATED)
    assert life.see(10, violin=0.5, cello=0.4) == ["maybe violin or cello"]
    assert life.see(10, violin=0.38, cello=0.42) == []
    assert life.see(10, violin=0.9, cello=0.1) == []


@pytest.mark.parametrize("muted", [("husky",), ("Husky", "dog"), ("animal",), ("dog",)])
def test_the_muted_is_not_said_nor_is_the_next_best(muted: tuple[str, ...]) -> None:
    life = Life(rules(muted=muted, cooldown_s=0.0), CALIBRATED)
    assert life.see(10, husky=0.9, malamute=0.05) == []
    assert life.see(10, husky=0.45, malamute=0.4) == []


def test_what_is_muted_while_it_runs() -> None:
    life = Life(knowledge=KNOWS_DOGS)
    life.subject.claims.muted = frozenset({"cat"})
    assert life.see(5, cat=0.95) == []
    life.subject.claims.muted = frozenset()
    assert life.see(5, cat=0.95) == ["I see cat"]


def test_what_quiet_hours_kept_back_is_missed_and_what_is_still_there_is_news_at_their_end() -> None:
    life = Life(rules(quiet_hours="22:00-07:00", cooldown_s=0.0), local="23:30")
    assert life.see(10, cat=0.95) + life.see(10, dog=0.95) == []
    assert [(missed.label, missed.why) for missed in life.missed] == [("cat", "quiet hours"), ("dog", "quiet hours")]
    life.local = "07:00"
    assert life.see(10, dog=0.95) == ["I see dog"]
    assert len(life.missed) == 2


def test_snoozed() -> None:
    life = Life()
    life.schedule.snoozed_until_s = 20
    assert life.see(18, cat=0.95) == []
    assert life.see(18, cat=0.95) == ["I see cat"]
    assert [missed.why for missed in life.missed] == ["snoozed"]


@pytest.mark.parametrize(
    ("hours", "local", "quiet"),
    [
        ("22:00-07:00", "21:59", False),
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "00:00", True),
        ("22:00-07:00", "06:59", True),
        ("22:00-07:00", "07:00", False),
        ("12:00-14:00", "13:59", True),
        ("12:00-14:00", "14:00", False),
        ("08:00-08:00", "03:00", True),
        ("", "03:00", False),
    ],
)
def test_quiet_hours_go_over_midnight(hours: str, local: str, quiet: bool) -> None:
    silence = Schedule(rules(quiet_hours=hours)).silence(at(0, local))
    assert silence == ("quiet hours" if quiet else "")


def test_a_look_says_what_is_there_news_or_not() -> None:
    life = Life(knowledge=KNOWS_DOGS)
    assert life.subject.look(at(0)).text == "I'm not sure"
    life.see(5, cat=0.95)
    looked = life.subject.look(at(life.now_s))
    assert (looked.text, looked.interrupts) == ("I see cat", True)
    life.see(2, husky=0.45, malamute=0.45)
    assert life.subject.look(at(life.now_s)).text == "I see dog"


def test_a_look_while_blind_says_so_in_the_language_that_is_spoken(tmp_path: Path) -> None:
    file = tmp_path / "words.toml"
    file.write_text(f'[sentences]\n"{COVERED}" = "Ich sehe nichts."\n')
    words = Words(rules(), SpeechSettings(translations=str(file)))
    announcer = Announcer(rules(), words, Schedule(rules()))
    announcer.update([Prediction("n1", "guitar", 0.9)], 0.0, at(0.0))
    looked = announcer.look(at(0.1), COVERED)
    assert (looked.text, looked.label, looked.interrupts) == ("Ich sehe nichts.", "", True)


def test_of_what_would_be_said_if_somebody_asked_no_missing_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "words.toml").write_text(
        '[sentences]\n"I see {label}" = "Ich sehe {label}"\n[labels]\ncup = "eine Tasse"\nmug = "einen Becher"\n'
    )
    told: list[str] = []
    words = Words(rules(), SpeechSettings(translations=str(tmp_path / "words.toml")), told.append)
    subject = Announcer(rules(), words, Schedule(rules()), knowledge=Knowledge(calibrated=True))
    assert subject.look(at(0)).text == "I'm not sure"
    scenes = [((0.9, 0.05), "Ich sehe eine Tasse"), ((0.5, 0.4), "maybe a cup or a mug"), ((0.5, 0.1), "maybe a cup")]
    for now_s, (shares, text) in enumerate(scenes):
        subject.forget()
        seen = [Prediction(name, name, share) for name, share in zip(("cup", "mug"), shares, strict=True)]
        assert subject.update(seen, now_s, at(now_s)) is None  # it has not lasted yet
        assert subject.look(at(now_s)).text == text
    assert told == []


@pytest.mark.parametrize(
    ("interrupt", "surer", "wanted"),
    [("never", 0.99, False), ("always", 0.7, True), ("when-surer", 0.99, True), ("when-surer", 0.7, False)],
)
def test_breaking_off(interrupt: str, surer: float, wanted: bool) -> None:
    life = Life(rules(interrupt=interrupt))
    life.schedule.began(Announcement("cat", "cat", 0.9, "I see cat"), at(0))
    offers = [life.subject.update([Prediction("dog", "dog", surer)], n / 10, at(n / 10)) for n in range(30)]
    assert any(offer is not None and offer.interrupts for offer in offers) == wanted
    assert all(offer is None or offer.interrupts for offer in offers)


def test_what_edge_says_of_itself_is_not_broken_off() -> None:
    life = Life(rules(interrupt="always"))
    life.schedule.began(Announcement("", "", 1.0, DARK), at(0))
    assert life.see(5, dog=0.95) == []


def test_aloud_says_how_things_are_once() -> None:
    notices = Notices(AloudSettings(repeat_s=60))
    assert notices.due(0) == ""
    notices.set("sight", DARK, SIGHT_AGAIN)
    assert notices.due(1) == DARK
    notices.told(DARK, 1)
    assert notices.due(2) == ""
    notices.set("sight", "", SIGHT_AGAIN)
    assert notices.due(3) == SIGHT_AGAIN
    notices.told(SIGHT_AGAIN, 3)
    # again within the minute: not a word, until it has lasted
    notices.set("sight", DARK, SIGHT_AGAIN)
    assert notices.due(60.9) == ""
    assert notices.due(61) == DARK
    # over before anybody was told: nothing to say
    notices.set("sight", "", SIGHT_AGAIN)
    assert notices.due(100) == ""


def test_aloud_can_be_switched_off_topic_by_topic() -> None:
    notices = Notices(AloudSettings(blind=False))
    notices.set("sight", DARK, SIGHT_AGAIN)
    notices.once("model", SMALLER)
    assert notices.due(0) == SMALLER
    notices.told(SMALLER, 0)
    assert notices.due(100) == ""
    notices.once("model", SMALLER)
    assert (notices.due(59), notices.due(60)) == ("", SMALLER)


LABELS = ("cat", "husky", "malamute", "samoyed", "violin", "cello", "secret")
STEP = st.fixed_dictionaries(
    {
        "wait_s": st.sampled_from((0.05, 0.1, 0.5, 2.0, 30.0)),
        "frames": st.integers(1, 25),
        "scene": st.dictionaries(st.sampled_from(LABELS), st.floats(0, 1), max_size=4),
        # the clock on the wall jumps: summer time, or the Pi has heard of the time
        "jump_min": st.sampled_from((0, 0, 0, 60, -60, 700, -13)),
        "late_s": st.sampled_from((0.0, 0.0, 1.0, 6.0)),
        "ends": st.booleans(),
        "heard": st.booleans(),
        "sentence": st.sampled_from(("", "", DARK)),
        "snooze_s": st.sampled_from((0.0, 0.0, 0.0, 20.0)),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEP, max_size=40),
    calibrated=st.booleans(),
    per_minute=st.integers(1, 5),
    interrupt=st.sampled_from(("never", "when-surer", "always")),
    start_min=st.integers(0, 24 * 60 - 1),
)
def test_whatever_happens(
    *, steps: list[dict[str, Any]], calibrated: bool, per_minute: int, interrupt: str, start_min: int
) -> None:
    """Never two at once, too many, the muted, a word in the quiet, or words about the past."""
    announce = rules(
        per_minute=per_minute, interrupt=interrupt, quiet_hours="22:00-07:00", muted=("Secret",), not_sure=True,
        persistence_s=0.1, cooldown_s=5.0, retry_s=1.0,
    )  # fmt: skip
    schedule = Schedule(announce)
    subject = Announcer(
        announce, PlainWords(), schedule, knowledge=Knowledge(groups=(DOGS, ANIMALS), calibrated=calibrated)
    )
    wall = datetime.datetime(2026, 10, 25) + datetime.timedelta(minutes=start_min)
    now_s, spoken_s, in_the_air = 0.0, [], None
    for step in steps:
        wall += datetime.timedelta(minutes=step["jump_min"])
        schedule.snoozed_until_s = now_s + step["snooze_s"] if step["snooze_s"] else schedule.snoozed_until_s
        predictions = sorted((Prediction(n, n, p) for n, p in step["scene"].items()), key=lambda one: -one.probability)
        for _ in range(step["frames"]):
            now_s += step["wait_s"]
            wall += datetime.timedelta(seconds=step["wait_s"])
            now = Moment(now_s, wall)
            if in_the_air is not None and step["ends"]:
                subject.finished(Outcome(in_the_air, step["heard"]))
                in_the_air = None
            seen_s = now_s - step["late_s"]
            offers = [subject.notice(step["sentence"], now)] if step["sentence"] else []
            if offers == [None] or not offers:
                offers = [subject.update(predictions, seen_s, now)]
            for offer in offers:
                if offer is None:
                    continue
                assert in_the_air is None or (offer.interrupts and interrupt != "never" and in_the_air.id)
                if in_the_air is not None:
                    subject.finished(Outcome(in_the_air, heard=False, reason="interrupted"))
                subject.taken(offer, seen_s, now)
                in_the_air = offer
                spoken_s.append(now_s)
                assert len([one for one in spoken_s if now_s - one < 60]) <= per_minute
                assert "secret" not in offer.text.lower()
                assert 7 <= now.local.hour < 22
                assert now_s >= schedule.snoozed_until_s
                assert not offer.id or now_s - seen_s <= announce.expiry_s
                assert calibrated or not (offer.id == NOT_SURE or offer.text.startswith("maybe"))
