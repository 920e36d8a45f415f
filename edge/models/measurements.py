"""What models take, as measured on a machine or estimated, and the file in which measurements are kept."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.models.entries import keep_entry, read_entries


@dataclass(frozen=True)
class Measurement:
    """What one model takes with one engine on one machine."""

    peak_mib: float
    """The process that loads and runs it, at its largest."""
    load_s: float
    """From nothing loaded, not even the engine, to ready for the first frame."""
    first_ms: float
    """The first forward, in which the engine prepares its kernels."""
    median_ms: float
    """A frame, from its pixels to the result copied out, once warm."""
    p95_ms: float
    frames: int
    """How many the median and p95 are of."""
    enqueue_ms: float = 0.0
    """How long forward() alone took to come back. It only queues the work: this is no time of anything."""
    parameters: int = 0
    """How many numbers the model has learnt."""
    estimated: bool = False
    """Shipped or derived from the file's size, not measured here."""
    killed: bool = False
    """It ran out of memory: peak_mib is what it had by then, so it needs more than that. The times mean nothing."""


class Measurements:
    """What was measured, in measurements.json of the store's folders: by machine, engine and fingerprint."""

    FILE = "measurements.json"

    def __init__(self, folders: Sequence[Path], machine_key: str) -> None:
        """Those of the first folder go before the later ones'. A file that cannot be read holds nothing."""
        self._folders = folders
        self._machine_key = machine_key

    def find(self, identity: str, engine: str) -> Measurement | None:
        """Return what was measured of the model with that fingerprint, with this engine (and its version), here."""
        for folder in self._folders:
            kept = read_entries(folder / self.FILE).get(self._key(identity, engine))
            # an entry of another version, or edited by hand, is as good as none
            with contextlib.suppress(TypeError):
                if kept is not None and all(isinstance(value, int | float) for value in kept.values()):
                    return Measurement(**kept)
        return None

    def keep(self, identity: str, engine: str, measurement: Measurement) -> bool:
        """Write it into the first folder that can be written to; False when none can."""
        rounded = {
            key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(measurement).items()
        }
        return keep_entry(self._folders, self.FILE, self._key(identity, engine), rounded)

    def _key(self, identity: str, engine: str) -> str:
        return f"{self._machine_key}, {engine}, {identity}"


def estimate(params_mib: float) -> Measurement:
    """Return what a model takes at least, from the size of its weights alone; whoever loads it measures it first.

    Python with OpenCV and MXNet takes some 150 MiB before any model, and the weights come on top once.
    """
    return Measurement(150.0 + params_mib, 0.0, 0.0, 0.0, 0.0, 0, estimated=True)
