"""Entries by key, kept in a JSON file of the first store that can be written to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.host.atomic import write_json


def read_entries(path: Path) -> dict[str, Any]:
    """Return the entries of a file that `keep_entry` writes; one that cannot be read has none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: one for key, one in table.items() if isinstance(one, dict)} if isinstance(table, dict) else {}


def keep_entry(folders: Sequence[Path], file: str, key: str, entry: Mapping[str, Any]) -> bool:
    """Write an entry into the file of the first folder that can be written to; return False when none can."""
    for folder in folders:
        if folder != folders[0] and not folder.parent.is_dir():
            continue  # there is no service here, and it is not for us to make its store
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / file, read_entries(folder / file) | {key: entry})
        except OSError:
            continue
        return True
    return False
