"""Draw altered copies of a view that a thing is learnt from: as it may look in other places and in other light.

A thing is shown in one place and is to be recognised in others. So it is cut out and put before backgrounds that edge
draws itself (Dwibedi, Misra and Hebert, "Cut, Paste and Learn", 2017). docs/decisions/0038 says what that brings.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels
from edge.vision.images import fitted

Rng = np.random.Generator
Mask = NDArray[np.bool_]

SIDE = 400
"""Longer side of a copy: enough for networks that take 299 pixels."""
_CROPS = (0.65, 0.95)
"""Sides of a nearer view, as a share of the picture's."""
_BRIGHTNESS, _TINT = 0.25, 0.06
"""Standard deviations of the logarithms of a copy's brightness, and of each colour's."""
_SIZES = (0.48, 0.92)
"""Size of a thing that is put elsewhere, as a share of the picture's height."""
_LARGEST = 2.2
"""It is enlarged by this factor at most."""
_TURN, _SHIFT = 10.0, 0.05
"""Standard deviations of its turn, in degrees, and of its distance from the middle, as a share of the picture."""
_CELLS = 160
"""Width of the small pictures that are compared with those of the empty place."""
_DIFFERENT = 24.0
"""Least sum of the differences of the three colours, 0..255, at which the place has changed."""
_AREAS = (0.03, 0.8)
"""What covers less or more of the picture has not been cut out well."""
_FRAME = 0.07
"""Share of the picture at its borders that shows the place rather than the thing."""
_MIDDLE = 0.8
"""Half the side of a thing that cannot be cut out, if half the picture's height is 1: it is expected in the middle."""


def nearer(rng: Rng, picture: Pixels) -> Pixels:
    """Return a part of the picture in other light, mirrored or not."""
    picture = fitted(picture, SIDE)
    height, width = picture.shape[:2]
    share = rng.uniform(*_CROPS)
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top = int((height - rows) * rng.uniform(0.2, 0.8))
    left = int((width - columns) * rng.uniform(0.2, 0.8))
    crop = _lit(rng, picture[top : top + rows, left : left + columns])
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def elsewhere(rng: Rng, picture: Pixels, mask: Mask | None) -> Pixels:
    """Return the thing of the picture before another background: of another size, turned a little, in other light.

    `mask` says where the thing is (`cut_out`); without one it is taken to be in the middle.
    """
    import cv2

    # imported here too: most daemons are taught nothing
    from edge.models.calibrator.drawings import other_picture

    picture = fitted(picture, SIDE)
    height, width = picture.shape[:2]
    if mask is None:
        mask = _middle(picture)
    rows, columns = (np.nonzero(mask.any(axis=axis))[0] * height / len(mask) for axis in (1, 0))
    size = max(np.ptp(rows), np.ptp(columns), height / 20)
    scale = min(rng.uniform(*_SIZES) * height / size, _LARGEST)
    turn, mirror = np.radians(rng.normal(0, _TURN)), 1 if rng.random() < 0.5 else -1
    matrix = scale * np.array([[mirror * np.cos(turn), -np.sin(turn)], [mirror * np.sin(turn), np.cos(turn)]])
    middle = np.array([(columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2])
    to = np.array([width, height]) * (0.5 + rng.normal(0, _SHIFT, 2))
    move = np.column_stack([matrix, to - matrix @ middle])
    soft = cv2.GaussianBlur(cv2.resize(mask.astype(np.float32), (width, height)), (0, 0), SIDE / 200)
    alpha = cv2.warpAffine(soft, move, (width, height))[..., np.newaxis]
    thing = cv2.warpAffine(_lit(rng, picture), move, (width, height), borderMode=cv2.BORDER_REFLECT)
    behind = cv2.resize(_lit(rng, other_picture(rng)), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(alpha * thing + (1 - alpha) * behind, np.uint8)


def cut_out(picture: Pixels, empty: Sequence[Pixels]) -> Mask | None:
    """Return where the picture (H x W x 3) shows more than its empty place, as a mask of _CELLS columns.

    `empty` are pictures of the place, in any size. None if that is nearly nothing or nearly all: the camera was moved,
    or there is no picture of the place.
    """
    import cv2

    if not empty:
        return None
    seen = cv2.GaussianBlur(fitted(picture, _CELLS), (0, 0), 1.5).astype(np.float32)
    rows, columns = seen.shape[:2]
    frame = np.ones((rows, columns), bool)
    edge = max(1, round(_FRAME * columns))
    frame[edge:-edge, edge:-edge] = False
    least = np.full((rows, columns), np.inf, np.float32)
    for one in empty:
        place = cv2.resize(one, (columns, rows), interpolation=cv2.INTER_AREA)
        place = cv2.GaussianBlur(place, (0, 0), 1.5).astype(np.float32)
        # the camera adapts its exposure to the thing
        place = place * np.median(seen[frame] / np.maximum(place[frame], 8), axis=0).astype(np.float32)
        # a place that was shifted a little has not changed
        low, high = (change(place, np.ones((5, 5), np.uint8)) for change in (cv2.erode, cv2.dilate))
        least = np.minimum(least, np.maximum(np.maximum(low - seen, seen - high), 0).sum(axis=2))
    changed = (least > _DIFFERENT).astype(np.uint8)
    for kind, side in ((cv2.MORPH_CLOSE, 9), (cv2.MORPH_OPEN, 5)):
        changed = np.asarray(
            cv2.morphologyEx(changed, kind, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8
        )
    outlines, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [np.asarray(max(outlines, key=cv2.contourArea), np.int32)], (1,))
    return mask.astype(bool) if _AREAS[0] < mask.mean() < _AREAS[1] else None


def beside(picture: Pixels) -> Pixels:
    """Return what a picture shows at its left and right, repeated: it stands for the empty place."""
    picture = fitted(picture, SIDE)
    part = max(1, picture.shape[1] // 6)
    left, right = picture[:, :part], picture[:, -part:]
    return np.ascontiguousarray(np.hstack([left, left[:, ::-1], left, right, right[:, ::-1], right]))


def place_copy(picture: Pixels) -> Pixels:
    """Return a picture of an empty place in the size that `elsewhere` needs."""
    return fitted(picture, _CELLS)


def _middle(picture: Pixels) -> Mask:
    """Return a mask of a rounded square in the middle."""
    height, width = fitted(picture, _CELLS).shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -width / height : width / height : width * 1j]
    mask = np.asarray((np.abs(rows) / _MIDDLE) ** 2.5 + (np.abs(columns) / _MIDDLE) ** 2.5 <= 1, bool)
    # a picture of a few pixels has no middle
    return mask if mask.any() else ~mask


def _lit(rng: Rng, picture: Pixels) -> Pixels:
    """Return the picture in other light."""
    light = np.exp(rng.normal(0, _BRIGHTNESS) + rng.normal(0, _TINT, 3)).astype(np.float32)
    return np.asarray(np.clip(picture * light, 0, 255), np.uint8)
