"""Divide pictures into three separate parts, and make views of each picture.

A quantised network's ranges are measured on views of the first part, its layers are chosen on the second, and it is
judged on the third. Views of one picture are alike, so the pictures are divided and not the views.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import ModelError
from edge.stages import Pixels

Picture = Callable[[], Pixels]
"""Returns the picture, read again at each call: a folder of them need not fit into memory."""

LEAST_PICTURES = 12
"""With fewer, about three would remain to judge with, and each would be a third of the evidence."""
LEAST_VIEWS = 200
"""Least views of a judgement: with fewer, one view would be more than half a per cent."""
_SHARES = (0.3, 0.4)
"""Shares of the pictures for the ranges and for the search; the rest is held out."""
_LEAST_SIDE = 0.75
"""Least share of a side that a view shows: about half of the picture, as from a step nearer."""
_BRIGHTNESS = (0.75, 1.25)


@dataclass(frozen=True)
class Parts:
    """The pictures, divided into three parts."""

    calibration: Sequence[Picture]
    search: Sequence[Picture]
    held_out: Sequence[Picture]


def divide(pictures: Sequence[Picture], *, in_order: bool = False) -> Parts:
    """Divide pictures at random, always the same way; or `in_order`, if neighbours are alike as in a camera's frames.

    Raises ModelError if they are too few.
    """
    if len(pictures) < LEAST_PICTURES:
        count = "1 image is" if len(pictures) == 1 else f"{len(pictures)} different images are"
        raise ModelError(
            f"{count} too few: at least {LEAST_PICTURES} are needed, better 100 or more, "
            "because a model is quantised with some of them and judged with others"
        )
    order = np.arange(len(pictures))
    if not in_order:
        np.random.default_rng(0).shuffle(order)
    ends = np.cumsum([round(share * len(pictures)) for share in _SHARES])
    parts = [[pictures[int(index)] for index in part] for part in np.split(order, ends)]
    return Parts(*parts)


def views_of(pictures: Sequence[Picture], count: int, seed: int) -> Iterator[Pixels]:
    """Yield `count` views of each picture, always the same for the same seed: first the picture itself, then others.

    The others are crops (nearer, and to one side), mirrored or not, darker or brighter.
    """
    for number, picture in enumerate(pictures):
        random = np.random.default_rng((seed, number))
        pixels = picture()
        yield pixels
        for _ in range(count - 1):
            yield _view(pixels, random)


def views_each(pictures: Sequence[Picture], least: int = LEAST_VIEWS) -> int:
    """Return how many views of each picture give at least `least` views."""
    return -(-least // len(pictures))


def _view(pixels: Pixels, random: np.random.Generator) -> Pixels:
    share = random.uniform(_LEAST_SIDE, 1.0)
    height, width = (max(1, round(share * side)) for side in pixels.shape[:2])
    top, left = (
        int(random.integers(0, whole - part + 1)) for whole, part in zip(pixels.shape[:2], (height, width), strict=True)
    )
    cut = pixels[top : top + height, left : left + width]
    if random.random() < 0.5:
        cut = cut[:, ::-1]
    brightness = np.clip(np.arange(256) * random.uniform(*_BRIGHTNESS), 0, 255).astype(np.uint8)
    view: Pixels = brightness[cut]
    return view
