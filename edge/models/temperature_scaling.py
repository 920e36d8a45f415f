"""Fits one temperature for a model, so that a confidence of 0.9 is right about nine times in ten.

Temperature scaling and the expected calibration error: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern
Neural Networks", 2017 (arXiv:1706.04599). The order of the labels stays, so the accuracy does not change.

Log-probabilities are N x C (a row for each picture, a column for each output), or N x K x C for K successive frames of
each picture, oldest first: then everything is about the smoothed probabilities, which are what the announcer uses.
`accepted` is bool, N x C: which outputs are right for the picture. If several are right, any of them may be chosen, and
their probabilities are added.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.models.calibration_file import TEMPERATURES
from edge.models.confidence import Floats, log_of
from edge.settings import AnnounceSettings

Bools = NDArray[np.bool_]

BINS = 15
"""As in the paper: of equal width, each including its upper edge."""
LEAST_PICTURES = 100
"""With fewer, a bin of the table holds half a dozen, whose accuracy is known to about 0.2: too rough to judge the fit.
(Even a perfectly calibrated model shows an error of some 0.10 on 100 pictures, 0.03 on 1000.)"""
ROUGH_BELOW = 1000
LEAST_OF_EACH = 10
"""Least number of right and of wrong pictures. If none is wrong (or right), no temperature has the best likelihood.
Each half needs some, because the other is judged by its temperature."""
FRAMES_PER_S = 10.0
"""Frame rate for which the frames of a picture are smoothed."""
_ROWS = 128
_DRAWS = 200


@dataclass(frozen=True)
class Bin:
    """The pictures with similar confidence."""

    low: float
    """The confidence is above this."""
    high: float
    """The confidence is at most this."""
    count: int
    confidence: float
    """The mean confidence, 0..1."""
    accuracy: float
    """The share that was right, 0..1. For a calibrated model it equals the confidence except for chance."""


@dataclass(frozen=True)
class Judgement:
    """How well a model's confidence is calibrated on some pictures."""

    pictures: int
    accuracy: float
    nll: float
    """The mean negative log-likelihood of the right outputs, in nats: the smaller the better."""
    ece: float
    """The expected calibration error: |confidence - accuracy| of the bins, averaged over pictures."""
    ece_by_chance: float
    """The error that 19 of 20 perfectly calibrated models stay below, on as many pictures of the same confidence."""
    bins: tuple[Bin, ...]
    """The bins that are not empty, lowest confidence first."""


@dataclass(frozen=True)
class Fit:
    """A temperature, with the judgements before and after."""

    temperature: float
    before: Judgement
    after: Judgement
    """On the same pictures, each half judged with the temperature fitted on the other half."""
    warnings: tuple[str, ...]
    """A sentence each."""


def negative_log_likelihood(log_probabilities: Floats, accepted: Bools, temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood over the pictures, in nats."""
    total = 0.0
    for scores, right in _parts(log_probabilities, accepted, temperature):
        likely = np.where(right, scores, -np.inf)
        total += float(np.sum(_log_sum_exp(scores) - _log_sum_exp(likely)))
    return total / len(log_probabilities)


def fit_temperature(log_probabilities: Floats, accepted: Bools) -> float:
    """Return the temperature within TEMPERATURES that maximises the likelihood of the right outputs, to 1 in 10^5.

    Golden-section search in log T: the likelihood has one maximum. (In 1/T it is a concave function, for each picture.)
    """
    share = (math.sqrt(5) - 1) / 2
    low, high = (math.log(limit) for limit in TEMPERATURES)

    def loss(log_t: float) -> float:
        return negative_log_likelihood(log_probabilities, accepted, math.exp(log_t))

    left, right = high - share * (high - low), low + share * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > 1e-5:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - share * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + share * (high - low)
            loss_right = loss(right)
    return math.exp((low + high) / 2)


def confidences(log_probabilities: Floats, accepted: Bools, temperature: Floats | float = 1.0) -> tuple[Floats, Bools]:
    """Return (the confidence of the first label, whether that is right), N each.

    `temperature` is one number, or one for each picture.
    """
    sure, correct = [], []
    for scores, right in _parts(log_probabilities, accepted, temperature):
        best = np.argmax(scores, axis=1)
        rows = np.arange(len(best))
        sure.append(np.exp(scores[rows, best] - _log_sum_exp(scores)))
        correct.append(right[rows, best])
    return np.concatenate(sure), np.concatenate(correct)


def ece(confidence: Floats, correct: Bools, bins: int = BINS) -> float:
    """Return the expected calibration error, 0..1."""
    # in each bin count * |mean confidence - accuracy| is the absolute sum of the differences
    gaps = np.bincount(_bin_of(confidence, bins), weights=confidence - correct, minlength=bins)
    return float(np.sum(np.abs(gaps))) / len(confidence)


def reliability(confidence: Floats, correct: Bools, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the reliability table, whose last two columns should be equal; empty bins are left out."""
    of = _bin_of(confidence, bins)
    table = []
    for number in np.unique(of):
        here = of == number
        table.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                count=int(np.count_nonzero(here)),
                confidence=float(np.mean(confidence[here])),
                accuracy=float(np.mean(correct[here])),
            )
        )
    return tuple(table)


