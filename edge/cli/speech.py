"""edge say, edge voices: the voice and the sound card, tried by hand."""

import argparse
import os
import re
import shutil
import subprocess

from edge.cli.common import settings_of
from edge.cli.table import table
from edge.errors import EX_OK, SpeechError


def say(options: argparse.Namespace) -> int:
    """edge say: the way of every announcement, for one text; or what can be played on."""
    from edge.speech import open_speaker, say_and_wait
    from edge.stages import Announcement

    if options.list_devices:
        return _list_devices()
    settings = settings_of(options)
    text = " ".join(options.text)
    if not text.strip():
        raise SpeechError("there is nothing to say: give a text, as in: edge say 'I see a guitar'")
    speaker = open_speaker(settings.speech, printed=print)
    try:
        outcome = say_and_wait(speaker, Announcement(id="", label="", probability=1.0, text=text))
    finally:
        speaker.close()
    if not outcome.delivered:
        raise SpeechError(f"not heard: {outcome.reason}")
    return EX_OK


def _list_devices() -> int:
    from edge.speech.sound import find_aplay, find_cards, probe

    aplay = find_aplay()
    rows = []
    for device, name in (("", "ALSA's default"), *((card.id, card.name) for card in find_cards())):
        try:
            probe(aplay, device)
            state = "can be used"
        except SpeechError as error:
            state = str(error)
        rows.append([f'"{device}"', name, state])
    print(table(["device", "what it is", "now"], rows))
    print("\nWrite the first column into the settings: [speech] device = ...")
    return EX_OK


def voices(options: argparse.Namespace) -> int:
    """edge voices: what [speech] voice may be."""
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        raise SpeechError("espeak-ng is not installed: sudo apt install espeak-ng")
    # it opens libpulse for nothing, which without a session would make a folder in the person's home
    quiet = {"PULSE_RUNTIME_PATH": os.devnull} | os.environ
    listed = subprocess.run([espeak, "--voices"], env=quiet, capture_output=True, text=True, check=True).stdout
    rows = []
    for line in listed.splitlines()[1:]:
        # Pty Language Age/Gender VoiceName File Other Languages
        if match := re.match(r"\s*\d+\s+(\S+)\s+(\S+)\s+(\S+)", line):
            voice, gender, name = match.groups()
            if options.language.lower() in ("", voice.lower(), voice.lower().split("-")[0]):
                people = {"M": "man", "F": "woman"}.get(gender.rpartition("/")[2], "")
                rows.append([voice, name.replace("_", " "), people])
    if not rows:
        raise SpeechError(f"espeak-ng has no voice for {options.language!r}; edge voices lists them all")
    print(table(["voice", "language", ""], rows))
    print("\nWrite the first column into the settings: [speech] voice = ...")
    return EX_OK
