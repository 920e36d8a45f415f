"""The announcer lives through scenes that are written as (seconds, label, probability)."""

import dataclasses
from collections.abc import Iterator
from itertools import pairwise

import pytest
from doubles import PlainWords, at, rules

from edge.announce.announcer import Announcer
from edge.announce.claims import Knowledge
from edge.announce.schedule import Schedule
from edge.settings import AnnounceSettings
from edge.stages import Announcement, Group, Outcome, Prediction

SETTINGS = AnnounceSettings(
    floor=0.6,
    margin=0.2,
    hold=0.35,
    smoothing_s=0.3,
    persistence_s=0.5,
    leave_s=1.5,
    cooldown_s=60.0,
    retry_s=10.0,
)
NOTHING = ("background", 0.99)


def announcer(settings: AnnounceSettings = SETTINGS) -> Announcer:
    return Announcer(settings, PlainWords(), Schedule(settings), knowledge=Knowledge(frozenset({"background"})))


def predictions(label: str, probability: float, rival: str = "rival") -> list[Prediction]:
    both = [Prediction(label, label, probability), Prediction(rival, rival, 1.0 - probability)]
    return sorted(both, key=lambda prediction: -prediction.probability)


def see(subject: Announcer, seen: list[Prediction], now_s: float) -> Announcement | None:
    return subject.update(seen, now_s, at(now_s))


def live(
    subject: Announcer,
    scene: tuple[str, float],
    from_s: float,
    to_s: float,
    *,
    rate: float = 10.0,
    heard: bool = True,
) -> list[tuple[float, Announcement]]:
    """Show one thing for a while; every announcement is taken, and heard or not. Returns them with their times."""
    said = []
    for number in range(round((to_s - from_s) * rate)):
        now_s = from_s + number / rate
        if announcement := subject.update(predictions(*scene), now_s, at(now_s)):
            subject.taken(announcement, now_s, at(now_s))
            subject.finished(Outcome(announcement, heard))
            said.append((now_s, announcement))
    return said


def test_a_steady_label_is_said_once() -> None:
    said = live(announcer(), ("guitar", 0.95), 0, 10)
    assert [announcement.text for _, announcement in said] == ["I see guitar"]
    assert said[0][0] == pytest.approx(0.2)


@pytest.mark.parametrize(("probability", "first_s"), [(0.61, 0.5), (0.8, 0.3), (0.95, 0.2), (0.9999, 0.1)])
def test_the_surer_the_sooner(probability: float, first_s: float) -> None:
    """A label that just reaches the floor needs persistence_s, a very sure one two frames."""
    said = live(announcer(), ("guitar", probability), 0, 3)
    assert said[0][0] == pytest.approx(first_s)


@pytest.mark.parametrize(("probability", "frames"), [(0.9985, 2), (0.97, 3)])
def test_by_default_a_very_sure_label_takes_two_frames(probability: float, frames: int) -> None:
    settings = AnnounceSettings()
    subject = Announcer(settings, PlainWords(), Schedule(settings), knowledge=Knowledge(calibrated=True))
    said = live(subject, ("guitar", probability), 0, 3)
    assert said[0][0] == pytest.approx((frames - 1) / 10)


def test_the_evidence_is_the_chance_of_being_wrong() -> None:
    """Two frames of 1 - p = 0.1 are as good as four of 0.1 ** 0.5, if the floor asks for as much."""
    settings = dataclasses.replace(SETTINGS, floor=0.5, margin=0.0, smoothing_s=0.0, persistence_s=1.0)
    for bits in (1, 2, 4):
        said = live(announcer(settings), ("guitar", 1 - 0.5**bits), 0.0, 3.0)
        assert said[0][0] == pytest.approx(1.0 / bits, abs=0.101)


def test_a_view_is_full_from_its_first_frame() -> None:
    """After nothing at all, the average is that of the frames since: it does not begin at zero."""
    subject = announcer()
    for now_s in (0.0, 0.1, 0.2):
        assert see(subject, [], now_s) is None
    see(subject, predictions("guitar", 0.95), 0.3)
    assert subject.claims.view.smoothed["guitar"] == pytest.approx(0.95)
    see(subject, predictions("guitar", 0.75), 0.4)
    share = SETTINGS.frame_share(0.1)
    expected = ((1 - share) * 0.95 + 0.75) / ((1 - share) + 1)
    assert subject.claims.view.smoothed["guitar"] == pytest.approx(expected)


def test_it_waits_for_persistence() -> None:
    assert live(announcer(), ("guitar", 0.62), 0, 0.4) == []


