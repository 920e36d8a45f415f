"""Every speaker, and the real ones into a card that records: what it recorded is compared with espeak-ng's own file."""

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rigs.audio.card import SAMPLE_RATE, RecordingCard, samples_of
from rigs.processes import command, members, temp_folder, wait_until, wait_until_gone, workers

from edge.announce.wording import Words
from edge.errors import SpeechError
from edge.host.sound_cards import Card, find_cards
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings, SpeechSettings
from edge.speech import open_speaker
from edge.speech.process import ProcessSpeaker
from edge.speech.sound import NO_APLAY, NO_CARD, check_aplay, player
from edge.stages import INTERRUPTED, TOO_LATE, Announcement, Outcome, Speaker, Term

ROOT = Path(__file__).resolve().parents[2]
SOUNDING = ("pyttsx3", "espeak")


def needs_tools() -> None:
    for tool in ("aplay", "espeak-ng"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")


@pytest.fixture
def open_(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Speaker]]:
    """Open a speaker, on a card or on none; it is closed after the test and leaves nothing behind."""
    speakers: list[Speaker] = []
    folders: list[Path] = []

    def open_(driver: str, card: RecordingCard | None = None, **settings: object) -> Speaker:
        if driver != "log":
            needs_tools()
        if driver == "pyttsx3":
            pytest.importorskip("pyttsx3")
        environment = card.environment if card else {"ALSA_CONFIG_PATH": os.devnull}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        speakers.append(open_speaker(SpeechSettings(driver, **settings), printed=lambda text: None))  # type: ignore[arg-type]
        folders.extend(temp_folder(pid) for pid in workers(os.getpid()))
        return speakers[-1]

    yield open_
    groups = workers(os.getpid())
    folders += [temp_folder(pid) for pid in groups]
    for speaker in speakers:
        speaker.close()
    for group in groups:
        wait_until_gone(group)
    assert [folder for folder in folders if folder.exists()] == []


def announcement(text: str) -> Announcement:
    return Announcement(id="n03272010", label="electric guitar", probability=0.9, text=text)


def outcome_of(speaker: Speaker, text: str) -> Outcome:
    """Say something and wait for what becomes of it."""
    said = announcement(text)
    wait_until(lambda: speaker.say(said))
    (outcome,) = wait_until(speaker.poll)
    assert outcome.announcement == said
    assert speaker.poll() == []
    return outcome


def oracle(text: str, tmp_path: Path, voice: str = "en", rate_wpm: int = 200, amplitude: int = 100) -> bytes:
    """The samples that espeak-ng itself makes of a text."""
    path = tmp_path / "oracle.wav"
    command = ["espeak-ng", "-v", voice, "-s", str(rate_wpm), "-a", str(amplitude), "-w", str(path), "--", text]
    subprocess.run(command, check=True)
    return samples_of(path)


def assert_played(card: RecordingCard, *expected: bytes) -> None:
    """The card was opened once for each of these, and played it followed by silence only."""
    recordings = card.recordings()
    assert len(recordings) == len(expected)
    for recording, samples in zip(recordings, expected, strict=True):
        assert len(samples) > 1000
        assert recording.startswith(samples)
        assert not any(recording[len(samples) :])


