"""The speaker that makes sound: a synthesiser's driver in a process of its own, and a deadline for every utterance."""

import dataclasses

from edge.errors import SpeechError
from edge.settings import SpeechSettings
from edge.stages import Announcement, Outcome
from edge.worker import Worker, WorkerError

GRACE_S = 2.0
"""For the card to wake up and to play its buffer to the end."""
CHARACTER_S = 0.15
"""A generous time for one character at 200 words a minute; ordinary speech needs a third of it."""

LONGEST = 2000
"""Characters of one announcement: minutes of speech, and far less than the pipe to the process takes at once."""


class ProcessSpeaker:
    """Says one announcement at a time through the driver in `module`."""

    def __init__(self, module: str, settings: SpeechSettings) -> None:
        """Start the process. Raises SpeechError when the driver cannot be opened with these settings."""
        self.description = settings.driver + (f", voice {settings.voice}" if settings.voice else "")
        self._character_s = CHARACTER_S * 200 / settings.rate_wpm
        self._saying: Announcement | None = None
        self._refused: list[Outcome] = []
        try:
            self._worker = Worker(module, dataclasses.asdict(settings), "the voice")
        except WorkerError as error:
            raise SpeechError(str(error)) from error

    def say(self, announcement: Announcement) -> bool:
        text = announcement.text
        if len(text) > LONGEST:
            self._refused.append(
                Outcome(announcement, heard=False, reason=f"a text of {len(text)} characters is too long")
            )
            return True
        taken = self._worker.ask(text, GRACE_S + self._character_s * len(text))
        if taken:
            self._saying = announcement
        return taken

    def poll(self) -> list[Outcome]:
        refused, self._refused = self._refused, []
        reply = self._worker.poll()
        if reply is None or self._saying is None:
            return refused
        said, self._saying = self._saying, None
        return [*refused, Outcome(said, heard=not reply.error, reason=reply.error)]

    def close(self) -> None:
        self._worker.close()
