"""Records of earlier runs in files: measurements, the engines' agreements, and models that killed the daemon."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from edge.engines.agreement import Agreements
from edge.host.machine import Machine
from edge.models.checkpoint import store_folders
from edge.models.crash_marker import CrashMarker
from edge.models.measurements import Measurements


@dataclass(frozen=True)
class Records:
    """The records of earlier runs on this kind of machine."""

    measurements: Measurements
    agreements: Agreements
    kills: Mapping[str, int]
    """How often loading a params file (as text) has killed a daemon since the machine started."""

    @classmethod
    def of(cls, machine: Machine, crash_marker: CrashMarker) -> Self:
        """Return the records of a machine, from the user's folder and the service's."""
        folders = store_folders()
        return cls(Measurements(folders, machine.key), Agreements(folders, machine.key), kills=crash_marker.rejected())
