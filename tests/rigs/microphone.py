"""A microphone for tests, which needs no hardware: a program named arecord, first in PATH, that gives what it is given.

The real arecord on ALSA's file device converts rates (`file_card`), but cannot wait for sound: it repeats the old.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from rigs.processes import command, members, wait_until, workers

_ARECORD = """\
#!{python} -S
import os, sys
wanted = ["-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1"]
if not any(sys.argv[at : at + 8] == wanted for at in range(len(sys.argv))):
    sys.exit("arecord: " + " ".join(sys.argv))
try:
    pipe = os.open({pipe!r}, os.O_RDONLY)
except OSError:
    sys.exit("arecord: main:831: audio open error: No such file or directory")
while block := os.read(pipe, 1600):
    while block:
        block = block[os.write(1, block) :]
sys.exit("arecord: pcm_read:2221: read error: No such device")
"""
_CARD = """
pcm.!default {{
    type plug
    slave {{
        format S16_LE
        rate {rate_hz}
        channels {channels}
        pcm {{
            type file
            format raw
            file "/dev/null"
            infile "{sound}"
            slave.pcm {{ type null }}
        }}
    }}
}}
"""
BLOCK_S = 0.05
_BLOCK = int(2 * 16000 * BLOCK_S)


class FakeMicrophone:
    """Gives silence at the pace of a real one, or what `hear` is called with, where its `environment` is set."""

    def __init__(self, folder: Path) -> None:
        self._pipe = folder / "sound"
        self._blocks: list[bytes] = []
        self._lock = threading.Lock()
        self._closed, self._gone = threading.Event(), threading.Event()
        program = folder / "bin" / "arecord"
        program.parent.mkdir()
        program.write_text(_ARECORD.format(python=sys.executable, pipe=str(self._pipe)))
        program.chmod(0o755)
        self.environment = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        self.plug_in()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def plug_in(self) -> None:
        os.mkfifo(self._pipe)
        self._gone.clear()

    def unplug(self) -> None:
        """Take it away: reading it fails, and it cannot be opened any more."""
        self._pipe.unlink()
        self._gone.set()

    def hear(self, sound: bytes) -> None:
        """Record this sound (16 kHz, mono, 16 bits) next, and return when it has been recorded."""
        self.queue(sound)
        wait_until(lambda: not self._blocks)

    def queue(self, sound: bytes) -> None:
        """Record this sound next, as soon as something reads it."""
        with self._lock:
            self._blocks += [sound[at : at + _BLOCK] for at in range(0, len(sound), _BLOCK)]

    def _run(self) -> None:
        while not self._closed.wait(0.01):
            try:
                pipe = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nothing reads it, or it is unplugged
                continue
            os.set_blocking(pipe, True)
            with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb", buffering=0) as stream:
                self._feed(stream.write)

    def _feed(self, write: Callable[[bytes], object]) -> None:
        next_s = time.monotonic()
        while not self._closed.is_set() and not self._gone.is_set():
            with self._lock:
                block = self._blocks[0] if self._blocks else bytes(_BLOCK)
            write(block)
            with self._lock:
                del self._blocks[:1]
            next_s += BLOCK_S
            time.sleep(max(0.0, next_s - time.monotonic()))


def file_card(folder: Path, sound: bytes, rate_hz: int, channels: int) -> dict[str, str]:
    """The environment in which ALSA's default card gives a sound (16 kHz, mono, 16 bits), at another rate, for once."""
    mono = np.frombuffer(sound, dtype="<i2").astype(float)
    length = len(mono) * rate_hz // 16000
    there = np.interp(np.arange(length) * 16000 / rate_hz, np.arange(len(mono)), mono)
    (folder / "sound.raw").write_bytes(np.repeat(there.astype("<i2"), channels).tobytes())
    (folder / "asound.conf").write_text(
        _CARD.format(rate_hz=rate_hz, channels=channels, sound=folder / "sound.raw"), encoding="ascii"
    )
    return {"ALSA_CONFIG_PATH": str(folder / "asound.conf")}


def is_recorder(pid: int) -> bool:
    """Return whether a process is an arecord, the real one or this."""
    return any(word.endswith("arecord") for word in command(pid).split("\0")[:3])


def recorders() -> list[int]:
    """The ids of the arecords that children of this process have started."""
    return [pid for group in workers(os.getpid()) for pid in members(group) if is_recorder(pid)]


def spoken(text: str, voice: str = "en-gb", speed_wpm: int = 160) -> bytes:
    """What espeak-ng makes of a text, at 16 kHz, with half a second of silence before and after it."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(speed_wpm), "--stdout", "--", text], check=True, stdout=subprocess.PIPE
    )
    samples = np.frombuffer(done.stdout[44:], dtype="<i2").astype(float)
    at = np.arange(len(samples) * 16000 // 22050) * 22050 / 16000
    sound: bytes = np.interp(at, np.arange(len(samples)), samples).astype("<i2").tobytes()
    return bytes(16000) + sound + bytes(16000)
