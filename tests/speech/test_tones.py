"""The tones: made here, played on the card, and again if the card was still busy."""

import array
import io
import os
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from rigs.audio.card import RecordingCard
from rigs.processes import wait_until

from edge.settings import SpeechSettings
from edge.speech.tones import FALLING, NOTE_S, RATE_HZ, RISING, TonePlayer, wav

SETTINGS = SpeechSettings()


def samples_of(sound: bytes) -> "array.array[int]":
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        return array.array("h", file.readframes(file.getnframes()))


def pitch_hz(samples: "array.array[int]") -> float:
    spectrum = np.abs(np.fft.rfft(np.array(samples, float), 1 << 16))
    return float(np.argmax(spectrum)) * RATE_HZ / (1 << 16)


@pytest.mark.parametrize("notes", [RISING, FALLING])
def test_two_notes_are_two_notes_without_clicks(notes: tuple[float, float]) -> None:
    samples = samples_of(wav(notes))
    assert len(samples) == 2 * int(RATE_HZ * NOTE_S)
    for note, part in zip(notes, (samples[: len(samples) // 2], samples[len(samples) // 2 :]), strict=True):
        assert abs(pitch_hz(part) - note) < 5
    steps = [abs(after - before) for before, after in zip([0, *samples], [*samples, 0], strict=True)]
    assert max(steps) < 0.35 * 32767 * 2 * np.pi * max(notes) / RATE_HZ * 1.05, "no jump: that would click"


def test_volume_and_lead_in_are_those_of_the_voice() -> None:
    loud, soft = samples_of(wav(RISING)), samples_of(wav(RISING, 0.5))
    assert max(loud) == pytest.approx(2 * max(soft), rel=0.01)
    late = samples_of(wav(RISING, 1.0, 500))
    assert late[RATE_HZ // 2 :] == loud
    assert not any(late[: RATE_HZ // 2])


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingCard:
    card = RecordingCard(tmp_path)
    for name, value in card.environment.items():
        monkeypatch.setenv(name, value)
    return card


def ended(player: TonePlayer) -> bool:
    return not player.is_playing()


@pytest.mark.integration
def test_a_tone_is_played_as_it_was_made(card: RecordingCard) -> None:
    player = TonePlayer(SETTINGS)
    player.play(RISING)
    wait_until(lambda: ended(player))
    wait_until(card.recordings)
    (recorded,) = card.recordings()
    made = samples_of(wav(RISING)).tobytes()
    assert recorded[: len(made)] == made
    assert not any(recorded[len(made) :])
    player.volume = 0.5
    player.play((500.0,))
    wait_until(lambda: ended(player))
    wait_until(lambda: len(card.recordings()) == 2)
    assert card.recordings()[1].startswith(samples_of(wav((500.0,), 0.5)).tobytes())
    player.close()
    player.play(RISING)
    assert ended(player)


@pytest.mark.integration
def test_a_card_that_is_still_busy_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens once: the player that was just killed may still have it."""
    monkeypatch.setattr("edge.speech.tones.RETRY_S", 60.0)
    _aplay(tmp_path, f"echo x >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) -ge 4 ]")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    player = TonePlayer(SETTINGS)
    player.play(RISING)
    wait_until(lambda: ended(player))
    assert (tmp_path / "tries").read_text() == "x\n" * 4


@pytest.mark.integration
def test_no_card_and_no_aplay_are_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _aplay(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    player = TonePlayer(SETTINGS)
    player.play(RISING)
    wait_until(lambda: ended(player))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    player = TonePlayer(SETTINGS)
    player.play(RISING)
    assert ended(player)


@pytest.mark.integration
def test_a_player_that_hangs_is_ended_and_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _aplay(tmp_path, f"echo $$ >> {tmp_path}/pids; exec sleep 600")
    monkeypatch.setattr("edge.speech.tones.STUCK_S", 0.3)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    player = TonePlayer(SETTINGS)
    player.play(RISING)
    wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text() != "")
    wait_until(lambda: ended(player))
    player.play(RISING)
    player.play(FALLING)
    player.stop()
    time.sleep(0.05)
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def _aplay(folder: Path, script: str) -> None:
    file = folder / "aplay"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
