"""manifest.json beside an installed model: checksums, origin, and the answer to the known picture."""

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
"""Prefix of the origin of a model that came in a package."""


@dataclass(frozen=True)
class Answer:
    """A model's answer to the known picture (engines/selftest.py)."""

    id: str
    label: str
    probability: float
    engine: str


@dataclass(frozen=True)
class Manifest:
    """The record that edge wrote when it installed a model."""

    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """sha256 and bytes by file name."""
    origin: str = ""
    """Where the files came from, for messages."""
    parameters: int = 0
    """The number of learnt parameters."""
    answer: Answer | None = None
    licence: str = ""
    """The SPDX id of the weights' licence; empty if unknown."""
    package: str = ""
    """The Python package that it came in; empty if none."""
    temperature: float | None = None
    """The temperature that came with it, fitted by edge's developers; None if none did."""


@dataclass(frozen=True)
class Examined:
    """The result of running a model before it is installed."""

    parameters: int
    answer: Answer


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of the model in a folder, None if there is none. Raises ModelError if it is damaged."""
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
    """Write a checkpoint's manifest, with checksums and answer, beside its files, and return it."""
    files = {
        path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in (checkpoint.symbol, checkpoint.params, checkpoint.synset)
    }
    manifest = Manifest(files, origin, examined.parameters, examined.answer, licence, package, temperature)
    write_json(checkpoint.symbol.parent / MANIFEST, dataclasses.asdict(manifest))
    return manifest
