"""A microphone for tests, which needs no hardware: ALSA's own file device, which the real arecord opens."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rigs.audio.card import HERE
from rigs.processes import command, members, wait_until, workers

_CARD = """
pcm.microphone {{
    type plug
    slave {{
        format S16_LE
        rate {rate_hz}
        channels {channels}
        pcm {{
            type file
            format raw
            file "/dev/null"
            infile "{pipe}"
            slave.pcm {{ type null }}
        }}
    }}
}}
"""
_DEFAULT = """
pcm.!default {{
    type asym
    playback.pcm {playback}
    capture.pcm microphone
}}
"""
BLOCK_S = 0.05


class FakeMicrophone:
    """Gives silence at the pace of a real one, or what `hear` is called with. Put `environment` into the environment.

    Sound at 16 kHz becomes that of a card with another rate and two channels, which ALSA's plug converts back.
    """

    def __init__(
        self, folder: Path, *, rate_hz: int = 48000, channels: int = 2, speed: float = 1.0, card: str = ""
    ) -> None:
        """`speed` is how much faster than the clock it records. `card` is the ALSA configuration of what plays."""
        self._rate_hz, self._channels, self._speed = rate_hz, channels, speed
        self._pipe = folder / "sound"
        self._blocks: list[bytes] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        (folder / "microphone.conf").write_text(
            (card or (HERE / "asound.conf").read_text()).replace("pcm.!default", "pcm.recording_card")
            + _CARD.format(rate_hz=rate_hz, channels=channels, pipe=self._pipe)
            + _DEFAULT.format(playback="recording_card")
        )
        self.environment = {"ALSA_CONFIG_PATH": str(folder / "microphone.conf")}
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

    def unplug(self) -> None:
        """Take it away: it cannot be opened any more, and the arecord that has it open ends."""
        readers = self._readers()
        self._pipe.unlink()
        for pid in readers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _readers(self) -> list[int]:
        """The ids of the arecords that have it open."""
        found = []
        for folder in Path("/proc").iterdir():
            pid = int(folder.name) if folder.name.isdigit() else os.getpid()
            if pid != os.getpid() and command(pid).split("\0")[0].endswith("arecord"):
                with contextlib.suppress(OSError):
                    if any(os.path.realpath(fd) == str(self._pipe) for fd in (folder / "fd").iterdir()):
                        found.append(pid)
        return found

    def hear(self, sound: bytes) -> None:
        """Record this sound (16 kHz, mono, 16 bits) next, and return when it has been recorded."""
        self.queue(sound)
        wait_until(lambda: not self._blocks)

    def queue(self, sound: bytes) -> None:
        """Record this sound next, as soon as something reads it."""
        mono = np.frombuffer(sound, dtype="<i2").astype(float)
        length = len(mono) * self._rate_hz // 16000
        there = np.interp(np.arange(length) * 16000 / self._rate_hz, np.arange(len(mono)), mono)
        wide: NDArray[np.int16] = np.repeat(there.astype("<i2"), self._channels)
        size = self._block()
        with self._lock:
            self._blocks += [wide.tobytes()[at : at + size] for at in range(0, 2 * len(wide), size)]

    def _block(self) -> int:
        return int(self._rate_hz * BLOCK_S) * 2 * self._channels

    def _run(self) -> None:
        while not self._closed.wait(0.01):
            try:
                pipe = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nothing reads it, or it is unplugged
                continue
            os.set_blocking(pipe, True)
            with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb", buffering=0) as stream:
                next_s = time.monotonic()
                while not self._closed.is_set():
                    with self._lock:
                        block = self._blocks[0] if self._blocks else bytes(self._block())
                    stream.write(block)
                    with self._lock:
                        del self._blocks[:1]
                    next_s += BLOCK_S / self._speed
                    time.sleep(max(0.0, next_s - time.monotonic()))


def recorders(parent: int | None = None) -> list[int]:
    """The ids of the arecords that children of a process (this one) have started."""
    groups = workers(os.getpid() if parent is None else parent)
    return [pid for group in groups for pid in members(group) if command(pid).split("\0")[0].endswith("arecord")]


def spoken(text: str, voice: str = "en-gb", speed_wpm: int = 160) -> bytes:
    """What espeak-ng makes of a text, at 16 kHz, with half a second of silence before and after it."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(speed_wpm), "--stdout", "--", text], check=True, stdout=subprocess.PIPE
    )
    samples = np.frombuffer(done.stdout[44:], dtype="<i2").astype(float)
    at = np.arange(len(samples) * 16000 // 22050) * 22050 / 16000
    return bytes(16000) + np.interp(at, np.arange(len(samples)), samples).astype("<i2").tobytes() + bytes(16000)
