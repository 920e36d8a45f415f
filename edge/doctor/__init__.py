"""The checks behind `edge doctor`."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from edge.announce.mutes import state_file
from edge.doctor.answers import check_answers
from edge.doctor.board import check_clock, check_disk, check_memory_group, check_power
from edge.doctor.devices import check_camera, check_sound
from edge.doctor.finding import Finding, Grade, fault
from edge.doctor.keys import check_keys
from edge.doctor.link import check_link_service
from edge.doctor.model import check_model
from edge.doctor.packages import check_packages
from edge.doctor.service import check_service, in_the_service
from edge.doctor.silence import check_silence
from edge.doctor.wake_word import check_wake_word
from edge.host.machine import Machine
from edge.models.checkpoint import DEMO, store_folders
from edge.settings import Settings

__all__ = ["Finding", "Grade", "examine", "examine_before_use", "examine_system", "in_the_service"]


def examine_system(machine: Machine | None = None) -> Iterator[Finding]:
    """Yield the findings of the checks that need no settings."""
    machine = machine or Machine()
    yield from _bounded("packages", check_packages(on_a_pi=machine.is_raspberry_pi))
    yield from _bounded("service", check_service())
    yield from _bounded("link", check_link_service())
    yield check_memory_group(on_a_pi=machine.is_raspberry_pi)
    yield from _bounded("power", check_power(machine))


def examine(settings: Settings, running: Mapping[str, Any] | None, *, speak: bool) -> Iterator[Finding]:
    """Yield the findings that depend on the settings.

    `running` is the status of an edge that runs here. With `speak` a sentence is spoken.
    """
    stores = store_folders()
    yield from _bounded("disk", check_disk([state_file().parent, *stores]))
    yield check_clock(settings.announce.quiet_hours)
    yield from _bounded("sound", check_sound(settings.speech, speak=speak))
    yield from _bounded("tones", check_answers(settings, running, speak=speak))
    yield from _bounded("camera", check_camera(settings.camera, running))
    yield from _bounded("keys", check_keys(settings.input, running))
    yield from _bounded("wake word", check_wake_word(settings.input, settings.speech, running))
    yield from _bounded("model", check_model(settings, stores, running, taught=True))
    yield check_silence(settings, running)


def examine_before_use(settings: Settings) -> Iterator[Finding]:
    """Yield the findings about a release that will replace a running one, which still has camera, card and memory.

    The demo model is small, and shows whether the engine computes here at all.
    """
    stores = store_folders()
    yield from _bounded("packages", check_packages(on_a_pi=Machine().is_raspberry_pi))
    yield from _bounded("disk", check_disk([state_file().parent, *stores]))
    demo = dataclasses.replace(settings, model=dataclasses.replace(settings.model, name=DEMO))
    yield from _bounded("model", check_model(demo, stores, None))


def _bounded(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check; if the check itself fails, yield that as a finding, so that the others go on."""
    try:
        yield from findings
    except Exception as error:
        yield fault(check, f"the check itself failed: {type(error).__name__}: {error}", "please report this")
