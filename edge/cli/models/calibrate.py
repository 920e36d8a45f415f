"""`edge models calibrate`: calibrate a model's confidence on labelled images."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.cli.common import print_json, settings_of
from edge.cli.models.pictures import backend_for, open_uncalibrated, readable
from edge.cli.progress import Progress
from edge.cli.table import table
from edge.errors import EX_OK, ModelError
from edge.models.labelled import Labelled, read_labelled

if TYPE_CHECKING:
    from edge.models.checkpoint import Checkpoint
    from edge.models.temperature_scaling import Fit, Judgement


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
        print_json(found)
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


def _ask(
    checkpoint: "Checkpoint", labelled: Sequence[Labelled], engine: str, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Return (uncalibrated log-probabilities, accepted outputs, number of images that could not be used)."""
    from edge.engines.preprocess import to_input
    from edge.models.temperature_scaling import LEAST_PICTURES, log_of

    if len(labelled) < LEAST_PICTURES:
        # raised before the user waits for the model
        raise ModelError(
            f"{len(labelled)} images are too few: a calibration needs at least {LEAST_PICTURES}, better 1000 or more"
        )
    network = open_uncalibrated(checkpoint, backend_for(checkpoint, engine, progress))
    try:
        if network.independent:
            raise ModelError(
                f"model {checkpoint.name}: each of its labels has an independent probability (sigmoids), but a "
                "temperature needs probabilities that sum to 1; nothing was changed"
            )
        outputs, accepted = [], []
        for one, pixels in readable(checkpoint.name, labelled, progress):
            outputs.append(log_of(network.probabilities(to_input(pixels, network.input))).astype(np.float32))
            accepted.append(np.isin(np.arange(len(outputs[-1])), one.accepted))
    finally:
        network.close()
    return np.stack(outputs), np.stack(accepted), len(labelled) - len(outputs)
