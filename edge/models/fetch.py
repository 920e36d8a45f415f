"""Fetches the files of the catalogue's models from a host or a folder, resumes downloads, and verifies the files.

A partial download lies in STORE/.fetch/NAME, and the next try resumes it. Nothing here touches an installed model: the
files become a checkpoint in that folder, and Store.add installs it.
"""

import fcntl
import hashlib
import json
import shutil
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import FetchError, ModelError, os_reason
from edge.host.atomic import write_json
from edge.models.catalogue import CHECKPOINT, Entry, Source
from edge.models.checkpoint import Checkpoint, ModelInfo
from edge.models.download import TIMEOUT_S, Downloader, Progress, UnavailableError
from edge.models.fingerprint import sha256

FOLDER = ".fetch"
PINS = "pins.json"
_CHUNK = 2**16
_MIB = 2**20
_ALGORITHMS = {40: "sha1", 64: "sha256"}
"""By the number of hexadecimal digits."""

Tell = Callable[[str], None]
Convert = Callable[[Source, Path, Path], None]
"""(source, its weights, prefix): writes prefix-symbol.json and prefix-0000.params. Raises ModelError for unusable
weights."""


@dataclass(frozen=True)
class Fetched:
    """A model whose files are complete and verified."""

    checkpoint: Checkpoint
    origin: str
    """Where it came from, for messages."""
    licence: str
    """The SPDX id of the weights' licence; empty if unknown."""


