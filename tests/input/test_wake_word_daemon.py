"""The whole daemon with a wake word: a fake arecord, the real detector and the real voice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rigs.audio.card import RecordingCard
from rigs.daemon import daemon, group_of, named, read_events, say
from rigs.microphone import FakeMicrophone, is_recorder, spoken
from rigs.processes import wait_until

from edge.input.microphone import NO_MICROPHONE

pytestmark = pytest.mark.usefixtures("wake_word_tools")
CANNOT, CAN = "Ich kann gerade nichts hören.", "Ich kann wieder hören."


@pytest.fixture
def microphone(tmp_path: Path, card: RecordingCard) -> Iterator[FakeMicrophone]:
    with FakeMicrophone(tmp_path) as fake:
        fake.environment = card.environment | fake.environment
        yield fake


def recorders(child: Any) -> list[int]:
    return [pid for pid in group_of(child.session) if is_recorder(pid)]


def wake_word(folder: Path) -> dict[str, Any]:
    answer = say(folder, "status", "--json")
    found: dict[str, Any] = json.loads(answer.stdout or "{}").get("input", {}).get("wake_word", {})
    return found


def test_the_word_a_loss_and_a_pause(tmp_path: Path, card: RecordingCard, microphone: FakeMicrophone) -> None:
    events = tmp_path / "events"

    def seen(name: str) -> list[dict[str, Any]]:
        return named(read_events(events), name)

    def noted(text: str) -> bool:
        return any(one["text"] == text for one in seen("notice"))

    settings = {
        "EDGE_INPUT_WORD": "okay_nabu",
        "EDGE_SPEECH_DRIVER": "espeak",
        "EDGE_SPEECH_LANGUAGE": "de",
        # nothing but notices and answers is said
        "EDGE_ANNOUNCE_FLOOR": "1.0",
        "EDGE_ANNOUNCE_SURE": "1.0",
        "EDGE_ANNOUNCE_MAYBE": "1.0",
        "EDGE_ALOUD_REPEAT_S": "1",
    }
    arguments = ("--model", "demo", "--events", str(events))
    with daemon(tmp_path, *arguments, **settings, **microphone.environment) as child:
        wait_until(lambda: seen("microphone_open"))
        wait_until(lambda: noted("Ich bin bereit."))
        (opened,) = seen("microphone_open")
        assert opened["microphone"] == "ALSA's default"
        assert "microphone  OPEN, ALSA's default, for the word okay_nabu" in say(tmp_path, "status").stdout
        assert len(recorders(child)) == 1

        # the word asks for a look, and the answer is heard
        wait_until(lambda: len(seen("spoken")) == len(seen("notice")))
        played = len(card.recordings())
        microphone.hear(spoken("okay nabu"))
        wait_until(lambda: seen("asked"))
        wait_until(lambda: len(card.recordings()) >= played + 2)  # a tone and the answer
        assert [one["action"] for one in seen("asked")] == ["look"]

        # the microphone vanishes: log, event, status and once aloud; it comes back
        microphone.unplug()
        wait_until(lambda: noted(CANNOT))
        wait_until(lambda: NO_MICROPHONE in (wake_word(tmp_path).get("problem") or ""))
        assert seen("input_lost")[0]["source"] == "wake_word"
        assert not wake_word(tmp_path)["open"]
        microphone.plug_in()
        wait_until(lambda: noted(CAN))
        wait_until(lambda: seen("input_back"))
        assert len([one for one in seen("notice") if one["text"] == CANNOT]) == 1

        # a pause closes the microphone too
        wait_until(lambda: recorders(child))
        say(tmp_path, "pause")
        wait_until(lambda: not recorders(child))
        wait_until(lambda: not wake_word(tmp_path)["open"])
        assert not wake_word(tmp_path)["problem"]
        say(tmp_path, "resume")
        wait_until(lambda: wake_word(tmp_path)["open"])

        # without the word in the settings no microphone is open
        child.terminate()
        output, _ = child.communicate(timeout=60)
    assert "A microphone is open (ALSA's default) for the wake word; what it hears is neither kept nor sent." in output
    assert "Wake word: " in output
    assert "(edge keeps trying)" in output
    assert "Wake word: working again." in output


def test_no_microphone_is_open_by_default(tmp_path: Path, microphone: FakeMicrophone) -> None:
    events = tmp_path / "events"
    arguments = ("--model", "demo", "--events", str(events))
    with daemon(tmp_path, *arguments, EDGE_SPEECH_DRIVER="log", **microphone.environment) as child:
        wait_until(lambda: named(read_events(events), "announced"))
        assert not recorders(child)
        assert "wake_word" not in json.loads(say(tmp_path, "status", "--json").stdout)["input"]
        assert "microphone" not in say(tmp_path, "status").stdout


def test_a_word_without_the_package_is_told_and_nothing_stops(tmp_path: Path, microphone: FakeMicrophone) -> None:
    # a package that is there and cannot be imported
    broken = tmp_path / "broken" / "pymicro_wakeword"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libtensorflowlite_c.so: cannot open shared object file')\n")
    events = tmp_path / "events"
    environment = {
        "EDGE_INPUT_WORD": "okay_nabu",
        "EDGE_SPEECH_DRIVER": "log",
        "PYTHONPATH": str(broken.parent),
        **microphone.environment,
    }
    with daemon(tmp_path, "--model", "demo", "--events", str(events), **environment) as child:
        wait_until(lambda: named(read_events(events), "input_lost"))
        wait_until(lambda: named(read_events(events), "announced"))
        assert not recorders(child)
    (lost, *_) = named(read_events(events), "input_lost")
    assert lost["reason"].startswith("pymicro-wakeword cannot be used: libtensorflowlite_c.so: cannot open")
