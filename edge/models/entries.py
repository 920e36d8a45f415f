"""Entries by key, in a JSON file of the first writable store."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.host.atomic import write_json


def read_entries(path: Path) -> dict[str, Any]:
    """Return the entries of a file that `keep_entry` writes; none if it cannot be read."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: one for key, one in table.items() if isinstance(one, dict)} if isinstance(table, dict) else {}


def keep_entry(folders: Sequence[Path], file: str, key: str, entry: Mapping[str, Any]) -> bool:
    """Write an entry into the file in the first writable folder; return False if there is none."""
    for folder in folders:
        if folder != folders[0] and not os.access(folder.parent, os.F_OK):
            continue  # there is no service here, so its store is not created
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / file, read_entries(folder / file) | {key: entry})
        except OSError:
            continue
        return True
    return False
