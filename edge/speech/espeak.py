"""The driver for espeak-ng without pyttsx3: a pipe of two programs, each with an exit status that means something."""

import shutil
import subprocess
from typing import Any

from edge.errors import SpeechError
from edge.speech.sound import check_aplay, find_aplay


class Espeak:
    """espeak-ng | aplay"""

    def __init__(self, voice: str, rate_wpm: int, volume: float) -> None:
        """Raises SpeechError when a program is missing or the voice is unknown."""
        espeak = shutil.which("espeak-ng")
        if espeak is None:
            raise SpeechError("espeak-ng is not installed: sudo apt install espeak-ng")
        self._player = [find_aplay(), "-q", "-"]
        self._synthesiser = [espeak, "-v", voice or "en", "-s", str(rate_wpm), "-a", str(round(100 * volume))]
        self._synthesiser += ["-b", "1", "--stdin"]  # text as UTF-8, and no text can be taken for an option
        trial = subprocess.run([*self._synthesiser, "-q"], input=b"", capture_output=True, check=False)
        if trial.returncode:
            raise SpeechError(f"espeak-ng has no voice {voice!r}: see espeak-ng --voices")

    def say(self, text: str) -> None:
        """Return when the text was heard. Raises SpeechError when it wasn't."""
        pipe = subprocess.PIPE
        with (
            subprocess.Popen([*self._synthesiser, "--stdout"], stdin=pipe, stdout=pipe, stderr=pipe) as synthesiser,
            subprocess.Popen(self._player, stdin=synthesiser.stdout, stderr=pipe) as player,
        ):
            assert synthesiser.stdout
            synthesiser.stdout.close()  # now it's the player's alone: the synthesiser ends if the player does
            _, synthesiser_said = synthesiser.communicate(text.encode())
            _, player_said = player.communicate()
        check_aplay(player.returncode, player_said.decode(errors="replace"))
        if synthesiser.returncode:
            raise SpeechError(f"espeak-ng failed: {_last_line(synthesiser_said)}")


def open_driver(settings: dict[str, Any]) -> Any:
    """See edge/worker.py."""
    return Espeak(settings["voice"], settings["rate_wpm"], settings["volume"]).say


def _last_line(stderr: bytes) -> str:
    return (stderr.decode(errors="replace").strip().splitlines() or ["it does not say why"])[-1]
