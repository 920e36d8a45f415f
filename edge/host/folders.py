"""The folders that this user's edge has on this machine."""

import os
import tempfile
from pathlib import Path


def runtime_folder() -> Path:
    """Return the folder of the control socket and of the marks: on tmpfs, and private to this user."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(given) / "edge"
    return Path(tempfile.gettempdir()) / f"edge-{os.getuid()}"
