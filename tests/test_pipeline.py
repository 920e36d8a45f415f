"""The loop with doubles at both ends."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from doubles import PlainWords, RecordingObserver, RecordingSpeaker, ScriptedCamera, StubClassifier, after, frame

from edge import pipeline
from edge.announce.announcer import Announcer, Missed
from edge.announce.messages import Messages
from edge.announce.notices import COVERED, DARK, READY, SIGHT_AGAIN, Notices
from edge.announce.schedule import Schedule
from edge.errors import CameraError
from edge.pipeline import NO_LIMITS, Ending, Limits, Stages, Summary, moment, run
from edge.settings import AloudSettings, AnnounceSettings
from edge.stages import Announcement, Condition, Frame, Outcome, Pixels
from edge.vision.motion import MotionDetector
from edge.vision.thumbnail import Thumbnail, make_thumbnail
from edge.vision.visibility import Visibility

FAST = AnnounceSettings(persistence_s=0.1, smoothing_s=0.0)


class House:
    """A pipeline of doubles around a real announcer."""

    def __init__(
        self,
        script: list[Frame | Exception | None],
        labels: list[str],
        speaker: RecordingSpeaker,
        settings: AnnounceSettings = FAST,
    ) -> None:
        self.camera = ScriptedCamera(script)
        self.classifier = StubClassifier(labels)
        self.speaker = speaker
        self.observer = RecordingObserver()
        self.summary = Summary()
        schedule = Schedule(settings)
        announcer = Announcer(settings, PlainWords(), schedule)
        self.missed: list[Missed] = []
        self.messages = Messages(schedule, self.missed.append)
        self.notices = Notices(AloudSettings())
        visibility = Visibility(live=True)
        self.motion = MotionDetector(0.0)
        self.stages = Stages(
            camera=self.camera,
            visibility=visibility,
            motion=self.motion,
            classifier=self.classifier,
            announcer=announcer,
            speaker=speaker,
            observer=self.observer,
            notices=self.notices,
            messages=self.messages,
        )

    def run(self, calls: int = 10_000, limits: Limits = NO_LIMITS) -> Summary:
        run(self.stages, self.summary, after(calls), limits)
        return self.summary


def frames(count: int, apart_s: float = 0.1) -> list[Frame | Exception | None]:
    start_s = time.monotonic()
    return [frame(number, captured_s=start_s + number * apart_s) for number in range(count)]


def test_a_frame_becomes_a_spoken_label() -> None:
    house = House(frames(5), ["guitar"], RecordingSpeaker())
    summary = house.run()
    assert house.speaker.said == ["I see guitar"]
    assert house.observer.announcements == ["I see guitar"]
    assert [outcome.heard for outcome in house.observer.outcomes] == [True]
    assert house.observer.frames == [0, 1, 2, 3, 4]
    assert (summary.frames, summary.said, summary.in_the_air) == (5, {"guitar": 1}, 0)


def test_an_image_that_stays_in_view_is_named_though_it_comes_only_once() -> None:
    """With the clock of the file, and with each image for two seconds."""

    def said(shown_s: float, media_clock: bool = True) -> list[str]:
        images = [replace(frame(number, captured_s=0.0), media_s=2.0 * number, shown_s=shown_s) for number in range(3)]
        house = House([*images], ["guitar", "cat", "key"], RecordingSpeaker())
        run(house.stages, house.summary, after(10_000), media_clock=media_clock)
        assert house.classifier.seen == [0, 1, 2]
        assert house.observer.frames == [0, 1, 2]
        return house.speaker.said

    assert said(2.0) == ["I see guitar", "I see cat", "I see key"]
    assert said(0.0) == said(0.2) == said(2.0, media_clock=False) == []


@pytest.mark.parametrize("polls_to_start", [0, 20])
def test_a_film_on_its_own_clock_waits_for_the_voice(polls_to_start: int) -> None:
    """Each image is named, though all come faster than one sentence is spoken, or than the voice starts."""

    class Slow(RecordingSpeaker):
        starting, speaking = polls_to_start, 0

        def say(self, announcement: Announcement) -> bool:
            self.speaking = 12
            return not self.starting and super().say(announcement)

        def poll(self) -> list[Outcome]:
            self.starting = max(0, self.starting - 1)
            self.speaking -= 1
            if self._current is not None and self.speaking <= 0:
                self.finish()
            return super().poll()

    images = [replace(frame(number, captured_s=0.0), media_s=2.0 * number, shown_s=2.0) for number in range(3)]
    house = House([*images], ["guitar", "cat", "key"], Slow(instant=False))
    run(house.stages, house.summary, after(10_000), media_clock=True)
    assert house.speaker.said == ["I see guitar", "I see cat", "I see key"]
    assert house.observer.frames == [0, 1, 2]
    assert [outcome.heard for outcome in house.observer.outcomes] == [True] * 3


@pytest.mark.parametrize("media_clock", [False, True])
def test_what_happens_between_frames_comes_before_the_first_image(media_clock: bool) -> None:
    """It brings what was muted earlier: an image may be named at once."""
    image = replace(frame(0, captured_s=0.0), media_s=0.0, shown_s=2.0)
    house = House([image], ["guitar"], RecordingSpeaker())
    house.camera.live = False
    seen_before: list[int] = []

    def between(_now_s: float, _frame: Frame | None) -> bool:
        seen_before.append(len(house.classifier.seen))
        return False

    run(house.stages, house.summary, after(100), between_frames=between, media_clock=media_clock)
    assert seen_before[:1] == [0]
    assert house.classifier.seen == [0]


def test_a_film_that_waits_for_the_voice_can_be_stopped() -> None:
    class Never(RecordingSpeaker):
        def say(self, announcement: Announcement) -> bool:
            return False

    image = replace(frame(0, captured_s=0.0), media_s=0.0, shown_s=2.0)
    house = House([image], ["guitar"], Never())
    run(house.stages, house.summary, after(5), media_clock=True)
    assert house.observer.announcements == []


def test_the_same_pixels_are_glanced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    glances: list[int] = []

    def glance(pixels: Pixels) -> Thumbnail:
        glances.append(id(pixels))
        return make_thumbnail(pixels)

    monkeypatch.setattr(pipeline, "make_thumbnail", glance)
    image, other = frame(0), frame(2)
    script: list[Frame | Exception | None] = [image, replace(image, sequence=1), other, replace(image, sequence=3)]
    House(script, ["cup"] * 4, RecordingSpeaker()).run()
    assert glances == [id(image.pixels), id(other.pixels), id(image.pixels)]


def test_a_film_of_the_highest_rate_is_waited_for_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait wakes a processor."""
    now_s, waits = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_s, waits
        now_s, waits = now_s + seconds, waits + 1

    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    pace = pipeline._Pace(lambda: 0.1)
    for number in range(20):
        while not pace.wait():
            pass
        now_s = max(now_s, 100.0 + 0.1 * number)  # the film gives the frame when it is due
    assert waits == 0
    for _ in range(20):
        while not pace.wait():
            pass
    # a camera that has frames at any time is asked ten times a second; once it may be sooner
    assert waits == 20 - 1


