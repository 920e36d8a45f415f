"""A picture becomes a network's input: one way for all engines, so that they can be compared."""

import math

import numpy as np
from numpy.typing import NDArray

from edge.models.checkpoint import GREY, InputSpec
from edge.stages import Pixels

BILINEAR_TO = 1.5
"""A picture that is made smaller by more than this is averaged (INTER_AREA): bilinear would leave pixels out. Up to it
each pixel still counts, and bilinear, which networks are mostly trained with, takes a fifth of the time."""


def to_input(pixels: Pixels, spec: InputSpec) -> NDArray[np.float32]:
    """Return float32 1 x 3 x size x size of a picture H x W x 3 (RGB, 0..255), as `spec` says; 1 x 1 x ... for grey."""
    import cv2

    result = np.empty((1, spec.planes, spec.size, spec.size), np.float32)
    square = _square(pixels, spec)
    # split in bytes and then widened plane by plane, each a tight loop; widened first it takes ten times as long
    planes = [cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)] if spec.channels == GREY else cv2.split(square)
    for place, plane in zip(result[0], reversed(planes) if spec.channels == "bgr" else planes, strict=True):
        np.copyto(place, plane)
    # for onnx and openvino the first layer does most of this; for grey all three numbers are the same
    for place, mean, std in zip(result[0], spec.mean, spec.std, strict=False):
        if mean:
            np.subtract(place, np.float32(mean), out=place)
        if std != 1:
            np.divide(place, np.float32(std), out=place)
    return result


def _square(pixels: Pixels, spec: InputSpec) -> Pixels:
    """Scale, and cut out what the network sees."""
    import cv2

    height, width = pixels.shape[:2]
    if spec.resize == "squash":
        scaled_height = scaled_width = spec.size
    else:
        # of a panorama the centre is all that is left: the rest is not worth the memory of scaling it
        if max(height, width) > (longest := 4 * min(height, width)):
            top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
            pixels = pixels[top : top + longest, left : left + longest]
            height, width = pixels.shape[:2]
        scale = spec.scaled_short_side / min(height, width)
        # at least size: a rounding must not leave a row too few to cut from
        scaled_height, scaled_width = (max(spec.size, round(side * scale)) for side in (height, width))
    top, left = (scaled_height - spec.size) // 2, (scaled_width - spec.size) // 2
    averages = max(height / scaled_height, width / scaled_width) > BILINEAR_TO
    if averages and scaled_height < height and scaled_width < width:
        rows, scaled_height, top = _needed(height, scaled_height, top, spec.size)
        columns, scaled_width, left = _needed(width, scaled_width, left, spec.size)
        pixels = pixels[rows, columns]
    scaled = cv2.resize(
        pixels, (scaled_width, scaled_height), interpolation=cv2.INTER_AREA if averages else cv2.INTER_LINEAR
    )
    # by OpenCV's own types it might be other numbers than the bytes that it was given
    return scaled[top : top + spec.size, left : left + spec.size]  # type: ignore[return-value]


def _needed(side: int, scaled: int, start: int, size: int) -> tuple[slice, int, int]:
    """Of `side` pixels that are scaled to `scaled`, what the `size` from `start` on are made of.

    Return (what is needed, what that is to be scaled to, where the first of the `size` is then). Both ends fall between
    two pixels before and after, so that each pixel is made of the same ones as if all were scaled. Scaling is nearly
    all that preprocessing costs, so a quarter to a half of it is saved where the sides share a divisor.
    """
    common = math.gcd(side, scaled)
    step, scaled_step = side // common, scaled // common
    first, last = start // scaled_step, -(-(start + size) // scaled_step)
    return slice(first * step, last * step), (last - first) * scaled_step, start - first * scaled_step
