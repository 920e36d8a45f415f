"""Applies a calibration to the probabilities of a model: its temperature and its open-set score.

temperature_scaling.py and open_set.py fit them.

The logits are taken from the probabilities: log p - mean(log p) is the logits less their mean, because the softmax only
subtracts a constant from them. So each engine and precision serves without a change.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.models.calibration_file import Calibration, OpenSet

Floats = NDArray[np.floating[Any]]
_TINY = float(np.finfo(np.float32).tiny)


def calibrated(probabilities: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Return calibrated probabilities (C) for the probabilities (C) that a network gives one picture.

    Their sum is less than 1 by the probability that the picture shows none of the labels.
    """
    share = known(probabilities, calibration.open_set) if calibration.open_set else 1.0
    return np.float32(share) * tempered(probabilities, calibration.temperature)


def known(probabilities: NDArray[np.float32], open_set: OpenSet) -> float:
    """Return the probability, 0..1, that the picture shows one of the labels; `probabilities` (C) are uncalibrated."""
    score = float(np.dot(logits_of(log_of(probabilities[np.newaxis]))[0], open_set.weights)) + open_set.bias
    return 1.0 / (1.0 + math.exp(-min(max(score, -500.0), 500.0)))


def tempered(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return softmax(log p / T) over the last axis; for T = 1 the same array."""
    if temperature == 1.0:
        return probabilities
    scores = log_of(probabilities.astype(np.float64)) / temperature
    exponentials = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    scaled: NDArray[np.float32] = (exponentials / np.sum(exponentials, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def log_of(probabilities: Floats) -> Floats:
    """Return logarithms; a probability that float32 rounded to 0 counts as its smallest number, about e^-87."""
    logs: Floats = np.log(np.maximum(probabilities, _TINY))
    return logs


def logits_of(log_probabilities: Floats) -> NDArray[np.float64]:
    """Return the logits less their mean for log-probabilities (N x C)."""
    rows = np.asarray(log_probabilities, np.float64)
    centred: NDArray[np.float64] = rows - np.mean(rows, axis=1, keepdims=True)
    return centred