def test_it_turns_without_frames() -> None:
    house = House([None] * 50, ["guitar"], RecordingSpeaker())
    assert house.run(calls=20).frames == 0


def test_outcomes_are_heard_while_blind() -> None:
    speaker = RecordingSpeaker(instant=False)
    script = [*frames(3), None, None, None]
    house = House(script, ["guitar"], speaker)
    house.run(calls=4)
    assert house.observer.outcomes == []
    speaker.finish()
    house.run(calls=1)
    assert len(house.observer.outcomes) == 1


def test_while_it_speaks_nothing_else_is_said_and_the_newest_is_next() -> None:
    speaker = RecordingSpeaker(instant=False)
    # a guitar for ten frames, then a cat
    house = House(frames(40), ["guitar"] * 10 + ["cat"] * 30, speaker)
    house.run(limits=Limits(frames=20), calls=30)
    assert speaker.said == ["I see guitar"]
    speaker.finish()
    house.run(limits=Limits(frames=25), calls=30)
    assert speaker.said == ["I see guitar", "I see cat"]


@pytest.mark.parametrize("count", [1, 3])
def test_it_ends_after_so_many_frames(count: int) -> None:
    house = House(frames(10), ["guitar"], RecordingSpeaker())
    assert house.run(limits=Limits(frames=count)).frames == count


