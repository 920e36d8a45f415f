#!/usr/bin/env python3
"""Measure how long after a key goes down its tone and the first word of its answer reach the sound card.

    scripts/benchmark_key.py [--presses 30] [--action look] [--speech pyttsx3] [--loading] -- --model NAME ...

The daemon plays the demo clip and classifies every frame without a pause, so that the classifier is busy. It speaks on
the recording card of the tests at the pace of a loudspeaker. A press goes over the control socket at a random moment,
every third one while a sentence is being spoken. The time is from sending it to the first sample that is not silent, as
the program behind the card reads it. That includes the start of that program, and of aplay; how long those take without
edge is measured first and printed as "the card alone". Each answer is
compared with the samples that espeak-ng makes of its text. Arguments after -- go to `edge run`.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.host.control_client import ask
from edge.errors import EdgeError
from edge.host.terminal import tell
from edge.speech.tones import RISING, wav

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from rigs.audio.card import RecordingCard, samples_of  # noqa: E402 - the tests' folder is not a package of edge
from rigs.daemon import daemon, named, read_events, socket_of  # noqa: E402

ANSWER_S = 20.0
ALONE = 10
TONE = wav(RISING)[44:]
"""The samples of the tone, without the header of the file."""


class Press(NamedTuple):
    """One key press."""

    tone_ms: float
    word_ms: float
    text: str
    same: bool
    """True if the card got exactly the samples that espeak-ng makes of the text."""
    speaking: bool
    """True if a sentence was being spoken."""


def main() -> int:
    """Print the medians; return an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--presses", type=int, default=30, metavar="N", help="number of key presses (default: 30)")
    parser.add_argument("--action", default="look", help="what the key asks for (default: look)")
    parser.add_argument("--speech", default="pyttsx3", choices=("pyttsx3", "espeak"), help="driver of the voice")
    parser.add_argument("--loading", action="store_true", help="press while edge starts, in a new daemon each time")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, flags = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    presses: list[Press] = []
    alone = card_alone()
    if options.loading:
        for number in range(options.presses):
            with running(options.speech, flags) as (sock, card, folder):
                presses += [press(sock, card, folder, options.action, speaking=False)]
            show(number + 1, presses[-1])
    else:
        with running(options.speech, flags) as (sock, card, folder):
            while ask([sock], {"command": "status"}).get("frames", 0) < 3:
                time.sleep(0.1)
            for number in range(options.presses):
                time.sleep(random.uniform(0.5, 1.5))
                speaking = number % 3 == 2
                if speaking:
                    say_something(sock, card)
                presses += [press(sock, card, folder, options.action, speaking=speaking)]
                show(number + 1, presses[-1])
            status = ask([sock], {"command": "status"})
        print(
            f"{status['model']} with {status['engine']}, {status['looks'] / status['frames']:.0%} of frames classified"
        )
    summary("the card alone", alone)
    summary("tone", [one.tone_ms for one in presses])
    summary("first word", [one.word_ms for one in presses])
    same = sum(one.same for one in presses)
    print(f"{same} of {len(presses)} answers equal espeak-ng's own samples")
    return 0 if same == len(presses) else 1


def card_alone() -> list[float]:
    """Return how long a tone takes to the card without edge, in milliseconds, some times."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        card = RecordingCard(Path(name), "real")
        tone = Path(name, "tone.wave")
        tone.write_bytes(wav(RISING))
        for _ in range(ALONE):
            begun_ns = time.monotonic_ns()
            subprocess.run(["aplay", "-q", tone], env={**os.environ, **card.environment}, check=True)
            time.sleep(0.2)
            (Path(name) / f"{begun_ns}.begun").touch()
        firsts = sorted(int(path.read_text()) for path in card.folder.glob("*.first"))
        begun = sorted(int(path.stem) for path in card.folder.glob("*.begun"))
        return [(first - begin) / 1e6 for first, begin in zip(firsts, begun, strict=True)]


@contextlib.contextmanager
def running(speech: str, flags: Sequence[str]) -> Iterator[tuple[Path, RecordingCard, Path]]:
    """Start a daemon with a recording card; yield its socket, the card and its folder."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        (folder / "card").mkdir()
        card = RecordingCard(folder / "card", "real")
        environment = {"XDG_STATE_HOME": name, "EDGE_MODEL_STILL_S": "0", "EDGE_CAMERA_MAX_FPS": "1000"}
        # labels must not fall between the answers
        environment |= {"EDGE_ANNOUNCE_PER_HOUR": "0", "EDGE_ANNOUNCE_PER_MINUTE": "1", **card.environment}
        arguments = ["--speech", speech, "--events", str(folder / "events"), *flags]
        with daemon(folder, *arguments, **environment) as process:
            sock = socket_of(folder)
            while not sock.exists():
                if process.poll() is not None:
                    raise SystemExit(process.stdout.read() if process.stdout else "edge ended")
                time.sleep(0.002)
            yield sock, card, folder


