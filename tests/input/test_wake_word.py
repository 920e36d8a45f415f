"""The wake word: its detector, the real arecord on ALSA's file device, and what happens when the microphone goes."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rigs.microphone import FakeMicrophone, file_card, recorders, spoken
from rigs.processes import wait_until, wait_until_gone, workers

from edge.errors import InputError
from edge.host import installation
from edge.host.sound_cards import Card
from edge.input import Source, open_sources, wake_word
from edge.input.actions import Action
from edge.input.detector import CHUNK_S, Detector, Listener
from edge.input.microphone import (
    BUSY,
    NO_ARECORD,
    NO_MICROPHONE,
    RATE_HZ,
    Microphone,
    candidates,
    open_microphone,
)
from edge.settings import InputSettings

pytestmark = pytest.mark.usefixtures("wake_word_tools")
WORD = "okay_nabu"
SILENCE = bytes(4 * RATE_HZ)
"""Longer than everything between the rig and the detector keeps: after it, what came before has been read."""
Opens = Callable[..., tuple[Source, "Asked"]]


class Asked:
    """A receiver that keeps what was asked."""

    def __init__(self) -> None:
        self.downs = 0
        self.actions: list[Action] = []

    def on_down(self) -> None:
        self.downs += 1

    def on_action(self, action: Action) -> None:
        self.actions.append(action)


@pytest.fixture
def microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMicrophone]:
    with FakeMicrophone(tmp_path) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def listen() -> Iterator[Opens]:
    """Open the sources with a word; they leave no process behind."""
    opened: list[Source] = []

    def open_(sounding: Callable[[], bool] = lambda: False, **settings: str) -> tuple[Source, Asked]:
        asked = Asked()
        chosen = InputSettings(**{"word": WORD, **settings})  # type: ignore[arg-type]
        opened.append(open_sources(chosen, asked, sounding=sounding)["wake_word"])
        return opened[-1], asked

    yield open_
    groups = workers(os.getpid())
    for source in opened:
        source.close()
        source.close()
    for group in groups:
        wait_until_gone(group)


def wait_for(asked: Asked, count: int) -> None:
    wait_until(lambda: len(asked.actions) >= count)


# ---- the detector


def test_it_hears_its_word_once_and_nothing_else() -> None:
    detector = Detector(WORD)
    for text, times, count in (
        ("okay nabu", 1, 1),
        ("I see a violin", 1, 0),
        ("okay nabu", 3, 3),
        ("what is that", 2, 0),
    ):
        sound = times * spoken(text)
        blocks = [sound[at : at + 1600] for at in range(0, len(sound), 1600)]
        assert sum(map(detector.hears, blocks)) == count, text


def test_a_sound_that_it_has_forgotten_does_not_count() -> None:
    detector = Detector(WORD)
    sound = spoken("okay nabu")
    middle = len(sound) // 4 * 2
    heard = detector.hears(sound[:middle])
    detector.reset()
    assert not heard
    assert not detector.hears(sound[middle:])


def test_without_the_package_one_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("edge.input.detector.is_installed", "edge.host.installation.is_installed"):
        monkeypatch.setattr(where, lambda _package: False)
    monkeypatch.setattr(installation, "is_clones", lambda: True)
    with pytest.raises(InputError, match=r"not installed; `.*scripts/install run --with wake-word` installs it$"):
        Detector(WORD)


def test_no_microphone_is_opened_unless_a_word_is_set() -> None:
    assert InputSettings().word == ""
    assert "wake_word" not in open_sources(InputSettings(), Asked())


# ---- the microphone

CARDS = [Card("Headphones", "bcm2835 Headphones"), Card("Mic", "USB Mic", records=True), Card("HAT", "HAT", True)]


@pytest.mark.parametrize(
    ("microphone", "speech_device", "tried"),
    [
        ("", "", ["", "plughw:CARD=Mic", "plughw:CARD=HAT"]),
        ("", "hat", ["plughw:CARD=HAT", "", "plughw:CARD=Mic"]),
        ("usb mic", "hat", ["plughw:CARD=Mic"]),
        ("hw:1,0", "", ["plughw:1,0"]),
        ("pulse", "", ["pulse"]),
    ],
)
def test_the_card_that_edge_speaks_through_is_tried_first(
    microphone: str, speech_device: str, tried: list[str]
) -> None:
    assert candidates(microphone, speech_device, CARDS) == tried


def test_the_word_is_heard_through_the_real_arecord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = spoken("okay nabu") + spoken("I see a violin") + spoken("okay nabu", "en-us", 185)
    for name, value in file_card(tmp_path, sound, RATE_HZ, 1).items():
        monkeypatch.setenv(name, value)
    opened, detector = open_microphone([""]), Detector(WORD)
    try:
        assert sum(detector.hears(opened.read(0.05)) for _ in range(len(sound) // 1600 - 2)) == 2
    finally:
        opened.close()
        opened.close()


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (44100, 2), (48000, 2)])
def test_alsa_converts_what_the_card_has(
    rate_hz: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a level, because ALSA's file device skips samples where it is read faster than the clock
    for name, value in file_card(tmp_path, b"\x00\x20" * 3 * RATE_HZ, rate_hz, channels).items():
        monkeypatch.setenv(name, value)
    opened = open_microphone([""])
    try:
        opened.read(0.5)
        assert opened.read(0.5) == b"\x00\x20" * (RATE_HZ // 2)
    finally:
        opened.close()


def fake_arecord(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of this name first in PATH."""
    program = folder / "arecord"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'arecord: main:831: audio open error: No such file or directory' >&2; exit 1", NO_MICROPHONE),
        ("head -c 1000 /dev/zero; echo 'arecord: pcm_read:2221: read error: No such device' >&2; exit 1", "unplugged"),
        ("echo 'arecord: main:831: audio open error: Device or resource busy' >&2; exit 1", BUSY),
        ("echo 'arecord: main:831: audio open error: Permission denied' >&2; exit 1", "sudo usermod -aG audio"),
        ("echo 'Warning: rate is not accurate (requested = 16000Hz, got = 48000Hz)' >&2; sleep 60", "at 16000 Hz"),
        ("echo 'something new' >&2; exit 3", "could not be read: something new"),
        ("exit 3", "exit status 3"),
        ("exec sleep 60", "gives no sound"),
    ],
)
def test_arecords_complaints_in_a_persons_words(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_arecord(tmp_path, monkeypatch, script)
    monkeypatch.setattr("edge.input.microphone.SILENT_S", 0.5)
    with pytest.raises(InputError) as caught:
        open_microphone(["plughw:CARD=X", "plughw:CARD=Y"])
    assert reason in str(caught.value)
    assert str(caught.value).startswith("plughw:CARD=X: "), "the fault of the one that is tried first"
    assert "\n" not in str(caught.value)


def test_overruns_do_not_stop_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_arecord(tmp_path, monkeypatch, "yes 'overrun!!! (at least 4.0 ms long)' >&2 & exec cat /dev/zero")
    opened = Microphone("")
    try:
        assert len(opened.read(1.0)) == 2 * RATE_HZ
    finally:
        opened.close()


def test_without_arecord_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=NO_ARECORD):
        open_microphone([""])


