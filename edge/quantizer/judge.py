"""Compare a quantised network with the float one, and decide if it is good enough."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.importer.quantised import Figures

Floats = NDArray[np.float32]
LEAST_AGREEMENT = 0.97
"""The share of the views for which both must put the same label first."""
MOST_MOVED = 0.05
"""Most that the probability of the float network's first label may change, in the median."""
_TINY = 1e-7
_MOST_OFF = 0.01


def compare(floats: Floats, quantised: Floats, pictures: int) -> Figures:
    """Return the figures of two networks' probabilities, views x labels each; nan agrees with nothing."""
    first = np.argmax(floats, axis=1)
    rows = np.arange(len(floats))
    agree = (np.argmax(quantised, axis=1) == first) & np.isfinite(quantised).all(axis=1)
    moved = np.nan_to_num(np.abs(quantised[rows, first] - floats[rows, first]), nan=1.0)
    return Figures(float(np.mean(agree)), float(np.median(moved)), len(floats), pictures)


def divergence(floats: Floats, quantised: Floats) -> float:
    """Return the mean divergence of the quantised probabilities from the float ones, in nats (Kullback-Leibler).

    It is finer than agreement: it shows which of two candidates is better even if both agree on all views.
    """
    found, wanted = (np.clip(np.nan_to_num(one), _TINY, 1.0) for one in (quantised, floats))
    nats = np.sum(floats * (np.log(wanted) - np.log(found)), axis=1)
    if np.abs(floats.sum(axis=1) - 1).max() > _MOST_OFF:
        # sigmoids: each label is a separate yes-or-no question, so the no counts too
        rest, wanted_rest = (np.clip(1 - one, _TINY, 1.0) for one in (found, wanted))
        nats += np.sum((1 - floats) * (np.log(wanted_rest) - np.log(rest)), axis=1)
    return float(np.mean(nats))


def passes(figures: Iterable[Figures]) -> bool:
    """Return True if every engine's figures are good enough; False if none was judged."""
    found = list(figures)
    return bool(found) and all(one.agreement >= LEAST_AGREEMENT and one.moved <= MOST_MOVED for one in found)
