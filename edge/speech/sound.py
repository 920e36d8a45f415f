"""Playing through aplay: try to open a sound card, and translate aplay's errors."""

import shutil
import subprocess
from collections.abc import Sequence

from edge.errors import SpeechError
from edge.host.sound_cards import Card, alsa_name, find_cards

NO_APLAY = "aplay is not installed: sudo apt install alsa-utils"
NO_CARD, BUSY = "no sound card", "another program is using the sound card"
FORBIDDEN = "no permission to use the sound card: sudo usermod -aG audio USER"
CARD_FAULTS = (NO_CARD, BUSY, FORBIDDEN)
"""Beginnings of the errors for which it is worth waiting until the card comes back; others are different faults."""

_MEANINGS = {
    # end of aplay's message: its meaning
    "open error: No such file or directory": f"{NO_CARD}: connect one, or set [speech] device",
    "open error: No such device": f"{NO_CARD}: it has been unplugged",
    "No such device": f"{NO_CARD}: it has been unplugged",
    "open error: Device or resource busy": BUSY,
    "open error: Permission denied": FORBIDDEN,
    "open error: Connection refused": "the sound server does not answer: make a card ALSA's default",
}


def player(aplay: str, device: str, cards: Sequence[Card] | None = None) -> list[str]:
    """Return the command that plays to a device, as sound_cards.alsa_name has it."""
    name = alsa_name(device, cards)
    return [aplay, "-q", *(["-D", name] if name else [])]


def find_aplay() -> str:
    """Return the path of aplay. Raises SpeechError if it is not installed."""
    path = shutil.which("aplay")
    if path is None:
        raise SpeechError(NO_APLAY)
    return path


def probe(aplay: str, device: str) -> None:
    """Open the device without playing anything. Raises SpeechError, worded for a person, if it cannot be opened."""
    raw = ["-t", "raw", "-f", "S16_LE", "-r", "22050", "-c", "1"]
    done = subprocess.run(
        [*player(aplay, device), *raw],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    check_aplay(done.returncode, done.stderr.decode(errors="replace"), device)


def check_aplay(status: int, stderr: str, device: str = "") -> None:
    """Raise SpeechError, worded for a person, unless aplay's exit status (as subprocess gives it) is 0."""
    if status == 0:
        return
    last = (stderr.strip().splitlines() or [f"exit status {status}"])[-1]
    for sign, meaning in _MEANINGS.items():
        if sign in last:
            if device and meaning.startswith(NO_CARD):
                there = ", ".join(card.id for card in find_cards()) or "none"
                raise SpeechError(f"{NO_CARD} or ALSA device {device!r}; the cards here: {there}")
            raise SpeechError(meaning)
    raise SpeechError(f"the sound could not be played: {last}")
