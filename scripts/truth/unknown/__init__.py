"""Pictures that no label of ImageNet is right for, drawn here: text, charts, drawings, codes, maps, patterns.

Each is drawn by a family with a random generator, so the same number and seed give the same picture. Forms that are
a label of ImageNet are avoided, such as a clock, a maze, a honeycomb or a stone wall. Two families may still be called
by a label: see ACCEPTED.
"""

import numpy as np

from truth.camera import Pixels
from truth.unknown.canvas import Family
from truth.unknown.charts import CHARTS
from truth.unknown.drawings import DRAWINGS
from truth.unknown.screens import SCREENS

FAMILIES: dict[str, Family] = SCREENS | CHARTS | DRAWINGS
ACCEPTED = {
    "page": frozenset({"n06359193"}),  # web site
    "terminal": frozenset({"n06359193"}),
    "cartoon face": frozenset({"n06596364"}),  # comic book
    "cartoon scene": frozenset({"n06596364"}),
}
"""Labels that are not false for a picture of a family."""


def unknown_picture(number: int, seed: int) -> tuple[str, Pixels]:
    """Return picture `number` and the name of its family; the families take turns."""
    family = family_of(number)
    return family, FAMILIES[family](np.random.default_rng((seed, number)))


def family_of(number: int) -> str:
    """Return the name of the family that draws picture `number`."""
    return list(FAMILIES)[number % len(FAMILIES)]
