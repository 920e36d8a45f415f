"""The cache of graphs, so that a checkpoint is translated once: STORE/.graphs/KEY, one folder each.

The key is made from the checkpoint's fingerprint (all bytes of both files), its normalisation, which may be folded into
the weights, the form (graph.py) and the importer's version: a graph of anything else is never found. Beside the graph,
about.json has the checksums of its files, so that a damaged graph is made again. The folder is in the first writable
store, as with measurements. If no store is writable, a graph lives in a temporary folder until the engine has loaded
it.

A graph appears only when it is complete: it is made in a hidden folder, which gets its name when it is on the disk.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.host.atomic import to_disk, write_text
from edge.importer.graph import FORMS, NCNN, ONNX, VERSION, Form, Graph
from edge.importer.head import head_of
from edge.importer.symbol import read_symbol
from edge.models.checkpoint import GREY, Checkpoint, InputSpec, store_folders
from edge.models.fingerprint import fingerprint

FOLDER = ".graphs"
ABOUT = "about.json"
_CHUNK = 2**20


@contextmanager
def graph_of(checkpoint: Checkpoint, stores: Sequence[Path] | None = None, *, form: Form = ONNX) -> Iterator[Graph]:
    """Return the graph of a checkpoint, from the cache or made now. It exists until the context ends.

    Raises ModelError if the checkpoint is damaged or not supported, or no disk has room for its graph.
    """
    key = key_of(checkpoint, form=form)
    folders = [store / FOLDER for store in (store_folders() if stores is None else stores)]
    for folder in folders:
        if (graph := _kept(folder / key, checkpoint, form)) is not None:
            yield graph
            return
    if (graph := _make_in_one_of(folders, key, checkpoint, form)) is not None:
        yield graph
        return
    with contextlib.ExitStack() as until_the_end:
        try:
            # a file that an engine has mapped stays usable when it is removed
            place = until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="edge-graph-"))
            graph = _translated(checkpoint, Path(place), form)
        except OSError as error:
            raise ModelError(
                f"model {checkpoint.name}: no space for its graph: {error.strerror} ({error.filename or folders[0]}); "
                "free some space, or run it with mxnet ([model] engine)"
            ) from error
        yield graph


def _make_in_one_of(folders: Sequence[Path], key: str, checkpoint: Checkpoint, form: Form) -> Graph | None:
    for folder in folders:
        if folder != folders[0] and not os.access(folder.parent.parent, os.F_OK):
            continue  # there is no service here, so its store is not created
        # the folder belongs to another user, or its disk is full
        with contextlib.suppress(OSError):
            return _make(folder, key, checkpoint, form)
    return None


def graph_is_kept(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> bool:
    """Return True if a graph of a checkpoint is in the cache, whole or not."""
    return any(os.access(folder, os.F_OK) for folder in _folders_of(checkpoint, digests))


def forget_graph(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> None:
    """Remove the graphs of a checkpoint from the cache, as far as this user may."""
    for folder in _folders_of(checkpoint, digests):
        shutil.rmtree(folder, ignore_errors=True)


def _folders_of(checkpoint: Checkpoint, digests: Mapping[str, str] | None) -> list[Path]:
    keys = [key_of(checkpoint, digests, form=form) for form in FORMS]
    return [store / FOLDER / key for store in store_folders() for key in keys]


def key_of(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None, *, form: Form = ONNX) -> str:
    """Return the key of a checkpoint's graph; `digests` are SHA-256 by file name, where they are known.

    Raises ModelError if its files cannot be read.
    """
    spec = checkpoint.input
    parts: tuple[object, ...] = (VERSION, fingerprint(checkpoint, digests), spec.mean, spec.std)
    if _had_another_end(checkpoint):
        # an earlier release may have made graphs of these with a softmax too many
        parts += ("sigmoid",)
    if form.name:
        parts += (form.name,)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _had_another_end(checkpoint: Checkpoint) -> bool:
    try:
        return head_of(read_symbol(checkpoint.symbol)).independent
    except ModelError:
        return False  # no graph can be made from it


def describe(graph: Graph) -> dict[str, Any]:
    """Return the entries of about.json for a graph: how its input is made, and the checksums of its files."""
    files = {name: [(graph.folder / name).stat().st_size, _checksum(graph.folder / name)] for name in graph.form.files}
    more = {"independent": True} if graph.independent else {}
    return {"parameters": graph.parameters, "input": dataclasses.asdict(graph.input), "files": files, **more}


def whole_graph(folder: Path, about: Mapping[str, Any], checkpoint: Checkpoint, form: Form = ONNX) -> Graph | None:
    """Return the graph in a folder; None if its files do not match the entries that `describe` made."""
    try:
        for name in form.files:
            size, checksum = about["files"][name]
            path = folder / name
            if path.stat().st_size != size or _checksum(path) != checksum:
                return None
        spec = {**about["input"], "mean": tuple(about["input"]["mean"]), "std": tuple(about["input"]["std"])}
        graph = Graph(folder, InputSpec(**spec), int(about["parameters"]), bool(about.get("independent", False)), form)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    # the crop is not part of the graph
    kept = graph.input
    channels = kept.channels if GREY in (kept.channels, checkpoint.input.channels) else checkpoint.input.channels
    left = dataclasses.replace(checkpoint.input, mean=kept.mean, std=kept.std, channels=channels)
    return dataclasses.replace(graph, input=left)


def _kept(folder: Path, checkpoint: Checkpoint, form: Form) -> Graph | None:
    """Return the graph in a folder; None if it is not whole."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        gone = not os.access(about["params"], os.F_OK)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    graph = whole_graph(folder, about, checkpoint, form)
    if graph is not None and gone:
        # the checkpoint it was made from is gone; this one is the same, so note it as the owner
        with contextlib.suppress(OSError):
            write_text(folder / ABOUT, json.dumps({**about, "params": str(checkpoint.params.absolute())}))
    return graph


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file: it detects a bad disk, and is several times as fast on a Pi as a secure hash."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found


