"""Which calibration of a network is in force, and how it is noted beside the network's files.

It is fitted in models/temperature_scaling.py; models/calibration_file.py is the file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from edge.errors import ModelError, os_reason
from edge.models.calibration_file import CALIBRATION, Calibration, write_calibration
from edge.models.checkpoint import Checkpoint, calibration_in_toml
from edge.models.fingerprint import fingerprint


def fitted_to(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of all that a temperature depends on: weights, structure, and how the input is made.

    `digests` are SHA-256 by file name where they are known; else the files are read whole. Raises ModelError.
    """
    made = json.dumps(dataclasses.asdict(checkpoint.input), sort_keys=True)
    return hashlib.sha256(f"{fingerprint(checkpoint, digests)} {made}".encode()).hexdigest()[:16]


def in_force(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> Calibration | None:
    """Return the checkpoint's calibration if it was fitted to just these weights and this input, else None.

    Raises ModelError when there is one and the files cannot be read.
    """
    noted = checkpoint.calibration
    return noted if noted is not None and noted.fitted_to == fitted_to(checkpoint, digests) else None


def void(name: str) -> str:
    """Return what a person is told of a model whose calibration is not in force."""
    return (
        f"model {name} counts as uncalibrated: its weights or its [input] were changed after it was calibrated; "
        f"do it again with edge models calibrate"
    )


def note_calibration(checkpoint: Checkpoint, calibration: Calibration | None) -> Path:
    """Write it beside the checkpoint's files, or remove the one that is there for None; return the path of the file.

    Checksums and the known answer are not concerned: they are of what the network says uncalibrated. Raises ModelError,
    and leaves the file as it was, when it cannot be written.
    """
    folder = checkpoint.symbol.parent
    try:
        return write_calibration(folder, calibration, calibration_in_toml(folder), like=checkpoint.symbol)
    except OSError as error:
        raise ModelError(
            f"{folder / CALIBRATION}: {os_reason(error)}; nothing was changed. Run it as the owner of the folder "
            "(sudo), or free some space"
        ) from error
