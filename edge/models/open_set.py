"""How well a picture resembles those that show one of a model's labels: an open-set score beside the softmax.

A softmax must choose one of its labels for a bare wall or a page of text too, and often does so with confidence. The
score tells the two kinds of pictures apart. It is a logistic regression on the logits, fitted at calibration to
pictures that show a label and to others (models/calibrator/drawings.py). docs/decisions/0028 compares it with the
maximum logit and the energy.
"""

import numpy as np
from numpy.typing import NDArray

from edge.models.calibration_file import OpenSet
from edge.models.confidence import Floats, logits_of

DIGITS = 4
"""Significant digits that are stored of each weight."""
PENALTY = 100.0
"""Weight of the squared regression weights in the loss, for logits divided by their deviation. From 30 to 300 the
result is the same."""
_FOLDS = 5
_STEPS = 50
_SMALL_STEP = 1e-6


def fit_open_set(known: Floats, others: Floats) -> OpenSet:
    """Return the score fitted to all rows: uncalibrated log-probabilities (N x C and M x C) of both kinds of pictures.

    Five folds judge it: neighbouring rows may be views of one picture, so each fold is a stretch of rows. Their scores
    also set the scale of the probability (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
    """
    rows = logits_of(np.concatenate([known, others]))
    is_known = np.arange(len(rows)) < len(known)
    fold = np.concatenate([np.arange(count) * _FOLDS // count for count in (len(known), len(others))])
    scores = np.zeros(len(rows))
    for number in range(_FOLDS):
        held_out = fold == number
        weights, bias = _regress(rows[~held_out], is_known[~held_out], PENALTY)
        scores[held_out] = rows[held_out] @ weights + bias
    scale, shift = _regress(scores[:, np.newaxis], is_known, 1.0)
    weights, bias = _regress(rows, is_known, PENALTY)
    decided = scores * scale[0] + shift >= 0
    return OpenSet(
        tuple(_short(weight) for weight in weights * scale[0]),
        _short(bias * scale[0] + shift),
        round(float(np.mean(decided[is_known])), 4),
        round(float(np.mean(~decided[~is_known])), 4),
        len(others),
    )


def _regress(
    rows: NDArray[np.float64], is_known: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Return weights and bias of the logistic regression with an L2 penalty, in which both kinds count the same.

    Newton's method. With more columns than rows it works in the space of the rows, which has the same solution.
    """
    deviation = float(np.std(rows)) or 1.0
    basis: NDArray[np.float64] | None = None
    scaled = rows / deviation
    if scaled.shape[1] > scaled.shape[0]:
        basis = np.linalg.svd(scaled, full_matrices=False)[2]
        scaled = scaled @ basis.T
    count, columns = scaled.shape
    shares = [count / (2 * max(1, int(np.count_nonzero(is_known == kind)))) for kind in (False, True)]
    importance = np.where(is_known, shares[1], shares[0])
    design = np.hstack([scaled, np.ones((count, 1))])
    ridge = np.full(columns + 1, penalty)
    ridge[-1] = 1e-6  # the bias is free
    solution = np.zeros(columns + 1)
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(design @ solution, -500, 500)))
        gradient = design.T @ (importance * (probability - is_known)) + ridge * solution
        curvature = importance * np.maximum(probability * (1 - probability), 1e-9)
        step = np.linalg.solve((design.T * curvature) @ design + np.diag(ridge), gradient)
        solution -= step
        if float(np.max(np.abs(step))) < _SMALL_STEP:
            break
    weights = solution[:-1] if basis is None else basis.T @ solution[:-1]
    return weights / deviation, float(solution[-1])


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