def _make(folder: Path, key: str, checkpoint: Checkpoint, form: Form) -> Graph:
    """Make a graph in a folder of graphs, and remove the graphs of checkpoints that are gone or have changed."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # another process may have made it during the wait
        if (graph := _kept(folder / key, checkpoint, form)) is not None:
            return graph
        for left in folder.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            new.chmod(0o755)
            graph = _translated(checkpoint, new, form)
            about = {"params": str(checkpoint.params.absolute()), **describe(graph)}
            write_text(new / ABOUT, json.dumps(about, indent=1))
            _clear(folder, checkpoint)
            shutil.rmtree(folder / key, ignore_errors=True)  # if damaged
            new.rename(folder / key)
            to_disk(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return dataclasses.replace(graph, folder=folder / key)


def _translated(checkpoint: Checkpoint, folder: Path, form: Form) -> Graph:
    """Make the graph in an empty folder."""
    # imported here: a daemon with a cached graph, or with MXNet as its engine, needs none of the operators
    if form is NCNN:
        from edge.importer.ncnn.translate import make_ncnn_graph

        return make_ncnn_graph(checkpoint, folder)
    from edge.importer.translate import make_graph

    return make_graph(checkpoint, folder)


def _clear(folder: Path, checkpoint: Checkpoint) -> None:
    """Remove the graphs of a checkpoint as it was before a change, and of checkpoints that no longer exist."""
    current = {key_of(checkpoint, form=form) for form in FORMS}
    for about in folder.glob(f"[!.]*/{ABOUT}"):
        try:
            noted = Path(json.loads(about.read_text(encoding="utf-8"))["params"])
            changed = noted == checkpoint.params.absolute() and about.parent.name not in current
            stale = changed or not os.access(noted, os.F_OK)
        except (OSError, ValueError, LookupError, TypeError):
            stale = True
        if stale:
            shutil.rmtree(about.parent, ignore_errors=True)
