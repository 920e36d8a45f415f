"""Showing pictures to a model: what `edge models calibrate` and `check` have in common."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edge.cli.progress import Progress, bar
from edge.errors import CameraError, ModelError
from edge.models.labelled import Labelled
from edge.stages import Pixels

if TYPE_CHECKING:
    from edge.engines import Network
    from edge.engines.backend import Backend
    from edge.models.checkpoint import Checkpoint

_FEW, _FEW_SHARE = 3, 100
"""Three images, or one in a hundred, may be missing or unreadable."""


def backend_for(checkpoint: "Checkpoint", engine: str, progress: Progress) -> "Backend":
    """Return the backend that is right for a model; `engine` is a value of [model] engine. Raises ModelError."""
    from edge.engines import engine_for
    from edge.engines.agreement import driver_of
    from edge.engines.backend import Backend
    from edge.host.machine import Machine

    return driver_of(checkpoint, Backend(engine_for(engine, progress.line)), Machine().key, progress.line)


def open_uncalibrated(checkpoint: "Checkpoint", backend: "Backend") -> "Network":
    """Return the opened model; its calibration is ignored, even if void. Raises ModelError like `open_classifier`."""
    from edge.engines import open_classifier

    return open_classifier(dataclasses.replace(checkpoint, calibration=None), backend)


def readable(name: str, labelled: Sequence[Labelled], progress: Progress) -> Iterator[tuple[Labelled, Pixels]]:
    """Yield each picture with its pixels, and show the progress under `name`.

    A picture that is missing or unreadable is left out, with a line. Raises ModelError if more than a few are.
    """
    from edge.vision.images import read_image

    total = len(labelled)
    most_left_out = max(_FEW, total // _FEW_SHARE)
    left_out = 0
    for number, one in enumerate(labelled, start=1):
        progress.show(bar(name[:28], number, total, f"{number} of {total} images"))
        try:
            pixels = read_image(one.path)
        except CameraError as error:
            left_out += 1
            progress.line(f"edge: {f'{one.where}: ' if one.where else ''}{error}; skipped")
            if left_out > most_left_out:
                raise ModelError(
                    f"{left_out} images are missing or unreadable, which is too many; check that --images is the "
                    "right folder"
                ) from error
            continue
        yield one, pixels
