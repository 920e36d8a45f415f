"""The quantised version of a checkpoint: NAME-0000.int8 beside NAME-0000.params, with a graph and about.json.

It cannot be made again without the pictures that it was calibrated with, so it lies with the checkpoint and not in the
cache of graphs (cache.py). about.json has the key of the checkpoint it was made from: the fingerprint of both files,
the normalisation and the importer's version. If the key differs, the version is stale and is not used.
edge/quantizer/ makes it.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.host.atomic import exchange, to_disk
from edge.importer.cache import ABOUT, describe, key_of, whole_graph
from edge.importer.graph import GRAPH, WEIGHTS, Graph
from edge.models.checkpoint import DEMO, Checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.manifest import Answer

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
"""The precisions. Only int8 is a separate version: float16 is made from the weights when they are loaded."""
OURS = "comes with edge: "
"""Prefix of the method of an int8 version that comes with edge, in the package of its model."""
_NEW = ".quantised-"


@dataclass(frozen=True)
class Figures:
    """How a quantised network compares with the float one, on views that nothing was fitted to."""

    agreement: float
    """The share of the views for which both put the same label first, 0..1."""
    moved: float
    """The median change of the probability of the float network's first label, 0..1."""
    views: int
    pictures: int
    """Number of pictures that the views show."""


@dataclass(frozen=True)
class QuantisedInfo:
    """What about.json says about a quantised version."""

    made_of: str
    """The key of the checkpoint."""
    method: str
    """How the ranges were found, for people."""
    kept: tuple[str, ...]
    """The layers that stay in float32."""
    figures: Mapping[str, Figures]
    """By engine; empty if it was not judged."""
    answer: Answer | None
    """Its answer for the known picture."""
    mark: str = ""
    """Tells two quantised versions of the same checkpoint apart."""


def quantised_folder(checkpoint: Checkpoint, precision: str = INT8) -> Path:
    """Return the folder of the quantised version, whether it exists or not."""
    return checkpoint.params.with_suffix(f".{precision}")


def about_quantised(
    checkpoint: Checkpoint, precision: str = INT8, digests: Mapping[str, str] | None = None
) -> QuantisedInfo | None:
    """Return the information about the quantised version; None if there is none.

    Raises ModelError, in one line, if it was made from other files or cannot be read.
    """
    folder = quantised_folder(checkpoint, precision)
    again = f"edge models quantize {checkpoint.name} makes another"
    try:
        table = _read(folder)
        about = QuantisedInfo(
            str(table["made_of"]),
            str(table["method"]),
            tuple(table["kept"]),
            {
                engine: Figures(float(one["agreement"]), float(one["moved"]), int(one["views"]), int(one["pictures"]))
                for engine, one in table["figures"].items()
            },
            Answer(**table["answer"]) if table["answer"] else None,
            "".join(f"{checksum:08x}" for _, checksum in table["files"].values()),
        )
    except FileNotFoundError:
        if not os.access(folder, os.F_OK):
            return None
        raise ModelError(f"{folder / ABOUT}: missing; {again}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / ABOUT}: damaged ({error}); {again}") from error
    if about.made_of != key_of(checkpoint, digests):
        raise ModelError(
            f"model {checkpoint.name}: its {precision} version was made from other weights or for another input, so it "
            f"is not used; {again}"
        )
    return about


def quantised_problem(checkpoint: Checkpoint, precision: str, digests: Mapping[str, str] | None = None) -> str:
    """Return why that version cannot be used, for people; empty if it can, or is float32."""
    if precision != INT8:
        return ""
    try:
        about = about_quantised(checkpoint, precision, digests)
    except ModelError as error:
        return str(error).removeprefix(f"model {checkpoint.name}: ")
    if about is None and checkpoint.name == DEMO:
        return f"there is no {precision} version of it: it is small, and runs in float only"
    return "" if about else f"there is no {precision} version of it: edge models quantize {checkpoint.name} makes one"


def quantised_graph(checkpoint: Checkpoint, precision: str = INT8) -> Graph:
    """Return the graph of the quantised version. Raises ModelError if there is none, or it is stale or damaged."""
    if problem := quantised_problem(checkpoint, precision):
        raise ModelError(f"model {checkpoint.name}: {problem}")
    folder = quantised_folder(checkpoint, precision)
    graph = whole_graph(folder, _read(folder), checkpoint)
    if graph is None:
        raise ModelError(
            f"{folder}: damaged (a checksum differs); edge models quantize {checkpoint.name} makes another"
        )
    return graph


def identity_of(checkpoint: Checkpoint, precision: str, digests: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint that measurements are kept under: the checkpoint's, plus its int8 version's mark."""
    found = fingerprint(checkpoint, digests)
    about = about_quantised(checkpoint, precision, digests) if precision == INT8 else None
    return f"{found} {about.mark}" if about else found


def weights_mib(checkpoint: Checkpoint, precision: str) -> float:
    """Return the size of the weights that an engine loads, in MiB. Raises OSError."""
    path = checkpoint.params if precision != INT8 else quantised_folder(checkpoint, precision) / WEIGHTS
    return path.stat().st_size / 2**20


def to_table(about: QuantisedInfo, graph: Graph) -> dict[str, Any]:
    """Return the content of about.json for a quantised graph; `about_quantised` reads it and adds the mark."""
    return {
        "made_of": about.made_of,
        "method": about.method,
        "kept": list(about.kept),
        "figures": {engine: asdict(one) for engine, one in about.figures.items()},
        "answer": asdict(about.answer) if about.answer else None,
        **describe(graph),
    }


def install_quantised(checkpoint: Checkpoint, made: Path, precision: str = INT8) -> Path:
    """Copy the quantised version in the folder `made` to its checkpoint, and replace an existing one.

    Return the folder. The exchange is atomic. Raises ModelError, and changes nothing, if it cannot be written.
    """
    place = quantised_folder(checkpoint, precision)
    parent = place.parent
    try:
        with _locked(parent):
            for left in parent.glob(f"{_NEW}*"):
                shutil.rmtree(left, ignore_errors=True)
            new = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent))
            try:
                new.chmod(0o755)
                for name in (GRAPH, WEIGHTS, ABOUT):
                    shutil.copyfile(made / name, new / name)
                    (new / name).chmod(0o644)  # the service reads it, even if another user made it
                    to_disk(new / name)
                to_disk(new)
                exchange(new, place)
                to_disk(parent)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"{error.filename or parent}: {error.strerror}; nothing was changed. Free some space, or run it as the "
            "owner of the folder (sudo)"
        ) from error
    return place


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let in one process at a time; the folder itself is the lock, so that no lock file is left in it."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _read(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return table
