"""The driver for espeak-ng without pyttsx3: a pipe of two programs, each with a reliable exit status."""

import contextlib
import shutil
import subprocess
from typing import IO, Any

from edge.errors import SpeechError
from edge.speech.driver import answering, clean
from edge.speech.sound import check_aplay, find_aplay, player

_HEADER = 44
"""Size of a WAV file's header, in bytes."""


class Espeak:
    """Speaks through the pipe `espeak-ng | aplay`."""

    def __init__(self, voice: str, rate_wpm: int, volume: float, device: str = "", lead_in_ms: int = 0) -> None:
        """Check the programs and the voice. Raises SpeechError if a program is missing or the voice is unknown."""
        espeak = shutil.which("espeak-ng")
        if espeak is None:
            raise SpeechError("espeak-ng is not installed: sudo apt install espeak-ng")
        self.aplay = find_aplay()
        self._device, self._lead_in_ms = device, lead_in_ms
        self._espeak, self._voice = espeak, voice or "en"
        self.volume, self.rate_wpm = volume, rate_wpm
        trial = subprocess.run([*self._synthesiser(), "-q"], input=b"", capture_output=True, check=False)
        if trial.returncode:
            raise SpeechError(f"espeak-ng has no voice {voice!r}: see espeak-ng --voices")

    def _synthesiser(self) -> list[str]:
        """Return the command of the synthesiser."""
        command = [self._espeak, "-v", self._voice, "-s", str(self.rate_wpm), "-a", str(round(100 * self.volume))]
        return [*command, "-b", "1", "--stdin"]  # text as UTF-8, and none of it is taken for an option

    def say(self, text: str) -> None:
        """Say the text, and return after it was heard. Raises SpeechError if it was not."""
        pipe = subprocess.PIPE
        with subprocess.Popen([*self._synthesiser(), "--stdout"], stdin=pipe, stdout=pipe, stderr=pipe) as synthesiser:
            assert synthesiser.stdin
            assert synthesiser.stdout
            assert synthesiser.stderr
            synthesiser.stdin.write(clean(text).encode())
            synthesiser.stdin.close()
            command = [*player(self.aplay, self._device), "-"]
            source = pipe if self._lead_in_ms else synthesiser.stdout
            with subprocess.Popen(command, stdin=source, stderr=pipe) as playing:
                if self._lead_in_ms:
                    self._lead_in(synthesiser.stdout, playing.stdin)
                # only the player reads it now, so the synthesiser ends when the player does
                synthesiser.stdout.close()
                assert playing.stderr
                player_said = playing.stderr.read()
            synthesiser_said = synthesiser.stderr.read()
        check_aplay(playing.returncode, player_said.decode(errors="replace"), self._device)
        if synthesiser.returncode:
            raise SpeechError(f"espeak-ng failed: {_last_line(synthesiser_said)}")

    def _lead_in(self, synthesised: IO[bytes], playing: IO[bytes] | None) -> None:
        """Pass the sound on, with silence before the samples."""
        assert playing
        with contextlib.suppress(BrokenPipeError):  # aplay reports the reason
            header = synthesised.read(_HEADER)
            rate = int.from_bytes(header[24:28], "little")
            playing.write(header + bytes(2 * (rate * self._lead_in_ms // 1000)))
            shutil.copyfileobj(synthesised, playing)
        with contextlib.suppress(BrokenPipeError):
            playing.close()


def open_driver(settings: dict[str, Any]) -> Any:
    """Return the function that answers requests; see edge/worker.py."""
    keys = ("voice", "rate_wpm", "volume", "device", "lead_in_ms")
    espeak = Espeak(**{key: settings[key] for key in keys})
    return answering(espeak, settings["device"])


def _last_line(stderr: bytes) -> str:
    return (stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
