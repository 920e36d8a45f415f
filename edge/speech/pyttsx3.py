"""The driver for pyttsx3, which speaks through the eSpeak library and plays a file with `aplay FILE -q`.

pyttsx3 ignores aplay's exit status. So our own aplay script comes first in the PATH of this process. It runs the real
one on the right card, and saves its exit status and its messages for us. pyttsx3's stop() waits instead of stopping,
and save_to_file() makes the engine mute for good: neither is used here.
"""

import contextlib
import importlib
import os
import shlex
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edge.errors import EX_OK, EX_SOFTWARE, SpeechError
from edge.speech.driver import answering, clean
from edge.speech.sound import check_aplay, find_aplay, player

_APLAY = """\
#!/bin/sh
{play} 2>{folder}/stderr
echo $? >{folder}/status
"""
_PLAY = '{player} "$1"'
_PLAY_AFTER_SILENCE = """\
rate=$(od -An -tu4 -j24 -N4 "$1" | tr -d ' ')
{{ head -c $((rate * {lead_in_ms} / 1000 * 2)) /dev/zero; tail -c +45 "$1"; }} |
    {player} -t raw -f S16_LE -c 1 -r "$rate" -"""
"""Plays silence and then the file. A WAV file has its rate at byte 24, and its samples from byte 44 on."""
_TRIES = 20
"""How often a setting is set again if the library has lost it."""
_LONGEST_ERROR = 4096
"""Longest error text, in bytes: a pipe takes this many at once."""


class Pyttsx3:
    """Speaks each text with a new engine, in a fork of this process, which itself never speaks.

    The eSpeak library keeps state from one utterance to the next, so only the first sounds right (the others are
    shifted by some samples). A fork and a new engine take 10 ms, and any fault ends with the fork.
    """

    def __init__(self, voice: str, rate_wpm: int, volume: float, device: str = "", lead_in_ms: int = 0) -> None:
        """Check that it can speak. Raises SpeechError if pyttsx3, its library, aplay or the voice is missing."""
        self._voice = voice
        self.volume, self.rate_wpm = volume, rate_wpm
        self._device, self._lead_in_ms = device, lead_in_ms
        self.aplay = find_aplay()  # before our script comes first in the PATH
        self._folder = _folder_for_aplay()
        with contextlib.suppress(ImportError, RuntimeError, OSError):  # the first fork reports the fault
            importlib.import_module("pyttsx3.drivers.espeak")  # once here, instead of in each fork
        _in_fork(self._open)

    def say(self, text: str) -> None:
        """Say the text, and return after it was heard. Raises SpeechError if it was not."""
        if not text.strip():
            raise SpeechError("nothing to say")  # pyttsx3 would never return
        self._write_aplay()
        status, stderr = self._folder / "status", self._folder / "stderr"
        status.unlink(missing_ok=True)
        _in_fork(lambda: self._say(text))
        if not status.exists():
            raise SpeechError("pyttsx3 played nothing")
        check_aplay(int(status.read_text()), stderr.read_text(errors="replace"), self._device)

    def _open(self) -> Any:
        try:
            import pyttsx3

            engine = pyttsx3.init("espeak")
        except ImportError as error:
            raise SpeechError(f"pyttsx3 cannot be imported ({error}): pip install pyttsx3") from error
        except (RuntimeError, OSError) as error:
            what = "libespeak-ng.so.1 is missing" if "not have eSpeak" in str(error) else error
            raise SpeechError(f"pyttsx3 cannot start: {what}: sudo apt install libespeak-ng1") from error
        faults: list[Exception] = []
        engine.connect("error", lambda name, exception: faults.append(exception))
        if self._voice:
            engine.setProperty("voice", self._voice)
        engine.proxy.setBusy(False)  # else the voice would be applied at the first utterance, too late to report
        if faults:
            raise SpeechError(f"pyttsx3 has no voice {self._voice!r}: see edge voices") from faults[0]
        self._set_rate_and_volume(engine)
        return engine

    def _set_rate_and_volume(self, engine: Any) -> None:
        """Set both repeatedly until the library has them.

        The eSpeak library queues them for its own thread, and on a busy machine one was lost now and then (with four
        engines on two cores, one utterance in seventy had another rate). So wait until the queue is empty, then check
        the values. Not with getProperty(), which calls the library with an argument too few.
        """
        from pyttsx3.drivers import _espeak

        def is_set() -> bool:
            _espeak.Synchronize()  # waits until the queue is empty
            current = [_espeak.dll.espeak_GetParameter(key, 1) for key in (_espeak.RATE, _espeak.VOLUME)]
            return current == [self.rate_wpm, int(round(100 * self.volume, 2))]

        for _ in range(_TRIES):
            _espeak.Synchronize()
            engine.setProperty("rate", self.rate_wpm)
            _espeak.Synchronize()
            engine.setProperty("volume", self.volume)
            if is_set():
                return
        raise SpeechError(f"pyttsx3 does not accept the rate {self.rate_wpm} and the volume {self.volume}")

    def _say(self, text: str) -> None:
        engine = self._open()
        endings: SimpleQueue[bool] = SimpleQueue()
        engine.connect("finished-utterance", lambda name, completed: endings.put(completed))
        engine.say(clean(text))
        engine.runAndWait()
        if not endings.get():  # runAndWait may return before the end
            raise SpeechError("pyttsx3 broke off")

    def _write_aplay(self) -> None:
        """Write our aplay script; again for each text, because cards come and go."""
        form = _PLAY_AFTER_SILENCE if self._lead_in_ms else _PLAY
        play = form.format(player=shlex.join(player(self.aplay, self._device)), lead_in_ms=self._lead_in_ms)
        script = self._folder / "aplay"
        script.write_text(_APLAY.format(play=play, folder=shlex.quote(str(self._folder))))
        script.chmod(0o700)


def open_driver(settings: dict[str, Any]) -> Any:
    """Return the function that answers requests; see edge/worker.py."""
    keys = ("voice", "rate_wpm", "volume", "device", "lead_in_ms")
    voice = Pyttsx3(**{key: settings[key] for key in keys})
    return answering(voice, settings["device"])


def _in_fork(do: Callable[[], object]) -> None:
    """Call `do` in a fork of this process, and wait. Raises the fork's SpeechError, or one that says that it died."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        code = EX_SOFTWARE
        try:
            do()
            code = EX_OK
        except SpeechError as error:
            os.write(writing, str(error).encode("utf-8", "replace")[:_LONGEST_ERROR])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        error_text = pipe.read().decode("utf-8", "replace")
    ending = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ending:
        raise SpeechError(error_text or f"pyttsx3 died ({signal.Signals(-ending).name if ending < 0 else ending})")


def _folder_for_aplay() -> Path:
    """Create the folder for our aplay script, put it first in the PATH, and return it."""
    folder = Path(tempfile.mkdtemp())
    trial = folder / "trial"
    trial.touch(0o700)
    if not os.access(trial, os.X_OK):
        raise SpeechError(f"programs may not be run in {folder} (mounted noexec): set TMPDIR to another folder")
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    return folder
