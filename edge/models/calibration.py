"""Decides whether a model's calibration is valid, and writes it beside the model's files.

models/temperature_scaling.py fits it; models/calibration_file.py reads and writes the file.
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
    """Return the fingerprint of everything a temperature depends on: weights, structure and preprocessing.

    `digests` are SHA-256 by file name where known; otherwise the files are read completely. Raises ModelError.
    """
    made = json.dumps(dataclasses.asdict(checkpoint.input), sort_keys=True)
    return hashlib.sha256(f"{fingerprint(checkpoint, digests)} {made}".encode()).hexdigest()[:16]


def in_force(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> Calibration | None:
    """Return the checkpoint's calibration if it was fitted to exactly these weights and this input, else None.

    Raises ModelError if there is a calibration and the files cannot be read.
    """
    noted = checkpoint.calibration
    return noted if noted is not None and noted.fitted_to == fitted_to(checkpoint, digests) else None


def void(name: str) -> str:
    """Return the message for a model whose calibration is not valid any more."""
    return (
        f"model {name} counts as uncalibrated: its weights or its [input] were changed after it was calibrated; "
        f"calibrate it again with edge models calibrate"
    )


def note_calibration(checkpoint: Checkpoint, calibration: Calibration | None) -> Path:
    """Write the calibration beside the checkpoint's files, or remove it for None; return the file's path.

    Checksums and the known answer stay valid: they are of the uncalibrated model. Raises ModelError, and leaves the
    file unchanged, if it cannot be written.
    """
    folder = checkpoint.symbol.parent
    try:
        return write_calibration(folder, calibration, calibration_in_toml(folder), like=checkpoint.symbol)
    except OSError as error:
        raise ModelError(
            f"{folder / CALIBRATION}: {os_reason(error)}; nothing was changed. Run it as the owner of the folder "
            "(sudo), or free some space"
        ) from error
