"""How a person asks without a keyboard: keys, and a word.

A source of input calls a `Receiver` (actions.py). It does not carry out the actions.
"""

from collections.abc import Callable
from typing import Any, Protocol

from edge.input.actions import Receiver
from edge.settings import InputSettings

KEYS, WAKE_WORD = "keys", "wake_word"
"""The names of the sources in `edge status`."""


class Source(Protocol):
    """Something to ask with. A device that is missing or vanishes is its `problem`; it is tried again by itself."""

    @property
    def problem(self) -> str:
        """Why it cannot be used for now, in a few words; empty if there is no known problem."""

    def set_paused(self, paused: bool) -> None:
        """Close what a paused edge must not have open (a microphone), or open it again. Does not wait."""

    def status(self) -> dict[str, Any]:
        """Return its part of `edge status` as a JSON object: its devices, and what is open. From any thread."""

    def close(self) -> None:
        """End it at once. May be called twice, and from any thread."""


def open_sources(
    settings: InputSettings,
    receiver: Receiver,
    *,
    sounding: Callable[[], bool] = lambda: False,
    speech_device: str = "",
) -> dict[str, Source]:
    """Return the sources that the settings ask for, by their names in `edge status`. They have started, and retry.

    `sounding` tells, from any thread and without waiting, whether edge makes a sound now: it must not hear itself.
    `speech_device` is [speech] device, whose card may have the microphone too. Raises ConfigError if the settings name
    an unknown key or action.
    """
    from edge.input.keys import Keys
    from edge.input.wake_word import WakeWord

    sources: dict[str, Source] = {}
    if settings.devices:
        sources[KEYS] = Keys(settings, receiver)
    if settings.word:
        sources[WAKE_WORD] = WakeWord(settings, receiver, sounding, speech_device)
    return sources
