"""Ask a model about pictures as a camera sees them: those that show its labels, and others."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.models.calibrator.camera import HEIGHT, camera_frames
from edge.models.calibrator.drawings import other_pictures
from edge.models.confidence import log_of
from edge.stages import Pixels
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import shows_something

FRAMES = 4
"""Frames for each picture: about as many as the announcer's average spans when it decides."""
OTHERS = 450
"""Number of drawings, 30 of each kind."""
Model = Callable[[Pixels], NDArray[np.float32]]
"""Returns the uncalibrated probabilities (C) of a frame."""


def frames_of(picture: Pixels, model: Model, number: int) -> NDArray[np.float32] | None:
    """Return the model's log-probabilities (FRAMES x C) of successive frames; None if they show nothing.

    A frame without contrast or sharpness is not classified in use either. `number` sets motion, light and noise.
    """
    frames = list(camera_frames(picture, FRAMES, np.random.default_rng((1, number))))
    # a small picture is not sharp once it is enlarged to a frame
    if not shows_something(make_thumbnail(frames[-1] if picture.shape[0] > HEIGHT else picture)):
        return None
    return np.stack([_logs(model, frame) for frame in frames])


def others_of(model: Model, room: Sequence[Pixels] = ()) -> Iterator[NDArray[np.float32] | None]:
    """Yield the log-probabilities (C) of drawings and of the pictures of a room; None for one that shows nothing."""
    for number, picture in enumerate(itertools.chain(room, other_pictures(OTHERS))):
        frame = picture if number < len(room) else next(camera_frames(picture, 1, np.random.default_rng((2, number))))
        yield _logs(model, frame) if shows_something(make_thumbnail(frame)) else None


def _logs(model: Model, frame: Pixels) -> NDArray[np.float32]:
    return np.asarray(log_of(model(frame)), np.float32)
