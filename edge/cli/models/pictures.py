"""Show pictures to a model: for `edge models calibrate`, `check` and `quantize`."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edge.cli.progress import Progress, bar
from edge.errors import CameraError, ModelError
from edge.models.labelled import Labelled
from edge.settings import CameraSettings
from edge.stages import EndOfFrames, Pixels

if TYPE_CHECKING:
    from edge.engines import Network
    from edge.engines.backend import Backend
    from edge.models.checkpoint import Checkpoint

_FEW, _FEW_SHARE = 3, 100
"""Three images, or one in a hundred, may be missing or unreadable."""
EVERY_S = 1.0
"""Least time between two frames of a live camera."""
_PATIENCE = 20
"""Longest wait for motion, as a multiple of the shortest time that the frames can take."""


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


def camera_pictures(
    settings: CameraSettings, count: int, short_side: int, progress: Progress, *, moving: bool = True
) -> list[Pixels]:
    """Return frames of the camera, fewer if it ends early; if `moving`, each is unlike the one before."""
    from edge.cameras import open_lasting
    from edge.vision.motion import MotionDetector
    from edge.vision.thumbnail import make_thumbnail

    what = "frames (show it what it will see)" if moving else "frames (turn it slowly through the room)"
    # without a longest time only motion counts; with 0 each frame does
    motion = MotionDetector(math.inf if moving else 0.0)
    found: list[Pixels] = []
    camera = open_lasting(settings, lost=lambda why: progress.line(f"edge: {why}"))
    taken_s = -math.inf
    until_s = time.monotonic() + _PATIENCE * count * EVERY_S
    try:
        while len(found) < count and time.monotonic() < until_s:
            done = len(found)
            progress.show(bar(camera.description[:24], done, count, f"{what} {done} of {count}"))
            frame = camera.read(0.5)
            if frame is None or (camera.live and frame.captured_s - taken_s < EVERY_S):
                continue
            if motion.worth_a_look(make_thumbnail(frame.pixels), frame.captured_s):
                taken_s = frame.captured_s
                # the model's input is smaller anyway, and many frames must fit into memory
                step = max(1, min(frame.pixels.shape[:2]) // (2 * short_side))
                found.append(frame.pixels[::step, ::step].copy())
    except EndOfFrames:
        pass
    finally:
        camera.close()
    return found
