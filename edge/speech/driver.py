"""Code shared by the drivers that make sound, in the speech process."""

import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from edge.errors import SpeechError
from edge.speech.sound import probe
from edge.stages import TOO_LATE


class Synthesiser(Protocol):
    """A driver that speaks on a card."""

    aplay: str
    """Path of aplay."""
    volume: float
    """Volume of the next text, 0..1."""
    rate_wpm: int
    """Rate of the next text, in words per minute."""

    def say(self, text: str) -> None: ...


def answering(synthesiser: Synthesiser, device: str) -> Callable[[dict[str, Any]], None]:
    """Return the function that answers requests of speech/process.py: to try the card, or to say something."""

    def answer(request: dict[str, Any]) -> None:
        if "probe" in request:
            probe(synthesiser.aplay, device)
            return
        # all processes share this clock; this process may have been started only for this text
        if time.monotonic() > request["expires_s"]:
            raise SpeechError(TOO_LATE)
        if not any(character.isalnum() for character in request["text"]):
            raise SpeechError("it contains nothing that can be spoken")
        synthesiser.volume, synthesiser.rate_wpm = request["volume"], request["rate_wpm"]
        synthesiser.say(request["text"])

    return answer


def clean(text: str) -> str:
    """Return the text without anything a synthesiser would take for a command: control characters and [[phonemes]].

    SSML is read aloud like other text, because neither driver enables it. A lone surrogate is not a valid character,
    and a NUL would end the text.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", " ", text)
    return text.replace("[[", "[ [")
