"""The calibrations that come with packaged models: is an installed one ours, and of this release?

Apart from measured.py, because each start asks this, and needs nothing else that makes models.
"""

import json
from importlib import resources
from typing import Any

from edge.models.calibration_file import open_set_from
from edge.models.checkpoint import Checkpoint
from edge.models.manifest import Manifest


def table_of(name: str) -> dict[str, Any]:
    """Return data/embedded/NAME.json. Raises FileNotFoundError."""
    text = (resources.files("edge") / "data" / "embedded" / f"{name}.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def is_ours(checkpoint: Checkpoint, manifest: Manifest | None) -> bool:
    """Return True if the calibration is the one that came with the model, in this release or an earlier one."""
    noted = checkpoint.calibration
    return noted is not None and manifest is not None and noted.temperature == manifest.temperature


def is_outdated(checkpoint: Checkpoint, manifest: Manifest | None) -> bool:
    """Return True if the calibration came with the model in another release than this one."""
    noted = checkpoint.calibration
    if noted is None or not is_ours(checkpoint, manifest):
        return False
    shipped = table_of(checkpoint.name)["calibration"]
    return (noted.temperature, noted.open_set) != (
        shipped["temperature"],
        open_set_from(shipped["open_set"], f"{checkpoint.name}:"),
    )
