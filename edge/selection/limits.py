"""The limits for a model on this machine."""

from edge.host.machine import Machine
from edge.selection.choice import Limits, budget, overhead_mib
from edge.settings import Settings


def limits_of(settings: Settings, machine: Machine) -> Limits:
    """Return the limits, from the settings and the memory that is available now."""
    model = settings.model
    allowed = budget(
        model.memory_budget_mib or None,
        machine.memory_reading().available_mib,
        machine.cgroup_limit(),
        named=model.name != "auto",
    )
    overhead = overhead_mib(
        settings.camera.source, settings.speech.driver, machine.is_raspberry_pi, wake_word=bool(settings.input.word)
    )
    return Limits(allowed, overhead, model.max_latency_ms or None)
