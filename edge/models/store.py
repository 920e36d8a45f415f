"""The installed models: STORE/NAME with NAME-symbol.json, NAME-0000.params, synset.txt, model.toml, manifest.json.

model.toml belongs to the user: preprocessing, and what the model is. edge writes manifest.json (checksums, the origin
of the files, the known answer) and, for a calibrated model, calibration.json. A folder put there by hand has no
manifest, and works unverified.

No partial state is ever visible: a model is assembled in a hidden folder and exchanged atomically with the old one.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ModelError, os_reason
from edge.host.atomic import exchange, to_disk
from edge.models.calibration_file import write_calibration
from edge.models.checkpoint import Checkpoint, store_folders
from edge.models.fingerprint import sha256
from edge.models.labels import read_label_file, to_text
from edge.models.manifest import Examined, Manifest, read_manifest, write_manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("auto", "demo")
_ALONG = (".int8",)
"""Folders beside the params file that belong to it (importer/quantised.py)."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Installed:
    """A model's folder in a store."""

    name: str
    folder: Path
    manifest: Manifest | None = None
    """None if edge has not installed it."""
    problem: str = ""
    """Why its manifest cannot be read; empty if it can, or there is none."""

    @property
    def digests(self) -> Mapping[str, str] | None:
        """SHA-256 by file name, from the manifest; None without manifest."""
        return {name: one["sha256"] for name, one in self.manifest.files.items()} if self.manifest else None


def installed(stores: Iterable[Path] | None = None) -> list[Installed]:
    """Return the installed models, sorted by name; of two with the same name, the earlier store's."""
    found: dict[str, Installed] = {}
    for store in store_folders() if stores is None else stores:
        # other users cannot read the service's store
        with contextlib.suppress(OSError):
            for folder in sorted(store.iterdir()):
                if folder.is_dir() and not folder.name.startswith(".") and any(folder.glob("*.params")):
                    found.setdefault(folder.name, look_into(folder))
    return [found[name] for name in sorted(found)]


def look_into(folder: Path) -> Installed:
    """Return the model in a folder; a damaged manifest is noted in `problem` instead of raised."""
    try:
        return Installed(folder.name, folder, read_manifest(folder))
    except ModelError as error:
        return Installed(folder.name, folder, problem=str(error))


def verify(one: Installed, progress: Progress = lambda _step: None) -> list[str]:
    """Return the faults of an installed model's files, a line each; empty if they are as installed."""
    if one.problem:
        return [one.problem]
    if one.manifest is None:
        return []
    faults = []
    for name, noted in one.manifest.files.items():
        path = one.folder / name
        try:
            if path.stat().st_size != noted["bytes"]:
                faults.append(f"{path} has {path.stat().st_size} bytes and had {noted['bytes']} when it was installed")
                continue
            progress(f"reading {name}")
            if sha256(path) != noted["sha256"]:
                faults.append(f"{path} was changed or damaged since it was installed (its checksum differs)")
        except OSError as error:
            faults.append(f"{path}: {error.strerror}")
    return [f"{fault}; install the model again: edge models add or fetch" for fault in faults]


def default_store() -> Path:
    """Return the store for installing: the service's if it exists and the user is root, otherwise the user's."""
    own, service = store_folders()
    return service if os.getuid() == 0 and service.is_dir() else own


