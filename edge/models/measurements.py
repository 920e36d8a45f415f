"""Memory and time of models, measured or estimated, and the file that stores measurements."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.models.entries import keep_entry, read_entries


@dataclass(frozen=True)
class Measurement:
    """Memory and time of one model with one engine on one machine."""

    peak_mib: float
    """Peak memory of the process that loads and runs it."""
    load_s: float
    """From nothing loaded, not even the engine, to ready for the first frame."""
    first_ms: float
    """The first forward pass, in which the engine prepares its kernels."""
    median_ms: float
    """Per frame, from its pixels to the copied result, after warm-up."""
    p95_ms: float
    frames: int
    """The number of frames for median and p95."""
    enqueue_ms: float = 0.0
    """Time until forward() alone returned. It only queues the work, so this is not the inference time."""
    parameters: int = 0
    """The number of learnt parameters."""
    estimated: bool = False
    """Shipped or derived from the file's size, not measured here."""
    killed: bool = False
    """It ran out of memory: peak_mib is its memory by then, so it needs more. The times mean nothing."""


class Measurements:
    """Stored measurements, in measurements.json of the store folders: by machine, engine and fingerprint."""

    FILE = "measurements.json"

    def __init__(self, folders: Sequence[Path], machine_key: str) -> None:
        """Earlier folders take precedence. An unreadable file counts as empty."""
        self._folders = folders
        self._machine_key = machine_key

    def find(self, identity: str, engine: str) -> Measurement | None:
        """Return the measurement of the model with that fingerprint, with this engine and version, on this machine."""
        for folder in self._folders:
            kept = read_entries(folder / self.FILE).get(self._key(identity, engine))
            # an entry from another release, or edited by hand, is ignored
            with contextlib.suppress(TypeError):
                if kept is not None and all(isinstance(value, int | float) for value in kept.values()):
                    return Measurement(**kept)
        return None

    def keep(self, identity: str, engine: str, measurement: Measurement) -> bool:
        """Write a measurement to the first writable folder; return False if there is none."""
        rounded = {
            key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(measurement).items()
        }
        return keep_entry(self._folders, self.FILE, self._key(identity, engine), rounded)

    def _key(self, identity: str, engine: str) -> str:
        return f"{self._machine_key}, {engine}, {identity}"


def estimate(params_mib: float) -> Measurement:
    """Return a model's least memory, from the size of its weights alone; it is measured before it is loaded.

    Python with OpenCV and MXNet takes some 150 MiB without a model; the weights are added once.
    """
    return Measurement(150.0 + params_mib, 0.0, 0.0, 0.0, 0.0, 0, estimated=True)
