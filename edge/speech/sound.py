"""Sound cards, through aplay: list them, try to open one, and translate aplay's errors."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import SpeechError

NO_APLAY = "aplay is not installed: sudo apt install alsa-utils"
NO_CARD, BUSY = "no sound card", "another program is using the sound card"
FORBIDDEN = "no permission to use the sound card: sudo usermod -aG audio USER"
CARD_FAULTS = (NO_CARD, BUSY, FORBIDDEN)
"""Beginnings of the errors for which it is worth waiting until the card comes back; others are different faults."""
CARDS = Path("/proc/asound/cards")

_MEANINGS = {
    # end of aplay's message: its meaning
    "open error: No such file or directory": f"{NO_CARD}: connect one, or set [speech] device",
    "open error: No such device": f"{NO_CARD}: it has been unplugged",
    "No such device": f"{NO_CARD}: it has been unplugged",
    "open error: Device or resource busy": BUSY,
    "open error: Permission denied": FORBIDDEN,
    "open error: Connection refused": "the sound server does not answer: make a card ALSA's default",
}


@dataclass(frozen=True)
class Card:
    """A sound card as the kernel lists it."""

    id: str
    """ALSA's id, which stays the same across restarts: 'Headphones'."""
    name: str
    """Full name: 'bcm2835 Headphones'."""


def find_cards(listed: Path = CARDS) -> list[Card]:
    """Return the machine's sound cards; none if the kernel has no ALSA."""
    try:
        text = listed.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [Card(match[1], match[2]) for match in re.finditer(r"^ *\d+ \[(\S+) *\]: .*? - (.*)$", text, re.MULTILINE)]


def player(aplay: str, device: str, cards: Sequence[Card] | None = None) -> list[str]:
    """Return the command that plays to a device: a card's name or part of it, any ALSA device, '' for ALSA's default.

    Call it again each time, because cards come and go.
    """
    command = [aplay, "-q"]
    if not device:
        return command
    wanted = device.casefold()
    known = find_cards() if cards is None else cards
    exact = [card for card in known if card.id.casefold() == wanted]
    part = [card for card in known if wanted in f"{card.id} {card.name}".casefold()]
    found = (exact or part)[:1]
    return [*command, "-D", f"plughw:CARD={found[0].id}" if found else device]


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
