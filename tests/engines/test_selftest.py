"""Before its first word a network must still say what it said of the known picture when it was installed."""

from typing import Any

import pytest

from edge.engines.selftest import TOLERANCES, check_answer
from edge.errors import ModelError
from edge.models.manifest import Answer
from edge.stages import Frame, Prediction, Timing

TOLERANCE = TOLERANCES["float32"]
GUITAR = Answer("n1", "guitar", 0.9, "mxnet")


class Says:
    """A network that always says the same."""

    name, engine, calibrated = "net", "mxnet", False
    timing = Timing(0.0, 0.0)

    def __init__(self, *probabilities: float) -> None:
        """Of a guitar, a key and so on."""
        self._predictions = [Prediction(f"n{number}", f"l{number}", p) for number, p in enumerate(probabilities, 1)]

    def classify(self, _frame: Frame) -> list[Prediction]:
        return sorted(self._predictions, key=lambda one: -one.probability)

    classify_uncalibrated = classify

    def close(self) -> None:
        """There is nothing to close."""


def says(*probabilities: float) -> Any:
    """As the Network that the check asks for, of which it uses only this much."""
    return Says(*probabilities)


@pytest.mark.parametrize("probabilities", [(0.9, 0.1), (0.9 - TOLERANCE / 2, 0.1), (0.89, 0.9)])
def test_the_same_but_for_the_tolerance_is_right(probabilities: tuple[float, ...]) -> None:
    check_answer(says(*probabilities), GUITAR)


@pytest.mark.parametrize(
    "probabilities",
    [(0.9 - 2 * TOLERANCE, 0.1), (0.1, 0.9), (), (0.89, 0.95), (float("nan"), float("nan")), (0.9, float("nan"))],
)
def test_another_answer_is_wrong(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="its self-test fails: the test image gives"):
        check_answer(says(*(probabilities or (0.0, 0.5))), GUITAR)