def test_one_frame_is_never_enough() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, persistence_s=0.0))
    assert see(subject, predictions("guitar", 0.99), 0.0) is None
    assert see(subject, predictions("guitar", 0.99), 0.1) is not None


def test_half_a_frame_a_second_works() -> None:
    said = live(announcer(), ("guitar", 0.95), 0, 8, rate=0.5)
    assert [now_s for now_s, _ in said] == [2.0]


@pytest.mark.parametrize("scene", [("guitar", 0.55), NOTHING])
def test_below_the_floor_or_background_says_nothing(scene: tuple[str, float]) -> None:
    assert live(announcer(), scene, 0, 10) == []


def test_two_labels_side_by_side_say_nothing() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, floor=0.5, margin=0.2))
    assert live(subject, ("guitar", 0.58), 0, 10) == []


def test_background_as_the_rival_holds_a_label_off() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, floor=0.5, margin=0.2))
    for number in range(50):
        assert see(subject, predictions("guitar", 0.55, rival="background"), number / 10) is None


def test_flicker_between_two_labels_says_nothing() -> None:
    subject = announcer()
    for number in range(100):
        label = "guitar" if number % 2 else "violin"
        assert see(subject, predictions(label, 0.95), number / 10) is None


def test_one_bad_frame_does_not_matter() -> None:
    """Nor does the guitar's absence from the best few of that frame."""
    subject = announcer()
    slow = dataclasses.replace(SETTINGS, persistence_s=1.5)
    subject = announcer(slow)
    assert live(subject, ("guitar", 0.95), 0, 0.3) == []
    assert live(subject, ("violin", 0.6), 0.3, 0.4) == []
    said = live(subject, ("guitar", 0.95), 0.4, 2)
    assert [a.id for _, a in said] == ["guitar"]
    assert said[0][0] == pytest.approx(live(announcer(slow), ("guitar", 0.95), 0, 2)[0][0], abs=0.21)


def test_what_the_newest_frame_does_not_show_is_not_said() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, smoothing_s=2.0))
    for number in range(30):
        see(subject, predictions("guitar", 0.95), number / 10)
    # smoothed, the guitar is still far ahead, and it is news; the frame itself shows something else
    assert see(subject, predictions("violin", 0.6, rival="guitar"), 3.0) is None
    assert see(subject, predictions("guitar", 0.6, rival="violin"), 3.1) is not None


def test_a_new_label_is_said_at_once_after_the_old() -> None:
    subject = announcer()
    live(subject, ("guitar", 0.95), 0, 2)
    said = live(subject, ("cat", 0.95), 2, 4)
    assert [a.id for _, a in said] == ["cat"]


def test_hysteresis_a_dip_is_not_a_departure() -> None:
    subject = announcer()
    live(subject, ("guitar", 0.95), 0, 2)
    assert live(subject, ("guitar", 0.45), 2, 8) == []  # below the floor, above hold
    assert live(subject, ("guitar", 0.95), 8, 12) == []


def test_leaving_the_view_makes_it_news_again() -> None:
    subject = announcer()
    live(subject, ("guitar", 0.95), 0, 2)
    live(subject, NOTHING, 2, 6)
    assert [a.id for _, a in live(subject, ("guitar", 0.95), 6, 8)] == ["guitar"]


def test_a_short_absence_does_not() -> None:
    subject = announcer()
    live(subject, ("guitar", 0.95), 0, 2)
    live(subject, NOTHING, 2, 3)
    assert live(subject, ("guitar", 0.95), 3, 6) == []


def test_at_half_a_frame_a_second_one_bad_frame_is_no_departure() -> None:
    subject = announcer()
    assert len(live(subject, ("guitar", 0.95), 0, 8, rate=0.5)) == 1
    assert live(subject, NOTHING, 8, 10, rate=0.5) == []
    assert live(subject, ("guitar", 0.95), 10, 30, rate=0.5) == []
    live(subject, NOTHING, 30, 34, rate=0.5)
    assert len(live(subject, ("guitar", 0.95), 34, 40, rate=0.5)) == 1


def test_the_cooldown_says_it_again() -> None:
    """A thing at rest is repeated ever more seldom."""
    said = [now_s for now_s, _ in live(announcer(), ("guitar", 0.95), 0, 500)]
    assert [later - earlier for earlier, later in pairwise(said)] == pytest.approx([60, 120, 240], abs=0.2)


def test_no_cooldown_never_says_it_again() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, cooldown_s=0.0))
    assert len(live(subject, ("guitar", 0.95), 0, 500)) == 1


def test_what_was_not_heard_does_not_count_as_said() -> None:
    said = live(announcer(), ("guitar", 0.95), 0, 25, heard=False)
    assert len(said) == 3
    assert said[1][0] - said[0][0] == pytest.approx(10, abs=0.2)


