"""calibration.json: a model's calibration, written by edge beside the model's files.

model.toml belongs to the user, and edge only reads it. Earlier releases wrote a [calibration] table there, which is
used as long as there is no calibration.json. That file records the table it replaces. If model.toml has a different
table, an earlier release has written it since (after a downgrade), and the table is used.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.host.atomic import to_disk, write_text

CALIBRATION = "calibration.json"
TEMPERATURES = (0.05, 20.0)
"""The useful range: at either end only the order of the labels is left."""
_AGAIN = "delete it and run edge models calibrate again"


@dataclass(frozen=True)
class OpenSet:
    """The open-set score (models/open_set.py), and how it did on pictures that it was not fitted to."""

    weights: tuple[float, ...]
    """One for each output of the model."""
    bias: float
    kept: float
    """Share of the pictures of labels that it takes for such, 0..1."""
    rejected: float
    """Share of the other pictures that it takes for others, 0..1."""
    others: int
    """Number of the other pictures."""


@dataclass(frozen=True)
class Calibration:
    """A model's calibration, and the data of its fit."""

    temperature: float
    """Divisor of the log-probabilities: below 1 raises the confidence, above 1 lowers it."""
    pictures: int
    """How many pictures it was fitted on."""
    ece: float
    """The remaining expected calibration error, 0..1, on pictures that the temperature was not fitted on."""
    nll: float
    """The mean negative log-likelihood on the same pictures."""
    fitted_to: str
    """The fingerprint of weights, structure and input (models/calibration.py); it is valid only for these."""
    open_set: OpenSet | None = None
    """Tells pictures that show none of the labels; None for a calibration by an earlier release."""


def calibration_of(folder: Path, in_toml: Calibration | None) -> Calibration | None:
    """Return the calibration of the model in a folder; None if it has none, or it was removed.

    `in_toml` is that of its model.toml. Raises ModelError if calibration.json cannot be read.
    """
    path = folder / CALIBRATION
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        calibration, replaced = (_entry(table[key], path) for key in ("calibration", "replaces"))
    except FileNotFoundError:
        return in_toml
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{path}: damaged ({error}); {_AGAIN}") from error
    return calibration if in_toml in (None, replaced) else in_toml


def write_calibration(folder: Path, calibration: Calibration | None, in_toml: Calibration | None, like: Path) -> Path:
    """Write calibration.json, or remove it for None; return its path.

    `in_toml` is the calibration in model.toml, which this replaces: to remove that one too, the file is kept, and
    records the removal. A new file gets mode and owner of the file `like`. Raises OSError.
    """
    path = folder / CALIBRATION
    if calibration is None and in_toml is None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            to_disk(folder)
        return path
    table = {
        "calibration": dataclasses.asdict(calibration) if calibration else None,
        "replaces": dataclasses.asdict(in_toml) if in_toml else None,
    }
    write_text(path, json.dumps(table, indent=1) + "\n", like=like)
    return path


def calibration_from(table: Mapping[str, Any], where: str) -> Calibration:
    """Return a table as a Calibration, with each value checked. Raises ModelError, which begins with `where`."""
    if missing := {field.name for field in dataclasses.fields(Calibration)} - {"open_set"} - set(table):
        raise ModelError(f"{where} has no {min(missing)}; {_AGAIN}")
    fitted = Calibration(**{**table, "open_set": open_set_from(table.get("open_set"), where)})
    low, high = TEMPERATURES
    if not (is_number(fitted.temperature) and low <= fitted.temperature <= high):
        raise ModelError(
            f"{where} temperature = {fitted.temperature!r} must be a number from {low} to {high}; {_AGAIN}"
        )
    figures = (fitted.pictures, fitted.ece, fitted.nll)
    if not all(is_number(figure) and figure >= 0 for figure in figures) or not isinstance(fitted.fitted_to, str):
        raise ModelError(f"{where} pictures, ece and nll must be numbers, fitted_to a text in quotes; {_AGAIN}")
    return fitted


def _entry(table: Mapping[str, Any] | None, path: Path) -> Calibration | None:
    """Return an entry of calibration.json; keys added by a later release are ignored."""
    known = {field.name for field in dataclasses.fields(Calibration)}
    if table is None:
        return None
    return calibration_from({key: table[key] for key in known & set(table)}, f"{path}:")


def open_set_from(table: object, where: str) -> OpenSet | None:
    """Return a table as an open-set score, with each value checked, or None if there is none.

    Raises ModelError, which begins with `where`.
    """
    if table is None:
        return None
    names = {field.name for field in dataclasses.fields(OpenSet)}
    if not isinstance(table, dict) or not names <= set(table):
        raise ModelError(f"{where} open_set must have {', '.join(sorted(names))}; {_AGAIN}")
    weights = table["weights"]
    numbers = [
        *(weights if isinstance(weights, list | tuple) else [None]),
        *(table[name] for name in names - {"weights"}),
    ]
    if not all(is_number(number) for number in numbers):
        raise ModelError(f"{where} the values of open_set must be numbers; {_AGAIN}")
    return OpenSet(**{**{name: table[name] for name in names}, "weights": tuple(weights)})


def is_number(value: Any) -> bool:
    """Return True for a finite int or float; nan and inf would make every probability nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
