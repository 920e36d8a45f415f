"""Short tones, made here and played with aplay: the answer to a key before there are words.

A tone does not pass through the speech process: that may be busy with a sentence, or be starting again. aplay is
started by a fork that copies nothing (vfork), so a large model in memory does not delay it.
"""

import array
import contextlib
import math
import os
import struct
import subprocess
import time
from collections.abc import Sequence

from edge.errors import SpeechError
from edge.settings import SpeechSettings
from edge.speech.sound import find_aplay, player

RATE_HZ = 22050
"""Sample rate; that of the synthesiser, so a card need not change it."""
NOTE_S, FADE_S = 0.07, 0.008
"""Length of a note, and of its fading in and out, without which it would click."""
LOUDNESS = 0.35
"""Amplitude of a note at full volume; speech has peaks of 1 and is far softer between them."""
LOW_HZ, HIGH_HZ = 660.0, 880.0
"""The two notes, a fourth apart. Small loudspeakers play both well."""
RISING, FALLING = (LOW_HZ, HIGH_HZ), (HIGH_HZ, LOW_HZ)
"""Rising: edge listens. Falling: something has ended by itself."""
RETRY_S, FIRST_RETRY_S = 0.4, 0.02
"""How long a card that another player has just left may still be busy, and the first pause until the next try."""
STUCK_S = 2.0
"""How much longer than its sound a player may take."""


def wav(notes_hz: Sequence[float], volume: float = 1.0, lead_in_ms: int = 0) -> bytes:
    """Return notes as a WAV file (mono, 16 bit), after `lead_in_ms` milliseconds of silence. `volume` is 0..1."""
    samples = array.array("h", bytes(2 * (RATE_HZ * lead_in_ms // 1000)))
    count, fade = int(RATE_HZ * NOTE_S), RATE_HZ * FADE_S
    for note_hz in notes_hz:
        step = 2 * math.pi * note_hz / RATE_HZ
        samples.extend(
            round(32767 * LOUDNESS * volume * min(1.0, (k + 1) / fade, (count - k) / fade) * math.sin(step * (k + 1)))
            for k in range(count)
        )
    data = samples.tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return b"".join(
        (struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE"), form, struct.pack("<4sI", b"data", len(data)), data)
    )


def length_s(notes: int) -> float:
    """Return how long so many notes sound, in seconds."""
    return notes * NOTE_S


class TonePlayer:
    """Plays one tone at a time on the card of the settings. One thread uses it; `close` may come from any."""

    def __init__(self, settings: SpeechSettings) -> None:
        """Open nothing yet: without aplay or a card there are no tones, and speech tells the reason."""
        self._settings = settings
        self._aplay = ""
        self.volume = settings.volume
        self._process: subprocess.Popen[bytes] | None = None
        self._sound = b""
        self._until_s = self._stuck_s = self._again_s = 0.0
        self._pause_s = FIRST_RETRY_S
        self._ready: dict[tuple[tuple[float, ...], float], bytes] = {}
        """The sound of the notes that come often."""
        with contextlib.suppress(SpeechError):
            self._aplay = find_aplay()
        self._wav(RISING)

    def play(self, notes_hz: Sequence[float]) -> None:
        """Begin to play notes; what was played before is broken off."""
        self.stop()
        if not self._aplay or self.volume == 0:
            return
        now_s = time.monotonic()
        self._sound = self._wav(tuple(notes_hz))
        self._until_s, self._pause_s = now_s + RETRY_S, FIRST_RETRY_S
        self._stuck_s = now_s + length_s(len(notes_hz)) + self._settings.lead_in_ms / 1000 + STUCK_S
        self._start()

    def is_playing(self) -> bool:
        """Return True until the tone has ended; try again if the card was still busy. Call it often."""
        now_s = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None and now_s < self._stuck_s:
                return True
            self._end()
            if status in (0, None) or now_s > self._until_s:
                self._sound = b""
            else:
                self._again_s, self._pause_s = now_s + self._pause_s, 2 * self._pause_s
        if self._sound and now_s >= self._again_s:
            self._start()
        return bool(self._sound)

    def stop(self) -> None:
        """End the tone at once."""
        self._sound = b""
        self._end()

    def close(self) -> None:
        """End the tone at once. May be called twice, and from any thread."""
        self._aplay = ""
        self._sound = b""
        if (process := self._process) is not None:
            process.kill()

    def _wav(self, notes_hz: tuple[float, ...]) -> bytes:
        if notes_hz not in (RISING, FALLING):
            return wav(notes_hz, self.volume, self._settings.lead_in_ms)
        key = (notes_hz, self.volume)
        if key not in self._ready:
            self._ready = {
                (notes, self.volume): wav(notes, self.volume, self._settings.lead_in_ms) for notes in (RISING, FALLING)
            }
        return self._ready[key]

    def _start(self) -> None:
        with contextlib.suppress(OSError):
            memory = os.memfd_create("tone")
            try:
                os.write(memory, self._sound)
                os.lseek(memory, 0, os.SEEK_SET)
                self._process = subprocess.Popen(
                    [*player(self._aplay, self._settings.device), "-"],
                    stdin=memory,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            finally:
                os.close(memory)
        if self._process is None:
            self._sound = b""

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STUCK_S)
            self._process = None
