"""Intervals that hold the true value in 19 of 20 cases."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
"""The normal distribution has 95 % between -Z and Z."""
_DRAWS = 2000


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the interval of a share: Wilson's score interval, which also holds near 0 and 1. (0, 1) without cases.

    Edwin B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    if not of:
        return 0.0, 1.0
    share, part = count / of, Z**2 / of
    centre = (share + part / 2) / (1 + part)
    half = Z / (1 + part) * math.sqrt(share * (1 - share) / of + part / (4 * of))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if count == 0 else low), (1.0 if count == of else high)


def bootstrap(
    values: Sequence[tuple[float, ...]] | Sequence[float], statistic: Callable[[NDArray[np.float64]], float]
) -> tuple[float, float]:
    """Return the interval of a statistic of the values (N, or N x K): percentiles over samples drawn with replacement.

    The random numbers are always the same. (nan, nan) without values. Efron, "Bootstrap Methods", 1979.
    """
    if not len(values):
        return math.nan, math.nan
    array = np.asarray(values, np.float64)
    rng = np.random.default_rng(0)
    found = [statistic(array[rng.integers(len(array), size=len(array))]) for _ in range(_DRAWS)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
