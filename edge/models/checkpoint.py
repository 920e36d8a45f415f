"""A checkpoint on disk: its files, and the preprocessing of its input (model.toml beside it)."""

import contextlib
import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.models.calibration_file import Calibration, calibration_from, calibration_of, is_number
from edge.models.foreign import foreign

DEMO = "demo"
_SYMBOL = "-symbol.json"
_MODEL_TOML = "model.toml"
GREY = "grey"
_CROP_SHARE = 0.875  # of the short side, as ImageNet models are evaluated: 224 of 256
_INPUT_KEYS = ("size", "channels", "mean", "std", "resize", "short_side")


@dataclass(frozen=True)
class InputSpec:
    """Preprocessing of a picture into a model's input."""

    size: int
    """Pixels: the input is size x size."""
    channels: str = "rgb"
    """rgb, bgr, or grey for a model that takes one channel"""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from the values 0..255, one for each channel in the order of `channels`."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divisor of the difference."""
    resize: str = "crop"
    """crop: scale the short side to `short_side` and take the centre; squash: scale to size x size, proportions lost"""
    short_side: int = 0
    """Pixels, for crop only; 0 means round(size / 0.875), the share of 224 in 256."""

    @property
    def scaled_short_side(self) -> int:
        """Pixels of the short side before the centre crop."""
        return self.short_side or round(self.size / _CROP_SHARE)

    @property
    def planes(self) -> int:
        """How many channels the input has."""
        return 1 if self.channels == GREY else 3


@dataclass(frozen=True)
class ModelInfo:
    """Information on a model beyond its files; [about] of model.toml."""

    top1: float | None = None
    """Top-1 accuracy on ImageNet's validation set (or the user's own pictures), 0..1, as stated by its author."""
    top5: float | None = None
    """Top-5 accuracy, likewise."""
    source: str = ""
    """The source of the figures or of the weights."""
    random_weights: bool = False
    """True for the right structure with untrained weights: good for memory and speed tests, useless for labels."""


@dataclass(frozen=True)
class Checkpoint:
    """A model as MXNet saves it, with the information that is not in these files."""

    name: str
    symbol: Path
    params: Path
    synset: Path
    input: InputSpec
    background: frozenset[str] = frozenset()
    """Ids of labels that mean 'nothing worth a word'."""
    about: ModelInfo = ModelInfo()
    calibration: Calibration | None = None
    """As stored beside the files, valid for these weights or not (models/calibration.py: in_force)."""

    @property
    def prefix(self) -> str:
        """The prefix for mx.model.load_checkpoint: the path without -symbol.json."""
        return str(self.symbol).removesuffix("-symbol.json")

    @property
    def epoch(self) -> int:
        """The number in the params file's name."""
        return int(self.params.stem[-4:])


def to_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the checkpoint as values for JSON, for a child process."""
    return {
        **dataclasses.asdict(checkpoint),
        **{name: str(getattr(checkpoint, name).absolute()) for name in ("symbol", "params", "synset")},
        "background": sorted(checkpoint.background),
    }


def from_json(values: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint for values that `to_json` made."""
    spec = values["input"]
    return Checkpoint(
        name=values["name"],
        symbol=Path(values["symbol"]),
        params=Path(values["params"]),
        synset=Path(values["synset"]),
        input=InputSpec(**{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])}),
        background=frozenset(values["background"]),
        about=ModelInfo(**values["about"]),
        calibration=calibration_from(values["calibration"], "calibration:") if values["calibration"] else None,
    )


def store_folders() -> list[Path]:
    """Return the folders in which models lie by name: the user's first, then the service's."""
    home = os.environ.get("HOME", "/")
    data = os.environ.get("XDG_DATA_HOME") or f"{home}/.local/share"
    return [Path(data) / "edge" / "models", Path("/var/lib/edge/models")]


