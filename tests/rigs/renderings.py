"""Pictures of the demo's things that the demo has never seen, with what they show."""

import csv
import dataclasses
from pathlib import Path

import cv2
import numpy as np
from demo_render import Studio
from demo_things import BACKGROUND, HELD_OUT, THINGS
from numpy.typing import NDArray

from edge.stages import Pixels
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import shows_something

Bools = NDArray[np.bool_]
OF_THESE_TESTS = 6
"""A random stream that neither training, calibration nor the clips draw from."""


@dataclasses.dataclass(frozen=True)
class Renderings:
    """Pictures that the demo has never seen, and what they show."""

    pictures: list[Pixels]
    truth: NDArray[np.int64]

    @property
    def accepted(self) -> Bools:
        right: Bools = np.arange(len(THINGS) + 1) == self.truth[:, np.newaxis]
        return right

    @property
    def empty(self) -> list[int]:
        """The numbers of the pictures that show nothing: of a background without contrast."""
        return [i for i, one in enumerate(self.pictures) if not shows_something(make_thumbnail(one))]

    def save(self, folder: Path) -> Path:
        """Write the pictures, and return their CSV: by text for some, by id for the others."""
        folder.mkdir()
        names = [*((thing.id, thing.names.split(",")[0]) for thing in THINGS), (BACKGROUND, BACKGROUND)]
        with (folder / "labels.csv").open("w", newline="") as file:
            for number, (pixels, label) in enumerate(zip(self.pictures, self.truth, strict=True)):
                assert cv2.imwrite(str(folder / f"{number}.bmp"), pixels[:, :, ::-1])
                csv.writer(file).writerow([f"{number}.bmp", names[label][number % 2]])
        return folder / "labels.csv"


def renderings(count: int, purpose: int) -> Renderings:
    """As many things as in training; the background shows what was kept from it."""
    studio = Studio(HELD_OUT)
    rng = np.random.default_rng((OF_THESE_TESTS, purpose))
    truth = rng.integers(0, len(THINGS), count)
    truth[rng.random(count) < 0.25] = len(THINGS)
    pictures = [studio.scene(rng, None if label == len(THINGS) else int(label)) for label in truth]
    return Renderings(pictures, truth)
