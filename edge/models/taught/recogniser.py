"""Recognise taught things by a network's features: class means with one shrunken covariance.

For each thing, a linear function of the features is 0 on average for pictures without a thing, and 1 on average for its
own views. Its direction is that of linear discriminant analysis: the inverse covariance times the difference of both
means (Fisher, "The Use of Multiple Measurements in Taxonomic Problems", 1936). Few views cannot give the covariance of
a thousand numbers, so all things share one, and it is drawn towards a multiple of the identity (Friedman, "Regularized
Discriminant Analysis", 1989). docs/decisions/0038 compares it with other ways.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.models.taught.record import Floats, TaughtThing
from edge.models.taught.scenes import scenes_of

SHRINKAGE = 0.3
"""Share of the identity in the covariance. From 0.1 to 0.5 the result is nearly the same."""
_THRESHOLD = 0.63
"""Least value for a thing to be named, if edge has no photos for the network (decision 38)."""
_WITH_PHOTOS, _PER_THINGS = 0.435, 0.05
"""With photos: the least value for one thing, and what the logarithm of their number adds: each may be a false name."""
_AT_THRESHOLD, _AT_ONE = 0.97, 0.999
"""The probability at the threshold, and at the mean of a thing's own views."""


@dataclass(frozen=True)
class Recognised:
    """A thing that a frame shows."""

    id: str
    name: str
    probability: float


class Recogniser:
    """Knows some things of one network. Takes 4 bytes a feature and thing: 5 kB a thing for 1280 features."""

    def __init__(self, things: Sequence[TaughtThing], others: Floats, photos: Floats | None = None) -> None:
        """Fit to the things' views and to pictures without a thing (`others`, N x M). There must be one thing.

        `photos` (N x M) are further pictures without a thing: without them, those that edge has for the network
        (scenes.py).
        """
        self._things = [(thing.id, thing.name) for thing in things]
        views = [unit(thing.views) for thing in things]
        nothing = np.concatenate([unit(others), *(unit(thing.empty) for thing in things if len(thing.empty))])
        middle = nothing.mean(axis=0)
        self.threshold = _THRESHOLD
        photos = scenes_of(things[0].model) if photos is None else photos
        if photos is not None:
            # drawings alone are unlike what a camera sees, so photos have half of the weight
            middle = (middle + unit(photos).mean(axis=0)) / 2
            nothing = np.concatenate([nothing, unit(photos)])
            self.threshold = _WITH_PHOTOS + _PER_THINGS * math.log(len(things))
        means = np.stack([rows.mean(axis=0) for rows in views])
        within = np.concatenate([nothing - middle, *(rows - mean for rows, mean in zip(views, means, strict=True))])
        differences = np.asarray(means - middle, np.float32)
        directions = _divided(differences, within)
        # at least so much, for a thing that looks like nothing
        lengths = np.maximum(np.einsum("ij,ij->i", directions, differences), 1e-6)
        self._weights = (directions / lengths[:, np.newaxis]).astype(np.float32)
        self._bias = (self._weights @ middle).astype(np.float32)
        self._lengths = lengths.astype(np.float32)

    def recognise(self, features: NDArray[np.float32]) -> Recognised | None:
        """Return the thing that a frame with these features (M) shows; None if it is none of them for sure."""
        best, value = self.best(features)
        if not value >= self.threshold:
            return None
        return Recognised(*self._things[best], probability_of(value, self.threshold))

    def best(self, features: NDArray[np.float32]) -> tuple[int, float]:
        """Return the place of the likeliest thing among `names`, and its value.

        A direction that tells much counts more, as Fisher's discriminant has it.
        """
        values = self.values(features)
        best = int(np.argmax(self._lengths * (values - 0.5)))
        return best, float(values[best])

    @property
    def names(self) -> list[str]:
        """Return the names of the things, in the order of `values`."""
        return [name for _id, name in self._things]

    def values(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return for each thing where the features lie between pictures without a thing (0) and its views (1)."""
        found: NDArray[np.float32] = self._weights @ unit(features) - self._bias
        return found


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of the same directions with the length 1."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    found: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-9)).astype(np.float32)
    return found


def probability_of(value: float, threshold: float) -> float:
    """Return the probability that a thing is there, by its value and the least one: logistic, through two points."""
    low, high = (math.log(share / (1 - share)) for share in (_AT_THRESHOLD, _AT_ONE))
    exponent = low + (high - low) * (value - threshold) / (1 - threshold)
    return 1 / (1 + math.exp(-max(min(exponent, 30.0), -30.0)))


def _divided(rows: NDArray[np.float32], within: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows times the inverse of the shrunken covariance of `within`.

    With fewer of those than features, in the space of the views: (a I + R'R)^-1 = (I - R'(a I + RR')^-1 R) / a, the
    identity of Woodbury.
    """
    count, length = within.shape
    identity = SHRINKAGE * max(float(np.sum(within**2)), 1e-12) / count / length
    scaled = within * np.float32(math.sqrt((1 - SHRINKAGE) / count))
    if count < length:
        inner = scaled @ scaled.T + identity * np.eye(count, dtype=np.float32)
        lost = np.linalg.solve(inner, scaled @ rows.T).T @ scaled
        return np.asarray((rows - lost) / identity, np.float32)
    return np.asarray(np.linalg.solve(scaled.T @ scaled + identity * np.eye(length, dtype=np.float32), rows.T).T)