def test_what_was_not_heard_waits_also_when_it_comes_back() -> None:
    subject = announcer()
    (first,) = live(subject, ("guitar", 0.95), 0, 2, heard=False)
    live(subject, NOTHING, 2, 5)
    (second,) = live(subject, ("guitar", 0.95), 5, 15)
    assert second[0] - first[0] == pytest.approx(10, abs=0.2)


def test_a_refused_announcement_is_offered_again() -> None:
    subject = announcer()
    offers = [see(subject, predictions("guitar", 0.95), number / 10) for number in range(20)]
    assert sum(offer is not None for offer in offers) > 5


def test_words_in_the_air_are_not_offered_again() -> None:
    subject = announcer()
    for number in range(30):
        if announcement := see(subject, predictions("guitar", 0.95), number / 10):
            subject.taken(announcement, number / 10, at(number / 10))
            break
    for number in range(30, 900):
        assert see(subject, predictions("guitar", 0.95), number / 10) is None


def test_the_smoothing_is_the_same_at_any_rate() -> None:
    """After one time constant of a new label, 1 - 1/e of it is there, at 2 and at 50 frames a second."""
    for rate in (2.0, 50.0):
        subject = announcer(dataclasses.replace(SETTINGS, smoothing_s=1.0, floor=0.7, hold=0.1, persistence_s=0.0))
        live(subject, NOTHING, 0, 10, rate=rate)
        said = live(subject, ("guitar", 1.0), 10, 16, rate=rate)
        # 1 - exp(-t) reaches 0.7 at t = 1.2
        assert said[0][0] == pytest.approx(11.2, abs=1.5 / rate + 0.05)


def test_a_clip_that_begins_again_is_seen_with_new_eyes() -> None:
    subject = announcer()
    assert len(live(subject, ("guitar", 0.95), 0, 5)) == 1
    assert len(live(subject, ("guitar", 0.95), 0, 5)) == 1


def test_nothing_to_see_is_a_departure() -> None:
    subject = announcer()
    live(subject, ("guitar", 0.95), 0, 5)
    for number in range(50):
        assert see(subject, [], 5 + number / 10) is None
    assert len(live(subject, ("guitar", 0.95), 10, 15)) == 1


def test_it_carries_no_more_labels_than_it_needs() -> None:
    subject = announcer()
    for number in range(5000):
        see(subject, predictions(f"thing {number}", 0.9), number / 10)
    assert len(subject.claims.view.smoothed) < 100


def test_another_thread_may_ask_what_is_in_view_while_views_come_and_go() -> None:
    """As the control socket's does: here the view is gone in the middle of its question."""
    subject = announcer(dataclasses.replace(SETTINGS, smoothing_s=0.0))

    class Passing(list[Group]):
        def __iter__(self) -> Iterator[Group]:
            subject.forget()
            return super().__iter__()

    groups = Passing([Group("music", "musical instrument", frozenset({"flute", "cello"}))])
    see(subject, predictions("guitar", 0.55), 0.0)
    subject.claims.knowledge = Knowledge(frozenset({"background"}), groups, calibrated=True)
    assert subject.look(at(0.1)).text == "maybe guitar or rival"
    assert subject.look(at(0.1)).text == "I'm not sure"


def test_the_best_label_is_that_of_the_smoothed_view() -> None:
    subject = announcer(dataclasses.replace(SETTINGS, smoothing_s=1.0))
    assert subject.best() is None
    see(subject, predictions("guitar", 0.9), 0.0)
    see(subject, predictions("key", 0.8), 0.1)
    best = subject.best()
    assert best is not None
    assert (best.id, best.label) == ("guitar", "guitar")
    assert 0.8 < best.probability < 0.9


@pytest.mark.parametrize(("sure", "said"), [(0.95, ["I see somebody's clothes"]), (0.5, [])])
def test_clothes_are_not_named_one_by_one(sure: float, said: list[str]) -> None:
    """Neither "a suit" with confidence, nor "maybe a suit"."""
    clothes = Group("clothes", "somebody's clothes", frozenset({"suit", "jersey"}), collective=True)
    subject = Announcer(
        rules(), PlainWords(), Schedule(rules()), knowledge=Knowledge(groups=[clothes], calibrated=True)
    )
    assert [one.text for _, one in live(subject, ("suit", sure), 0, 5)] == said
    # who wants no groups wants the labels
    subject.configure(rules(groups=False), PlainWords())
    subject.forget()
    assert [one.text for _, one in live(subject, ("suit", 0.95), 10, 15)] == ["I see suit"]
