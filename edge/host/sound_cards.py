"""The sound cards that the kernel lists, and ALSA's names for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CARDS = Path("/proc/asound/cards")


@dataclass(frozen=True)
class Card:
    """A sound card as the kernel lists it."""

    id: str
    """ALSA's id, which stays the same across restarts: 'Headphones'."""
    name: str
    """Full name: 'bcm2835 Headphones'."""
    records: bool = False
    """True if it has a microphone or a line input."""


def find_cards(listed: Path = CARDS) -> list[Card]:
    """Return the machine's sound cards; none if the kernel has no ALSA."""
    text = _read(listed)
    # a line a device: "01-00: USB Audio : USB Audio : playback 1 : capture 1"
    recording = {int(one) for one in re.findall(r"^(\d+)-\d+:.*: capture \d", _read(listed.with_name("pcm")), re.M)}
    return [
        Card(match[2], match[3], int(match[1]) in recording)
        for match in re.finditer(r"^ *(\d+) \[(\S+) *\]: .*? - (.*)$", text, re.M)
    ]


def alsa_name(device: str, cards: Sequence[Card] | None = None) -> str:
    """Return ALSA's name of a device: a card's name or part of it, or any ALSA device; '' stays ALSA's default.

    Sample rates and formats that a card does not have are converted. Call it again each time: cards come and go.
    """
    if not device:
        return ""
    wanted = device.casefold()
    known = find_cards() if cards is None else cards
    exact = [card for card in known if card.id.casefold() == wanted]
    part = [card for card in known if wanted in f"{card.id} {card.name}".casefold()]
    found = (exact or part)[:1]
    return f"plughw:CARD={found[0].id}" if found else device


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