def ece_by_chance(confidence: Floats, bins: int = BINS) -> float:
    """Return the calibration error that 19 of 20 perfectly calibrated models stay below.

    Simulated, always with the same random numbers: in each draw a picture is right with the probability that its
    confidence states.
    """
    rng = np.random.default_rng(0)
    errors = [ece(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(_DRAWS)]
    return float(np.quantile(errors, 0.95))


def judge(log_probabilities: Floats, accepted: Bools, temperature: Floats | float = 1.0) -> Judgement:
    """Return how well the confidence is calibrated at a temperature, or at one for each picture (N)."""
    confidence, correct = confidences(log_probabilities, accepted, temperature)
    each = np.broadcast_to(np.asarray(temperature, np.float64), len(confidence))
    nll = sum(
        negative_log_likelihood(log_probabilities[each == one], accepted[each == one], float(one))
        * float(np.mean(each == one))
        for one in np.unique(each)
    )
    return Judgement(
        pictures=len(confidence),
        accuracy=float(np.mean(correct)),
        nll=nll,
        ece=ece(confidence, correct),
        ece_by_chance=ece_by_chance(confidence),
        bins=reliability(confidence, correct),
    )


def fit(log_probabilities: Floats, accepted: Bools) -> Fit:
    """Return the temperature fitted on all pictures, judged on pictures that it was not fitted on.

    For that, each half of the pictures is judged with the temperature fitted on the other half. If no temperature
    raises the likelihood of the right outputs, and the model is calibrated already, the temperature is 1. Raises
    ModelError, with the reason, if there are too few pictures or one temperature does not help.
    """
    count = len(log_probabilities)
    if count < LEAST_PICTURES:
        raise ModelError(
            f"{count} images are too few: with fewer than {LEAST_PICTURES} the fit cannot be judged; {ROUGH_BELOW} or "
            "more give a good fit"
        )
    if not np.all(np.isfinite(log_probabilities)):
        raise ModelError("the model returns nan for some of the images; run edge models verify")
    correct = confidences(log_probabilities, accepted)[1]
    right = int(np.count_nonzero(correct))
    for number, what in ((right, "right"), (count - right, "wrong")):
        if number < LEAST_OF_EACH:
            raise ModelError(
                f"the model gets {number} of {count} images {what}, and the fit needs at least {LEAST_OF_EACH} right "
                f"and {LEAST_OF_EACH} wrong; give {'easier' if what == 'right' else 'more or harder'} images, as its "
                "camera would see them, with the right labels"
            )
    second = _halves(correct)
    each = np.empty(count)
    for half in (second, ~second):
        each[~half] = fit_temperature(log_probabilities[half], accepted[half])
    before, after = judge(log_probabilities, accepted), judge(log_probabilities, accepted, each)
    warnings = []
    if count < ROUGH_BELOW:
        warnings.append(f"{count} images give a rough fit; {ROUGH_BELOW} or more give a good one.")
    if after.nll < before.nll:
        temperature = fit_temperature(log_probabilities, accepted)
        if after.ece > max(0.05, after.ece_by_chance):
            warnings.append(f"Its confidence is still off by {after.ece:.3f}; a temperature cannot improve it further.")
    elif before.ece <= before.ece_by_chance:
        temperature, after = 1.0, before
        warnings.append("Its confidence was accurate already: no temperature improves it.")
    else:
        raise ModelError(
            f"no temperature calibrates the model: fitted to one half of the images, it does not make the right labels "
            f"of the other half more likely (NLL {before.nll:.3f} before, {after.nll:.3f} after)"
        )
    return Fit(temperature, before, after, tuple(warnings))


def _halves(correct: Bools) -> Bools:
    """Return which pictures are in the second half (N): a fixed random half of the right and of the wrong ones."""
    rng = np.random.default_rng(0)
    second = np.zeros(len(correct), np.bool_)
    for kind in (correct, ~correct):
        second[rng.permutation(np.flatnonzero(kind))[::2]] = True
    return second


def _parts(
    log_probabilities: Floats, accepted: Bools, temperature: Floats | float
) -> Iterator[tuple[NDArray[np.float64], Bools]]:
    """Yield (scores at that temperature, accepted), some rows at a time: the table for ImageNet is large."""
    each = np.broadcast_to(np.asarray(temperature, np.float64), len(log_probabilities))
    for start in range(0, len(log_probabilities), _ROWS):
        rows = slice(start, start + _ROWS)
        temperatures = each[rows].reshape(-1, *[1] * (log_probabilities.ndim - 1))
        scores = log_probabilities[rows].astype(np.float64) / temperatures
        yield (scores if scores.ndim == 2 else _smoothed(scores)), accepted[rows]


def _smoothed(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms (N x C) of the probabilities of N x K x C scores, averaged over the frames."""
    most = np.max(scores, axis=2, keepdims=True)
    probabilities = np.exp(scores - most)
    probabilities /= np.sum(probabilities, axis=2, keepdims=True)
    mean = np.einsum("nkc,k->nc", probabilities, frame_weights(scores.shape[1]))
    return np.asarray(log_of(mean), np.float64)


def frame_weights(count: int) -> NDArray[np.float64]:
    """Return the weights of `count` frames, oldest first, in the announcer's average; their sum is 1."""
    share = AnnounceSettings().frame_share(1 / FRAMES_PER_S)
    weights = share * (1 - share) ** np.arange(count - 1, -1, -1)
    normal: NDArray[np.float64] = weights / np.sum(weights)
    return normal


def _log_sum_exp(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(sum(exp(row))) of each row."""
    most = np.max(scores, axis=1)
    sums: NDArray[np.float64] = most + np.log(np.sum(np.exp(scores - most[:, np.newaxis]), axis=1))
    return sums


def _bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return numbers
