"""`edge models calibrate`: calibrate a model's confidence on labelled images."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.cli.common import print_json, settings_of
from edge.cli.models.pictures import backend_for, camera_pictures, open_uncalibrated, readable
from edge.cli.progress import Progress, bar
from edge.cli.table import table
from edge.errors import EX_OK, ModelError
from edge.models.labelled import Labelled, read_labelled
from edge.stages import Pixels

if TYPE_CHECKING:
    from edge.models.calibrator.fit import Fitted
    from edge.models.checkpoint import Checkpoint
    from edge.models.temperature_scaling import Judgement
    from edge.settings import Settings


def calibrate(options: argparse.Namespace) -> int:
    """edge models calibrate: fit the temperature, show its effect, store it beside the model."""
    from edge.models.calibration import fitted_to, note_calibration
    from edge.models.calibrator.fit import fit_calibration
    from edge.models.checkpoint import find_checkpoint
    from edge.models.labels import read_labels

    checkpoint = find_checkpoint(options.name)
    if options.remove:
        return _remove(checkpoint, options.dry_run)
    for flag, value in (("--images DIR", options.images), ("--labels CSV", options.labels)):
        if value is None:
            raise ModelError(f"{flag} is missing; a model is calibrated with images and their labels: give both")
    labels = read_labels(checkpoint.synset)
    labelled = read_labelled(options.labels, options.images, labels)
    identity = fitted_to(checkpoint)
    settings = settings_of(options)
    with Progress() as progress:
        room: Sequence[Pixels] = ()
        if options.from_camera:
            short_side = checkpoint.input.scaled_short_side
            room = camera_pictures(settings.camera, options.frames, short_side, progress, moving=False)
        frames, accepted, others, left_out = _ask(checkpoint, labelled, room, settings, progress)
        progress.show(f"{checkpoint.name}: fitting")
        background = np.array([label.id in checkpoint.background for label in labels])
        fitted = fit_calibration(frames, accepted, others, background)
    path = None if options.dry_run else note_calibration(checkpoint, fitted.calibration(identity))
    if options.json:
        found: dict[str, Any] = {
            "model": checkpoint.name,
            **dataclasses.asdict(fitted.temperature),
            "open_set": {key: getattr(fitted.open_set, key) for key in ("kept", "rejected", "others")},
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


def report(name: str, fitted: "Fitted") -> str:
    """Return the reliability table before and after, and its summary, in 80 columns."""
    before, after, open_set = fitted.temperature.before, fitted.temperature.after, fitted.open_set
    lines = [
        f"{name}: {before.pictures} images, each in frames as a camera sees it, {before.accuracy:.1%} right",
        "",
    ]
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
        f"Temperature              {fitted.temperature.temperature:.3f}",
        f"Open-set score           takes {open_set.kept:.1%} of the images for known things, and",
        f"                         {open_set.rejected:.1%} of {open_set.others} other pictures for unknown ones",
        '"After" and the open-set score are cross-validated: they are judged on images',
        "that they were not fitted to. What is stored is fitted to all images.",
        *fitted.temperature.warnings,
    ]
    return "\n".join(lines)


def _bin_at(judgement: "Judgement", number: int) -> Any:
    return next((one for one in judgement.bins if round(one.low * 1000) == number), None)


def _ask(
    checkpoint: "Checkpoint",
    labelled: Sequence[Labelled],
    room: Sequence[Pixels],
    settings: "Settings",
    progress: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32], int]:
    """Return (frames, accepted, others) as `fit_calibration` takes them, and the number of images not used."""
    from edge.engines.preprocess import to_input, whole_square
    from edge.models.calibrator.answers import OTHERS, frames_of, others_of
    from edge.models.temperature_scaling import LEAST_PICTURES

    if len(labelled) < LEAST_PICTURES:
        # raised before the user waits for the model
        raise ModelError(
            f"{len(labelled)} images are too few: a calibration needs at least {LEAST_PICTURES}, better 1000 or more"
        )
    network = open_uncalibrated(checkpoint, backend_for(checkpoint, settings.model.engine, progress))
    try:
        if network.independent:
            raise ModelError(
                f"model {checkpoint.name}: each of its labels has an independent probability (sigmoids), but a "
                "temperature needs probabilities that sum to 1; nothing was changed"
            )

        spec = whole_square(network.input) if settings.model.view == "square" else network.input

        def answer(pixels: Pixels) -> NDArray[np.float32]:
            return network.probabilities(to_input(pixels, spec))

        frames, accepted = [], []
        for number, (one, pixels) in enumerate(readable(checkpoint.name, labelled, progress)):
            found = frames_of(pixels, answer, number)
            if found is None:
                progress.line(f"edge: {one.where}: {one.path.name} shows nothing (no contrast, or blurred); skipped")
                continue
            frames.append(found)
            accepted.append(np.isin(np.arange(found.shape[1]), one.accepted))
        others = []
        total = OTHERS + len(room)
        for number, other in enumerate(others_of(answer, room), start=1):
            progress.show(bar(checkpoint.name[:28], number, total, f"{number} of {total} pictures of other things"))
            if other is not None:
                others.append(other)
    finally:
        network.close()
    if len(frames) < LEAST_PICTURES:
        raise ModelError(
            f"{len(frames)} images show something, which is too few: a calibration needs at least {LEAST_PICTURES}"
        )
    return np.stack(frames), np.stack(accepted), np.stack(others), len(labelled) - len(frames)
