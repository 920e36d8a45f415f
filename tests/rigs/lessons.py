"""What a person shows who teaches edge a thing: an empty place, and drawn things before it that turn."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rigs.daemon import named, read_events

from edge.engines import Network
from edge.models.taught.store import TaughtStore
from edge.selection.lesson import Lesson
from edge.stages import Pixels

HEIGHT, WIDTH = 120, 160
KEYS, REX = 5, 6
"""Kinds that the demo model tells apart."""


def empty_place(number: int = 0, seed: int = 0) -> Pixels:
    """A soft pattern without a thing; each number has other noise."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    kind = np.random.default_rng((seed, 1))
    waves = sum(np.sin(rows * a + columns * b + c) for a, b, c in kind.uniform(-0.1, 0.1, (3, 3)))
    noise = np.random.default_rng((seed, number, 2)).normal(0, 2, (HEIGHT, WIDTH, 3))
    picture = 120 + 25 * waves[..., None] + noise
    # a sharp edge: the place is not blurred
    picture[:, 4:8] = 30
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def with_thing(kind: int, number: int, share: float = 0.0, at: float = 0.5) -> Pixels:
    """The place with a thing of bold stripes, which each number shows from another side.

    It takes `share` of the height (0: about 0.7), and stands at `at` of the width.
    """
    share = share or (0.6, 0.8, 0.7, 0.9, 0.65)[number % 5]
    picture = empty_place(number)
    rng = np.random.default_rng(kind)
    colors = rng.integers(0, 256, (4, 3))
    side = round(share * HEIGHT)
    rows, columns = np.mgrid[:side, :side]
    slope, width = rng.uniform(0.3, 1, 2), rng.uniform(8, 20)
    turn = 0.7 * number
    across = columns * np.cos(turn) - rows * np.sin(turn)
    down = columns * np.sin(turn) + rows * np.cos(turn)
    bands = ((down * slope[0] + across * slope[1] + 5 * number) / width).astype(int) % 4
    top, left = (HEIGHT - side) // 2, round(at * WIDTH - side / 2)
    left = max(0, min(left, WIDTH - side))
    light = (1.0, 0.6, 0.8)[number % 3]  # of the side that is turned to the lamp
    picture[top : top + side, left : left + side] = (light * colors[bands]).astype(np.uint8)
    return picture


def finished(
    network: Network,
    model: str,
    name: str,
    views: Sequence[Pixels],
    empty: Iterable[Pixels],
    *,
    store: TaughtStore,
    keep_pictures: bool = False,
) -> Lesson:
    """A lesson in which everything was shown and learnt; nothing is kept yet."""
    lesson = Lesson(network, model, name, store, pictures=len(views), keep_pictures=keep_pictures)
    lesson.add_all(views, empty)
    while lesson.work():
        pass
    return lesson


class Stage:
    """What is before the camera: the empty place until the thing is asked for, then the thing."""

    def __init__(self, events: Path) -> None:
        self._events = events
        self.kind = KEYS
        self.always = False
        """True: the thing is there, whatever is asked for."""

    def show(self, number: int) -> Pixels:
        wanted = [one["phase"] for one in named(read_events(self._events), "teaching")]
        done = len(named(read_events(self._events), "teaching_ended"))
        empty = not self.always and (not wanted or wanted[-1] == "empty" or (done and wanted[-1] != "thing"))
        if self.always:
            number = 2  # held still
        return empty_place(number) if empty else with_thing(self.kind, number)
