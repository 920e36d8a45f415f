"""edge doctor on the wake word: its package and its microphone."""

import os
import shutil
from pathlib import Path

import pytest
from rigs.audio.card import RecordingCard
from rigs.microphone import FakeMicrophone

from edge.doctor import Finding, Grade
from edge.doctor.wake_word import check_wake_word
from edge.settings import InputSettings, SpeechSettings

WORD = InputSettings(word="okay_nabu")
SPEECH = SpeechSettings(driver="espeak")


@pytest.fixture(autouse=True)
def _needs_tools() -> None:
    for tool in ("arecord", "aplay"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    pytest.importorskip("pymicro_wakeword")


def found(running: dict[str, object] | None = None, speech: SpeechSettings = SPEECH) -> dict[str, Finding]:
    return {one.check: one for one in check_wake_word(WORD, speech, running)}


def test_without_a_word_there_is_nothing_to_check() -> None:
    assert not list(check_wake_word(InputSettings(), SPEECH, None))


def test_a_missing_package_is_a_fault_with_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("edge.input.detector.is_installed", "edge.host.installation.is_installed"):
        monkeypatch.setattr(where, lambda _package: False)
    one = found()["wake word"]
    assert one.grade is Grade.FAULT
    assert one.text == "pymicro-wakeword is not installed"
    assert "install" in one.advice
    assert one.advice.count("`") == 2


def test_the_microphone_is_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "played").mkdir()
    with FakeMicrophone(tmp_path) as microphone:
        for name, value in (RecordingCard(tmp_path / "played").environment | microphone.environment).items():
            monkeypatch.setenv(name, value)
        assert found()["microphone"].text == "ALSA's default gives only silence"
        microphone.queue(b"\x00\x20" * 32000)
        one = found()["microphone"]
    assert one.grade is Grade.GOOD
    assert one.text.startswith("ALSA's default: the loudest moment was 25.0% of full scale")
    assert one.text.endswith("neither kept nor sent")


def test_a_card_that_cannot_play_while_it_records_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "played").mkdir()
    # an aplay that finds the card busy as long as an arecord has it
    busy = tmp_path / "aplay"
    busy.write_text(
        "#!/bin/sh\n[ ! -e /proc/$(cat recorder)/fd ] || "
        "{ echo 'aplay: main:831: audio open error: Device or resource busy' >&2; exit 1; }\n"
    )
    recorder = tmp_path / "arecord"
    recorder.write_text("#!/bin/sh\necho $$ >recorder\nexec cat /dev/zero\n")
    for program in (busy, recorder):
        program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    one = found()["microphone"]
    assert one.grade is Grade.FAULT
    assert one.text == "ALSA's default: while it is open, edge cannot be heard: another program is using the sound card"


def test_without_a_microphone_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", os.devnull)
    one = found()["microphone"]
    assert one.grade is Grade.FAULT
    assert "[input] microphone" in one.advice


@pytest.mark.parametrize(
    ("status", "grade", "words"),
    [
        ({"open": True, "microphone": "plughw:CARD=Mic"}, Grade.GOOD, "plughw:CARD=Mic is open in the running edge"),
        ({"problem": "no microphone: it has been unplugged"}, Grade.FAULT, "it has been unplugged"),
        ({"open": False}, Grade.WARNING, "not open yet"),
    ],
)
def test_a_running_edge_has_the_microphone(status: dict[str, object], grade: Grade, words: str) -> None:
    one = found({"input": {"wake_word": status}})["microphone"]
    assert one.grade is grade
    assert words in one.text


def test_a_paused_edge_has_closed_it() -> None:
    one = found({"paused": True, "input": {"wake_word": {"open": False}}})["microphone"]
    assert one.text == "closed: edge is paused"
    assert "resume" in one.advice
