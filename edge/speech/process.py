"""The speaker that makes sound: a synthesiser's driver in a separate process, and a deadline for every utterance.

It knows whether it can be heard. A missing or busy card is a `problem`: it is retried with growing delays until it can
be opened. Until then announcements are refused at once, so that nothing outdated is spoken.
"""

import dataclasses
import time

from edge.errors import SpeechError
from edge.host.backoff import Backoff
from edge.settings import SpeechSettings
from edge.speech.sound import CARD_FAULTS
from edge.stages import INTERRUPTED, TOO_LATE, Announcement, Outcome
from edge.worker import Worker, WorkerError

GRACE_S = 2.0
"""Time for the card to wake up and to play its buffer to the end."""
CHARACTER_S = 0.15
"""A generous time for one character at 200 words a minute; ordinary speech needs a third of it."""
LONGEST = 2000
"""Most characters in one announcement: minutes of speech, yet far less than the pipe to the process takes at once."""
START_S = 30.0
"""How long the synthesiser may take to start; a small board is busy just after booting."""
PROBE_S = 3.0
"""How long opening the card may take."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""First pause between two tries of a card that cannot be opened, and the longest one that it doubles up to."""


class ProcessSpeaker:
    """Says one announcement at a time through the driver in `module`."""

    def __init__(self, module: str, settings: SpeechSettings) -> None:
        """Start the process, and do not wait for it: call `wait_until_open` before anything else."""
        self.description = settings.driver + (f", voice {settings.spoken_voice}" if settings.spoken_voice else "")
        self.problem = ""
        self.adjust(settings.volume, settings.rate_wpm)
        self._lead_in_s = settings.lead_in_ms / 1000
        self._saying: Announcement | None = None
        self._outcomes: list[Outcome] = []
        self._probing = False
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._probe_s = 0.0
        """Time of the next try of the card, by time.monotonic(); inf: none is needed."""
        options = dataclasses.asdict(settings) | {"voice": settings.spoken_voice}
        self._worker = Worker(module, options, "the voice", START_S, wait=False)

    def wait_until_open(self) -> None:
        """Wait until the driver is open. Raises SpeechError, and closes this, if these settings cannot be used."""
        try:
            self._worker.wait_until_ready()
        except WorkerError as error:
            raise SpeechError(str(error)) from error
        self._probe()

    def say(self, announcement: Announcement) -> bool:
        text = announcement.text
        self._look()
        refusal = self._refusal(announcement)
        if refusal and self._saying is None:
            self._outcomes.append(Outcome(announcement, heard=False, reason=refusal, lasting=refusal == self.problem))
            return True
        character_s = CHARACTER_S * 200 / self._rate_wpm
        timeout_s = GRACE_S + self._lead_in_s + character_s * len(text)
        request = {
            "text": text,
            "expires_s": announcement.expires_s,
            "volume": self._volume,
            "rate_wpm": self._rate_wpm,
        }
        taken = not self._probing and self._worker.ask(request, timeout_s)
        if taken:
            self._saying = announcement
        return taken

    def poll(self) -> list[Outcome]:
        self._look()
        if self._saying is None and not self._probing and time.monotonic() >= self._probe_s:
            self._probe()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def interrupt(self) -> None:
        self._worker.interrupt()
        if self._probing:
            self._probing, self._probe_s = False, time.monotonic() + self._backoff.wait_s
        if self._saying is not None:
            self._outcomes.append(Outcome(self._saying, heard=False, reason=INTERRUPTED))
            self._saying = None

    def adjust(self, volume: float, rate_wpm: int) -> None:
        self._volume, self._rate_wpm = volume, rate_wpm

    def close(self) -> None:
        self._worker.close()

    def _refusal(self, announcement: Announcement) -> str:
        """Return why the announcement is refused; '' if it may be tried."""
        if len(announcement.text) > LONGEST:
            return f"a text of {len(announcement.text)} characters is too long"
        if time.monotonic() > announcement.expires_s:
            return TOO_LATE
        return self.problem

    def _probe(self) -> None:
        self._probing = self._worker.ask({"probe": True}, PROBE_S)

    def _look(self) -> None:
        """Process the worker's answer, if there is one."""
        reply = self._worker.poll()
        if reply is not None:
            self._take(reply.error)

    def _take(self, error: str) -> None:
        """Process an answer of the worker: its error, or ''."""
        lasting = error.startswith(CARD_FAULTS)
        if self._saying is not None:
            said, self._saying = self._saying, None
            self._outcomes.append(Outcome(said, heard=not error, reason=error, lasting=lasting))
            if not lasting:
                return
        self._probing = False
        if lasting:
            self.problem = error
            self._probe_s = time.monotonic() + self._backoff.double()
        else:
            # the next announcement will show any other fault
            self.problem, self._probe_s = "", float("inf")
            self._backoff.reset()
