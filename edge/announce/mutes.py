"""The file of muted labels: what `edge mute` keeps over a restart."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from edge.announce.english import plain
from edge.host.atomic import write_text

SERVICE_FILE = Path("/var/lib/edge/mutes.json")
"""The file of the systemd service (StateDirectory=edge)."""


def state_file() -> Path:
    """Return the path of the file of mutes: in systemd's STATE_DIRECTORY, or in the user's state folder."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / "mutes.json"
    home = os.environ.get("XDG_STATE_HOME") or f"{os.environ.get('HOME', '/')}/.local/state"
    return Path(home) / "edge" / "mutes.json"


def read_mutes(file: Path) -> list[str]:
    """Return the muted labels; none if there is no file. Raises OSError, and ValueError for a damaged file."""
    try:
        mutes = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    if not isinstance(mutes, list) or not all(isinstance(one, str) for one in mutes):
        raise ValueError("it is not a list of texts")
    return mutes


def write_mutes(file: Path, mutes: Sequence[str]) -> None:
    """Replace the muted labels on disk. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(file, json.dumps(list(mutes), ensure_ascii=False))


def unmute(file: Path, label: str) -> str:
    """Remove a label from a file of mutes, and return it as it stood there; '' if it did not.

    Raises OSError, and ValueError for a damaged file.
    """
    mutes = read_mutes(file)
    found = [mute for mute in mutes if plain(mute) == plain(label)]
    if found:
        write_mutes(file, [mute for mute in mutes if mute not in found])
    return found[0] if found else ""
