"""manifest.json beside an installed network: checksums, where it came from, and what it said of the known picture."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.host.atomic import write_json
from edge.models.checkpoint import Checkpoint
from edge.models.fingerprint import sha256

MANIFEST = "manifest.json"
PACKAGE = "the Python package "
"""So begins the origin of what came in one."""


@dataclass(frozen=True)
class Answer:
    """What a network says of the known picture (engines/selftest.py)."""

    id: str
    label: str
    probability: float
    engine: str


@dataclass(frozen=True)
class Manifest:
    """What edge noted when it installed a network."""

    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """sha256 and bytes by file name."""
    origin: str = ""
    """Where the files came from, for people."""
    parameters: int = 0
    """How many numbers the network has learnt."""
    answer: Answer | None = None
    licence: str = ""
    """Of the weights, as SPDX calls it; empty: not known."""
    package: str = ""
    """The Python package that it came in; empty: it did not."""
    temperature: float | None = None
    """The one that came with it, which edge's developers have fitted; None: none did."""


@dataclass(frozen=True)
class Examined:
    """What running a network before it is installed has shown."""

    parameters: int
    answer: Answer


def read_manifest(folder: Path) -> Manifest | None:
    """Return what was noted of the network in a folder; None when nothing was. Raises ModelError when it is damaged."""
    path = folder / MANIFEST
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        answer = table["answer"]
        for one in table["files"].values():
            str(one["sha256"]), int(one["bytes"])
        known = Answer(**answer) if answer else None
        return Manifest(
            *(table["files"], table["origin"], table["parameters"], known),
            licence=str(table.get("licence", "")),
            package=str(table.get("package", "")),
            temperature=table.get("temperature"),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged ({error}); install the model again: edge models add or fetch") from error


def write_manifest(
    checkpoint: Checkpoint,
    examined: Examined,
    origin: str,
    licence: str = "",
    *,
    package: str = "",
    temperature: float | None = None,
) -> Manifest:
    """Note checksums and answer of a checkpoint beside its files."""
    files = {
        path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in (checkpoint.symbol, checkpoint.params, checkpoint.synset)
    }
    manifest = Manifest(files, origin, examined.parameters, examined.answer, licence, package, temperature)
    write_json(checkpoint.symbol.parent / MANIFEST, dataclasses.asdict(manifest))
    return manifest
