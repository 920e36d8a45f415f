"""The sound card, seen from aplay: is there one, and what do aplay's complaints mean?"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.errors import SpeechError

NO_APLAY = "aplay is not installed: sudo apt install alsa-utils"
NO_CARD = "no sound card"
"""How the reason begins when there is nothing to play on; any other reason is another fault."""

_MEANINGS = {
    # what aplay ends with: what it means
    "open error: No such file or directory": f"{NO_CARD}: connect one, or name it in /etc/asound.conf",
    "No such device": f"{NO_CARD}: it has been unplugged",
    "open error: Device or resource busy": "another program is using the sound card",
    "open error: Permission denied": "no permission to use the sound card: sudo usermod -aG audio USER",
    "open error: Connection refused": "the sound server does not answer: let ALSA's default be a card",
}


def sound_problem(
    environment: Mapping[str, str] = os.environ,
    cards: Path = Path("/proc/asound/cards"),
    configurations: Sequence[Path] = (Path("/etc/asound.conf"),),
) -> str | None:
    """Return why nothing can be heard, None when it may be. Quick, and without touching the card.

    Somebody who has written an ALSA configuration may play to where no card is needed: then aplay will tell.
    """
    if not shutil.which("aplay", path=environment.get("PATH")):
        return NO_APLAY
    own = Path(environment.get("HOME", "/"), ".asoundrc")
    if "ALSA_CONFIG_PATH" in environment or any(path.exists() for path in (own, *configurations)):
        return None
    try:
        listed = cards.read_text()
    except OSError:  # a kernel without ALSA
        listed = ""
    return None if "]:" in listed else NO_CARD


def find_aplay() -> str:
    """Return the path of aplay. Raises SpeechError when it is not installed."""
    path = shutil.which("aplay")
    if path is None:
        raise SpeechError(NO_APLAY)
    return path


def check_aplay(status: int, stderr: str) -> None:
    """Raise SpeechError, in a person's words, unless aplay's exit status (as subprocess has it) says that it played."""
    if status == 0:
        return
    last = (stderr.strip().splitlines() or [f"exit status {status}"])[-1]
    for sign, meaning in _MEANINGS.items():
        if sign in last:
            raise SpeechError(meaning)
    raise SpeechError(f"the sound could not be played: {last}")
