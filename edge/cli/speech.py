"""`edge say` and `edge voices`: say a text, and try the voice and the sound card."""

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.common import settings_of
from edge.cli.control import say_by_running
from edge.cli.table import table
from edge.errors import EX_CONFIG, EX_OK, SpeechError
from edge.settings import Settings

if TYPE_CHECKING:
    from edge.models.labels import Label

IMAGENET = Path(str(resources.files("edge") / "data" / "imagenet.txt"))
MISSING_SHOWN = 20
"""Number of missing lines that are shown without --all."""


def say(options: argparse.Namespace) -> int:
    """edge say: have the running edge say a text, or speak it as an announcement is spoken; or list the sound cards."""
    from edge.speech import open_speaker, say_and_wait
    from edge.stages import Announcement

    if options.list_devices:
        return _list_devices()
    settings = settings_of(options)
    text = " ".join(options.text)
    if not text.strip():
        raise SpeechError("there is nothing to say: give a text, as in: edge say 'I see a guitar'")
    if not _tries_a_voice(options) and say_by_running(options, text):
        return EX_OK
    speaker = open_speaker(settings.speech, printed=print)
    try:
        outcome = say_and_wait(speaker, Announcement(id="", label="", probability=1.0, text=text))
    finally:
        speaker.close()
    if not outcome.delivered:
        raise SpeechError(f"not heard: {outcome.reason}")
    return EX_OK


def _tries_a_voice(options: argparse.Namespace) -> bool:
    """Return True if the flags name a voice or a card to be tried."""
    flags = [value for name, value in vars(options).items() if name.startswith("speech.")]
    return any(value is not None for value in (*flags, options.config)) and not options.urgent and not options.socket


def _list_devices() -> int:
    from edge.host.sound_cards import find_cards
    from edge.speech.sound import find_aplay, probe

    aplay = find_aplay()
    rows = []
    for device, name in (("", "ALSA's default"), *((card.id, card.name) for card in find_cards())):
        try:
            probe(aplay, device)
            state = "works"
        except SpeechError as error:
            state = str(error)
        rows.append([f'"{device}"', name, state])
    print(table(["device", "name", "state"], rows))
    print("\nTo choose one, set [speech] device to a value of the first column.")
    return EX_OK


def voices(options: argparse.Namespace) -> int:
    """edge voices: list the values of [speech] voice; or check a translation file."""
    if options.check:
        return _check(options.check, every=options.all)
    rows = []
    for voice, gender, name in _voices():
        if options.language.lower() in ("", voice.lower(), voice.lower().split("-")[0]):
            people = {"M": "man", "F": "woman"}.get(gender.rpartition("/")[2], "")
            rows.append([voice, name.replace("_", " "), people])
    if not rows:
        raise SpeechError(f"espeak-ng has no voice for {options.language!r}; edge voices lists them all")
    print(table(["voice", "language", ""], rows))
    print("\nTo choose one, set [speech] voice to a value of the first column.")
    return EX_OK


def _voices() -> list[tuple[str, str, str]]:
    """Return (code, gender, name) of each voice of the synthesiser."""
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        raise SpeechError("espeak-ng is not installed: sudo apt install espeak-ng")
    # it opens libpulse needlessly, which without a session would make a folder in the user's home
    quiet = {"PULSE_RUNTIME_PATH": os.devnull} | os.environ
    listed = subprocess.run(
        [espeak, "--voices"], env=quiet, capture_output=True, encoding="utf-8", errors="replace", check=True
    ).stdout
    # Pty Language Age/Gender VoiceName File Other Languages
    matches = (re.match(r"\s*\d+\s+(\S+)\s+(\S+)\s+(\S+)", line) for line in listed.splitlines()[1:])
    return [(match[1], match[2], match[3]) for match in matches if match]


def _check(file: Path, *, every: bool) -> int:
    """edge voices --check: print for a translator the missing entries and the errors."""
    from edge.announce.check import check
    from edge.announce.english import load_english
    from edge.announce.sentences import SENTENCES
    from edge.announce.translation import read_translation
    from edge.models.groups import load_all_groups
    from edge.models.labels import read_labels

    translation = read_translation(file)
    groups = {group.id: group.members for group in load_all_groups()}
    voices = None
    if shutil.which("espeak-ng"):
        voices = {code for voice, _, _ in _voices() for code in (voice, voice.partition("-")[0])}
    report = check(translation, SENTENCES, groups, voices)
    forms = f", in the forms {' and '.join(translation.forms)}" if len(translation.forms) > 1 else ""
    print(f"{file}: {translation.name or 'a language without a name'}{forms}.\n")
    english, missing = load_english(), set(report.missing_words)
    labels = {label.id for label in read_labels(IMAGENET)}
    rows = [["sentences", str(report.wanted_sentences - len(report.missing_sentences)), str(report.wanted_sentences)]]
    for name, ids in (
        ("groups", groups.keys() & english),
        ("the demo's own things", english.keys() - groups.keys() - labels),
        ("ImageNet's labels", labels),
    ):
        rows.append([name, str(len(ids - missing)), str(len(ids))])
    print(table(["part", "translated", "of"], rows, numbers=(1, 2)))
    _print_some("Missing sentences:", [f'"{one}" = ""' for one in report.missing_sentences], every)
    words = [f"{identity}  # {english[identity].said}" for identity in report.missing_words]
    _print_some("Missing words:", words, every)
    _print_some("Faults:", report.faults, every=True)
    if report.unchecked:
        print(f"\n{report.unchecked}.")
    return EX_CONFIG if report.faults else EX_OK


def print_how_labels_are_said(labels: Sequence["Label"], settings: Settings) -> None:
    """Print the sentence for each of these labels of a model."""
    from edge.announce.wording import Words
    from edge.stages import Term

    words = Words(settings.announce, settings.speech)
    rows = []
    for label in labels:
        term = words.sayable([Term(label.name, label.id)], spoken=False)
        rows.append(
            [label.name, words.sure(term) if term else "its group, or nothing: this language has no words for it"]
        )
    print(table(["label", "said"], rows))
    print('To change a word, set [announce] rename = {"its label" = "your word"}.')


def _print_some(title: str, lines: Sequence[str], every: bool) -> None:
    if lines:
        shown = lines if every else lines[:MISSING_SHOWN]
        print(f"\n{title}", *shown, sep="\n")
        if len(shown) < len(lines):
            print(f"and {len(lines) - len(shown)} more: --all shows them")
