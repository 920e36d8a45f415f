"""The driver for pyttsx3, which speaks through the eSpeak library and plays a file with `aplay FILE -q`.

pyttsx3 does not look at how aplay ends. So an aplay of our own comes first in the PATH of this process: it runs the
real one and leaves its exit status and its words where we look. stop() waits instead of stopping, and
save_to_file() makes the engine mute for good: neither is used here.
"""

import os
import shlex
import tempfile
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edge.errors import SpeechError
from edge.speech.sound import check_aplay, find_aplay

_APLAY = """\
#!/bin/sh
{aplay} "$@" 2>{folder}/stderr
echo $? >{folder}/status
"""


class Pyttsx3:
    """The engine. One a process, and in a process of its own (edge/worker.py): it can block for ever."""

    def __init__(self, voice: str, rate_wpm: int, volume: float) -> None:
        """Raises SpeechError when pyttsx3, its library or aplay is missing, or the voice is unknown."""
        self._folder = _stand_in_for(find_aplay())
        try:
            import pyttsx3

            self._engine = pyttsx3.init("espeak")
        except ImportError as error:
            raise SpeechError(f"pyttsx3 cannot be imported ({error}): pip install pyttsx3") from error
        except (RuntimeError, OSError) as error:
            what = "libespeak-ng.so.1 is missing" if "not have eSpeak" in str(error) else error
            raise SpeechError(f"pyttsx3 cannot start: {what}: sudo apt install libespeak-ng1") from error
        self._endings: SimpleQueue[bool] = SimpleQueue()
        self._engine.connect("finished-utterance", lambda name, completed: self._endings.put(completed))
        faults: list[Exception] = []
        self._engine.connect("error", lambda name, exception: faults.append(exception))
        if voice:
            self._engine.setProperty("voice", voice)
        self._engine.setProperty("rate", rate_wpm)
        self._engine.setProperty("volume", volume)
        self._engine.proxy.setBusy(False)  # else they'd be applied at the first utterance, too late to complain
        if faults:
            raise SpeechError(f"pyttsx3 has no voice {voice!r}: see espeak-ng --voices") from faults[0]

    def say(self, text: str) -> None:
        """Return when the text was heard. Raises SpeechError when it wasn't."""
        if not text.strip():
            raise SpeechError("nothing to say")  # pyttsx3 would say the last text again
        status, stderr = self._folder / "status", self._folder / "stderr"
        status.unlink(missing_ok=True)
        self._engine.say(text)
        self._engine.runAndWait()
        completed = self._endings.get()  # runAndWait may return before the end
        if not status.exists():
            raise SpeechError("pyttsx3 played nothing" if completed else "pyttsx3 broke off")
        check_aplay(int(status.read_text()), stderr.read_text(errors="replace"))


def open_driver(settings: dict[str, Any]) -> Any:
    """See edge/worker.py."""
    return Pyttsx3(settings["voice"], settings["rate_wpm"], settings["volume"]).say


def _stand_in_for(aplay: str) -> Path:
    """Put our aplay in front of the real one. Return the folder where it writes."""
    folder = Path(tempfile.mkdtemp())
    script = folder / "aplay"
    script.write_text(_APLAY.format(aplay=shlex.quote(aplay), folder=shlex.quote(str(folder))))
    script.chmod(0o700)
    if not os.access(script, os.X_OK):
        raise SpeechError(f"programs may not be run in {folder} (mounted noexec): set TMPDIR to another folder")
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    return folder
