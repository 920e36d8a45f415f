"""edge as a service in a booted machine: the recording card it plays on, what it tells, and what was heard."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from rigs.audio.card import samples_of
from rigs.bases import PROJECT
from rigs.booted import Booted

T = TypeVar("T")

SETTINGS = '[camera]\nsource = "demo"\nloop = true\n'
PATIENCE_S = 60.0
"""Within this, and the watchdog's period, everything must be well again."""

_RECORDED = "/run/recorded"
# all that it plays goes there; nothing of this is where a deployment writes
_DROP_IN = f"""
[Service]
Environment=ALSA_CONFIG_PATH=/opt/test/asound.conf SINK=/opt/test/sink.py SINK_DIR={_RECORDED}
ReadWritePaths={_RECORDED}
"""
_FOLDER = f"d {_RECORDED} 0777 root root -\nf {_RECORDED}/pace 0644 root root - instant\n"


def lay_card(machine: Booted) -> None:
    """Give the service, which need not be there yet, a sound card that records; the machine runs or not."""
    machine.write("/usr/lib/systemd/system/edge.service.d/card.conf", _DROP_IN)
    machine.write("/usr/lib/tmpfiles.d/recorded.conf", _FOLDER)
    for name in ("sink.py", "asound.conf"):
        machine.write(f"/opt/test/{name}", (PROJECT / "tests" / "rigs" / "audio" / name).read_text())
    if machine.init:
        machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/recorded.conf")
        machine.run("systemctl", "daemon-reload")


def heard(machine: Booted, text: str) -> bool:
    """Whether this, as espeak-ng itself says it, and nothing else, is one of the things that were played."""
    machine.run("espeak-ng", "-v", "en", "-s", "200", "-w", "/tmp/oracle.wav", text)
    oracle = samples_of(machine.root / "tmp/oracle.wav")
    recorded = [samples_of(file) for file in sorted((machine.root / _RECORDED.lstrip("/")).glob("*.wav"))]
    # a card plays what is given it, and silence until its buffer is full
    return any(samples.startswith(oracle) and not any(samples[len(oracle) :]) for samples in recorded)


def start(machine: Booted) -> None:
    """Start it anew, and wait until it has announced something."""
    machine.run("systemctl", "restart", "edge")
    wait_for_announcement(machine)


def pid(machine: Booted) -> str:
    return machine.show("MainPID")["MainPID"]


def events(machine: Booted, name: str) -> list[dict[str, Any]]:
    """The journal's entries of an event of the process that runs now."""
    return machine.journal(f"EDGE_EVENT={name}", f"_PID={pid(machine)}")


def wait_for_announcement(machine: Booted, more_than: int = 0) -> None:
    until(machine, lambda: len(events(machine, "announced")) > more_than)


def until(machine: Booted, condition: Callable[..., T], patience_s: float = PATIENCE_S) -> T:
    """Return what the condition returns as soon as that counts as true; it costs a process each time."""
    deadline_s = time.monotonic() + patience_s * machine.slowness
    while not (result := condition()):
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.3)
    return result
