"""The cache of graphs, so that a checkpoint is translated once: STORE/.graphs/KEY, one folder each.

The key is made from the checkpoint's fingerprint (all bytes of both files), its normalisation, which may be folded into
the weights, and the importer's version: a graph of anything else is never found. Beside the graph, about.json has the
checksums of its files, so that a damaged graph is made again. The folder is in the first writable store, as with
measurements. If no store is writable, a graph lives in a temporary folder until the engine has loaded it.

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
from edge.importer.graph import GRAPH, VERSION, WEIGHTS, Graph
from edge.importer.head import head_of
from edge.importer.symbol import read_symbol
from edge.models.checkpoint import GREY, Checkpoint, InputSpec, store_folders
from edge.models.fingerprint import fingerprint

FOLDER = ".graphs"
ABOUT = "about.json"
_CHUNK = 2**20


@contextmanager
def graph_of(checkpoint: Checkpoint, stores: Sequence[Path] | None = None) -> Iterator[Graph]:
    """Return the graph of a checkpoint, from the cache or made now. It exists until the context ends.

    Raises ModelError if the checkpoint is damaged or not supported, or no disk has room for its graph.
    """
    key = key_of(checkpoint)
    folders = [store / FOLDER for store in (store_folders() if stores is None else stores)]
    for folder in folders:
        if (graph := _kept(folder / key, checkpoint)) is not None:
            yield graph
            return
    if (graph := _make_in_one_of(folders, key, checkpoint)) is not None:
        yield graph
        return
    with contextlib.ExitStack() as until_the_end:
        try:
            # a file that an engine has mapped stays usable when it is removed
            place = until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="edge-graph-"))
            graph = _translated(checkpoint, Path(place))
        except OSError as error:
            raise ModelError(
                f"model {checkpoint.name}: no space for its graph: {error.strerror} ({error.filename or folders[0]}); "
                "free some space, or run it with mxnet ([model] engine)"
            ) from error
        yield graph


def _make_in_one_of(folders: Sequence[Path], key: str, checkpoint: Checkpoint) -> Graph | None:
    for folder in folders:
        if folder != folders[0] and not os.access(folder.parent.parent, os.F_OK):
            continue  # there is no service here, so its store is not created
        # the folder belongs to another user, or its disk is full
        with contextlib.suppress(OSError):
            return _make(folder, key, checkpoint)
    return None


def graph_is_kept(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> bool:
    """Return True if the graph of a checkpoint is in the cache, whole or not."""
    key = key_of(checkpoint, digests)
    return any(os.access(store / FOLDER / key, os.F_OK) for store in store_folders())


def forget_graph(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> None:
    """Remove the graph of a checkpoint from the cache, as far as this user may."""
    key = key_of(checkpoint, digests)
    for store in store_folders():
        shutil.rmtree(store / FOLDER / key, ignore_errors=True)


def key_of(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> str:
    """Return the key of a checkpoint's graph; `digests` are SHA-256 by file name, where they are known.

    Raises ModelError if its files cannot be read.
    """
    spec = checkpoint.input
    parts: tuple[object, ...] = (VERSION, fingerprint(checkpoint, digests), spec.mean, spec.std)
    if _had_another_end(checkpoint):
        # an earlier release may have made graphs of these with a softmax too many
        parts += ("sigmoid",)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _had_another_end(checkpoint: Checkpoint) -> bool:
    try:
        return head_of(read_symbol(checkpoint.symbol)).independent
    except ModelError:
        return False  # no graph can be made from it


def describe(graph: Graph) -> dict[str, Any]:
    """Return the entries of about.json for a graph: how its input is made, and the checksums of its files."""
    files = {name: [(graph.folder / name).stat().st_size, _checksum(graph.folder / name)] for name in (GRAPH, WEIGHTS)}
    more = {"independent": True} if graph.independent else {}
    return {"parameters": graph.parameters, "input": dataclasses.asdict(graph.input), "files": files, **more}


def whole_graph(folder: Path, about: Mapping[str, Any], checkpoint: Checkpoint) -> Graph | None:
    """Return the graph in a folder; None if its files do not match the entries that `describe` made."""
    try:
        for name in (GRAPH, WEIGHTS):
            size, checksum = about["files"][name]
            path = folder / name
            if path.stat().st_size != size or _checksum(path) != checksum:
                return None
        spec = {**about["input"], "mean": tuple(about["input"]["mean"]), "std": tuple(about["input"]["std"])}
        graph = Graph(folder, InputSpec(**spec), int(about["parameters"]), bool(about.get("independent", False)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    # the crop is not part of the graph
    kept = graph.input
    channels = kept.channels if GREY in (kept.channels, checkpoint.input.channels) else checkpoint.input.channels
    left = dataclasses.replace(checkpoint.input, mean=kept.mean, std=kept.std, channels=channels)
    return dataclasses.replace(graph, input=left)


def _kept(folder: Path, checkpoint: Checkpoint) -> Graph | None:
    """Return the graph in a folder; None if it is not whole."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        gone = not os.access(about["params"], os.F_OK)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    graph = whole_graph(folder, about, checkpoint)
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


def _make(folder: Path, key: str, checkpoint: Checkpoint) -> Graph:
    """Make a graph in a folder of graphs, and remove the graphs of checkpoints that are gone or have changed."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # another process may have made it during the wait
        if (graph := _kept(folder / key, checkpoint)) is not None:
            return graph
        for left in folder.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            new.chmod(0o755)
            graph = _translated(checkpoint, new)
            about = {"params": str(checkpoint.params.absolute()), **describe(graph)}
            write_text(new / ABOUT, json.dumps(about, indent=1))
            _clear(folder, checkpoint.params)
            shutil.rmtree(folder / key, ignore_errors=True)  # if damaged
            new.rename(folder / key)
            to_disk(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return dataclasses.replace(graph, folder=folder / key)


def _translated(checkpoint: Checkpoint, folder: Path) -> Graph:
    """Make the graph in an empty folder."""
    # imported here: a daemon with a cached graph, or with MXNet as its engine, needs none of the operators
    from edge.importer.translate import make_graph

    return make_graph(checkpoint, folder)


def _clear(folder: Path, params: Path) -> None:
    """Remove the graphs of a checkpoint that is translated again, and of checkpoints that no longer exist."""
    for about in folder.glob(f"[!.]*/{ABOUT}"):
        try:
            noted = Path(json.loads(about.read_text(encoding="utf-8"))["params"])
            stale = noted == params.absolute() or not os.access(noted, os.F_OK)
        except (OSError, ValueError, LookupError, TypeError):
            stale = True
        if stale:
            shutil.rmtree(about.parent, ignore_errors=True)
