"""The checks that a running edge can make of itself: they open no device, load nothing, and start no process of edge.

`edge doctor` makes them and more.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from edge.announce.mutes import state_file
from edge.doctor.answers import check_answers
from edge.doctor.board import check_clock, check_disk, check_memory_group, check_power
from edge.doctor.devices import camera_in_use
from edge.doctor.finding import Finding, fault, good
from edge.doctor.keys import check_keys
from edge.doctor.model import model_in_use
from edge.doctor.silence import check_silence
from edge.doctor.wake_word import microphone_in_use
from edge.host.installation import edge_command
from edge.host.machine import Machine
from edge.models.checkpoint import store_folders
from edge.settings import Settings


def examine_in_use(settings: Settings, running: Mapping[str, Any], machine: Machine) -> Iterator[Finding]:
    """Yield the findings about a running edge; `running` is its status, `settings` are those in effect."""
    yield check_memory_group(on_a_pi=machine.is_raspberry_pi)
    yield from check_power(machine)
    yield from check_disk([state_file().parent, *store_folders()])
    yield check_clock(settings.announce.quiet_hours)
    yield _sound(running)
    yield from check_answers(settings, running, speak=False)
    yield camera_in_use(running)
    if (running.get("input") or {}).get("keys"):
        yield from check_keys(settings.input, running)
    if word := (running.get("input") or {}).get("wake_word"):
        yield microphone_in_use(word, paused=bool(running.get("paused")))
    yield model_in_use(running)
    yield check_silence(settings, running)


def _sound(running: Mapping[str, Any]) -> Finding:
    if problem := running.get("sound"):
        return fault("sound", str(problem), f"`{edge_command()} say --list-devices` shows the cards")
    return good("voice", str(running.get("speech")))