class Fetcher:
    """Fetches the files of catalogue entries into a store's folder for downloads."""

    def __init__(
        self,
        store: Path,
        origin: str | None = None,
        progress: Progress = lambda _name, _done, _total: None,
        tell: Tell = lambda _line: None,
        *,
        timeout_s: float = TIMEOUT_S,
        room: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Take `origin`, a folder or an address, instead of the catalogue's hosts.

        `tell` gets lines for the user; `room` returns how many bytes a folder's disk has free.
        """
        self._store = store
        self._origin = origin
        self._tell = tell
        self._downloader = Downloader(progress, room, timeout_s)
        self._pinned: list[str] = []
        self._room = room

    def fetch(self, entry: Entry, convert: Convert) -> Fetched:
        """Return the entry's checkpoint, from the first of its sources that has it.

        Raises FetchError if no source has the files, the disk is full, or another process is fetching them.
        """
        folder = self._store / FOLDER / entry.name
        faults: list[str] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_room(entry)
            with (folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                places = [(source, host) for source in entry.sources for host in self._hosts(source.hosts)]
                for number, (source, host) in enumerate(places, 1):
                    try:
                        return self._from(entry, source, host, folder, convert)
                    except UnavailableError as error:
                        faults.append(f"{_shown(host)}: {error}")
                        if number < len(places):
                            following = places[number][1]
                            again = "its other files" if following == host else _shown(following)
                            self._tell(f"{faults[-1]}. Trying {again}.")
        except BlockingIOError as error:
            raise FetchError(
                f"{folder}: another process is already fetching {entry.name}; wait until it has finished"
            ) from error
        except OSError as error:
            raise FetchError(
                f"{error.filename or folder}: {os_reason(error)}; no installed model was changed. Free some space, "
                "run it as the owner of the folder (sudo), or name another with --store"
            ) from error
        raise FetchError(
            f"{entry.name} cannot be fetched now ({'; '.join(dict.fromkeys(faults))}). Give a folder with its files, "
            "or a mirror, with --from; no installed model was changed"
        )

    def clear(self, entry: Entry) -> None:
        """Delete the fetched files of an entry that is installed now."""
        shutil.rmtree(self._store / FOLDER / entry.name, ignore_errors=True)

    def discard(self, entry: Entry) -> None:
        """Delete the fetched files of an entry and their pins, because they were unusable."""
        pins = self._pins()
        if self._pinned:
            write_json(self._store / PINS, {path: pin for path, pin in pins.items() if path not in self._pinned})
        self.clear(entry)

    def _hosts(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return hosts if self._origin is None else (f"{self._origin.rstrip('/')}/",)

    def _from(self, entry: Entry, source: Source, host: str, folder: Path, convert: Convert) -> Fetched:
        # the small file first: without labels the large one is useless
        label_hosts, label_path = (source.hosts, source.synset) if source.synset else entry.labels
        synset = self._get_labels(label_hosts, label_path, folder)
        weights = self._get(host, source.params, folder, source.checksum)
        if source.kind == CHECKPOINT:
            symbol, params = self._get(host, source.symbol, folder), weights
        else:
            self._tell(f"Converting {entry.name} from the format of {source.kind}.")
            symbol, params = folder / "converted-symbol.json", folder / "converted-0000.params"
            try:
                convert(source, weights, folder / "converted")
            except ModelError as error:
                if not source.checksum:
                    weights.unlink(missing_ok=True)
                raise UnavailableError(str(error)) from error
        top1, top5 = (source.top1, source.top5) if source.top1 is not None else (entry.top1, entry.top5)
        about = ModelInfo(top1, top5, f"{source.title or entry.title}, from {_shown(host)}")
        checkpoint = Checkpoint(entry.name, symbol, params, synset, source.input, about=about)
        return Fetched(checkpoint, f"{_shown(host)}{source.params}", source.licence)

    def _get_labels(self, hosts: tuple[str, ...], path: str, folder: Path) -> Path:
        if not hosts:
            return Path(shutil.copyfile(path, folder / "synset.txt"))
        faults = []
        for host in self._hosts(hosts):
            try:
                return self._get(host, path, folder)
            except UnavailableError as error:
                faults.append(f"{_shown(host)}: {error}")
        # an installed model with the same labels has the file too
        pin = self._pins().get(path)
        for other in sorted(self._store.glob("*/synset.txt")):
            if pin is not None and sha256(other) == pin["sha256"]:
                self._tell(f"Using the labels of {other.parent.name}, which are the same.")
                return Path(shutil.copyfile(other, folder / "synset.txt"))
        raise UnavailableError(f"the labels {path} are not available ({'; '.join(faults)})")

    def _check_room(self, entry: Entry) -> None:
        """Tell the size of the download. Raises FetchError if the disk has too little space."""
        # a zip and its content exist at the same time, and so do the finished checkpoint and its copy in the store
        need = 3 * entry.download_mib * _MIB
        free = self._room(self._store)
        if entry.download_mib:
            what = "download" if self._origin is None or "://" in self._origin else "copy"
            self._tell(
                f"{entry.name}: about {entry.download_mib:.0f} MiB to {what}. Meanwhile it takes {need / _MIB:.0f} "
                f"MiB of disk space ({free / _MIB:.0f} MiB are free)."
            )
        if need > free:
            raise FetchError(
                f"{self._store}: {entry.name} needs {need / _MIB:.0f} MiB of disk and {free / _MIB:.0f} MiB are free; "
                "remove a model (edge models remove) or name another folder with --store"
            )

    def _get(self, host: str, path: str, folder: Path, checksum: str = "") -> Path:
        """Return the verified file, or for a zip the parameters in it. `path` is relative to the host."""
        name = path.rsplit("/", 1)[-1]
        plain = folder / _unzipped(name)
        if plain.exists() and self._is_known(plain, path, checksum):
            return plain  # complete since an earlier try
        if host.startswith(("http://", "https://")):
            self._downloader.download(urllib.parse.urljoin(host, path), folder / name)
        else:
            self._copy(Path(host), path, folder)
        if plain.name != name and (folder / name).exists():
            _unzip(folder / name, plain)
        self._verify(plain, path, checksum)
        return plain

    def _copy(self, source: Path, path: str, folder: Path) -> None:
        """Copy a file from a folder that has the host's layout, or all files side by side, zipped or not."""
        name = path.rsplit("/", 1)[-1]
        candidates = [source / path, source / name, source / _unzipped(name)]
        if name.endswith(".safetensors"):  # these all have the same name, so two cannot lie side by side
            candidates.insert(1, source / f"{path.split('/', 1)[0]}.safetensors")
        for candidate in candidates:
            if candidate.is_file():
                (folder / name).unlink(missing_ok=True)
                shutil.copyfile(candidate, folder / (_unzipped(name) if candidate.suffix != ".zip" else name))
                return
        raise UnavailableError(f"there is no {name}")

    def _verify(self, file: Path, path: str, checksum: str) -> None:
        """Compare with the published checksum, or with the one pinned at the first download."""
        if checksum:
            if not _matches(file, checksum):
                file.unlink()
                kind = _ALGORITHMS[len(checksum)].upper().replace("SHA", "SHA-")
                raise UnavailableError(f"{file.name} is not the published file (its {kind} differs)")
            return
        pins, found = self._pins(), sha256(file)
        pinned = pins.get(path)
        if pinned is None:
            self._tell(f"{file.name} has no published checksum. Its SHA-256 is pinned now: {found[:12]}...")
            pins[path] = {"sha256": found}
            self._pinned.append(path)
            write_json(self._store / PINS, pins)
        elif pinned["sha256"] != found:
            file.unlink()
            raise UnavailableError(
                f"{file.name} differs from the file that was first fetched; if this is intended, delete its entry in "
                f"{self._store / PINS}"
            )

    def _is_known(self, file: Path, path: str, checksum: str) -> bool:
        pin = self._pins().get(path)
        return _matches(file, checksum) if checksum else pin is not None and sha256(file) == pin["sha256"]

    def _pins(self) -> dict[str, Any]:
        path = self._store / PINS
        try:
            pins = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ModelError(f"{path}: not JSON ({error}); delete it, and checksums are pinned again") from error
        if not isinstance(pins, dict):
            raise ModelError(f"{path}: not a table; delete it, and checksums are pinned again")
        return pins


def _matches(file: Path, checksum: str) -> bool:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, _ALGORITHMS[len(checksum)]).hexdigest() == checksum.lower()


def _unzipped(name: str) -> str:
    """Return a file's name after unzipping; the parameters in a zip are named after it."""
    if not name.endswith(".zip"):
        return name
    bare = name.removesuffix(".zip")
    return bare if bare.endswith(".params") else f"{bare}.params"


def _unzip(archive: Path, plain: Path) -> None:
    """Extract the file `plain` from a zip, which may contain others, and remove the zip."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(plain.name) as member:
            part = plain.with_name(f"{plain.name}.part")
            with part.open("wb") as file:
                shutil.copyfileobj(member, file, _CHUNK)
            part.replace(plain)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        archive.unlink()
        raise UnavailableError(f"{archive.name} is not a zip with {plain.name} in it") from error
    archive.unlink()


def _shown(host: str) -> str:
    """Return an address without user name and password."""
    parts = urllib.parse.urlsplit(host)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
