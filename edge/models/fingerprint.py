"""Fingerprints that identify checkpoints."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint


def fingerprint(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of a model's files and input size: 16 hexadecimal digits.

    `digests` are SHA-256 in hexadecimal by file name where known; otherwise both files are read completely.
    Raises ModelError if they cannot be read.
    """
    parts = [str(checkpoint.input.size)]
    for path in (checkpoint.symbol, checkpoint.params):
        if digests is not None and path.name in digests:
            parts.append(digests[path.name])
            continue
        try:
            parts.append(sha256(path))
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}; copy it again") from error
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
