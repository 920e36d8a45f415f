"""Monitors of memory, heat, input and a frozen picture. The loop calls each once a turn."""

from collections.abc import Mapping

from edge.announce.notices import DEAF, HEARS_AGAIN, HOT, Notices
from edge.cameras import PausableCamera
from edge.daemon.health import HeatWatch, MemoryWatch
from edge.daemon.reporter import Reporter
from edge.host.backoff import Backoff
from edge.host.machine import Machine, MemoryReading
from edge.input import WAKE_WORD, Source
from edge.selection.selector import ModelSelector
from edge.stages import Condition, Timing
from edge.vision.visibility import Visibility


class MemoryMonitor:
    """Checks once a second whether memory is tight, and asks the loop for another model."""

    EVERY_S = 1.0

    def __init__(self, selector: ModelSelector, *, enabled: bool) -> None:
        self._selector = selector
        self._enabled = enabled
        self._watch = MemoryWatch()
        self._last_s = 0.0
        self.wanted = ""
        """'down' or 'up', after `look` has returned True."""
        self.reason = ""

    def look(self, now_s: float) -> bool:
        """Return True if another model should run from now on; call it in each turn of the loop."""
        if not self._enabled or now_s - self._last_s < self.EVERY_S:
            return False
        self._last_s = now_s
        reading = self._selector.machine.memory_reading()
        self.wanted = self._watch.update(reading, now_s, self._selector.growth_mib())
        self.reason = _reason(reading) if self.wanted == "down" else "enough memory is free again"
        return self.wanted == "up" or (self.wanted == "down" and self._selector.can_step_down())


class HeatMonitor:
    """Checks every 5 s whether the board is hot. While it is, the time between frames grows until it is cool again."""

    EVERY_S = 5.0

    def __init__(self, machine: Machine, notices: Notices) -> None:
        self._machine = machine
        self._notices = notices
        self._watch = HeatWatch()
        self._last_s = 0.0
        self.throttled: bool | None = None
        """Whether the firmware throttled the board at the last reading; None: not a Raspberry Pi."""

    def look(self, now_s: float) -> None:
        """Take a reading if one is due; call it in each turn of the loop."""
        if now_s - self._last_s < self.EVERY_S:
            return
        self._last_s = now_s
        if self._machine.is_raspberry_pi:
            self.throttled = self._machine.is_throttled()
            hot = self._watch.update(self._machine.temperature_c(), throttled=self.throttled)
            self._notices.set("heat", HOT if hot else "")

    def interval_s(self, timing: Timing) -> float:
        """Return the time between frames of this duration that gives the board its rest; 0.0 while it is cool."""
        return (1 + self._watch.rest) * (timing.preprocess_s + timing.inference_s) if self._watch.rest else 0.0


class InputMonitor:
    """Reports when keys or the wake word cannot be used, when they work again, and which microphone is open."""

    def __init__(self, reporter: Reporter, notices: Notices) -> None:
        self._reporter = reporter
        self._notices = notices
        self._problems: dict[str, str] = {}
        """The problem of each source that was reported last; empty: none, or it works again."""
        self._microphone = ""
        """The microphone that was open at the last look; empty: none."""

    def look(self, sources: Mapping[str, Source]) -> None:
        """Report what has changed; call it in each turn of the loop."""
        if WAKE_WORD not in sources:
            self._notices.forget("hearing")
        self._problems = {name: self._problems.get(name, "") for name in sources}
        for name, source in sources.items():
            problem, status, before = source.problem, source.status(), self._problems[name]
            if problem and problem != before:
                self._problems[name] = problem
                self._reporter.input_lost(name, problem)
            elif before and not problem and status.get("open", True):  # closed without a problem: paused, or not yet
                self._problems[name] = ""
                self._reporter.input_back(name)
            if name == WAKE_WORD:
                self._tell_microphone(status.get("microphone") or "")
                self._notices.set("hearing", DEAF if self._problems[name] else "", HEARS_AGAIN)

    def _tell_microphone(self, name: str) -> None:
        if name and name != self._microphone:
            self._reporter.microphone_open(name)
        self._microphone = name


class FreezeMonitor:
    """Reopens a camera whose picture is frozen: at once, then with growing delays."""

    FIRST_S, LONGEST_S = 60.0, 3600.0

    def __init__(self, camera: PausableCamera, visibility: Visibility) -> None:
        self._camera = camera
        self._visibility = visibility
        self._next_s = 0.0
        self._backoff = Backoff(self.FIRST_S, self.LONGEST_S)

    def look(self, now_s: float) -> None:
        """Reopen the camera if it is frozen and a try is due; call it in each turn of the loop."""
        if now_s < self._next_s:
            return
        if self._visibility.fault is Condition.FROZEN:
            self._camera.reopen("its picture is frozen")
            self._next_s = now_s + self._backoff.double()
        elif self._visibility.fault is None:
            self._backoff.reset()


def _reason(reading: MemoryReading) -> str:
    left = [mib for mib in (reading.available_mib, reading.cgroup_headroom_mib) if mib is not None]
    return f"memory is tight, {min(left):.0f} MiB are left" if left else "memory is tight"
