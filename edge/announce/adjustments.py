"""Volume and rate as a person has changed them by key, kept in a file across restarts.

The person's settings file is not changed. If its value of [speech] volume or rate_wpm is changed later, that is the
newer wish: it then applies, and the change by key is dropped.
"""

import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.host.atomic import write_json
from edge.settings import SpeechSettings

LOUDER_BY, FASTER_BY = math.sqrt(2.0), 1.2
"""Factor of one step of the volume (3 dB: everyone hears it), and of the rate."""
VOLUMES, RATES_WPM = (0.1, 1.0), (80, 450)
"""Lowest and highest volume: a silent edge could not answer any more. Slowest and fastest rate, as in [speech]."""


def adjustments_file(mutes_file: Path) -> Path:
    """Return the path of the file, beside that of the mutes."""
    return mutes_file.with_name("adjustments.json")


class Adjustments:
    """Volume and rate in effect. Any thread may use it."""

    def __init__(self, file: Path | None, settings: SpeechSettings) -> None:
        """Read the file; a missing or damaged one changes nothing."""
        self._file = file
        self._lock = threading.Lock()
        self._kept = {} if file is None else _read(file)
        self.configure(settings)

    def configure(self, settings: SpeechSettings) -> None:
        """Use other settings: a value that they change holds again."""
        with self._lock:
            self._settings = settings
            self.volume = self._value("volume", settings.volume)
            self.rate_wpm = round(self._value("rate_wpm", settings.rate_wpm))

    def change(self, *, volume_steps: int = 0, rate_steps: int = 0) -> tuple[bool, bool]:
        """Go some steps up or down; return whether anything changed, and whether that will survive a restart."""
        with self._lock:
            before = (self.volume, self.rate_wpm)
            if volume_steps:
                self.volume = _step(self.volume, volume_steps, LOUDER_BY, *VOLUMES, digits=2)
            if rate_steps:
                self.rate_wpm = round(_step(self.rate_wpm, rate_steps, FASTER_BY, *RATES_WPM, digits=0))
            return self._keep(before)

    def set_volume(self, volume: float) -> tuple[bool, bool]:
        """Use a volume within VOLUMES; return whether that changed it, and whether it will survive a restart."""
        with self._lock:
            before = (self.volume, self.rate_wpm)
            self.volume = volume
            return self._keep(before)

    def changed(self) -> dict[str, tuple[float, float]]:
        """Return what differs from the settings: key to (value in effect, value of the settings)."""
        with self._lock:
            both = {
                "volume": (self.volume, self._settings.volume),
                "rate_wpm": (self.rate_wpm, self._settings.rate_wpm),
            }
        return {key: values for key, values in both.items() if values[0] != values[1]}

    def _keep(self, before: tuple[float, int]) -> tuple[bool, bool]:
        if before == (self.volume, self.rate_wpm):
            return False, True
        return True, self._write()

    def _value(self, key: str, given: float) -> float:
        kept = self._kept.get(key)
        if kept is None or kept[1] != given:
            return given
        return kept[0]

    def _write(self) -> bool:
        settings = self._settings
        self._kept = {
            "volume": (self.volume, settings.volume),
            "rate_wpm": (self.rate_wpm, settings.rate_wpm),
        }
        if self._file is None:
            return False
        table = {key: {"now": now, "settings": given} for key, (now, given) in self._kept.items()}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(self._file, table)
        except OSError:
            return False
        return True


def _step(value: float, steps: int, factor: float, low: float, high: float, *, digits: int) -> float:
    stepped = round(value * factor**steps, digits)
    if steps > 0:
        return max(value, min(max(stepped, low), high))
    return min(value, max(stepped, low))


def _read(file: Path) -> dict[str, tuple[float, float]]:
    """Return the values in effect and those of the settings, by key. What is damaged counts as never changed."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    limits: Mapping[str, tuple[float, float]] = {"volume": VOLUMES, "rate_wpm": RATES_WPM}
    found: dict[str, tuple[float, float]] = {}
    for key, (low, high) in limits.items():
        one: Any = table.get(key) if isinstance(table, dict) else None
        numbers: list[Any] = [one.get(name) for name in ("now", "settings")] if isinstance(one, dict) else []
        if len(numbers) == 2 and all(type(number) in (int, float) for number in numbers) and low <= numbers[0] <= high:
            found[key] = (numbers[0], numbers[1])
    return found
