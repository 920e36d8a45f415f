"""Taught things without a network: their features are drawn by lot."""

import numpy as np

from edge.models.taught.pictures import KeptPictures
from edge.models.taught.record import TaughtThing
from edge.vision.images import jpeg


def thing(name: str = "my keys", views: int = 3, empty: int = 1, features: int = 8) -> TaughtThing:
    numbers = np.random.default_rng(len(name)).random((views + empty, features)).astype(np.float16).astype(np.float32)
    return TaughtThing(name, "0123456789abcdef", "efficientnet-lite0", numbers[:views], numbers[views:])


def same(one: TaughtThing, other: TaughtThing) -> bool:
    return (
        (one.name, one.model, one.model_name) == (other.name, other.model, other.model_name)
        and np.array_equal(one.views, other.views)
        and np.array_equal(one.empty, other.empty)
    )


def pictures(seed: int = 1, views: int = 3, empty: int = 1) -> KeptPictures:
    """Return small noisy pictures."""
    rng = np.random.default_rng(seed)
    every = [jpeg(rng.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(views + empty)]
    return KeptPictures(tuple(every[:views]), tuple(every[views:]))
