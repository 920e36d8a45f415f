"""Preprocessing of a picture into a model's input, the same for all engines so that they can be compared."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from edge.models.checkpoint import GREY, InputSpec
from edge.stages import Pixels

BILINEAR_TO = 1.5
"""Above this reduction pictures are averaged (INTER_AREA): bilinear would skip pixels. Up to it bilinear uses each
pixel, takes a fifth of the time, and is what most models are trained with."""


def to_input(pixels: Pixels, spec: InputSpec) -> NDArray[np.float32]:
    """Return float32 1 x 3 x size x size of a picture H x W x 3 (RGB, 0..255), as `spec` says; 1 x 1 x ... for grey."""
    import cv2

    result = np.empty((1, spec.planes, spec.size, spec.size), np.float32)
    square = _square(pixels, spec)
    # split as bytes, then convert each plane to float in a tight loop; converting first takes ten times as long
    planes = [cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)] if spec.channels == GREY else cv2.split(square)
    for place, plane in zip(result[0], reversed(planes) if spec.channels == "bgr" else planes, strict=True):
        np.copyto(place, plane)
    # for onnx and openvino the first layer does most of this; for grey all three values are equal
    for place, mean, std in zip(result[0], spec.mean, spec.std, strict=False):
        if mean:
            np.subtract(place, np.float32(mean), out=place)
        if std != 1:
            np.divide(place, np.float32(std), out=place)
    return result


def whole_square(spec: InputSpec) -> InputSpec:
    """Return preprocessing for the largest square in the middle of a camera's frame; what squashes takes all of it.

    Models are evaluated on less, the middle 224 of 256 pixels, because a photo of ImageNet has its object there. In
    front of a camera it often is not: the top label of 150 photos that fill a frame of 4:3 is right for 85 % instead of
    78 (EfficientNet-Lite0), and 63 instead of 52 (MobileNet v2).
    """
    return spec if spec.resize == "squash" else dataclasses.replace(spec, short_side=spec.size)


def _square(pixels: Pixels, spec: InputSpec) -> Pixels:
    """Scale the picture and crop it to the input's size."""
    import cv2

    height, width = pixels.shape[:2]
    if spec.resize == "squash":
        scaled_height = scaled_width = spec.size
    else:
        # only the centre of a panorama remains: scaling the rest would waste memory
        if max(height, width) > (longest := 4 * min(height, width)):
            top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
            pixels = pixels[top : top + longest, left : left + longest]
            height, width = pixels.shape[:2]
        scale = spec.scaled_short_side / min(height, width)
        # at least size: rounding must not leave one row too few for the crop
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
    # by OpenCV's type hints the result might not be of bytes
    return scaled[top : top + spec.size, left : left + spec.size]  # type: ignore[return-value]


def _needed(side: int, scaled: int, start: int, size: int) -> tuple[slice, int, int]:
    """Return which of `side` pixels are needed for `size` pixels from `start` on, when `side` is scaled to `scaled`.

    The result is (slice of needed pixels, their scaled length, the new start). Both ends lie between two pixels before
    and after scaling, so each pixel is made from the same ones as if all were scaled. Scaling is nearly the whole cost
    of preprocessing; this saves a quarter to a half of it where the sides share a divisor.
    """
    common = math.gcd(side, scaled)
    step, scaled_step = side // common, scaled // common
    first, last = start // scaled_step, -(-(start + size) // scaled_step)
    return slice(first * step, last * step), (last - first) * scaled_step, start - first * scaled_step
