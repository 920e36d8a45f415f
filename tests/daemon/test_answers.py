"""What each action does and says, also while the loop does something else."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doubles import RecordingSpeaker
from rigs.audio.card import RecordingCard, samples_of
from rigs.camera import MjpegServer, serving
from rigs.daemon import daemon, named, read_events, socket_of
from rigs.processes import wait_until

from edge import pipeline
from edge.announce.adjustments import Adjustments
from edge.announce.announcer import Missed
from edge.announce.messages import Messages
from edge.announce.schedule import Moment, Schedule
from edge.announce.voice import Voice
from edge.announce.wording import Words
from edge.daemon import aim
from edge.daemon.answers import Answers
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_state import ControlState
from edge.daemon.events import Events
from edge.daemon.history import History
from edge.daemon.reporter import Reporter
from edge.host.control_client import ask
from edge.input.actions import Action
from edge.settings import AnnounceSettings, SpeechSettings
from edge.speech.tones import FALLING, RISING, wav
from edge.stages import Announcement, Outcome

SEEN = Announcement("n1", "violin", 0.9, "I see a violin", labels=("violin",))


class Tones:
    """Tones that end at once."""

    def __init__(self) -> None:
        self.played: list[tuple[float, ...]] = []
        self.volume = 1.0

    def play(self, notes_hz: Any) -> None:
        self.played.append(tuple(notes_hz))

    def is_playing(self) -> bool:
        return False

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Asked:
    """Answers with their surroundings, and a speaker that is never busy."""

    def __init__(self, folder: Path, language: str = "") -> None:
        self.folder = folder
        self.history = History()
        speech = SpeechSettings(language=language)
        self.adjustments = Adjustments(folder / "adjustments.json", speech)
        words = Words(AnnounceSettings(), speech)
        self.state = ControlState(folder / "mutes.json", self.adjustments, self.history, words.notice)
        self.state.mutes.know(lambda: [(label, [label]) for label in ("violin", "cello")])
        self.state.show(dict, lambda: SEEN)
        self.speaker, self.tones, self.voice = RecordingSpeaker(), Tones(), Voice()
        self.voice.use(self.speaker, self.tones)
        self.events = Events(str(folder / "events"))
        self.schedule = Schedule(AnnounceSettings())
        self.messages = Messages(self.schedule, self.state.miss)
        self.answers = Answers(
            self.voice,
            self.state,
            history=self.history,
            adjustments=self.adjustments,
            reporter=Reporter(self.events, pipeline.Summary(), self.history),
            messages=self.messages,
            translate=words.notice,
            tones=(RISING, FALLING),
        )
        self.state.attach(self.answers, dict, lambda _paused: None)

    def close(self) -> None:
        self.answers.close()
        self.events.close()

    def press(self, action: Action) -> str:
        """Press the key for an action; return what is said."""
        before = len(self.speaker.said)
        self.answers.on_down()
        self.answers.on_action(action)
        wait_until(lambda: len(self.speaker.said) > before)
        return self.speaker.said[-1]

    def said(self, text: str, *labels: str) -> None:
        """Let something have been said by itself."""
        self.history.add(Outcome(Announcement("n", " or ".join(labels), 0.9, text, labels=labels), heard=True))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path)
    yield asked
    asked.close()


def test_a_tone_comes_with_each_key_unless_it_is_switched_off(asked: Asked) -> None:
    assert asked.press(Action.LOOK) == "I see a violin"
    assert asked.tones.played == [RISING]
    asked.answers.tones = False
    asked.press(Action.MISSED)
    assert asked.tones.played == [RISING]


def test_a_look_is_known_to_the_loop_as_said(asked: Asked) -> None:
    asked.press(Action.LOOK)
    begun: list[Announcement] = []
    ended: list[Outcome] = []

    def both() -> bool:
        one, other = asked.state.take_answers()
        begun.extend(one)
        ended.extend(other)
        return bool(begun and ended)

    wait_until(both)
    assert begun == [SEEN]
    assert [outcome.heard for outcome in ended] == [True]
    assert [one["text"] for one in asked.history.recent()] == ["I see a violin"]


def test_missed_tells_five_different_things_the_newest_first(asked: Asked) -> None:
    assert asked.press(Action.MISSED) == "You missed nothing."
    for number in range(7):
        for _ in range(2):
            asked.state.miss(Missed(f"thing {number}", 0.9, "snoozed", f"I see thing {number}"))
    assert asked.press(Action.MISSED) == (
        "You missed this: I see thing 6. I see thing 5. I see thing 4. I see thing 3. I see thing 2."
    )


def test_snooze_and_pause_go_to_and_fro(asked: Asked) -> None:
    assert asked.press(Action.SNOOZE) == "I'll be quiet for half an hour."
    assert 1790 < asked.state.snoozed_until_s - time.monotonic() <= 1800
    assert asked.press(Action.LOOK) == "I see a violin", "an answer is wanted"
    assert asked.press(Action.SNOOZE) == "I'm listening again."
    assert asked.state.snoozed_until_s == 0
    asked.said("I see a cello", "cello")
    assert asked.press(Action.PAUSE) == "I've stopped looking."
    assert asked.state.paused
    assert asked.history.recent() == []
    assert asked.press(Action.AIM) == "I can't see: the camera is closed."
    assert asked.press(Action.PAUSE) == "I'm looking again."
    assert not asked.state.paused


def test_volume_and_rate_change_from_the_next_word_on_and_are_kept(asked: Asked, tmp_path: Path) -> None:
    assert asked.press(Action.LOUDER) == "That is as loud as I go."
    assert asked.press(Action.QUIETER) == "Quieter."
    assert asked.press(Action.FASTER) == "Faster."
    assert asked.speaker.adjusted == (0.71, 240)
    assert asked.tones.volume == 0.71
    assert json.loads((tmp_path / "adjustments.json").read_text())["rate_wpm"] == {"now": 240, "settings": 200}
    assert asked.press(Action.SLOWER) == "Slower."
    for _ in range(20):
        last = asked.press(Action.SLOWER)
    assert last == "That is as slow as I go."
    for _ in range(20):
        last = asked.press(Action.QUIETER)
    assert last == "That is as quiet as I go."
    status = ControlCommands(asked.state).answer({"command": "status"})
    assert (status["volume"], status["rate_wpm"]) == (0.1, 80)


def test_what_was_said_last_is_muted_by_all_its_labels(asked: Asked) -> None:
    assert asked.press(Action.MUTE_LAST) == "There is nothing to mute."
    asked.said("I see a dog", "dog")
    assert asked.press(Action.MUTE_LAST) == "That did not work.", "the model has no such label any more"
    asked.said("maybe a violin or a cello", "violin", "cello")
    asked.said("I'm ready.")
    assert asked.press(Action.MUTE_LAST) == "I won't say this again: maybe a violin or a cello."
    assert asked.state.mutes.plain == {"violin", "cello"}


def test_the_history_is_told(asked: Asked) -> None:
    assert asked.press(Action.HISTORY) == "I said nothing in the last hour."
    asked.said("I'm ready.")
    asked.said("I see a cello", "cello")
    assert asked.press(Action.HISTORY) == "In the last hour I said this: I see a cello. I'm ready."


def test_aiming_ends_by_the_same_key_by_a_pause_and_by_itself(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked.press(Action.AIM) == "I'll help you aim."
    assert asked.answers.is_aiming
    assert not asked.voice.say(SEEN), "announcements wait"
    squares = np.kron(np.indices((10, 10)).sum(axis=0) % 2, np.ones((20, 20)))
    asked.answers.see(np.repeat(200 * squares[:, :, None], 3, axis=2).astype(np.uint8))
    wait_until(lambda: any(len(notes) == 1 for notes in asked.tones.played))
    assert ControlCommands(asked.state).answer({"command": "aim"})["sharpness"] > 0
    assert asked.press(Action.AIM) == "Aiming has ended."
    assert ControlCommands(asked.state).answer({"command": "aim"}) == {"aiming": False}
    assert ControlCommands(asked.state).answer({"command": "aim", "on": True})["aiming"] is True
    assert ControlCommands(asked.state).answer({"command": "aim", "on": True})["aiming"] is True
    asked.press(Action.PAUSE)
    wait_until(lambda: not asked.answers.is_aiming)
    asked.press(Action.PAUSE)
    monkeypatch.setattr(aim, "AIM_S", 0.2)
    asked.press(Action.AIM)
    wait_until(lambda: asked.speaker.said[-1] == "Aiming has ended.")
    assert asked.tones.played[-1] == FALLING
    assert not asked.answers.is_aiming


def test_every_answer_is_in_the_spoken_language(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "de")
    asked.state.miss(Missed("dog", 0.9, "snoozed", "Ich sehe einen Hund"))
    asked.said("Ich sehe ein Cello", "cello")
    assert asked.press(Action.MISSED) == "Das hätte ich inzwischen gesagt: Ich sehe einen Hund."
    assert asked.press(Action.MUTE_LAST) == "Das sage ich nicht mehr: Ich sehe ein Cello."
    assert asked.press(Action.SNOOZE) == "Ich bin jetzt eine halbe Stunde lang still."
    assert asked.press(Action.QUIETER) == "Leiser."
    assert asked.press(Action.HISTORY) == "In der letzten Stunde habe ich gesagt: Ich sehe ein Cello."
    asked.close()


def noon() -> Moment:
    return Moment(time.monotonic(), datetime(2026, 6, 1, 12))


def test_a_sentence_from_outside_is_polite_unless_the_settings_allow_more(asked: Asked) -> None:
    commands = ControlCommands(asked.state)
    assert commands.answer({"command": "say", "text": "one"}) == {"text": "one", "queued": True, "reason": None}
    assert asked.messages.due(noon()) == Announcement("", "", 1.0, "one", given=True)
    assert "set [link] say" in commands.answer({"command": "say", "text": "two", "urgent": True})["error"]
    asked.answers.sayable = "urgent"
    commands.answer({"command": "snooze", "seconds": 60})
    told = commands.answer({"command": "say", "text": "three"})
    assert told == {"text": "three", "queued": False, "reason": "snoozed"}
    (missed,) = asked.state.missed()
    assert (missed["text"], missed["label"], missed["probability"]) == ("three", None, None)
    assert commands.answer({"command": "say", "text": "four", "urgent": True})["queued"]
    wait_until(lambda: [one["text"] for one in asked.history.recent()] == ["four"])
    assert asked.speaker.said == ["four"]
    wait_until(lambda: named(read_events(asked.folder / "events"), "spoken"))
    (notice,) = named(read_events(asked.folder / "events"), "notice")
    assert (notice["text"], notice["given"]) == ("four", True)
    asked.answers.sayable = "off"
    for urgent in (False, True):
        told = commands.answer({"command": "say", "text": "five", "urgent": urgent})
        assert told == {"error": 'the settings do not allow this: [link] say = "off"'}


def test_only_a_few_sentences_from_outside_may_wait(asked: Asked) -> None:
    commands = ControlCommands(asked.state)
    told = [commands.answer({"command": "say", "text": f"number {number}"}) for number in range(6)]
    assert [one.get("queued") for one in told] == [True] * 5 + [None]
    assert told[-1] == {"error": "5 sentences wait already"}


def test_a_volume_is_set_without_a_word(asked: Asked, tmp_path: Path) -> None:
    commands = ControlCommands(asked.state)
    told = commands.answer({"command": "volume", "percent": 55})
    assert told == {"volume": 0.55, "rate_wpm": 200, "changed": True, "lasting": True}
    assert asked.speaker.adjusted == (0.55, 200)
    assert asked.tones.volume == 0.55
    assert json.loads((tmp_path / "adjustments.json").read_text())["volume"] == {"now": 0.55, "settings": 1.0}
    assert commands.answer({"command": "volume", "percent": 55.0})["changed"] is False
    assert asked.press(Action.HISTORY) == "I said nothing in the last hour."


def test_a_fault_in_one_answer_does_not_end_the_thread(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked.state.show(dict, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    asked.answers.on_action(Action.LOOK)
    assert asked.press(Action.HISTORY) == "I said nothing in the last hour."
    assert "ZeroDivisionError" in caplog.text


def test_no_press_of_many_is_lost(asked: Asked, long: bool) -> None:
    presses = 1000 if long else 100
    for number in range(presses):
        asked.answers.on_down()
        asked.answers.on_action(Action.FASTER if number % 2 else Action.SLOWER)
    wait_until(lambda: asked.press(Action.HISTORY) == "I said nothing in the last hour.")
    assert asked.adjustments.rate_wpm == 200


# ---- the whole daemon


@pytest.fixture
def card(card: RecordingCard) -> RecordingCard:
    card.set_pace("real")
    return card


def heard(folder: Path) -> list[str]:
    return [event["text"] for event in named(read_events(folder / "events"), "spoken") if event["heard"]]


def is_heard(folder: Path, text: str) -> Callable[[], bool]:
    return lambda: text in heard(folder)


def begun(folder: Path) -> list[str]:
    return [event["text"] for event in named(read_events(folder / "events"), "notice")]


@pytest.mark.integration
def test_a_key_is_answered_aloud_whatever_the_loop_does(tmp_path: Path, card: RecordingCard) -> None:
    """While it starts, sees, is paused, is snoozed and is blind; and the sound is a tone, then espeak-ng's words."""
    with serving(MjpegServer()) as server:
        arguments = ["--camera", server.url, "--model", "demo", "--events", str(tmp_path / "events")]
        environment = {"EDGE_CAMERA_READ_TIMEOUT_S": "1", "XDG_STATE_HOME": str(tmp_path), **card.environment}
        with daemon(tmp_path, *arguments, EDGE_LINK_SAY="urgent", **environment):
            sock = socket_of(tmp_path)
            wait_until(sock.exists)

            def press(action: Action) -> None:
                assert ask([sock], {"command": "press", "action": action}) == {"action": action}

            press(Action.LOOK)
            # the loop had not turned yet when the key was pressed
            wait_until(is_heard(tmp_path, "I'm starting."))
            wait_until(is_heard(tmp_path, "I'm ready."))
            press(Action.PAUSE)
            wait_until(is_heard(tmp_path, "I've stopped looking."))
            press(Action.LOOK)
            wait_until(is_heard(tmp_path, "I can't see: the camera is closed."))
            press(Action.PAUSE)
            wait_until(is_heard(tmp_path, "I'm looking again."))
            polite = {"command": "say", "text": "Dinner is\tready."}
            assert ask([sock], polite) == {"text": "Dinner is ready.", "queued": True, "reason": None}
            wait_until(is_heard(tmp_path, "Dinner is ready."))
            press(Action.SNOOZE)
            wait_until(is_heard(tmp_path, "I'll be quiet for half an hour."))
            assert ask([sock], polite) == {"text": "Dinner is ready.", "queued": False, "reason": "snoozed"}
            assert ask([sock], {"command": "missed"})["missed"][-1]["text"] == "Dinner is ready."
            assert ask([sock], {"command": "say", "text": "The milk boils over!", "urgent": True})["queued"]
            wait_until(is_heard(tmp_path, "The milk boils over!"))
            said = [one["text"] for one in ask([sock], {"command": "history"})["history"]]
            assert [said.count(text) for text in ("Dinner is ready.", "The milk boils over!")] == [1, 1]
            server.silent.set()
            wait_until(lambda: ask([sock], {"command": "status"})["sight"])
            press(Action.LOOK)
            wait_until(is_heard(tmp_path, "I can't see: the camera is lost."))
            status = ask([sock], {"command": "status"})
            assert status["silence"] == "snoozed"
            assert status["input"] == {"tones": True}
        assert begun(tmp_path).count("I've stopped looking.") == 1, "an answer needs no notice"
    tone = wav(RISING)[44:]
    recorded = [samples for path in sorted(card.folder.glob("*.wav")) if any(samples := samples_of(path))]
    assert sum(samples.startswith(tone) for samples in recorded) == 6
    for text in heard(tmp_path):
        path = tmp_path / "oracle.wav"
        subprocess.run(["espeak-ng", "-v", "en", "-s", "200", "-w", str(path), "--", text], check=True)
        assert any(one.startswith(samples_of(path)) for one in recorded), text


@pytest.mark.integration
def test_volume_and_rate_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with daemon(folder, "--speech", "log", XDG_STATE_HOME=str(state)):
            sock = socket_of(folder)
            wait_until(sock.exists)
            if not number:
                answer = ask([sock], {"command": "quieter"})
                assert answer == {
                    "text": "Quieter.",
                    "volume": 0.71,
                    "rate_wpm": 200,
                    "changed": True,
                    "lasting": True,
                }
            assert ask([sock], {"command": "status"})["volume"] == 0.71
    assert [file.name for file in (state / "edge").iterdir()] == ["adjustments.json"]


@pytest.mark.integration
def test_edge_aim_on_a_film(tmp_path: Path) -> None:
    with daemon(tmp_path, "--speech", "log", "--model", "demo"):
        sock = socket_of(tmp_path)
        wait_until(lambda: sock.exists() and ask([sock], {"command": "status"}).get("frames"))
        assert ask([sock], {"command": "aim", "on": True})["aiming"] is True
        wait_until(lambda: ask([sock], {"command": "aim"})["best"] > 0)
        assert ask([sock], {"command": "aim", "on": False}) == {"aiming": False}
