"""The one voice for tones, answers and announcements, and what comes first. Pure but for the clock.

A sound card plays one thing at a time, and a person who asks comes first. So a key breaks off what is being said, and
its tone plays. An answer is said next. Announcements of labels and sentences about edge itself wait until the answer
has ended; the announcer then decides afresh, so that no words are outdated.
"""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from edge.stages import INTERRUPTED, Announcement, Outcome, Speaker

PATIENCE_S = 1.5
"""How long an answer waits for a card that cannot be opened: a tone, or the previous player, may just have had it."""
EXPECTING_S = 1.5
"""How long announcements wait after a key went down: its action follows as soon as its pattern is known."""


class Tones(Protocol):
    """Plays short tones on the card that the speaker uses too."""

    volume: float

    def play(self, notes_hz: Sequence[float]) -> None: ...
    def is_playing(self) -> bool: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class Voice:
    """A speaker for the loop, which a person's requests interrupt.

    The loop uses it like any `Speaker`. One other thread, that of the answers, calls `signal`, `answer`, `turn`,
    `begun` and `answered`. It works without a speaker too: an answer then waits until there is one.
    """

    def __init__(self) -> None:
        """Start without a speaker and without tones; see `use`."""
        self._lock = threading.RLock()
        self._speaker: Speaker | None = None
        self._tones: Tones | None = None
        self._volume, self._rate_wpm = -1.0, 0
        self._saying: Announcement | None = None
        """What is being said, an answer or not."""
        self._waiting: Announcement | None = None
        """The answer that comes next."""
        self._waits_until_s = 0.0
        """Until when that answer waits for a card."""
        self._answering = False
        """True if an answer is being said."""
        self._expecting_until_s = 0.0
        self._due_hz: Sequence[float] = ()
        """Notes of a key that went down before there were tones."""
        self.held = False
        """True while announcements must wait for another reason: a person aims the camera by ear."""
        self._outcomes: list[Outcome] = []
        self._begun: list[Announcement] = []
        self._told: Announcement | None = None
        """The last answer in that list."""
        self._answered: list[Outcome] = []

    def use(self, speaker: Speaker | None, tones: Tones | None) -> None:
        """Use another speaker and other tones; close the old ones. What is being said is broken off."""
        with self._lock:
            self._break_off()
            for old in (self._speaker, self._tones):
                if old is not None and old not in (speaker, tones):
                    old.close()
            self._speaker, self._tones = speaker, tones
            self._adjust()
            if tones is not None and self._due_hz:
                if time.monotonic() < self._expecting_until_s or self._waiting is not None:
                    tones.play(self._due_hz)
                self._due_hz = ()

    def adjust(self, volume: float, rate_wpm: int) -> None:
        """Say everything from now on with this volume, 0..1, and this rate in words per minute."""
        with self._lock:
            self._volume, self._rate_wpm = volume, rate_wpm
            self._adjust()

    # ---- the loop's side: a Speaker

    @property
    def description(self) -> str:
        speaker = self._speaker
        return speaker.description if speaker else "none yet"

    @property
    def problem(self) -> str:
        speaker = self._speaker
        return speaker.problem if speaker else ""

    def say(self, announcement: Announcement) -> bool:
        with self._lock:
            if self._speaker is None or self._is_taken() or not self._speaker.say(announcement):
                return False
            self._saying = announcement
            return True

    def poll(self) -> list[Outcome]:
        with self._lock:
            self._collect()
            outcomes, self._outcomes = self._outcomes, []
            return outcomes

    def interrupt(self) -> None:
        with self._lock:
            if not self._is_taken():
                self._break_off()

    def close(self) -> None:
        # without the lock: a thread that ends the daemon by force must not wait
        for one in (self._speaker, self._tones):
            if one is not None:
                one.close()

    # ---- the side of the answers

    def signal(self, notes_hz: Sequence[float] = ()) -> None:
        """Break off what is being said, play the notes, and keep the next moment free for an answer."""
        with self._lock:
            self._waiting = None
            self._break_off()
            self._expecting_until_s = time.monotonic() + EXPECTING_S
            if self._tones is None:
                self._due_hz = notes_hz
            elif notes_hz:
                self._tones.play(notes_hz)

    def beep(self, notes_hz: Sequence[float]) -> bool:
        """Play notes if nothing is being said or played; return True if they play."""
        with self._lock:
            if self._tones is None or self.is_busy():
                return False
            self._tones.play(notes_hz)
            return True

    def answer(self, announcement: Announcement) -> None:
        """Break off what is being said; say this as soon as the tone has ended. It replaces an answer that waits.

        The same words as those that are being said, as an answer, are not begun again: they are the answer.
        """
        with self._lock:
            self._collect()
            current = self._waiting or (self._saying if self._answering else None)
            if current is not None and current.text == announcement.text:
                return
            self._break_off()
            self._waiting, self._expecting_until_s = announcement, 0.0
            self._waits_until_s = time.monotonic() + PATIENCE_S
            self.turn()

    def turn(self) -> bool:
        """Begin an answer that waits, if that is possible now; return True while there is something to be done.

        Call it often as long as it returns True.
        """
        with self._lock:
            self._collect()
            sounding = self._tones is not None and self._tones.is_playing()
            answer, speaker = self._waiting, self._speaker
            if answer is not None and speaker is not None and not sounding and self._may_begin(speaker):
                if speaker.say(answer):
                    self._saying, self._waiting, self._answering = answer, None, True
                    if answer is not self._told:  # else it is tried again
                        self._told = answer
                        self._begun.append(answer)
                self._collect()
            return sounding or self._answering or self._waiting is not None

    def is_busy(self) -> bool:
        """Return True while something is said or played, or an answer waits."""
        with self._lock:
            self._collect()
            sounding = self._tones is not None and self._tones.is_playing()
            expecting = time.monotonic() < self._expecting_until_s
            return sounding or expecting or self._saying is not None or self._waiting is not None

    def begun(self) -> list[Announcement]:
        """Return the answers that have begun since the last call."""
        with self._lock:
            begun, self._begun = self._begun, []
            return begun

    def answered(self) -> list[Outcome]:
        """Return the outcomes of answers since the last call."""
        with self._lock:
            answered, self._answered = self._answered, []
            return answered

    # ---- both

    def _is_taken(self) -> bool:
        """Return True if an answer waits, is being said, or may follow at any moment; or if a tone plays."""
        expecting = time.monotonic() < self._expecting_until_s
        sounding = self._tones is not None and self._tones.is_playing()
        return self._waiting is not None or self._answering or expecting or sounding or self.held

    def _may_begin(self, speaker: Speaker) -> bool:
        """Return True if an answer can be tried: its card is there, or it is useless to wait for it any longer."""
        return not speaker.problem or time.monotonic() >= self._waits_until_s

    def _break_off(self) -> None:
        self._collect()
        if self._speaker is not None and self._saying is not None:
            self._speaker.interrupt()
            self._collect()
        if self._saying is not None:  # its speaker is gone, or gave no outcome
            self._take(Outcome(self._saying, heard=False, reason=INTERRUPTED))

    def _collect(self) -> None:
        if self._speaker is not None:
            for outcome in self._speaker.poll():
                self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        if self._answering and outcome.announcement is self._saying:
            self._answering = False
            if outcome.lasting and self._waiting is None and time.monotonic() < self._waits_until_s:
                self._waiting = outcome.announcement
            else:
                self._answered.append(outcome)
        else:
            self._outcomes.append(outcome)
        if outcome.announcement is self._saying:
            self._saying = None

    def _adjust(self) -> None:
        if self._volume < 0:
            return
        if self._speaker is not None:
            self._speaker.adjust(self._volume, self._rate_wpm)
        if self._tones is not None:
            self._tones.volume = self._volume
