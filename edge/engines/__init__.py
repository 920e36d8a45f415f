"""The engines that run networks."""

import importlib
from importlib import metadata
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint
from edge.stages import Classifier, Frame, Prediction

ENGINES = ("mxnet",)
"""What a daemon may run."""
_DRIVERS = {"mxnet": ("mxnet", "MxnetClassifier"), "module": ("module", "ModuleClassifier")}
"""Module here and its class, by engine; `module` is only for comparison."""
_PACKAGES = {"mxnet": "mxnet", "module": "mxnet"}


class Network(Classifier, Protocol):
    """A classifier with what a measurement asks besides."""

    first_s: float
    """How long the first forward took, in which the engine prepares its kernels."""
    parameters: int
    """How many numbers the network has learnt."""

    def classify_uncalibrated(self, frame: Frame) -> list[Prediction]:
        """Return what `classify` does, with the probabilities as they are before calibration."""

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return how long the engine takes to accept one input (float32 1 x 3 x size x size), not to compute it."""


def open_classifier(checkpoint: Checkpoint, top: int = 5, engine: str = "mxnet") -> Network:
    """Load a checkpoint and run it once, so that the first real frame is as fast as the others.

    `top` is how many labels `classify` returns. Raises ModelError when the files are broken or at odds, the memory is
    not enough, or there is no such engine, or it is not installed.
    """
    if engine not in _DRIVERS:
        raise ModelError(engine_problem(engine))
    module, name = _DRIVERS[engine]
    network: Network = getattr(importlib.import_module(f"edge.engines.{module}"), name)(checkpoint, top)
    return network


def engine_problem(engine: str) -> str:
    """Return why an engine cannot run, in one line; empty when it can. Does not import it."""
    if engine not in _DRIVERS:
        return f"there is no engine {engine}; known: {', '.join(_DRIVERS)}"
    package = _PACKAGES[engine]
    return "" if find_spec(package) else f"{package} is not installed; run ./scripts/run, which installs it"


def engine_version(engine: str) -> str:
    """Return the engine with the version of its package, 'mxnet 1.9.1', without importing it."""
    if engine not in _DRIVERS:
        raise ModelError(engine_problem(engine))
    try:
        return f"{engine} {metadata.version(_PACKAGES[engine])}"
    except metadata.PackageNotFoundError:
        return engine
