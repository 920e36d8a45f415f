"""What espeak-ng says, to compare with what a recording card has heard."""

import subprocess
from pathlib import Path

from rigs.audio.card import RecordingCard, samples_of


def was_heard(card: RecordingCard, text: str, folder: Path) -> bool:
    """Whether this, as espeak-ng itself says it, and nothing else, is one of the things that were played."""
    file = folder / "oracle.wav"
    subprocess.run(["espeak-ng", "-v", "en", "-s", "200", "-w", str(file), text], check=True)
    oracle = samples_of(file)
    # a card plays what is given it, and silence until its buffer is full
    return any(one.startswith(oracle) and not any(one[len(oracle) :]) for one in card.recordings())
