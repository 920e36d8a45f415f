"""Decisions about tight memory and heat. Pure: readings and time are arguments, so a test can simulate a day."""

from dataclasses import dataclass

from edge.host.backoff import Backoff
from edge.host.machine import MemoryReading

LOW_SHARE, LEAST_MIB, MOST_MIB = 0.05, 48.0, 200.0
"""Memory is tight below this share of the machine's memory, bounded by a lower and an upper limit (MiB)."""
GROUP_SHARE, GROUP_LEAST_MIB = 0.05, 16.0
"""The same for the memory that a control group's limit leaves."""
PRESSURE = 20.0
"""Percent of the time in which a process waits for memory (PSI some avg10). A healthy machine has 0."""
PRESSURE_FADES_S = 20.0
"""For this time after a change of model the pressure is ignored. It is a mean over the last ten seconds and may still
come from before: a machine that did nothing but wait takes 16 s to fall below PRESSURE."""
LONGEST_CALM_S = 6 * 3600.0
"""Longest calm that is required before a larger model, even if it was too large many times."""
HOT_C, COOL_C = 78.0, 72.0
"""A Raspberry Pi's firmware slows the processor down from 80 degrees on (raspberrypi.com, "Frequency management and
thermal control"): edge starts to rest at HOT_C, and stops below COOL_C."""
MOST_REST = 8.0
"""Longest rest, as a multiple of the frame's time: at a ninth of its pace a board does nearly nothing."""


@dataclass(frozen=True)
class _Need:
    tight: bool
    very: bool
    """So tight that waiting for a second reading may be too late."""


class HeatWatch:
    """Rest that a board needs: more with each reading while it is hot, less with each while it is cool."""

    def __init__(self) -> None:
        self.rest = 0.0
        """Rest after each frame, as a multiple of the time that the frame took."""

    def update(self, temperature_c: float | None, *, throttled: bool = False) -> bool:
        """Take a reading (None: not available) and whether the firmware throttles; return True while it is hot."""
        if throttled or (temperature_c is not None and temperature_c >= HOT_C):
            self.rest = min(MOST_REST, 2 * self.rest or 1.0)
        elif temperature_c is None or temperature_c < COOL_C:
            self.rest = self.rest / 2 if self.rest > 1 else 0.0
        return self.rest > 0


class MemoryWatch:
    """Decides when to change to a smaller model, and when there is room for the larger one again."""

    def __init__(self, calm_s: float = 600.0, persist_s: float = 2.0, settle_s: float = 10.0) -> None:
        """Set how long memory must be calm to go up, how long it must be tight, and how long a change takes to show."""
        self._calm = Backoff(calm_s, LONGEST_CALM_S)
        self._persist_s = persist_s
        self._settle_s = settle_s
        self._tight_since_s: float | None = None
        self._calm_since_s: float | None = None
        self._last = ""
        """The last change ('down' or 'up'); below: the time at which it was done, and True while it is being done."""
        self._changed_s = float("-inf")
        self._changing = False
        self._last_up_s: float | None = None

    def update(self, reading: MemoryReading, now_s: float, growth_mib: float | None) -> str:
        """Return 'down', 'up' or '' for one reading. `growth_mib` is the memory for going up; None: no larger model.

        Call it about once a second. After 'down' and 'up' the caller has changed the model by the next call.
        """
        if self._changing:
            # opening a model takes seconds without a reading
            self._changing, self._changed_s = False, now_s
        old_s = now_s - self._changed_s
        need = _need(reading, pressure_counts=old_s >= PRESSURE_FADES_S)
        if need.tight:
            self._calm_since_s = None
            if self._tight_since_s is None:
                self._tight_since_s = now_s
            # after a step up no more memory is freed: there is nothing to wait for
            settled = self._last == "up" or old_s >= self._settle_s
            if settled and (need.very or now_s - self._tight_since_s >= self._persist_s):
                return self._down(now_s)
            return ""
        self._tight_since_s = None
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        calm = now_s - self._calm_since_s >= self._calm.wait_s
        if calm and growth_mib is not None and _has_room(reading, growth_mib):
            self._last_up_s, self._calm_since_s = now_s, None
            return self._change("up")
        return ""

    def _down(self, now_s: float) -> str:
        if self._last_up_s is not None:
            if now_s - self._last_up_s < self._calm.wait_s:
                # going up was too soon: wait twice as long before the next try
                self._calm.double()
            else:
                self._calm.reset()
            self._last_up_s = None
        self._tight_since_s = None
        return self._change("down")

    def _change(self, word: str) -> str:
        self._last, self._changing = word, True
        return word


def _floor_mib(reading: MemoryReading) -> float:
    return min(MOST_MIB, max(LEAST_MIB, LOW_SHARE * (reading.total_mib or 0.0)))


def _group_floor_mib(reading: MemoryReading) -> float:
    return min(MOST_MIB, max(GROUP_LEAST_MIB, GROUP_SHARE * (reading.cgroup_limit_mib or 0.0)))


def _need(reading: MemoryReading, *, pressure_counts: bool) -> _Need:
    lacks = []
    if reading.available_mib is not None:
        lacks.append(reading.available_mib / _floor_mib(reading))
    if reading.cgroup_headroom_mib is not None:
        lacks.append(reading.cgroup_headroom_mib / _group_floor_mib(reading))
    least = min(lacks, default=1.0)
    under_pressure = pressure_counts and reading.pressure is not None and reading.pressure > PRESSURE
    return _Need(tight=least < 1.0 or under_pressure, very=least < 0.5)


def _has_room(reading: MemoryReading, growth_mib: float) -> bool:
    """Return True if the larger model would leave at least twice the limit for tight memory."""
    available, headroom = reading.available_mib, reading.cgroup_headroom_mib
    return (available is None or available - growth_mib >= 2 * _floor_mib(reading)) and (
        headroom is None or headroom - growth_mib >= 2 * _group_floor_mib(reading)
    )
