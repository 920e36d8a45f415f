"""Networks' Python packages that count as not installed, whatever is."""

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from edge.models.catalogue import load_catalogue


def hide(monkeypatch: pytest.MonkeyPatch, folder: Path, but: Collection[str] = ()) -> None:
    """Let no network of the catalogue come from its package, but those named: what has its name is no package."""
    for name, entry in load_catalogue().items():
        if entry.package and name not in but:
            folder.mkdir(exist_ok=True)
            (folder / f"{entry.package.member.partition('/')[0]}.py").write_text("")
    find_first(monkeypatch, folder)


def find_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let what lies in a folder be found first, here and by children."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