def test_it_ends_after_so_many_seconds() -> None:
    house = House([None] * 1_000_000, ["guitar"], RecordingSpeaker())
    assert house.run(limits=Limits(seconds=0.05), calls=10_000_000).seconds >= 0.05


def test_the_last_words_may_end() -> None:
    class Slow(RecordingSpeaker):
        polls = 0

        def poll(self):  # type: ignore[no-untyped-def]
            self.polls += 1
            if self.polls == 8:
                self.finish()
            return super().poll()

    house = House(frames(4), ["guitar"], Slow(instant=False))
    house.run()
    assert len(house.observer.outcomes) == 1


def test_a_lost_camera_is_not_swallowed() -> None:
    house = House([*frames(2), CameraError("the cable is out")], ["guitar"], RecordingSpeaker())
    with pytest.raises(CameraError, match="cable"):
        house.run()
    assert house.summary.frames == 2


def test_the_media_clock_counts_as_the_frames_do() -> None:
    # classified in no time, but a tenth of a second apart in the file
    script: list[Frame | Exception | None] = [frame(n, captured_s=0.0, media_s=n / 10) for n in range(5)]
    house = House(script, ["guitar"], RecordingSpeaker())
    run(house.stages, house.summary, after(100), media_clock=True)
    assert house.speaker.said == ["I see guitar"]


def test_a_notice_goes_before_labels_and_is_said_once() -> None:
    speaker = RecordingSpeaker(instant=False)
    house = House(frames(30), ["guitar"], speaker)
    house.notices.once("model", "Using a smaller model")
    house.run(calls=10)
    assert (speaker.said, house.observer.notices) == (["Using a smaller model"], ["Using a smaller model"])
    assert house.summary.in_the_air == 1
    speaker.finish()
    house.run(calls=10)
    assert speaker.said == ["Using a smaller model", "I see guitar"]
    assert (house.summary.said, len(house.observer.outcomes)) == ({"guitar": 1}, 1)


def test_a_notice_waits_until_the_speaker_is_free() -> None:
    speaker = RecordingSpeaker(instant=False)
    house = House(frames(30), ["guitar"], speaker)
    house.run(calls=5)
    house.notices.once("model", "Using a smaller model")
    house.run(calls=5)
    assert speaker.said == ["I see guitar"]
    speaker.finish()
    house.run(calls=5)
    assert speaker.said == ["I see guitar", "Using a smaller model"]


def test_a_sentence_that_is_given_comes_after_notices_and_before_labels() -> None:
    speaker = RecordingSpeaker(instant=False)
    house = House(frames(60), ["guitar"], speaker)
    house.messages.put("Dinner is ready", moment())
    house.notices.once("model", "Using a smaller model")
    for _ in range(3):
        house.run(calls=5)
        speaker.finish()
    assert speaker.said == ["Using a smaller model", "Dinner is ready", "I see guitar"]
    assert house.observer.notices == ["Using a smaller model", "Dinner is ready"]
    house.run(calls=5)
    assert [outcome.heard for outcome in house.observer.outcomes] == [True, True, True]
    assert house.missed == []


def test_a_sentence_that_is_given_is_no_notice_that_must_be_repeated() -> None:
    """One that is not heard is told as such, and is not said again later as a notice would be."""
    speaker = RecordingSpeaker(heard=False)
    house = House(frames(60), ["guitar"], speaker)
    house.messages.put("Dinner is ready", moment())
    house.run(calls=20)
    assert speaker.said.count("Dinner is ready") == 1
    assert speaker.said[0] == "Dinner is ready"


def test_it_asks_between_frames_also_while_blind_and_goes_on_with_other_stages() -> None:
    script = frames(32)
    house = House([*script[:2], None, None, *script[2:]], ["guitar"], RecordingSpeaker())
    asked: list[float] = []

    def between_frames(now_s: float, _frame: Frame | None) -> bool:
        asked.append(now_s)
        return len(asked) == 4

    assert run(house.stages, house.summary, after(100), between_frames=between_frames) is Ending.REWIRE
    assert (house.summary.frames, len(asked), house.camera.closed) == (2, 4, False)
    # the summary counts on, and so does what was said
    assert run(house.stages, house.summary, after(100), between_frames=between_frames) is Ending.STOP
    assert (house.summary.frames, house.speaker.said) == (32, ["I see guitar"])


