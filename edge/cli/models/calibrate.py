"""`edge models calibrate`: calibrate a model's confidence on labelled images."""

import argparse
import csv
import dataclasses
import difflib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.cli.common import settings_of
from edge.cli.progress import Progress, bar
from edge.cli.table import table
from edge.errors import EX_OK, CameraError, ModelError, one_line
from edge.models.labels import Label

if TYPE_CHECKING:
    from edge.models.checkpoint import Checkpoint
    from edge.models.temperature_scaling import Fit, Judgement

_HEADER = ("file", "filename", "image", "path", "picture")
_MOST_FAULTS = 20
"""Number of faults that are reported; a list of labels for another model has a fault in each line."""
_FEW, _FEW_SHARE = 3, 100
"""Three images, or one in a hundred, may be missing or unreadable."""


@dataclass(frozen=True)
class Labelled:
    """One line of the CSV."""

    path: Path
    accepted: tuple[int, ...]
    """The outputs of the model that are right."""
    where: str
    """Place of the line: FILE:LINE."""


def calibrate(options: argparse.Namespace) -> int:
    """edge models calibrate: fit the temperature, show its effect, store it beside the model."""
    from edge.models.calibration import fitted_to, note_calibration
    from edge.models.calibration_file import Calibration
    from edge.models.checkpoint import find_checkpoint
    from edge.models.labels import read_labels
    from edge.models.temperature_scaling import fit

    checkpoint = find_checkpoint(options.name)
    if options.remove:
        return _remove(checkpoint, options.dry_run)
    for flag, value in (("--images DIR", options.images), ("--labels CSV", options.labels)):
        if value is None:
            raise ModelError(f"{flag} is missing; a model is calibrated with images and their labels: give both")
    labelled = read_labelled(options.labels, options.images, read_labels(checkpoint.synset))
    identity = fitted_to(checkpoint)
    engine = settings_of(options).model.engine
    with Progress() as progress:
        logs, accepted, left_out = _ask(checkpoint, labelled, engine, progress)
        progress.show(f"{checkpoint.name}: fitting")
        fitted = fit(logs, accepted)
    after = fitted.after
    calibration = Calibration(
        round(fitted.temperature, 4), after.pictures, round(after.ece, 4), round(after.nll, 4), identity
    )
    path = None if options.dry_run else note_calibration(checkpoint, calibration)
    if options.json:
        found: dict[str, Any] = {
            "model": checkpoint.name,
            **dataclasses.asdict(fitted),
            "left_out": left_out,
            "written": str(path) if path else None,
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return EX_OK
    print(report(checkpoint.name, fitted))
    print(f"Written to {path}." if path else "Nothing was written (--dry-run).")
    return EX_OK


def _remove(checkpoint: "Checkpoint", dry_run: bool) -> int:
    from edge.models.calibration import note_calibration
    from edge.models.checkpoint import calibration_in_toml

    if checkpoint.calibration is None:
        raise ModelError(f"model {checkpoint.name} is not calibrated, so there is nothing to remove")
    if dry_run:
        print(f"The calibration of {checkpoint.name} would be removed (--dry-run).")
        return EX_OK
    note_calibration(checkpoint, None)
    print(f"The calibration of {checkpoint.name} was removed.")
    folder = checkpoint.symbol.parent
    if calibration_in_toml(folder):
        print(
            f"The [calibration] table in {folder / 'model.toml'} is from an earlier version of edge. It is ignored "
            "now. Delete it, or that version uses it again after a downgrade."
        )
    return EX_OK


def report(name: str, fitted: "Fit") -> str:
    """Return the reliability table before and after, and its summary, in 80 columns."""
    before, after = fitted.before, fitted.after
    lines = [f"{name}: {before.pictures} images, {before.accuracy:.1%} of them right", ""]
    rows = []
    numbers = sorted({round(one.low * 1000) for judgement in (before, after) for one in judgement.bins})
    for number in numbers:
        bins = [_bin_at(judgement, number) for judgement in (before, after)]
        known = next(one for one in bins if one)
        cells = [
            cell
            for one in bins
            for cell in ((f"{one.count}", f"{one.confidence:.1%}", f"{one.accuracy:.1%}") if one else "0--")
        ]
        rows.append([f"{known.low:.0%}-{known.high:.0%}", *cells[:3], "|", *cells[3:]])
    header = ["confidence", "before", "mean", "right", "|", "after", "mean", "right"]
    lines += [
        table(header, rows, numbers=(0, 1, 2, 3, 5, 6, 7)),
        "",
        f"Calibration error (ECE)  {before.ece:.3f} before, {after.ece:.3f} after; up to {after.ece_by_chance:.3f} "
        "by chance",
        f"Log-likelihood (NLL)     {before.nll:.3f} before, {after.nll:.3f} after",
        f"Temperature              {fitted.temperature:.3f}",
        '"After" is cross-validated: each half of the images is judged with the',
        "temperature of the other half. The temperature above is fitted to all images.",
        *fitted.warnings,
    ]
    return "\n".join(lines)


def _bin_at(judgement: "Judgement", number: int) -> Any:
    return next((one for one in judgement.bins if round(one.low * 1000) == number), None)


def read_labelled(path: Path, folder: Path, labels: Sequence[Label]) -> list[Labelled]:
    """Return the lines of a CSV: a file in `folder`, and its label as text or id, or several separated by |.

    Further columns and a header are ignored. Raises ModelError with a line for each fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; give a CSV with lines file,label") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not a text file in UTF-8; give a CSV with lines file,label") from error
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; give the folder of the images with --images")
    names = _Names(labels)
    found: dict[Path, Labelled] = {}
    faults: list[str] = []
    for line, cells in _rows(path, text):
        where = f"{path}:{line}"
        if len(cells) < 2 or not cells[0] or not cells[1]:
            faults.append(f"{where}: {','.join(cells)[:60]!r} is not file,label")
            continue
        accepted = set()
        for name in cells[1].split("|"):
            index, fault = names.find(name.strip())
            if index is None:
                faults.append(f"{where}: {fault}")
            else:
                accepted.add(index)
        picture = folder / cells[0]
        if picture in found:
            faults.append(f"{where}: {cells[0]} is already in {found[picture].where}")
            continue
        found[picture] = Labelled(picture, tuple(sorted(accepted)), where)
    if len(faults) > _MOST_FAULTS:
        faults[_MOST_FAULTS:] = [f"{path}: and {len(faults) - _MOST_FAULTS} more faults"]
    if faults:
        raise ModelError("\n".join(faults))
    return list(found.values())


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells), without empty lines and the header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (first and cells[0].casefold() in _HEADER):
                yield reader.line_num, cells
            first = first and not any(cells)
    except csv.Error as error:
        raise ModelError(f"{path}:{reader.line_num}: not CSV: {one_line(error)}") from error


class _Names:
    """The outputs of a model by the names of their labels."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._ids = {label.id: index for index, label in enumerate(labels)}
        self._first: dict[str, list[int]] = {}
        self._any: dict[str, list[int]] = {}
        for index, label in enumerate(labels):
            self._first.setdefault(label.name.casefold(), []).append(index)
            for synonym in dict.fromkeys(name.casefold() for name in label.synonyms):
                self._any.setdefault(synonym, []).append(index)
        self._labels = labels

    def find(self, name: str) -> tuple[int | None, str]:
        """Return (output, ''), or (None, fault of the name)."""
        if name in self._ids:
            return self._ids[name], ""
        for known in (self._first, self._any):
            indices = known.get(name.casefold(), [])
            if len(indices) == 1:
                return indices[0], ""
            if indices:
                ids = " or ".join(self._labels[index].id for index in indices)
                return None, f"{name!r} is the name of several labels; give the id: {ids}"
        near = difflib.get_close_matches(name.casefold(), self._any, n=1)
        near = near or difflib.get_close_matches(name, self._ids, n=1)
        hint = f"did you mean {near[0]}?" if near else "give a label or an id of its synset.txt"
        return None, f"the model has no label {name[:60]!r} ({hint})"


def _ask(
    checkpoint: "Checkpoint", labelled: Sequence[Labelled], engine: str, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Return (uncalibrated log-probabilities, accepted outputs, number of images that could not be used)."""
    from edge.engines import engine_for, open_classifier
    from edge.engines.agreement import driver_of
    from edge.engines.backend import Backend
    from edge.engines.preprocess import to_input
    from edge.host.machine import Machine
    from edge.models.temperature_scaling import LEAST_PICTURES, log_of
    from edge.vision.images import read_image

    if len(labelled) < LEAST_PICTURES:
        # raised before the user waits for the model
        raise ModelError(
            f"{len(labelled)} images are too few: a calibration needs at least {LEAST_PICTURES}, better 1000 or more"
        )
    total = len(labelled)
    most_left_out = max(_FEW, len(labelled) // _FEW_SHARE)
    left_out = 0
    # the current calibration does not matter, even if it is void
    driver = driver_of(checkpoint, Backend(engine_for(engine, progress.line)), Machine().key, progress.line)
    network = open_classifier(dataclasses.replace(checkpoint, calibration=None), driver)
    try:
        if network.independent:
            raise ModelError(
                f"model {checkpoint.name}: each of its labels has an independent probability (sigmoids), but a "
                "temperature needs probabilities that sum to 1; nothing was changed"
            )
        outputs, accepted = [], []
        for number, one in enumerate(labelled, start=1):
            progress.show(bar(checkpoint.name[:28], number, total, f"{number} of {total} images"))
            try:
                pixels = read_image(one.path)
            except CameraError as error:
                left_out += 1
                progress.line(f"edge: {one.where}: {error}; skipped")
                if left_out > most_left_out:
                    raise ModelError(
                        f"{left_out} images are missing or unreadable, which is too many; check that --images is the "
                        "right folder"
                    ) from error
                continue
            outputs.append(log_of(network.probabilities(to_input(pixels, network.input))).astype(np.float32))
            accepted.append(np.isin(np.arange(len(outputs[-1])), one.accepted))
    finally:
        network.close()
    return np.stack(outputs), np.stack(accepted), left_out
