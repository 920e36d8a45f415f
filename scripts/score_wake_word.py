#!/usr/bin/env python3
"""Score the wake word on speech of espeak-ng: how often it is heard, and how often something else is taken for it.

    scripts/score_wake_word.py                 the figures of docs/wake-word.md, from one run
    scripts/score_wake_word.py --minutes 10    less sound without the word
    scripts/score_wake_word.py --fit           what each threshold would give, on the other voices
    scripts/score_wake_word.py --resources 60  the CPU and memory of a minute of listening, with a microphone

The detector is that of the daemon, with its thresholds. A recording is one utterance of the word: ten voices at five
speeds, each without noise and with pink noise 15 dB below it. The sound without the word is a third each of edge's own
sentences, of the project's pages read aloud, and of noise; half of the speech has noise too. Ten other voices, and
other pages and noises, are for fitting.
"""

import argparse
import math
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.announce import notices
from edge.announce.articles import with_article
from edge.host.memory import pss_mib, tree
from edge.host.processes import stat_fields
from edge.input import open_sources
from edge.input.actions import Action
from edge.input.detector import THRESHOLDS, Detector
from edge.input.microphone import BYTES_PER_SECOND, RATE_HZ
from edge.models.labels import read_labels
from edge.settings import InputSettings

ROOT = Path(__file__).resolve().parents[1]
Found = TypeVar("Found")
Sound = NDArray[np.float64]
"""Samples at 16 kHz, from -32768 to 32767."""
ESPEAK_HZ = 22050
JUDGED = (
    *("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc"),
    *("en-us+f3", "en-gb+f2"),
)
"""All of espeak-ng's English voices, and two of women."""
FITTED = (
    *("en-us+m3", "en-us+f2", "en-gb+m1", "en-gb+f4", "en-us+m7", "en-gb-x-rp+f5", "en-us+klatt2"),
    *("en-gb-scotland+f1", "en-029+m2", "en-us+Annie"),
)
SPEEDS_WPM = (110, 135, 160, 185, 210)
SPOKEN = {"okay_nabu": "okay nabu", "alexa": "alexa", "hey_mycroft": "hey mycroft", "hey_jarvis": "hey jarvis"}
"""The words that pymicro-wakeword's wheel has models for."""
VENDORS = {"okay_nabu": 0.85, "alexa": 0.9, "hey_mycroft": 0.95, "hey_jarvis": 0.97}
"""The thresholds that come with the models, for words that edge does not offer."""
NEAR = (
    *("okay", "okay now", "okay nana", "okay navy", "okay nabby", "okay maybe", "okay, no boo", "a cannabis", "nabu"),
    *(
        "hey nabu",
        "okay Google",
        "okay computer",
        "okay nagoya",
        "decay now",
        "okay an apple",
        "okay nap",
        "OK, a boot",
    ),
    *("okay Nathan", "okay neighbour", "today in Abu Dhabi"),
)
"""Phrases that sound a little like Okay Nabu."""
STEP_S, PAUSE_S = 0.05, 0.6
THRESHOLDS_TRIED = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SNR_DB = 15.0
LEAST_PEAK = 0.3


