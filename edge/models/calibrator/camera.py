"""Show a picture as a camera in a hand would: moving a little, not quite sharp, lighter or darker, with noise.

A model's confidence is lower on such frames than on the clean picture: a temperature fitted to clean pictures makes it
too sure.
"""

import functools
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels

WIDTH, HEIGHT = 640, 480
_MOTION = 4.0
"""How far the view moves from frame to frame: the standard deviation in pixels."""
_RETURN = 0.9
"""Share of the displacement that remains in the next frame, so that the view stays near the middle."""
_NEARER = 1.2
"""The view is enlarged by a factor from 1.05 to this."""
_BLUR = 1.3
"""Largest standard deviation, in pixels, of the blur."""
_EXPOSURE = 0.15
"""Standard deviation of the logarithm of the brightness."""
_TINT = 0.04
"""The same of each colour, for the white balance."""
_NOISE = (2.0, 8.0)
"""Standard deviation of the sensor's noise, of 255: in good light, and in a dim room."""
_BESIDE = 128
"""Brightness beside the picture."""
_FIELDS, _SPARE = 4, 64
"""Each frame's noise is cut out of one of a few larger fields, at a random place: drawing it takes ten times as
long as everything else."""


def camera_frames(picture: Pixels, count: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """Yield `count` successive frames (uint8 HEIGHT x WIDTH x 3) of a camera that looks at the picture."""
    height, width = picture.shape[:2]
    # a landscape fills the frame, a portrait its height
    fill = max(WIDTH / width, HEIGHT / height) if width >= height else HEIGHT / height
    scale = fill * rng.uniform(1.05, _NEARER)
    blur = rng.uniform(0, _BLUR)
    light = np.exp(rng.normal(0, _EXPOSURE) + rng.normal(0, _TINT, 3)).astype(np.float32)
    noise = rng.uniform(*_NOISE)
    at = np.zeros(2)
    for _ in range(count):
        at = _RETURN * at + rng.normal(0, _MOTION, 2)
        move = np.array(
            [[scale, 0, (WIDTH - scale * width) / 2 + at[0]], [0, scale, (HEIGHT - scale * height) / 2 + at[1]]]
        )
        frame = cv2.warpAffine(picture, move, (WIDTH, HEIGHT), borderValue=(_BESIDE, _BESIDE, _BESIDE))
        seen = np.asarray(cv2.GaussianBlur(frame, (0, 0), blur) if blur > 0.3 else frame, np.float32) * light
        top, left = rng.integers(0, _SPARE, 2)
        field = _noise_fields()[int(rng.integers(_FIELDS))]
        seen += field[top : top + HEIGHT, left : left + WIDTH] * np.float32(noise)
        yield np.clip(seen, 0, 255).astype(np.uint8)


@functools.cache
def _noise_fields() -> NDArray[np.float32]:
    shape = (_FIELDS, HEIGHT + _SPARE, WIDTH + _SPARE, 3)
    return np.random.default_rng(0).standard_normal(shape, np.float32)
