"""A picture becomes a network's input: one way for all engines, so that they can be compared."""

import numpy as np
from numpy.typing import NDArray

from edge.models.checkpoint import InputSpec
from edge.stages import Pixels


def to_input(pixels: Pixels, spec: InputSpec) -> NDArray[np.float32]:
    """Return float32 1 x 3 x size x size of a picture H x W x 3 (RGB, 0..255), as `spec` says."""
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
    # area averages what bilinear would leave out when it shrinks; enlarging, they are the same but for smoothness
    shrinks = scaled_height * scaled_width < height * width
    scaled = cv2.resize(
        pixels, (scaled_width, scaled_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    top, left = (scaled_height - spec.size) // 2, (scaled_width - spec.size) // 2
    square = scaled[top : top + spec.size, left : left + spec.size]
    if spec.channels == "bgr":
        square = square[:, :, ::-1]
    normalised = (square.astype(np.float32) - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[np.newaxis])
