"""What is heard first: a tone, an answer, and only then what the loop wants to say."""

import threading
from collections.abc import Sequence

import pytest
from doubles import RecordingSpeaker

from edge.announce import voice as module
from edge.announce.voice import Voice
from edge.stages import Announcement


def words(text: str) -> Announcement:
    return Announcement(f"id of {text}", text, 0.9, text)


class RecordingTones:
    """Keeps what is played; a tone sounds until `end`."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.played: list[Sequence[float]] = []
        self.volume = 1.0
        self.sounding = self.closed = False

    def play(self, notes_hz: Sequence[float]) -> None:
        self.played.append(notes_hz)
        self.sounding = True

    def is_playing(self) -> bool:
        return self.sounding

    def stop(self) -> None:
        self.sounding = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def speaker() -> RecordingSpeaker:
    return RecordingSpeaker(instant=False)


@pytest.fixture
def tones() -> RecordingTones:
    return RecordingTones()


@pytest.fixture
def voice(speaker: RecordingSpeaker, tones: RecordingTones) -> Voice:
    voice = Voice()
    voice.use(speaker, tones)
    return voice


def test_the_loop_speaks_as_with_any_speaker(voice: Voice, speaker: RecordingSpeaker) -> None:
    assert voice.say(words("one"))
    assert not voice.say(words("two"))
    speaker.finish()
    (outcome,) = voice.poll()
    assert (outcome.announcement.text, outcome.heard) == ("one", True)
    assert voice.say(words("two"))
    voice.interrupt()
    assert [outcome.reason for outcome in voice.poll()] == ["interrupted"]
    assert (voice.description, voice.problem) == ("a recording speaker", "")


def test_a_key_breaks_off_what_is_said_and_its_answer_follows_the_tone(
    voice: Voice, speaker: RecordingSpeaker, tones: RecordingTones
) -> None:
    voice.say(words("a label"))
    voice.signal((660.0, 880.0))
    assert [outcome.reason for outcome in voice.poll()] == ["interrupted"]
    assert tones.played == [(660.0, 880.0)]
    assert not voice.say(words("another label")), "an answer may follow at any moment"
    voice.answer(words("the answer"))
    assert voice.turn()
    assert speaker.said == ["a label"], "the tone sounds"
    tones.sounding = False
    assert voice.turn()
    assert speaker.said == ["a label", "the answer"]
    assert not voice.say(words("another label"))
    voice.interrupt()
    assert speaker.said == ["a label", "the answer"]
    assert voice.turn(), "the loop does not interrupt an answer"
    speaker.finish()
    assert not voice.turn()
    assert [one.text for one in voice.begun()] == ["the answer"]
    assert [(one.announcement.text, one.heard) for one in voice.answered()] == [("the answer", True)]
    assert voice.poll() == []
    assert voice.say(words("another label"))


def test_after_a_key_without_an_action_the_loop_goes_on(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPECTING_S", 0.0)
    voice.signal()
    assert voice.say(words("a label"))


def test_a_newer_request_replaces_the_answer_before(voice: Voice, speaker: RecordingSpeaker) -> None:
    voice.answer(words("one"))
    voice.turn()
    voice.answer(words("two"))
    voice.turn()
    assert speaker.said == ["one", "two"]
    speaker.finish()
    voice.turn()
    assert [(one.announcement.text, one.reason) for one in voice.answered()] == [("one", "interrupted"), ("two", "")]


def test_the_same_answer_is_not_begun_again(voice: Voice, speaker: RecordingSpeaker) -> None:
    for _ in range(3):
        voice.answer(words("one"))
        voice.turn()
    assert speaker.said == ["one"]
    voice.signal()
    voice.answer(words("one"))
    assert speaker.said == ["one", "one"], "a key asks again"


def test_an_answer_waits_until_there_is_a_speaker(speaker: RecordingSpeaker) -> None:
    voice = Voice()
    voice.adjust(0.5, 120)
    assert not voice.say(words("a label"))
    voice.signal((660.0, 880.0))
    voice.answer(words("I'm starting"))
    assert voice.turn()
    assert (voice.description, voice.problem, voice.poll()) == ("none yet", "", [])
    tones = RecordingTones()
    voice.use(None, tones)
    assert tones.played == [(660.0, 880.0)]
    voice.use(speaker, tones)
    assert voice.turn()
    assert speaker.said == []
    tones.sounding = False
    assert voice.turn()
    assert speaker.said == ["I'm starting"]
    assert not tones.closed
    assert speaker.adjusted == (0.5, 120)


def test_an_answer_is_tried_again_while_the_card_is_busy(
    voice: Voice, speaker: RecordingSpeaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice.answer(words("one"))
    speaker.problem = "another program is using the sound card"
    speaker.finish()
    assert voice.turn(), "it waits"
    assert (speaker.said, voice.answered()) == (["one"], [])
    speaker.problem = ""
    assert voice.turn()
    assert speaker.said == ["one", "one"]
    speaker.finish()
    assert not voice.turn()
    assert [one.text for one in voice.begun()] == ["one"]
    assert [one.heard for one in voice.answered()] == [True]
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    voice.answer(words("two"))
    speaker.problem = "no sound card"
    speaker.finish()
    assert not voice.turn(), "it waits no longer"
    assert [one.reason for one in voice.answered()] == ["no sound card"]


def test_a_speaker_that_is_exchanged_leaves_an_outcome(voice: Voice, speaker: RecordingSpeaker) -> None:
    voice.say(words("a label"))
    other = RecordingSpeaker(instant=False)
    voice.use(other, None)
    assert speaker.closed
    assert [outcome.reason for outcome in voice.poll()] == ["interrupted"]
    voice.answer(words("an answer"))
    voice.use(RecordingSpeaker(), None)
    voice.turn()
    assert [outcome.reason for outcome in voice.answered()] == ["interrupted"]
    voice.close()


def test_while_a_person_aims_announcements_wait_and_beeps_fill_the_silence(
    voice: Voice, speaker: RecordingSpeaker, tones: RecordingTones
) -> None:
    voice.held = True
    assert not voice.say(words("a label"))
    assert voice.beep((500.0,))
    assert not voice.beep((600.0,)), "one at a time"
    tones.sounding = False
    voice.answer(words("sharper"))
    assert not voice.beep((600.0,))
    speaker.finish()
    assert voice.beep((600.0,))
    assert tones.played == [(500.0,), (600.0,)]
    voice.held = False
    tones.sounding = False
    assert voice.say(words("a label"))


def test_threads_at_once_lose_no_outcome() -> None:
    voice, taken, outcomes = Voice(), 0, 0
    voice.use(RecordingSpeaker(), RecordingTones())
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            voice.answer(words("an answer"))
            voice.turn()

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(3000):
        taken += voice.say(words(str(number)))
        outcomes += len(voice.poll())
    over.set()
    thread.join()
    voice.turn()
    outcomes += len(voice.poll())
    assert taken == outcomes
    assert len(voice.begun()) == len(voice.answered())
