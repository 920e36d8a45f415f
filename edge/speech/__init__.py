"""Speech output: one driver per file, and the process that hosts it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from edge.stages import Announcement, Outcome, Speaker

if TYPE_CHECKING:  # this package is loaded in the speech process too, which needs no settings
    from edge.settings import SpeechSettings

DRIVERS = {"pyttsx3": "edge.speech.pyttsx3", "espeak": "edge.speech.espeak"}
"""Modules of the drivers that make sound; a speech process imports one of them."""


class StartedSpeaker(Speaker, Protocol):
    """A speaker whose process may still be starting."""

    def wait_until_open(self) -> None:
        """Wait until it can speak; call this before anything but `close`. Raises SpeechError, and closes it, if not."""


def open_speaker(settings: "SpeechSettings", printed: Callable[[str], object] = print) -> Speaker:
    """Return the speaker that the settings select. The `log` speaker passes its words to `printed`.

    This waits until the synthesiser is ready (0.1 s, longer on a Pi). Raises SpeechError if it cannot be started or
    does not know the voice. It does not wait for the sound card: the first outcome reports a fault of the card.
    """
    if settings.driver == "log":
        from edge.speech.log import LogSpeaker

        return LogSpeaker(printed)
    speaker = start_speaker(settings)
    speaker.wait_until_open()
    return speaker


def start_speaker(settings: "SpeechSettings") -> StartedSpeaker:
    """Return a speaker that makes sound, and do not wait for its process."""
    from edge.speech.process import ProcessSpeaker

    return ProcessSpeaker(DRIVERS[settings.driver], settings)


def say_and_wait(speaker: Speaker, announcement: Announcement) -> Outcome:
    """Say it as soon as the speaker is free, and return the outcome. The speaker's own deadline limits the wait."""
    # the speaker is busy for a moment while it tries the card
    while not speaker.say(announcement):
        speaker.poll()
        time.sleep(0.01)
    while not (outcomes := speaker.poll()):
        time.sleep(0.01)
    return outcomes[0]