class Store:
    """A folder of models, for changes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        checkpoint: Checkpoint,
        name: str,
        examine: Callable[[Checkpoint], Examined],
        origin: str,
        *,
        licence: str = "",
        progress: Progress = lambda _step: None,
        room: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> Installed:
        """Check a checkpoint and install it as `name`, replacing a model of that name.

        `examine` runs it and raises ModelError if it is faulty; `room` returns how many bytes a folder's disk has free.
        Raises ModelError, and leaves the installed model unchanged, if a check fails or the disk is full.
        """
        check_name(name)
        labels = read_label_file(checkpoint.synset)
        originals = (checkpoint.symbol, checkpoint.params, checkpoint.synset)
        try:
            digests = {path: sha256(path) for path in originals}
            need = sum(path.stat().st_size for path in originals) + 2**16
        except OSError as error:
            raise ModelError(f"{error.filename}: {error.strerror}") from error
        progress("checking")
        examined = examine(checkpoint)

        def make(new: Path) -> Manifest:
            copy = dataclasses.replace(
                checkpoint,
                name=name,
                symbol=new / f"{name}-symbol.json",
                params=new / f"{name}-0000.params",
                synset=new / "synset.txt",
            )
            progress("copying")
            for source, target in zip(originals, (copy.symbol, copy.params, copy.synset), strict=True):
                shutil.copyfile(source, target)
                if sha256(target) != digests[source]:
                    raise ModelError(f"{source} changed while it was being installed; try again")
            if not labels.is_usual:
                copy.synset.write_text(to_text(labels.labels), encoding="utf-8")  # as every release reads them
            (new / "model.toml").write_text(to_toml(checkpoint), encoding="utf-8")
            write_calibration(new, checkpoint.calibration, None, like=copy.symbol)
            manifest = write_manifest(copy, examined, origin, licence)
            for kind in _ALONG:
                # made from the same weights; if stale, that is detected whenever it is read
                made = copy.params.with_suffix(kind)
                olds = (checkpoint.params.with_suffix(kind), self.folder / name / made.name)
                if old := next((one for one in olds if one.is_dir()), None):
                    shutil.copytree(old, made)
            return manifest

        return self.put(name, need, make, room=room)

    def put(
        self,
        name: str,
        need: int,
        make: Callable[[Path], Manifest],
        *,
        there: Callable[[], Installed | None] = lambda: None,
        room: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> Installed:
        """Install the files that `make` writes into the given folder, at most `need` bytes, replacing an old model.

        `there` is called while no other process writes. If it returns a model, another process has installed that one
        meanwhile, and it is kept. If this raises ModelError, or `make` raises anything, the old model is unchanged.
        """
        with self._writing() as scratch:
            if (found := there()) is not None:
                return found
            free = room(self.folder)
            if need > free:
                raise ModelError(
                    f"{self.folder}: {name} needs {need / 2**20:.0f} MiB there, and {free / 2**20:.0f} MiB are free; "
                    "remove a model (edge models remove) or name another folder with --store"
                )
            new = scratch / name
            new.mkdir(mode=0o755)
            manifest = make(new)
            for path in (*new.rglob("*"), new):
                to_disk(path)
            exchange(new, self.folder / name)
            to_disk(self.folder)
        return Installed(name, self.folder / name, manifest)

    def remove(self, name: str) -> None:
        """Delete a model. Raises ModelError if there is none of that name in this store."""
        if not _NAME.fullmatch(name) or not (self.folder / name).is_dir():
            raise ModelError(f"{self.folder}: there is no model {name}; edge models list shows the models")
        with self._writing() as scratch:
            (self.folder / name).rename(scratch / name)

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """Yield a hidden folder in the store, for one process at a time; leftovers of killed processes are removed."""
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in self.folder.glob(".new-*"):
                    shutil.rmtree(left, ignore_errors=True)
                scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
                try:
                    yield scratch
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            where = error.filename or self.folder
            raise ModelError(
                f"{where}: {os_reason(error)}; nothing was changed. Free some space, run it as the owner of the folder "
                "(sudo), or name another with --store"
            ) from error


def check_name(name: str) -> None:
    """Raise ModelError if this is not a valid name for a model."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ModelError(
            f"model name {name!r}: a name has at most 64 letters, digits, dots, - and _; "
            f"{' and '.join(_RESERVED)} are reserved; give another with --name"
        )


def to_toml(checkpoint: Checkpoint) -> str:
    """Return the model.toml of a checkpoint: find_checkpoint reads the same back, except for the calibration."""
    tables = {
        "input": {key: value for key, value in dataclasses.asdict(checkpoint.input).items() if value},
        "output": {"background": sorted(checkpoint.background)},
        "about": {key: value for key, value in dataclasses.asdict(checkpoint.about).items() if value not in (None, "")},
    }
    lines = ["# How a frame becomes this model's input, what its outputs mean, and what is known about the model."]
    for table, values in tables.items():
        lines += ["", f"[{table}]"]
        # JSON's strings, numbers, lists and booleans are valid TOML
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