def say_something(sock: Path, card: RecordingCard) -> None:
    """Have a sentence spoken, and return while it sounds."""
    before = len(list(card.folder.glob("*.part")))
    ask([sock], {"command": "press", "action": "history"})
    until_s = time.monotonic() + ANSWER_S
    while time.monotonic() < until_s and len(list(card.folder.glob("*"))) <= before:
        time.sleep(0.01)
    time.sleep(0.8)


def press(sock: Path, card: RecordingCard, folder: Path, action: str, *, speaking: bool) -> Press:
    """Press a key, wait until its answer has ended, and return how long it took."""
    events = folder / "events"
    notices, ended = len(named(read_events(events), "notice")), len(named(read_events(events), "spoken"))
    pressed_ns = time.monotonic_ns()
    answer = ask([sock], {"command": "press", "action": action})
    if "error" in answer:
        raise SystemExit(f"edge refuses: {answer['error']}")
    until_s = time.monotonic() + ANSWER_S
    while time.monotonic() < until_s:
        new = named(read_events(events), "notice")[notices:]
        texts = [event["text"] for event in named(read_events(events), "spoken")[ended:] if event["heard"]]
        if new and new[-1]["text"] in texts:
            break
        time.sleep(0.02)
    else:
        raise SystemExit("there was no answer")
    time.sleep(0.2)  # the card writes its file
    text = new[-1]["text"]
    firsts: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}
    for path in card.folder.glob("*.wav"):
        first = path.with_suffix(".first")
        if first.exists() and (at_ns := int(first.read_text())) > pressed_ns:
            samples = samples_of(path)
            firsts[samples.startswith(TONE)].append((at_ns, samples))
    (tone_ns, _), (word_ns, heard) = min(firsts[True]), max(firsts[False])
    expected = spoken_by_espeak(text, folder)
    same = heard.startswith(expected) and not any(heard[len(expected) :])
    return Press((tone_ns - pressed_ns) / 1e6, (word_ns - pressed_ns) / 1e6, text, same, speaking)


def spoken_by_espeak(text: str, folder: Path) -> bytes:
    """Return the samples that espeak-ng itself makes of a text."""
    path = folder / "oracle.wav"
    quiet = {"PULSE_RUNTIME_PATH": str(folder)} | os.environ
    subprocess.run(["espeak-ng", "-v", "en", "-s", "200", "-w", str(path), "--", text], check=True, env=quiet)
    return samples_of(path)


def show(number: int, one: Press) -> None:
    """Print a press."""
    how = " (a sentence was broken off)" if one.speaking else ""
    same = "" if one.same else " DIFFERS FROM ESPEAK-NG"
    print(
        f"{number:3}  tone {one.tone_ms:5.0f} ms  first word {one.word_ms:5.0f} ms  {one.text}{how}{same}", flush=True
    )


def summary(what: str, values: Sequence[float]) -> None:
    """Print median, ninth decile and largest value."""
    ordered = sorted(values)
    decile = ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]
    print(
        f"{what}: median {statistics.median(values):.0f} ms, 90 % below {decile:.0f} ms, at most {ordered[-1]:.0f} ms"
    )


def run() -> int:
    """Return the exit code of main, with edge's errors as one line."""
    try:
        return main()
    except EdgeError as error:
        tell(f"benchmark_key: {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(run())