def find_checkpoint(name: str, overrides: Mapping[str, Any] | None = None, synset: Path | None = None) -> Checkpoint:
    """Return the checkpoint called `name`: the demo, one in the store, a folder with one in it, or a prefix.

    `DIR/NAME` means DIR/NAME-symbol.json with DIR/NAME-0000.params, `DIR/NAME-0126.params` another epoch, and
    `DIR/NAME-symbol.json` the only epoch in the folder. `overrides` holds fields of InputSpec that replace the file's.
    Raises ModelError if a file is missing or invalid.
    """
    try:
        return _find(name, overrides or {}, synset)
    except (OSError, ValueError) as error:
        # a name that is too long for the file system, or contains a NUL
        raise ModelError(f"model {name[:80]!r}: {error}; give a name in the store, or DIR/NAME") from error


def _find(name: str, overrides: Mapping[str, Any], synset: Path | None) -> Checkpoint:
    if name in ("auto", DEMO):
        prefix = Path(str(resources.files("edge") / "data" / "demo")) / DEMO
    else:
        stored = {path.name: path for path in reversed(list(_stored()))}  # earlier stores take precedence
        prefix = _prefix_in(stored.get(name, Path(name))) or Path(name.removesuffix(_SYMBOL))
    match = re.fullmatch(r"(.+)-(\d{4})\.params", prefix.name)
    # a name of the structure alone means the parameters in the folder
    epoch = _only_epoch(prefix) if name.endswith(_SYMBOL) else "0000"
    stem, epoch = (match[1], match[2]) if match else (prefix.name, epoch)
    symbol = prefix.parent / f"{stem}{_SYMBOL}"
    params = prefix.parent / f"{stem}-{epoch}.params"
    if not symbol.exists() and not params.exists():
        known = sorted({DEMO, *(path.name for path in _stored())})
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ModelError(f"model {name}: there is no {symbol}, and no model has that name ({hint})")
    for path, what in ((symbol, "its graph"), (params, "its weights")):
        if not path.is_file():
            # a wrong kind of file is reported first: a correct download may bring both files
            for other in (symbol, params):
                if other.is_file() and other.stat().st_size and (instead := foreign(other)):
                    raise ModelError(f"model {name}: {other}: {instead}")
            raise ModelError(
                f"model {name}: {path} ({what}) is missing; a checkpoint needs both files{_other_epochs(path, stem)}"
            )
    table = _read_model_toml(prefix.parent / _MODEL_TOML)
    given = {**table.get("input", {}), **overrides}
    if "size" not in given:
        raise ModelError(
            f"model {name}: no input size: put a model.toml beside {symbol.name}, or give --size and the other input "
            "flags"
        )
    return Checkpoint(
        name=stem,
        symbol=symbol,
        params=params,
        synset=synset or prefix.parent / "synset.txt",
        input=input_spec(given, where=f"model {name}"),
        background=frozenset(table.get("output", {}).get("background", [])),
        about=_about(table.get("about", {}), prefix.parent / _MODEL_TOML),
        calibration=calibration_of(prefix.parent, _calibration(table, prefix.parent / _MODEL_TOML)),
    )


def _other_epochs(path: Path, stem: str) -> str:
    """Return a hint at other params files in the folder; empty if there are none."""
    if path.suffix != ".params":
        return ""
    there = sorted(one.name for one in path.parent.glob("*.params") if one.name.startswith(stem))
    return f"; there are {', '.join(there[:3])}: give one of them" if there else ""


def _prefix_in(folder: Path) -> Path | None:
    """Return the prefix of the only checkpoint in a folder; None if there is none, or several."""
    weights = list(folder.glob("*-[0-9][0-9][0-9][0-9].params")) if folder.is_dir() else []
    if len(weights) > 1:
        # of several, only those whose structure exists too
        weights = [path for path in weights if path.with_name(f"{path.stem[:-5]}{_SYMBOL}").is_file()]
    return weights[0] if len(weights) == 1 else None


