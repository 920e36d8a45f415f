"""Fits a calibration: the temperature and the open-set score, on frames as a camera sees them."""

from dataclasses import dataclass

import numpy as np

from edge.models.calibration_file import Calibration, OpenSet
from edge.models.confidence import Floats
from edge.models.open_set import fit_open_set
from edge.models.temperature_scaling import Bools, Fit, fit


@dataclass(frozen=True)
class Fitted:
    """Everything about a model's calibration that a person wants to know."""

    temperature: Fit
    open_set: OpenSet

    def calibration(self, fitted_to: str) -> Calibration:
        """Return what is stored, for the model with this fingerprint."""
        after = self.temperature.after
        return Calibration(
            round(self.temperature.temperature, 4),
            after.pictures,
            round(after.ece, 4),
            round(after.nll, 4),
            fitted_to,
            self.open_set,
        )


def fit_calibration(frames: Floats, accepted: Bools, others: Floats, background: Bools | None = None) -> Fitted:
    """Return the calibration fitted to uncalibrated log-probabilities.

    `frames` are N x K x C, K successive frames of each picture; `accepted` is N x C; `others` are M x C, of pictures
    that show none of the labels; `background` (C) tells the labels that mean just that. Raises ModelError, with the
    reason, if there are too few, or no temperature helps.
    """
    return Fitted(fit(frames, accepted), open_set_of(frames, accepted, others, background))


def open_set_of(frames: Floats, accepted: Bools, others: Floats, background: Bools | None = None) -> OpenSet:
    """Return the open-set score alone, fitted to the same. Raises ModelError, with the reason."""
    # a frame in the middle and the last: neighbours are nearly the same
    two = np.asarray(frames[:, [frames.shape[1] // 2, -1]])
    shows = np.any(accepted & ~background, axis=1) if background is not None else np.ones(len(two), np.bool_)
    empty = two[~shows].reshape(-1, frames.shape[2])
    return fit_open_set(two[shows].reshape(-1, frames.shape[2]), np.concatenate([others, empty]))
