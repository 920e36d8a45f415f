"""Read the developers' measurements of the models that come as Python packages: data/embedded/NAME.json.

scripts/measure_embedded.py writes them: the known answer, the temperature, and the ranges and the figures of the int8
version.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.importer.int8 import Means, Ranges
from edge.importer.quantised import Figures
from edge.installer.shipped import table_of
from edge.models.calibration_file import OpenSet, open_set_from
from edge.models.manifest import Answer


@dataclass(frozen=True)
class Int8:
    """The data to make an int8 version without pictures, and its measured figures."""

    made_of: str
    """The key (importer/cache.py) of the checkpoint that the ranges were measured on."""
    method: str
    ranges: Ranges
    means: Means
    figures: Mapping[str, Figures]
    """By engine."""
    answer: Answer


@dataclass(frozen=True)
class Measured:
    """The developers' measurements of a model; data/embedded/NAME.json."""

    answer: Answer
    """Its answer for the known picture."""
    temperature: float
    pictures: int
    """Number of pictures that the temperature was fitted on."""
    ece: float
    """The remaining calibration error, on pictures that the temperature was not fitted on."""
    nll: float
    open_set: OpenSet | None
    int8: Int8


def measured_of(name: str) -> Measured:
    """Return the measurements of a model that comes as a package."""
    table = table_of(name)
    int8, calibration = table["int8"], table["calibration"]
    open_set = open_set_from(calibration.pop("open_set"), f"{name}:")
    int8["figures"] = {engine: Figures(**one) for engine, one in int8["figures"].items()}
    int8["ranges"] = {value: tuple(ends) for value, ends in int8["ranges"].items()}
    int8["means"] = {value: means_from_text(text, int8["ranges"][value]) for value, text in int8["means"].items()}
    int8["answer"] = Answer(**int8["answer"])
    return Measured(Answer(**table["answer"]), **calibration, open_set=open_set, int8=Int8(**int8))


def means_to_text(means: NDArray[np.floating[Any]], ends: tuple[float, float]) -> str:
    """Return the means of channels in steps of 1/255 of their range, in Base64: a byte each."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    steps = np.clip(np.round((means - low) / (high - low) * 255), 0, 255).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode("ascii")


def means_from_text(text: str, ends: tuple[float, float]) -> NDArray[np.float32]:
    """Return the means of channels from the text of `means_to_text`."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    steps = np.frombuffer(base64.b64decode(text), np.uint8)
    found: NDArray[np.float32] = (low + steps.astype(np.float32) * ((high - low) / 255)).astype(np.float32)
    return found
