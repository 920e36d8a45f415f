"""The driver for the wake word: it listens to a microphone in a separate process, and keeps no sound.

Only this module imports pymicro_wakeword. Its model looks at 10 ms of sound at a time and remembers the last second or
so; a word is heard when its probability, averaged over five results (150 ms), passes a threshold.
"""

import importlib
from collections.abc import Callable
from typing import Any

from edge.errors import InputError
from edge.host.installation import how_to_get
from edge.host.libraries import is_installed
from edge.host.noise import prepare_child, quiet
from edge.input.microphone import Microphone, candidates, open_microphone

PACKAGE = "pymicro_wakeword"
CHUNK_S = 0.25
"""Seconds of sound that one request listens to, at most."""
_STEP_S = 0.05
"""Seconds of sound between two looks at the result: the delay of a word that was heard."""
THRESHOLDS = {"okay_nabu": 0.77, "alexa": 0.9, "hey_mycroft": 0.95}
"""The probability that each word needs, 0..1: the models' own, but for okay_nabu, whose own (0.85) is too high for slow
voices (docs/wake-word.md). hey_jarvis is not offered: it is heard too rarely."""


def package_problem() -> str:
    """Return why no word can be heard, in one line, or ''. The package is not imported."""
    return "" if is_installed(PACKAGE) else f"pymicro-wakeword is not installed; {how_to_get(PACKAGE)} installs it"


class Detector:
    """Hears one word in a stream of sound."""

    def __init__(self, word: str, threshold: float | None = None) -> None:
        """Load the model of a word. Raises InputError if the package is missing or broken, or lacks the word.

        `threshold` replaces that of THRESHOLDS.
        """
        if problem := package_problem():
            raise InputError(problem)
        try:
            with quiet():
                package = importlib.import_module("pymicro_wakeword")
                self._model = package.MicroWakeWord.from_builtin(package.Model(word))
                self._features = package.MicroWakeWordFeatures()
        except Exception as error:  # a missing model, a library for another machine
            raise InputError(f"pymicro-wakeword cannot be used: {error}; {how_to_get(PACKAGE)}") from error
        self._threshold = THRESHOLDS[word] if threshold is None else threshold

    def hears(self, sound: bytes) -> bool:
        """Return True if the word ends in this sound (16 kHz, mono, 16 bits little-endian), which follows the last.

        After that it listens for the word from its beginning.
        """
        heard = self.probability(sound) > self._threshold
        if heard:
            self.reset()
        return heard

    def probability(self, sound: bytes) -> float:
        """Return the largest probability, 0..1, that the word ends in this sound, which follows the last."""
        results = (self._model.process_streaming_prob(one) for one in self._features.process_streaming(sound))
        return max(results, default=0.0)

    def reset(self) -> None:
        """Forget the sound so far."""
        with quiet():
            self._model.reset()
        self._features.reset()


class Listener:
    """Answers requests to listen for a moment; opens the microphone at the first one, and again after it was lost."""

    def __init__(self, word: str, microphone: str, speech_device: str) -> None:
        """Load the model. Raises InputError."""
        self._detector = Detector(word)
        self._wanted, self._speech_device = microphone, speech_device
        self._microphone: Microphone | None = None
        self._fresh = True
        """True if the detector has forgotten what it heard before."""

    def listen(self, *, ignore: bool) -> dict[str, Any]:
        """Listen for CHUNK_S, or until the word is heard; with `ignore`, drop that sound.

        Returns {"heard": bool, "microphone": ALSA's name}. Raises InputError if the microphone is missing or lost.
        """
        if self._microphone is None:
            self._microphone = open_microphone(candidates(self._wanted, self._speech_device))
        try:
            heard = self._drop(self._microphone) if ignore else self._hear(self._microphone)
        except InputError:
            self._microphone.close()
            self._microphone = None
            self._forget()
            raise
        return {"heard": heard, "microphone": self._microphone.name}

    def _hear(self, microphone: Microphone) -> bool:
        self._fresh = False
        return any(self._detector.hears(microphone.read(_STEP_S)) for _ in range(round(CHUNK_S / _STEP_S)))

    def _drop(self, microphone: Microphone) -> bool:
        microphone.read(CHUNK_S)
        microphone.drop()
        self._forget()
        return False

    def _forget(self) -> None:
        if not self._fresh:
            self._detector.reset()
            self._fresh = True


def open_driver(options: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that answers requests {"ignore": bool}; see edge/worker.py and Listener.listen."""
    prepare_child()
    listener = Listener(options["word"], options["microphone"], options["speech_device"])
    return lambda request: listener.listen(ignore=request["ignore"])
