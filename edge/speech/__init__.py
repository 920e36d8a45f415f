"""How words are said: one driver a file, and the process that hosts it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this package is loaded in the speech process too, which can do without numpy
    from edge.settings import SpeechSettings
    from edge.stages import Announcement, Outcome, Speaker

DRIVERS = {"pyttsx3": "edge.speech.pyttsx3", "espeak": "edge.speech.espeak"}
"""The drivers that make sound, each in a module of its own that a speech process imports."""


def open_speaker(settings: "SpeechSettings", printed: Callable[[str], object] = print) -> "Speaker":
    """Return the speaker that the settings ask for; the `log` speaker hands its words to `printed`.

    Waits until the synthesiser is ready (0.1 s, on a Pi more). Raises SpeechError when it cannot be started, or does
    not know the voice. The sound card isn't tried: what is wrong with it is told by the first outcome.
    """
    if settings.driver == "log":
        from edge.speech.log import LogSpeaker

        return LogSpeaker(printed)
    from edge.speech.process import ProcessSpeaker

    return ProcessSpeaker(DRIVERS[settings.driver], settings)


def say_and_wait(speaker: "Speaker", announcement: "Announcement") -> "Outcome":
    """Say it as soon as the speaker is free, and return what became of it; the speaker's own deadline bounds this."""
    # it is busy for a moment, while it tries the card
    while not speaker.say(announcement):
        speaker.poll()
        time.sleep(0.01)
    while not (outcomes := speaker.poll()):
        time.sleep(0.01)
    return outcomes[0]
