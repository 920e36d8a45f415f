"""Patterns that walls and drawings share. All are pure: the same generator gives the same pattern."""

import numpy as np
from numpy.typing import NDArray

from truth.camera import Pixels

Field = NDArray[np.float32]
"""H x W, or H x W x 3."""


def as_pixels(field: Field) -> Pixels:
    """Return a field of values as uint8 H x W x 3."""
    clipped = np.clip(field, 0, 255).astype(np.uint8)
    return clipped if clipped.ndim == 3 else np.repeat(clipped[:, :, None], 3, axis=2)


def clouds(rng: np.random.Generator, size: tuple[int, int], coarsest: int = 4, octaves: int = 5) -> Field:
    """Return H x W values with mean 0 and deviation 1: noise that is strong when coarse and weak when fine.

    `coarsest` is the number of blots across the picture.
    """
    import cv2

    height, width = size
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        cells = min(coarsest * 2**octave, width)
        small = rng.standard_normal((max(2, cells * height // width), max(2, cells)), dtype=np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) / np.float32(2**octave)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


def uneven_light(rng: np.random.Generator, size: tuple[int, int], strength: float) -> Field:
    """Return H x W factors about 1: light from one side, and darker corners as of a lens."""
    height, width = size
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * across + np.sin(angle) * down
    return np.asarray(1 + strength * (side / 2 - (across**2 + down**2) * rng.uniform(0.1, 0.4)), np.float32)


def colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Field:
    """Return a random colour, 3 values of 0..255, with its saturation (0..1) and value (0..255) in these ranges."""
    import colorsys

    rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value) / 255)
    return np.array(rgb, np.float32) * 255


def ink(
    rng: np.random.Generator, saturation: tuple[float, float] = (0.4, 1), value: tuple[float, float] = (60, 255)
) -> tuple[int, int, int]:
    """Return such a colour as OpenCV's drawing functions take it."""
    red, green, blue = colour(rng, saturation, value)
    return int(red), int(green), int(blue)