def test_something_else_in_view_breaks_off_the_words_where_that_is_wanted() -> None:
    speaker = RecordingSpeaker(instant=False)
    settings = AnnounceSettings(persistence_s=0.1, smoothing_s=0.0, interrupt="always")
    house = House(frames(20), ["guitar"] * 10 + ["cat"] * 10, speaker, settings)
    house.run(limits=Limits(frames=19), calls=30)
    assert speaker.said == ["I see guitar", "I see cat"]
    assert [outcome.reason for outcome in house.observer.outcomes] == ["interrupted"]
    assert house.summary.in_the_air == 1


def test_what_is_too_old_is_not_said() -> None:
    old = [frame(number, captured_s=time.monotonic() - 6 + number / 100) for number in range(30)]
    house = House(list(old), ["guitar"], RecordingSpeaker())
    house.run()
    assert house.speaker.said == []


def test_what_nobody_could_hear_is_said_when_there_is_sound_again() -> None:
    speaker = RecordingSpeaker()
    speaker.problem = "no sound card"
    house = House(frames(40), ["guitar"], speaker)
    house.run(limits=Limits(frames=20))
    assert (speaker.said, house.observer.problems) == (["I see guitar"], ["no sound card"])
    speaker.problem = ""
    house.run(limits=Limits(frames=40))
    assert (speaker.said, house.observer.problems) == (["I see guitar"] * 2, ["no sound card", ""])


class Pretended(Visibility):
    """A visibility that is told what to think."""

    def __init__(self) -> None:
        super().__init__(live=True)

    def update(self, seen: Thumbnail | None, now_s: float) -> bool:
        return seen is not None and self.fault is None


def test_blindness_that_nobody_could_hear_of_is_told_when_there_is_sound_again() -> None:
    speaker = RecordingSpeaker()
    speaker.problem = "no sound card"
    house = House(frames(60), ["guitar"], speaker)
    visibility = Pretended()
    house.stages = replace(house.stages, visibility=visibility)
    house.notices.once("ready", READY)
    visibility.fault = Condition.COVERED
    house.run(limits=Limits(frames=20))
    assert speaker.said == [READY, COVERED]  # once each, for who reads it
    speaker.problem = ""
    house.run(limits=Limits(frames=40))
    assert speaker.said == [READY, COVERED, COVERED]


def test_a_film_begins_when_it_has_said_that_it_is_ready() -> None:
    speaker = RecordingSpeaker(instant=False)
    house = House(frames(20), ["guitar"], speaker)
    turns: list[Frame | None] = []

    def between_frames(_now_s: float, frame: Frame | None) -> bool:
        if not turns:
            house.notices.once("ready", READY)
        turns.append(frame)
        return False

    run(house.stages, house.summary, after(20), between_frames=between_frames)
    assert (speaker.said, house.summary.frames, set(turns)) == ([READY], 0, {None})
    speaker.finish()
    run(house.stages, house.summary, after(20), between_frames=between_frames)
    assert speaker.said == [READY, "I see guitar"]


def test_what_makes_seeing_hard_is_told_and_it_goes_on_looking() -> None:
    house = House(frames(60), ["guitar"], RecordingSpeaker())
    visibility = Pretended()
    house.stages = replace(house.stages, visibility=visibility)
    for note, until in ((Condition.BLURRED, 20), (None, 40)):
        visibility.note = note
        house.run(limits=Limits(frames=until))
    assert (house.observer.faults, house.observer.notes) == ([None, None], [Condition.BLURRED, None])
    assert house.observer.frames[-1] == 39


def test_blindness_is_told_and_its_end_and_meanwhile_nobody_looks() -> None:
    house = House(frames(60), ["guitar"], RecordingSpeaker())
    visibility = Pretended()
    house.stages = replace(house.stages, visibility=visibility)
    for fault in (Condition.DARK, None, Condition.COVERED):
        visibility.fault = fault
        house.run(limits=Limits(frames=house.summary.frames + 15))
    assert [text for text in house.speaker.said if "can" in text] == [DARK, SIGHT_AGAIN, COVERED]
    assert house.observer.faults == [Condition.DARK, None, Condition.COVERED]
    assert house.classifier.seen == list(range(15, 30))
    assert house.summary.frames == 45