def _only_epoch(prefix: Path) -> str:
    """Return the epoch of the prefix's only params file; 0000 if there are several, or none."""
    there = [path.name for path in prefix.parent.glob("*.params") if path.name.startswith(f"{prefix.name}-")]
    epochs = [match[1] for name in there if (match := re.fullmatch(r"-(\d{4})\.params", name[len(prefix.name) :]))]
    return epochs[0] if len(epochs) == 1 else "0000"


def _stored() -> Iterator[Path]:
    for store in store_folders():
        # other users cannot read the service's store
        with contextlib.suppress(OSError):
            yield from sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_model_toml(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as TOML: {error}") from error
    known = {
        "input": _INPUT_KEYS,
        "output": ("background",),
        "about": tuple(field.name for field in dataclasses.fields(ModelInfo)),
        "calibration": tuple(field.name for field in dataclasses.fields(Calibration)),
    }
    for name, keys in table.items():
        if name not in known or not isinstance(keys, dict):
            raise ModelError(f"{path}: {name} is not one of the tables [input], [output], [about], [calibration]")
        for key in keys:
            if key not in known[name]:
                raise ModelError(f"{path}: unknown key {key} in [{name}]; known: {', '.join(known[name])}")
    background = table.get("output", {}).get("background", [])
    if not isinstance(background, list) or not all(isinstance(identity, str) for identity in background):
        raise ModelError(f"{path}: [output] background = {background!r} must be a list of ids in quotes")
    return table


def calibration_in_toml(folder: Path) -> Calibration | None:
    """Return the calibration that an earlier release wrote into model.toml, None if absent. Raises ModelError."""
    path = folder / _MODEL_TOML
    return _calibration(_read_model_toml(path), path)


def _calibration(table: Mapping[str, Any], path: Path) -> Calibration | None:
    fitted = table.get("calibration")
    return None if fitted is None else calibration_from(fitted, f"{path}: [calibration]")


def _about(table: Mapping[str, Any], path: Path) -> ModelInfo:
    for key in ("top1", "top5"):
        share = table.get(key)
        # written so that nan is refused too
        if share is not None and not (is_number(share) and 0 <= share <= 1):
            raise ModelError(f"{path}: [about] {key} = {share!r} must be a number from 0 to 1, such as 0.7755")
    about = ModelInfo(**table)
    if not isinstance(about.source, str) or not isinstance(about.random_weights, bool):
        raise ModelError(f"{path}: [about] source must be a text in quotes, random_weights true or false")
    return about


def input_spec(given: Mapping[str, Any], where: str) -> InputSpec:
    """Return the InputSpec for values from a file and from flags, each checked. Raises ModelError.

    mean and std may be one number for all channels.
    """
    values = dict(given)
    for key in ("mean", "std"):
        if key in values:
            values[key] = _three_numbers(values[key], f"{where}: {key}")
    spec = dataclasses.replace(InputSpec(size=0), **values)
    for key in ("size", "short_side"):
        number = getattr(spec, key)
        if type(number) is not int or not 0 <= number <= 4096:
            raise ModelError(f"{where}: {key} = {number!r} must be a whole number of pixels up to 4096")
    if spec.size < 1:
        raise ModelError(f"{where}: size = {spec.size} must be at least 1")
    if spec.channels not in ("rgb", "bgr", GREY):
        raise ModelError(f"{where}: channels = {spec.channels!r} must be rgb, bgr or {GREY}")
    if spec.resize not in ("crop", "squash"):
        raise ModelError(f"{where}: resize = {spec.resize!r} must be crop or squash")
    if spec.scaled_short_side < spec.size:
        raise ModelError(f"{where}: short_side = {spec.short_side} is less than size = {spec.size}")
    if 0 in spec.std:
        raise ModelError(f"{where}: std = {spec.std} has a 0, and is divided by")
    return spec


def _three_numbers(value: Any, where: str) -> tuple[float, float, float]:
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(is_number(number) for number in numbers):
        raise ModelError(f"{where} = {value!r} must be one number, or three (one for each channel)")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]))
