"""A microphone, through arecord: find the device, read its sound, and translate arecord's errors."""

import contextlib
import fcntl
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence

from edge.errors import InputError
from edge.host.sound_cards import Card, alsa_name, find_cards

RATE_HZ = 16000
"""Samples per second, mono, 16 bits each. ALSA's plug converts from what the card has."""
BYTES_PER_SECOND = 2 * RATE_HZ
SILENT_S = 3.0
"""How long a microphone may give nothing before it counts as lost. A card that wakes up takes up to a second."""
NO_ARECORD = "arecord is not installed: sudo apt install alsa-utils"
NO_MICROPHONE, BUSY = "no microphone", "another program is using the microphone"
_UNPLUGGED = f"{NO_MICROPHONE}: it has been unplugged"
_MEANINGS = {
    # part of arecord's message: its meaning
    "read error: No such device": _UNPLUGGED,
    "open error: No such device": _UNPLUGGED,
    "open error: No such file or directory": f"{NO_MICROPHONE}: connect one, or set [input] microphone",
    "open error: Device or resource busy": BUSY,
    "open error: Permission denied": "no permission to use the microphone: sudo usermod -aG audio USER",
    "open error: Connection refused": "the sound server does not answer: set [input] microphone to a card",
    "rate is not accurate": f"it does not record at {RATE_HZ} Hz: set [input] microphone to its card, or to plughw:...",
}
_PERIOD_US, _BUFFER_US = 40_000, 500_000
"""How often the card delivers, and how much it keeps while this process has no time."""
_PIPE = 16384
"""Bytes of sound, half a second, that arecord may be ahead."""
_LONGEST_ERROR = 4096


def candidates(microphone: str, speech_device: str, cards: Sequence[Card] | None = None) -> list[str]:
    """Return ALSA's names of the devices to try, in this order; '' is ALSA's default.

    That is the one of the setting. If it is empty: first the card through which edge speaks, then ALSA's default, then
    each card that can record.
    """
    known = find_cards() if cards is None else cards
    if microphone:
        name = alsa_name(microphone, known)
        return [f"plug{name}" if name.startswith("hw:") else name]
    names = [alsa_name(speech_device, known), "", *(f"plughw:CARD={card.id}" for card in known if card.records)]
    return list(dict.fromkeys(names))


class Microphone:
    """A device that records. The sound is in memory only, and only until it is read."""

    def __init__(self, device: str) -> None:
        """Start arecord on an ALSA device ('': the default). Raises InputError if it is not installed.

        Whether the device can be opened is known at the first `read`.
        """
        arecord = shutil.which("arecord")
        if arecord is None:
            raise InputError(NO_ARECORD)
        self.name = device or "ALSA's default"
        command = [arecord, "-q", *(["-D", device] if device else [])]
        command += ["-t", "raw", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1"]
        command += [f"--period-time={_PERIOD_US}", f"--buffer-time={_BUFFER_US}"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"LC_ALL": "C"},
        )
        assert self._process.stdout
        assert self._process.stderr
        self._sound, self._messages = self._process.stdout.fileno(), self._process.stderr.fileno()
        os.set_blocking(self._messages, False)
        with contextlib.suppress(OSError):  # a small one, so that old sound is lost at arecord, instead of heard late
            fcntl.fcntl(self._sound, fcntl.F_SETPIPE_SZ, _PIPE)
        self._said = b""
        self._poll = select.poll()
        for descriptor in (self._sound, self._messages):
            self._poll.register(descriptor, select.POLLIN)

    def read(self, seconds: float) -> bytes:
        """Return so many seconds of sound: samples of 16 bits, little-endian. Waits until they have come.

        Raises InputError, worded for a person, if the device cannot be opened, is gone, or gives nothing.
        """
        left = 2 * round(RATE_HZ * seconds)
        parts: list[bytes] = []
        until_s = time.monotonic() + SILENT_S + seconds
        while left:
            ready = {descriptor for descriptor, _ in self._poll.poll(1000 * max(0.0, until_s - time.monotonic()))}
            if not ready:
                raise InputError(f"{self.name}: the microphone gives no sound")
            if self._messages in ready:
                self._hear_messages()
            if self._sound in ready:
                part = os.read(self._sound, left)
                if not part:
                    raise InputError(self._why_it_ended())
                parts.append(part)
                left -= len(part)
        return b"".join(parts)

    def drop(self) -> None:
        """Drop the sound that has come already and waits to be read: on a busy machine, that of the last second."""
        left = _PIPE
        while left > 0 and self._sound in {descriptor for descriptor, _ in self._poll.poll(0)}:
            part = os.read(self._sound, left)
            left -= len(part)
            if not part:  # it has ended: `read` tells why
                return

    def close(self) -> None:
        """End arecord, and with it the recording. May be called twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def _hear_messages(self) -> None:
        """Read what arecord has written. Raises InputError if it records, but at another rate."""
        with contextlib.suppress(BlockingIOError):
            if more := os.read(self._messages, _LONGEST_ERROR):
                self._said = (self._said + more)[-_LONGEST_ERROR:]
            else:
                self._poll.unregister(self._messages)
        if b"rate is not accurate" in self._said:
            raise InputError(f"{self.name}: {_MEANINGS['rate is not accurate']}")

    def _why_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SILENT_S)
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._messages, _LONGEST_ERROR):
                self._said += more
        text = self._said.decode(errors="replace").strip()
        for sign, meaning in _MEANINGS.items():
            if sign in text:
                return meaning if self.name == "ALSA's default" else f"{self.name}: {meaning}"
        last = (text.splitlines() or [f"arecord ended with exit status {self._process.returncode}"])[-1]
        return f"{self.name}: the microphone could not be read: {last}"


def open_microphone(names: Sequence[str]) -> Microphone:
    """Return the first of these devices that gives sound. Raises InputError, with the fault of the first one."""
    faults: list[InputError] = []
    for name in names:
        microphone = Microphone(name)
        try:
            microphone.read(0.05)
        except InputError as fault:
            microphone.close()
            faults.append(fault)
        except BaseException:
            microphone.close()
            raise
        else:
            return microphone
    raise faults[0]
