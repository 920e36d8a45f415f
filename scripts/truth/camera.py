"""What a camera makes of a flat picture: the motion of a hand, and the noise of a sensor."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""H x W x 3, uint8; RGB."""

WIDTH, HEIGHT = 640, 480
NOISE = 4.0
"""Standard deviation of a sensor's noise, of 255."""
MOTION = 0.02
"""How far the picture wanders, as a share of the frame's width."""
MARGIN = 1.06
"""The picture is this much larger than the frame, so that small motions do not show its border."""
_GREY = (128, 128, 128)
_SPARE, _FIELDS = 96, 6
"""The noise of a frame is cut from one of a few larger fields, at a random place: drawing it takes 15 ms a frame."""


def scale_of(picture: Pixels) -> float:
    """Return the scale at which the picture fills the height of the frame.

    A square photo is then in view as a whole: cut to the frame's shape, it might lose what its label names.
    """
    return float(MARGIN * HEIGHT / picture.shape[0])


def handheld(
    picture: Pixels, frames: int, rng: np.random.Generator, motion: float = MOTION, *, endless: bool = False
) -> Iterator[Pixels]:
    """Yield frames of the picture as a hand that is not quite still shows it.

    Beside the picture it is grey; an `endless` picture goes on instead, like a wall.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = scale_of(picture)
    at = np.zeros(2)
    for _ in range(frames):
        at = 0.9 * at + rng.normal(0, motion * WIDTH / 3, 2)
        matrix = np.array(
            [[scale, 0, WIDTH / 2 - scale * width / 2 + at[0]], [0, scale, HEIGHT / 2 - scale * height / 2 + at[1]]]
        )
        moved = cv2.warpAffine(
            picture,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT if endless else cv2.BORDER_CONSTANT,
            borderValue=_GREY,
        )
        yield np.asarray(moved, np.uint8)


def noisy(frame: Pixels, rng: np.random.Generator, deviation: float = NOISE) -> Pixels:
    """Return the frame with the noise of a sensor, of this standard deviation (of 255)."""
    top, left = rng.integers(0, _SPARE, 2)
    noise = _noise()[int(rng.integers(_FIELDS))][top : top + HEIGHT, left : left + WIDTH]
    return np.asarray(np.clip(frame + np.float32(deviation) * noise, 0, 255), np.uint8)


@functools.cache
def _noise() -> NDArray[np.float32]:
    shape = (_FIELDS, HEIGHT + _SPARE, WIDTH + _SPARE, 3)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
