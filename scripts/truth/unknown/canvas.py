"""What the drawings share: a sheet, words, and how they are written."""

from collections.abc import Callable
from typing import Any

import numpy as np

from truth.camera import Pixels

HEIGHT, WIDTH = 480, 640
WORDS = (
    "about above after again along answer around before begin below between board bring build carry change city close "
    "country cover cross during early earth enough every example family father figure first follow friend great group "
    "grow hand head hear high house idea important keep kind large last learn leave letter light line list little live "
    "long make mean might money morning mother music name near never next night number often open order other page "
    "paper part people piece place plant point problem question quick reach ready right river round school second set"
).split()
Random = np.random.Generator
Family = Callable[[Random], Pixels]
"""Draws a picture of a family: 480 x 640 x 3, uint8, RGB."""


def sheet_of(shade: Any) -> Pixels:
    """Return an empty sheet of one shade."""
    sheet = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    sheet[:] = shade
    return sheet


def write(picture: Pixels, text: str, at: tuple[int, int], size: float, shade: Any, *, bold: int = 1) -> None:
    """Write a line of text with its lower left corner `at` (x, y)."""
    import cv2

    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, shade, bold, cv2.LINE_AA)


def words(rng: Random, count: int) -> str:
    """Return random words."""
    return " ".join(rng.choice(WORDS, count))