# ---- the source


def test_the_word_asks_for_a_look(microphone: FakeMicrophone, listen: Opens) -> None:
    source, asked = listen()
    wait_until(lambda: source.status()["open"])
    assert source.status() == {"word": WORD, "open": True, "microphone": "ALSA's default", "problem": None}
    microphone.hear(spoken("I see a violin"))
    microphone.hear(spoken("okay nabu"))
    wait_for(asked, 1)
    microphone.hear(spoken("okay nabu", "en-us", 185))
    wait_for(asked, 2)
    assert asked.actions == [Action.LOOK] * 2
    assert asked.downs == 2


def test_it_does_not_listen_to_edge_itself(microphone: FakeMicrophone, listen: Opens) -> None:
    sounds = True
    source, asked = listen(sounding=lambda: sounds)
    wait_until(lambda: source.status()["open"])
    microphone.hear(spoken("okay nabu"))
    microphone.hear(SILENCE)
    sounds = False
    time.sleep(2 * wake_word.TAIL_S)
    microphone.hear(spoken("okay nabu"))
    wait_for(asked, 1)
    microphone.hear(spoken("I see a violin"))
    assert asked.actions == [Action.LOOK], "it heard the second alone"


def test_a_word_that_begins_while_edge_speaks_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scripted:
        name = "scripted"
        sound = b""

        def read(self, seconds: float) -> bytes:
            size = 2 * round(RATE_HZ * seconds)
            part, self.sound = self.sound[:size], self.sound[size:]
            return part.ljust(size, b"\0")

        def drop(self) -> None: ...
        def close(self) -> None: ...

    def heard(sound: bytes, ignored_s: float) -> int:
        scripted.sound = sound
        for _ in range(round(ignored_s / CHUNK_S)):
            listener.listen(ignore=True)
        count = 0
        while scripted.sound:
            count += listener.listen(ignore=False)["heard"]
        return count

    scripted = Scripted()
    monkeypatch.setattr("edge.input.detector.open_microphone", lambda _names: scripted)
    listener = Listener(WORD, "", "")
    word = spoken("okay nabu")
    assert heard(word, 0.0) == 1
    assert heard(word, 0.75) == 0, "its first quarter of a second is missing"
    assert heard(word, 0.0) == 1
    # what came before does not count either
    assert heard(word[: len(word) // 4 * 2], 0.0) == 0
    listener.listen(ignore=True)
    assert heard(word[len(word) // 4 * 2 :], 0.0) == 0


def test_a_pause_closes_the_microphone(microphone: FakeMicrophone, listen: Opens) -> None:
    source, asked = listen()
    wait_until(lambda: source.status()["open"])
    (group,) = workers(os.getpid())
    assert recorders()
    source.set_paused(True)
    wait_until_gone(group)
    assert source.status() == {"word": WORD, "open": False, "microphone": None, "problem": None}
    source.set_paused(True)
    source.set_paused(False)
    wait_until(lambda: source.status()["open"])
    microphone.hear(spoken("okay nabu"))
    wait_for(asked, 1)


def test_a_lost_microphone_is_told_and_found_again(
    microphone: FakeMicrophone, listen: Opens, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(wake_word, "FIRST_PAUSE_S", 0.05)
    source, asked = listen()
    for _ in range(100 if request.config.getoption("--long") else 3):
        wait_until(lambda: source.status()["open"])
        microphone.unplug()
        wait_until(lambda: source.problem)
        assert not source.status()["open"]
        wait_until(lambda: NO_MICROPHONE in source.problem)
        microphone.plug_in()
    wait_until(lambda: source.status()["open"])
    assert source.problem == ""
    assert len(recorders()) == 1
    microphone.hear(spoken("okay nabu"))
    wait_for(asked, 1)


def test_one_that_is_missing_at_the_start_is_told(listen: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSA_CONFIG_PATH", os.devnull)
    source, _ = listen()
    wait_until(lambda: source.problem)
    assert not source.status()["open"]
    assert NO_MICROPHONE in source.problem or "could not be read" in source.problem


def test_a_process_that_dies_is_replaced(
    microphone: FakeMicrophone, listen: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_word, "FIRST_PAUSE_S", 0.05)
    source, asked = listen()
    wait_until(lambda: source.status()["open"])
    (group,) = workers(os.getpid())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 9)
    wait_until_gone(group)
    wait_until(lambda: workers(os.getpid()) and source.status()["open"])
    microphone.hear(spoken("okay nabu"))
    wait_for(asked, 1)