@pytest.mark.integration
@pytest.mark.parametrize("driver", ["pyttsx3", "espeak", "log"])
class TestContract:
    """What pipeline.py relies on."""

    def test_says_one_after_the_other(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        speaker = open_(driver, card)
        assert driver in speaker.description or driver == "log"
        assert speaker.poll() == []
        for text in ("I see a cat", "I see a dog", "I see a cat"):
            assert outcome_of(speaker, text).delivered
        assert len(card.recordings()) == (0 if driver == "log" else 3)

    def test_close_twice(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        speaker = open_(driver, card)
        speaker.close()
        speaker.close()
        assert speaker.poll() == []

    def test_text_of_any_kind(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        speaker = open_(driver, card)
        for text in ("a 'cat' \"$(reboot)\" `;", "one\ntwo\n\nthree", "crème brûlée 猫", "-v nosuch", "<cat/> & dog"):
            outcome = outcome_of(speaker, text)
            assert outcome.delivered, (text, outcome.reason)


def test_log_prints_and_says_that_it_made_no_sound() -> None:
    lines: list[str] = []
    speaker = open_speaker(SpeechSettings(driver="log"), lines.append)
    said = announcement("I see an hourglass")
    assert speaker.say(said)
    assert lines == ["I see an hourglass"]
    assert speaker.poll() == [Outcome(said, heard=False, reason="printed", printed=True)]
    assert speaker.poll() == []


@pytest.mark.integration
@pytest.mark.parametrize("driver", SOUNDING)
class TestSound:
    @pytest.mark.parametrize(
        "text", ["I see an electric guitar", "It's a \"cat\", isn't it?", "-x", "crème brûlée", "one\ntwo"]
    )
    def test_plays_what_espeak_makes_and_nothing_else(
        self, driver: str, text: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        outcome = outcome_of(open_(driver, card), text)
        assert outcome == Outcome(announcement(text), heard=True)
        assert_played(card, oracle(text, tmp_path))

    def test_settings(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path) -> None:
        speaker = open_(driver, card, voice="en-us", rate_wpm=300, volume=0.5)
        assert outcome_of(speaker, "I see a cat").heard
        assert_played(card, oracle("I see a cat", tmp_path, "en-us", 300, 50))

    def test_unknown_voice(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        with pytest.raises(SpeechError, match=r"has no voice 'nobody'") as caught:
            open_(driver, card, voice="nobody")
        assert "\n" not in str(caught.value)

    def test_busy_until_heard(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        card.set_pace("real")
        speaker = open_(driver, card)
        wait_until(lambda: speaker.say(announcement("I see a cat")))
        assert not speaker.say(announcement("I see a dog"))
        assert wait_until(speaker.poll) == [Outcome(announcement("I see a cat"), heard=True)]
        assert outcome_of(speaker, "I see a dog").heard

    def test_no_card(self, driver: str, open_: Callable[..., Speaker]) -> None:
        speaker = open_(driver)
        for _ in range(2):
            outcome = outcome_of(speaker, "I see a cat")
            assert not outcome.delivered
            assert outcome.reason.startswith(NO_CARD)

    def test_card_that_comes_later(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        own = RecordingCard(card.folder)
        plugged = tmp_path / "asound.conf"
        own.environment["ALSA_CONFIG_PATH"] = str(plugged)
        plugged.touch()
        speaker = open_(driver, own)
        for text in ("I see a cat", "I see a dog"):
            outcome = outcome_of(speaker, text)
            assert outcome.lasting
            assert outcome.reason == speaker.problem
            assert outcome.reason.startswith(NO_CARD)
        plugged.write_text(Path(card.environment["ALSA_CONFIG_PATH"]).read_text())
        # tried every five seconds at the latest
        wait_until(lambda: speaker.poll() == [] and not speaker.problem)
        assert outcome_of(speaker, "I see an owl").heard
        assert_played(own, oracle("I see an owl", tmp_path))

    def test_words_that_are_too_late_are_not_said(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard
    ) -> None:
        speaker = open_(driver, card)
        assert outcome_of(speaker, "I see a cat").heard
        late = dataclasses.replace(announcement("I see a dog"), expires_s=time.monotonic() - 0.001)
        assert speaker.say(late)
        assert speaker.poll() == [Outcome(late, heard=False, reason=TOO_LATE)]
        assert len(card.recordings()) == 1

    def test_interrupted_words_make_room_at_once(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        card.set_pace("stuck")
        speaker = open_(driver, card)
        speaker.interrupt()  # the probe too
        first, second = announcement("I see a cat"), announcement("I see a dog")
        wait_until(lambda: speaker.say(first))
        # the one before was killed with the probe; another starts for these words
        (group,) = wait_until(lambda: workers(os.getpid()))
        wait_until(lambda: any("sink.py" in command(pid) for pid in members(group)))
        speaker.interrupt()
        card.set_pace("instant")  # not before: the card would record the first one too
        assert speaker.say(second)
        assert speaker.poll() == [Outcome(first, heard=False, reason=INTERRUPTED)]
        wait_until_gone(group)
        assert wait_until(speaker.poll) == [Outcome(second, heard=True)]
        assert_played(card, oracle("I see a dog", tmp_path))

    def test_silence_before_the_words(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        speaker = open_(driver, card, lead_in_ms=700)
        assert outcome_of(speaker, "I see a cat").heard
        (recording,) = card.recordings()
        silence, samples = bytes(2 * 22050 * 700 // 1000), oracle("I see a cat", tmp_path)
        assert recording.startswith(silence + samples)
        assert not any(recording[len(silence) + len(samples) :])

    def test_a_device_that_is_not_there_is_named(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard
    ) -> None:
        outcome = outcome_of(open_(driver, card, device="Kitchen"), "I see a cat")
        assert outcome.lasting
        assert outcome.reason.startswith("no sound card or ALSA device 'Kitchen'; the cards here: ")

    def test_a_device_by_its_alsa_name(self, driver: str, open_: Callable[..., Speaker], card: RecordingCard) -> None:
        assert outcome_of(open_(driver, card, device="default"), "I see a cat").heard
        assert len(card.recordings()) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "I see $(touch hostile); `touch hostile`",
            'I see <break time="9h"/> <audio src="/etc/passwd"/> a cat',
            "I see [[h@'l@U]] a cat",
            "I see a \0 cat \x1b[2J \x07",
            "I see a \ud800 cat \u202e tac",
            "I see a cat 🐈\u200d⬛",
            "-w hostile",
        ],
    )
    def test_no_label_is_an_order(
        self, driver: str, text: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        hostile = [ROOT / "hostile", Path.cwd() / "hostile", tmp_path / "hostile"]
        assert outcome_of(open_(driver, card), text).heard
        (recording,) = card.recordings()
        assert 10_000 < len(recording) < 2 * 22050 * 20
        assert not any(path.exists() for path in hostile)
        assert [path.name for path in tmp_path.iterdir()] == ["card"]

    @pytest.mark.parametrize("text", ["", " \n", "?!", "🐈", "a cat " * 2000])
    def test_what_cannot_be_said_is_refused_with_the_reason(
        self, driver: str, text: str, open_: Callable[..., Speaker], card: RecordingCard
    ) -> None:
        speaker = open_(driver, card)
        outcome = outcome_of(speaker, text)
        assert (outcome.heard, outcome.lasting) == (False, False)
        assert outcome.reason
        assert outcome_of(speaker, "I see a cat").heard

    def test_no_aplay(
        self, driver: str, open_: Callable[..., Speaker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        needs_tools()
        (tmp_path / "espeak-ng").symlink_to(str(shutil.which("espeak-ng")))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SpeechError) as caught:
            open_speaker(SpeechSettings(driver))
        assert str(caught.value) == NO_APLAY

    def test_stuck_card_is_given_up_and_the_next_words_are_heard(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, long: bool
    ) -> None:
        speaker = open_(driver, card, rate_wpm=450)
        for count in range(20 if long else 1):
            card.set_pace("stuck")
            (group,) = workers(os.getpid())
            outcome = outcome_of(speaker, "I see a cat")
            assert not outcome.delivered
            assert "in time" in outcome.reason
            wait_until_gone(group)
            card.set_pace("instant")
            assert outcome_of(speaker, "I see a dog").heard
            assert len(card.recordings()) == count + 1

    def test_close_in_the_middle_of_a_word(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard
    ) -> None:
        card.set_pace("real")
        speaker = open_(driver, card)
        (group,) = workers(os.getpid())
        folder = temp_folder(group)
        wait_until(lambda: speaker.poll() == [] and not speaker._probing)  # type: ignore[attr-defined]
        assert speaker.say(announcement("I see " + "a very " * 50 + "long sentence"))
        wait_until(lambda: any("sink.py" in command(pid) for pid in members(group)))
        speaker.close()
        wait_until_gone(group)
        assert not folder.exists()
        assert card.recordings() == []
        assert not speaker.say(announcement("I see a cat"))

    def test_nothing_survives_a_kill_9_of_the_daemon(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard
    ) -> None:
        open_(driver).close()  # skips where it cannot be opened
        card.set_pace("stuck")
        environment = os.environ | card.environment
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        with subprocess.Popen([sys.executable, "-c", DAEMON, driver], stdout=-1, env=environment) as daemon:
            assert daemon.stdout
            try:
                daemon.stdout.readline()
                (group,) = workers(daemon.pid)
                folder = temp_folder(group)
                wait_until(lambda: any("sink.py" in command(pid) for pid in members(group)))
            finally:
                daemon.kill()
        wait_until_gone(group)
        assert not folder.exists()

    def test_another_language(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        speech = SpeechSettings(driver, language="de")
        text = Words(AnnounceSettings(), speech).sure(Term("violin", "n04536866"))
        assert text == "Ich sehe eine Geige"
        assert outcome_of(open_(driver, card, language="de"), text).heard
        assert_played(card, oracle(text, tmp_path, "de"))

    def test_every_label_is_played_as_espeak_makes_it(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path, long: bool
    ) -> None:
        labels = random.Random(4).sample(read_labels(ROOT / "edge" / "data" / "imagenet.txt"), 50 if long else 5)
        for language in ("en", "de"):
            words = Words(AnnounceSettings(), SpeechSettings(language=language))
            speaker = open_(driver, card, language=language)
            texts = [words.sure(Term(label.name, label.id)) for label in labels]
            for text in texts:
                assert outcome_of(speaker, text).heard
            speaker.close()
            assert_played(card, *(oracle(text, tmp_path, language) for text in texts))
            for recording in card.folder.glob("*.wav"):
                recording.unlink()

    def test_a_listener_understands_it(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path
    ) -> None:
        pocketsphinx = pytest.importorskip("pocketsphinx")
        things = "guitar violin umbrella bicycle banana butterfly elephant pineapple telephone hammer".split()
        grammar = tmp_path / "things.gram"
        grammar.write_text(f"#JSGF V1.0; grammar things; public <said> = i see (a | an) ({' | '.join(things)});")
        decoder = pocketsphinx.Decoder(jsgf=str(grammar), loglevel="FATAL")
        speaker = open_(driver, card, voice="en-us")
        words = Words(AnnounceSettings())
        for thing in things:
            assert outcome_of(speaker, words.sure(Term(thing))).heard
        understood = [transcript(decoder, recording) for recording in card.recordings()]
        right = [text.endswith(f" {thing}") for text, thing in zip(understood, things, strict=True)]
        assert sum(right) >= 0.9 * len(things), understood

    def test_a_card_that_stalls_at_random_costs_words_and_nothing_else(
        self, driver: str, open_: Callable[..., Speaker], card: RecordingCard, tmp_path: Path, long: bool
    ) -> None:
        """Each is heard whole, or reported not to be; and at the end all is as it was at the start."""
        speaker = open_(driver, card, rate_wpm=450)
        dice = random.Random(2038)  # among the first nine is one of each kind
        texts = ["I see a cat", "I see an elephant", "I'm not sure"]
        sounds = {text: oracle(text, tmp_path, rate_wpm=450) for text in texts}
        before: Belongings | None = None
        heard = 0
        for count in range(-5, 500 if long else 9):
            text = dice.choice(texts)
            bad = count >= 0 and dice.random() < 0.2
            card.set_pace(dice.choice(["stuck", "stalls"]) if bad else "instant")
            outcome = outcome_of(speaker, text)
            assert outcome.heard != bad, outcome
            assert bool(outcome.reason) == bad
            if not bad:
                heard += 1
            # a mere probe of the card is silent
            played = [samples for path in card.folder.glob("*.wav") if any(samples := samples_of(path))]
            for path in card.folder.glob("*.wav"):
                path.unlink()
            assert len(played) == (0 if bad else 1), (count, text)
            assert all(samples.startswith(sounds[text]) for samples in played), (count, text)
            if count == -1:
                before = Belongings.of(card)
        assert heard < count + 6, "none was stalled"
        card.set_pace("instant")
        assert outcome_of(speaker, "I see a cat").heard  # after a bad one the next child is only being started
        assert before is not None
        before.check(Belongings.of(card))


def transcript(decoder: Any, recording: bytes) -> str:
    """What a listener understands, at the 16 kHz that its ear is made for."""
    samples = np.frombuffer(recording, np.int16).astype(float)
    samples = np.pad(samples, SAMPLE_RATE // 5)
    samples += np.random.default_rng(1).normal(0, 3, len(samples))  # no room is as silent as zeros are
    length = round(len(samples) * 16000 / SAMPLE_RATE)
    resampled = np.fft.irfft(np.fft.rfft(samples)[: length // 2 + 1], length) * length / len(samples)
    decoder.start_utt()
    decoder.process_raw(resampled.clip(-32768, 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""


@dataclasses.dataclass
class Belongings:
    """What the speech of this process holds."""

    memory_mib: float
    threads: int
    files: int
    folders: int
    processes: int

    @classmethod
    def of(cls, card: RecordingCard) -> "Belongings":
        """Count them; processes are those that have anything to do with the card."""
        folder = f"SINK_DIR={card.folder}".encode()
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        holders = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if folder in environment.read_bytes().split(b"\0"):
                    holders.append(environment.parent.name)
        (worker,) = workers(os.getpid())
        return cls(
            memory_mib=resident * os.sysconf("SC_PAGE_SIZE") / 2**20,
            threads=threading.active_count(),
            files=len(list(Path("/proc/self/fd").iterdir())),
            # others may have an edge of their own on this machine
            folders=len(list(temp_folder(worker).parent.glob(f"edge-{os.getpid()}-*"))),
            processes=len(holders),
        )

    def check(self, now: "Belongings") -> None:
        """Nothing more than before, and of memory what a few allocations may leave."""
        assert now.memory_mib < self.memory_mib + 4
        assert dataclasses.replace(now, memory_mib=0) == dataclasses.replace(self, memory_mib=0)


DAEMON = """
import sys, time
from edge.settings import SpeechSettings
from edge.speech import open_speaker
from edge.stages import Announcement
speaker = open_speaker(SpeechSettings(driver=sys.argv[1]))
speaker.say(Announcement("", "", 1.0, "I see a cat"))
print("speaking", flush=True)
time.sleep(3600)
"""


FORGETFUL = """
import itertools
from edge.speech import pyttsx3
from pyttsx3.drivers import _espeak
calls, set_parameter = itertools.count(), _espeak.SetParameter

def set_or_forget(*arguments):
    if next(calls) % 3 != 2:
        set_parameter(*arguments)

_espeak.SetParameter = set_or_forget
open_driver = pyttsx3.open_driver
"""


@pytest.mark.integration
def test_a_setting_that_the_library_loses_is_set_again(
    card: RecordingCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As eSpeak's queue does now and then on a busy machine: one in seventy was heard at another rate."""
    needs_tools()
    pytest.importorskip("pyttsx3")
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in card.environment.items():
        monkeypatch.setenv(name, value)
    speaker = ProcessSpeaker("forgetful", SpeechSettings(rate_wpm=400, volume=0.5))
    try:
        assert outcome_of(speaker, "I see a cat").heard
    finally:
        speaker.close()
    assert_played(card, oracle("I see a cat", tmp_path, rate_wpm=400, amplitude=50))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "def init(driver): raise RuntimeError('you probably do not have eSpeak or eSpeak-ng installed!')",
            "pyttsx3 cannot start: libespeak-ng.so.1 is missing: sudo apt install libespeak-ng1",
        ),
        ("import no_such_part", "pyttsx3 cannot be imported (No module named 'no_such_part'): pip install pyttsx3"),
    ],
)
def test_broken_pyttsx3(source: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needs_tools()
    (tmp_path / "pyttsx3.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpeechError) as caught:
        open_speaker(SpeechSettings(driver="pyttsx3"))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("ALSA lib x\naplay: main:831: audio open error: No such file or directory\n", f"{NO_CARD}: connect one"),
        ("aplay: pcm_write:2146: write error: No such device", f"{NO_CARD}: it has been unplugged"),
        ("aplay: main:831: audio open error: Device or resource busy", "another program"),
        ("aplay: main:831: audio open error: Permission denied", "no permission"),
        ("/tmp/x.wav: No such file or directory", "the sound could not be played: /tmp/x.wav"),
        ("", "the sound could not be played: exit status 1"),
    ],
)
def test_aplays_complaints_in_a_persons_words(stderr: str, reason: str) -> None:
    with pytest.raises(SpeechError) as caught:
        check_aplay(1, stderr)
    assert str(caught.value).startswith(reason)
    check_aplay(0, stderr)


CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0
                      vc4-hdmi-0
 2 [Device         ]: USB-Audio - USB Audio Device
                      C-Media USB Audio Device at usb-0000:01:00.0-1.3, full speed
"""


def test_cards_by_name(tmp_path: Path) -> None:
    listed = tmp_path / "cards"
    assert find_cards(listed) == []
    listed.write_text("--- no soundcards ---\n")
    assert find_cards(listed) == []
    listed.write_text(CARDS)
    cards = find_cards(listed)
    assert cards[0] == Card("Headphones", "bcm2835 Headphones")
    assert [card.id for card in cards] == ["Headphones", "vc4hdmi0", "Device"]
    for device, pcm in (
        ("headphones", "plughw:CARD=Headphones"),
        ("usb audio", "plughw:CARD=Device"),
        ("hdmi", "plughw:CARD=vc4hdmi0"),
        ("plughw:1,0", "plughw:1,0"),
        ("default", "default"),
    ):
        assert player("aplay", device, cards) == ["aplay", "-q", "-D", pcm]
    assert player("aplay", "", cards) == ["aplay", "-q"]
