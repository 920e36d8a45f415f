"""Guide a person by ear who aims the camera or turns its lens: a tone that rises with sharpness, and words at changes.

Pure: time comes as an argument.
"""

import math
from typing import Any, NamedTuple

from edge.announce.answers import BEST, HOLD_STILL, LESS_SHARP, LIGHT_GOOD, SHARPER, TOO_BRIGHT, TOO_DARK
from edge.vision.focus import FocusMeter, Reading

AIM_S = 60.0
"""How long it guides, unless it is ended before."""
LOWEST_HZ, OCTAVES = 200.0, 3.3
"""The tone of a picture without any edge, and how far above it the tone of the sharpest could be."""
MIDDLE_SHARPNESS, CURVE = 2e-3, 0.4
"""Sharpness in the middle of that range, and the steepness of the tone there: of photos blurred by 0 to 10 pixels, 90 %
have a sharpness of 6e-5 to 7e-2, which is 0.2 to 0.8 of the range."""
BEEP_EVERY_S = 0.3
WORD_EVERY_S = 1.2
"""Least time between two words about sharpness."""
STEP = 1.25
"""Factor by which the sharpness must change to count as changed."""
PASSED, REACHED = 0.85, 0.95
"""Shares of the best sharpness: below the first it has clearly been left; from the second on it is found again."""
NEAR = 0.6
"""Share of the best from which on "sharper" is not said any more: "best" may be due before that word has ended."""
LASTS_S = 1.0
"""How long a change of the light must last."""
MOVES_S, HOLD_EVERY_S = 2.0, 10.0
"""How long the picture must move before edge asks for a still one, and how often it asks at most."""
LOOK_EVERY_S = 8.0
"""How often it tells what it sees."""


class Advice(NamedTuple):
    """Sounds to make now."""

    note_hz: float = 0.0
    """The tone; 0: none."""
    word: str = ""
    """A sentence of announce/answers.py; empty: none."""
    look: bool = False
    """True if it is time to tell what is in view."""


def pitch_hz(sharpness: float) -> float:
    """Return the tone for a sharpness from 0 on: it rises with every increase, by octaves for a large one."""
    share = 0.0
    if sharpness > 0:
        share = 1 / (1 + math.pow(MIDDLE_SHARPNESS / sharpness, CURVE))
    return float(LOWEST_HZ * 2 ** (OCTAVES * share))


class Guide:
    """The advice for one attempt to aim, from the readings of successive frames."""

    def __init__(self, now_s: float) -> None:
        self.until_s = now_s + AIM_S
        self.last_word = ""
        self._meter = FocusMeter()
        self._level = 0.0
        """The sharpness when a word about it was said last."""
        self._left = False
        """True if the sharpness has been clearly below the best since that was found."""
        self._light = self._light_said = LIGHT_GOOD
        self._light_since_s = self._look_s = now_s
        self._beep_s = self._word_s = self._hold_s = -math.inf
        self._moves_since_s: float | None = None

    def update(self, reading: Reading, now_s: float, *, free: bool) -> Advice:
        """Return the sounds to make after a frame: none while the voice is not `free`, but nothing is lost."""
        self._take(reading, now_s)
        if not free:
            return Advice()
        if word := self._word(now_s):
            self.last_word = word
            return Advice(word=word)
        if now_s - self._look_s >= LOOK_EVERY_S:
            self._look_s = now_s
            return Advice(look=True)
        if now_s - self._beep_s >= BEEP_EVERY_S and self._light != TOO_DARK:
            self._beep_s = now_s
            return Advice(note_hz=pitch_hz(self.sharpness))
        return Advice()

    def as_json(self, now_s: float) -> dict[str, Any]:
        """Return its state as a JSON object."""
        return {
            "left_s": round(max(0.0, self.until_s - now_s), 1),
            "sharpness": round(self.sharpness, 6),
            "best": round(self.best, 6),
            "pitch_hz": round(pitch_hz(self.sharpness), 1),
            "light": self._light,
            "still": self._moves_since_s is None,
            "word": self.last_word or None,
        }

    @property
    def sharpness(self) -> float:
        """Return the sharpness over the last frames."""
        return self._meter.sharpness

    @property
    def best(self) -> float:
        """Return the best sharpness so far."""
        return self._meter.best

    def _take(self, reading: Reading, now_s: float) -> None:
        best = self.best
        if self._meter.update(reading):
            self._level, self._left = 0.0, False
        if self._meter.moves:
            self._moves_since_s = now_s if self._moves_since_s is None else self._moves_since_s
        else:
            self._moves_since_s = None
        light = TOO_DARK if reading.dark else TOO_BRIGHT if reading.bright else LIGHT_GOOD
        if light != self._light:
            self._light, self._light_since_s = light, now_s
        if self._meter.settled and not self._level:
            self._level = self.sharpness
        if self.best > best:
            # noise alone can exceed the best a little when it is found again
            self._left = self._left and self.sharpness * REACHED <= best
        self._left = self._left or self.sharpness < PASSED * self.best

    def _word(self, now_s: float) -> str:
        if self._light != self._light_said and now_s - self._light_since_s >= LASTS_S:
            self._light_said = self._light
            return self._light
        if self._light_said != LIGHT_GOOD:
            return ""
        if self._left and self.sharpness >= REACHED * self.best:
            self._left, self._level, self._word_s = False, self.sharpness, now_s
            return BEST
        if now_s - self._word_s >= WORD_EVERY_S and self._level:
            word = ""
            nears_the_best = self._left and self.sharpness >= NEAR * self.best
            if self.sharpness > STEP * self._level and not nears_the_best:
                word = SHARPER
            elif self.sharpness < self._level / STEP:
                word = LESS_SHARP
            if word:
                self._level, self._word_s = self.sharpness, now_s
                return word
        moved_s = now_s - self._moves_since_s if self._moves_since_s is not None else 0.0
        if moved_s >= MOVES_S and now_s - self._hold_s >= HOLD_EVERY_S:
            self._hold_s = now_s
            return HOLD_STILL
        return ""