def say(text: str, voice: str, speed_wpm: int) -> Sound:
    """What espeak-ng makes of a text, at 16 kHz."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(speed_wpm), "--stdout", "--", text], check=True, stdout=subprocess.PIPE
    )
    samples = np.frombuffer(done.stdout[44:], dtype="<i2").astype(np.float64)
    spectrum = np.fft.rfft(samples)
    length = len(samples) * RATE_HZ // ESPEAK_HZ
    return np.asarray(np.fft.irfft(spectrum[: length // 2 + 1], length) * length / len(samples))


def pink(length: int, generator: np.random.Generator) -> Sound:
    """Noise with as much power in each octave, root mean square 1."""
    spectrum = np.fft.rfft(generator.normal(size=length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, length)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def with_noise(sound: Sound, generator: np.random.Generator) -> Sound:
    level = float(np.sqrt(np.mean(sound**2))) / 10 ** (SNR_DB / 20)
    return np.asarray(sound + level * pink(len(sound), generator))


def samples(sound: Sound) -> bytes:
    return np.clip(np.round(sound), -32768, 32767).astype("<i2").tobytes()


def recordings(text: str, voices: tuple[str, ...], speeds: tuple[int, ...] = SPEEDS_WPM) -> Iterator[tuple[str, bytes]]:
    """The voice and the samples of each recording: a second of silence, the text, and a second more."""
    generator = np.random.default_rng(26)
    for voice in voices:
        for speed in speeds:
            silence = np.zeros(RATE_HZ)
            clean = np.concatenate([silence, say(text, voice, speed), silence])
            for sound in (clean, with_noise(clean, generator)):
                yield voice, samples(sound)


def steps(sound: bytes) -> Iterator[bytes]:
    size = round(BYTES_PER_SECOND * STEP_S)
    for start in range(0, len(sound), size):
        yield sound[start : start + size]


def starts(detector: Detector, sound: bytes) -> int:
    """How often the word is heard in a sound that follows nothing."""
    detector.reset()
    return sum(detector.hears(step) for step in steps(sound))


def sentences(own: bool, seed: int) -> Iterator[str]:
    """Sentences without end, in a random order: edge's own, or those of the project's pages.

    Odd seeds have other pages than even ones: they are for fitting.
    """
    chance = random.Random(seed)
    if own:
        labels = [label.name for label in read_labels(ROOT / "edge/data/imagenet.txt")]
        forms = ("I see {}", "maybe {}", "I'm not sure, maybe {}")
        known = [chance.choice(forms).format(with_article(label)) for label in labels] + [*notices.SENTENCES] * 5
    else:
        pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")])
        text = "\n\n".join(page.read_text(encoding="utf-8") for page in pages[seed % 2 :: 2])
        text = re.sub(r"(?m)^ {4}.*$|^\|.*$|`|\*|#|\]\([^)]*\)|\[", "", text)
        known = [" ".join(one.split()) for one in re.split(r"(?<=[.:?])\s+|\n\n", text)]
        known = [one for one in known if 15 < len(one) < 300 and "nabu" not in one.lower()]
    while True:
        chance.shuffle(known)
        yield from known


def without_the_word(seconds: float, voices: tuple[str, ...], seed: int) -> Iterator[bytes]:
    """Sound without the word, about a minute at a time: two thirds of speech, one of noise."""
    chance, generator = random.Random(seed), np.random.default_rng(seed)
    own, others = sentences(True, seed), sentences(False, seed)
    done_s, turn = 0.0, 0
    while done_s < seconds:
        wanted = int(min(60.0, seconds - done_s) * RATE_HZ)
        if turn % 3 == 2:
            level = 10 ** chance.uniform(1.0, 3.7)
            sound = level * (pink(wanted, generator) if chance.random() < 0.5 else generator.normal(size=wanted))
            if chance.random() < 0.5:  # clicks and bangs
                for at in generator.integers(0, wanted, 30):
                    sound[at : at + 400] += 8000 * generator.normal(size=len(sound[at : at + 400]))
        else:
            parts: list[Sound] = []
            while sum(map(len, parts)) < wanted:
                text = next(own if turn % 3 == 0 else others)
                parts += [say(text, chance.choice(voices), chance.choice(SPEEDS_WPM)), np.zeros(int(PAUSE_S * RATE_HZ))]
            sound = np.concatenate(parts)[:wanted] * chance.choice((1.0, 0.3, 0.1))
            if chance.random() < 0.5:
                sound = with_noise(sound, generator)
        turn += 1
        done_s += len(sound) / RATE_HZ
        yield samples(sound)


def of_each_hour(
    measure: Callable[[int, float, tuple[str, ...]], Found], minutes: float, voices: tuple[str, ...]
) -> Iterator[Found]:
    """What `measure` finds in each hour of sound, from its number, length in minutes and voices; on all cores."""
    numbers = range(math.ceil(minutes / 60))
    lengths = [min(60.0, minutes - 60 * hour) for hour in numbers]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for hour, found in enumerate(pool.map(measure, numbers, lengths, repeat(voices))):
            print(f"{sum(lengths[: hour + 1]):.0f} of {minutes:.0f} minutes", file=sys.stderr, flush=True)
            yield found


class Peaks:
    """The moments of a sound that have a probability above LEAST_PEAK; of those within a second only the highest."""

    def __init__(self, word: str) -> None:
        self._detector = Detector(word, threshold=1)
        self._since_s = 1.0
        self.found: list[float] = []

    def hear(self, step: bytes) -> None:
        self._since_s += STEP_S
        if (probability := self._detector.probability(step)) > LEAST_PEAK:
            if self._since_s < 1:
                self.found[-1] = max(self.found[-1], probability)
            else:
                self.found.append(probability)
            self._since_s = 0.0


def peaks_of_hour(hour: int, minutes: float, voices: tuple[str, ...]) -> dict[str, list[float]]:
    """The peaks of each word in an hour of sound without it, or its first minutes."""
    listeners = {word: Peaks(word) for word in SPOKEN}
    for sound in without_the_word(60 * minutes, voices, seed=101 + 2 * hour):
        for step in steps(sound):
            for listener in listeners.values():
                listener.hear(step)
    return {word: listener.found for word, listener in listeners.items()}


def fit(minutes: float) -> None:
    """Print what each threshold would give."""
    peaks: dict[str, list[float]] = {word: [] for word in SPOKEN}
    for found in of_each_hour(peaks_of_hour, minutes, FITTED):
        for word, some in found.items():
            peaks[word] += some
    near = [sound for phrase in NEAR for _, sound in recordings(phrase, FITTED[:5], (160,))]
    for word, text in SPOKEN.items():

        def best(sound: bytes, word: str = word) -> float:
            detector = Detector(word, threshold=1)
            return max(map(detector.probability, steps(sound)))

        right = [best(sound) for _, sound in recordings(text, FITTED)]
        like_it = [best(sound) for sound in near]
        print(
            f"{word}: threshold, heard of {len(right)} recordings, false starts in {minutes / 60:.1f} h, and by "
            f"{len(near)} phrases like Okay Nabu"
        )
        for threshold in THRESHOLDS_TRIED:
            counts = [sum(one > threshold for one in some) for some in (right, peaks[word], like_it)]
            print(f"  {threshold:.2f}  {' '.join(f'{count:4}' for count in counts)}", flush=True)


def heard(word: str, threshold: float, voices: tuple[str, ...] = JUDGED) -> list[tuple[str, int]]:
    """The voice of each recording of a word, and how often the word is heard in it."""
    detector = Detector(word, threshold)
    return [(voice, starts(detector, sound)) for voice, sound in recordings(SPOKEN[word], voices)]


def false_starts(minutes: float) -> dict[str, int]:
    """How often each word that edge offers is heard in sound without it."""
    found: Counter[str] = Counter(dict.fromkeys(THRESHOLDS, 0))
    for of_hour in of_each_hour(false_starts_of_hour, minutes, JUDGED):
        found.update(of_hour)
        print(f"so far: {dict(found)}", file=sys.stderr, flush=True)
    return dict(found)


def false_starts_of_hour(hour: int, minutes: float, voices: tuple[str, ...]) -> Counter[str]:
    """The same in one hour of the sound, or its first minutes."""
    detectors = {word: Detector(word) for word in THRESHOLDS}
    found: Counter[str] = Counter()
    for sound in without_the_word(60 * minutes, voices, seed=8 + 2 * hour):
        for step in steps(sound):
            found.update(word for word, detector in detectors.items() if detector.hears(step))
    return found


def judge(minutes: float) -> None:
    """Print how often each word is heard, and the false starts of those that edge offers."""
    for word in SPOKEN:
        threshold = THRESHOLDS.get(word, VENDORS[word])
        found = heard(word, threshold)
        print(f"{word}, threshold {threshold}{'' if word in THRESHOLDS else ', not offered'}:")
        print(f"  heard {sum(count > 0 for _, count in found)} of {len(found)}, twice {sum(n > 1 for _, n in found)}")
        of_voice = Counter(voice for voice, count in found if count)
        print("  " + ", ".join(f"{voice} {of_voice[voice]}" for voice in JUDGED) + f", of {2 * len(SPEEDS_WPM)} each")
        theirs = sum(count > 0 for _, count in heard(word, VENDORS[word]))
        print(f"  with the model's own threshold, {VENDORS[word]}: {theirs}", flush=True)
    near = [sound for phrase in NEAR for _, sound in recordings(phrase, JUDGED[:5], (160,))]
    wrong = {word: sum(starts(Detector(word), one) > 0 for one in near) for word in THRESHOLDS}
    print(f"taken for it, of {len(near)} phrases like Okay Nabu: {wrong}", flush=True)
    print(f"false starts in {minutes / 60:.1f} h of other sound: {false_starts(minutes)}")


class _Silent:
    """A receiver that does nothing."""

    def on_down(self) -> None: ...
    def on_action(self, action: Action) -> None: ...


def measure_resources(seconds: float) -> None:
    """Print the CPU and the memory that listening takes, as the daemon does it: a process and its arecord."""
    source = open_sources(InputSettings(word="okay_nabu"), _Silent())["wake_word"]
    try:
        deadline_s = time.monotonic() + 60
        while not source.status()["open"]:
            if time.monotonic() > deadline_s:
                sys.exit(source.problem or "no microphone was opened")
            time.sleep(0.1)
        time.sleep(2)
        processes = tree(os.getpid())
        before_s, start_s = cpu_s(processes), time.monotonic()
        mib = 0.0
        while time.monotonic() - start_s < seconds:
            time.sleep(1)
            mib = max(mib, sum(map(pss_mib, processes[1:])))
        share = (cpu_s(processes) - before_s) / (time.monotonic() - start_s)
        print(f"{share:.2%} of a core (with the daemon's thread), {mib:.0f} MiB in {len(processes) - 1} processes")
    finally:
        source.close()


def cpu_s(processes: Sequence[int]) -> float:
    """CPU time that processes have used, in seconds."""
    # user and system time are fields 14 and 15 of /proc/PID/stat; stat_fields begins with the third
    ticks = sum(int(ticks) for pid in processes for ticks in stat_fields(pid)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=480, help="sound without the word; default: 480")
    parser.add_argument("--fit", action="store_true", help="print what each threshold would give, on other voices")
    parser.add_argument("--resources", type=float, metavar="SECONDS", help="measure CPU and memory of listening")
    options = parser.parse_args(arguments)
    if options.resources:
        measure_resources(options.resources)
    else:
        (fit if options.fit else judge)(options.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
