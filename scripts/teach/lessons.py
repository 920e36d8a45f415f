"""What things are learnt from: views of each in one place and light, and views of the place without it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.engines import Network
from edge.models.taught.record import Floats, TaughtThing
from edge.models.taught.store import TaughtStore
from edge.selection.lesson import Lesson
from teach.views import Pixels, World, empty, view

_PLACES = 4
"""Views of the empty place."""


class Lessons:
    """The views that things are learnt from, and those of their places without them."""

    def __init__(self, world: World, shots: int) -> None:
        """With more shots, the first are the same."""
        self._world, self._shots = world, shots

    def of(self, number: int) -> tuple[list[Pixels], list[Pixels]]:
        """Return the lesson of a thing."""
        rng = np.random.default_rng((8, self._world.seed, number))
        thing, place = self._world.things(number + 1)[number], self._world.place(rng)
        nothing = [empty(rng, place) for _ in range(_PLACES)]
        return [view(rng, thing, place) for _ in range(self._shots)], nothing


def learn(
    network: Network, model: str, number: int, views: Sequence[Pixels], place: Sequence[Pixels], *, others: Floats
) -> TaughtThing:
    """Return thing `number` as edge learns it. `others` are the features of pictures without a thing."""
    # nothing is kept in that folder
    lesson = Lesson(network, model, f"thing {number}", TaughtStore(Path()), pictures=len(views), others=others)
    lesson.add_all(views, place)
    while lesson.work():
        pass
    return lesson.thing()
