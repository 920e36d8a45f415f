"""The engines that run networks."""

import importlib
from collections.abc import Callable
from importlib import metadata
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer import params
from edge.libraries import is_installed
from edge.models.checkpoint import Checkpoint, InputSpec
from edge.stages import Classifier, Frame, Prediction

ENGINES = ("mxnet", "onnx", "openvino")
"""What a daemon may run; the first is the default."""
_DRIVERS = {
    "mxnet": ("mxnet", "MxnetClassifier"),
    "onnx": ("onnx", "OnnxClassifier"),
    "openvino": ("openvino", "OpenvinoClassifier"),
    "module": ("module", "ModuleClassifier"),
}
"""Module here and its class, by engine; `module` is only for comparison."""
_PACKAGES = {"mxnet": "mxnet", "onnx": "onnxruntime", "openvino": "openvino", "module": "mxnet"}

_IMPORTS = {
    "mxnet": ("mxnet_compat", "import_mxnet"),
    "onnx": ("onnx", "import_onnxruntime"),
    "openvino": ("openvino", "import_openvino"),
    "module": ("mxnet_compat", "import_mxnet"),
}
_ADVICE = {engine: f"pip install 'edge[{engine}]' installs it" for engine in ENGINES[1:]}


class Network(Classifier, Protocol):
    """A classifier with what a measurement asks besides."""

    first_s: float
    """How long the first forward took, in which the engine prepares its kernels."""
    parameters: int
    """How many numbers the network has learnt."""
    input: InputSpec
    """How a picture becomes what `probabilities` takes: the checkpoint's, or less where the network does the rest."""

    def classify_uncalibrated(self, frame: Frame) -> list[Prediction]:
        """Return what `classify` does, with the probabilities as they are before calibration."""

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return how long the engine takes to accept one input (float32 1 x 3 x size x size), not to compute it.

        0 for one that computes before it returns.
        """


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


def check_finite(checkpoint: Checkpoint, engine: str) -> None:
    """Raise ModelError, naming the array, when a parameter is nan or infinite, or the file cannot be read.

    Reads all of them, keeps none. What only MXNet can read it is asked for.
    """
    if engine in ENGINES[1:]:
        params.check_finite(params.open_params(checkpoint.params), checkpoint.params)
    else:
        importlib.import_module("edge.engines.mxnet").check_finite(checkpoint)


def engine_problem(engine: str) -> str:
    """Return why an engine cannot run, in one line; empty when it can. Does not import it."""
    if engine not in _DRIVERS:
        return f"there is no engine {engine}; known: {', '.join(_DRIVERS)}"
    package = _PACKAGES[engine]
    if is_installed(package):
        return ""
    return f"{package} is not installed; {_ADVICE.get(engine, 'run ./scripts/run, which installs it')}"


def installed_engines() -> list[str]:
    """Return those that a daemon may run and whose package is here, the default first. Imports none."""
    return [engine for engine in ENGINES if not engine_problem(engine)]


def engines_for(setting: str) -> tuple[list[str], str]:
    """Return the engines that [model] engine stands for, at least one, and a line for people where one stands in.

    Imports none. An engine that is asked for by name and not installed is returned all the same: opening it says why.
    """
    here = installed_engines()
    if setting == "auto":
        return here or [ENGINES[0]], ""
    if setting == ENGINES[0] and here and setting not in here:
        return here[:1], stands_in(here[0], engine_problem(setting))
    return [setting], ""


def engine_for(setting: str, tell: Callable[[str], None]) -> str:
    """Return the first of these that can be imported, and import it; `tell` hears of one that stands in."""
    engines, line = engines_for(setting)
    if line:
        tell(line)
    first = engines[0]
    problem = import_problem(first)
    # who asks for another than the default by name gets that, or hears why not
    others = installed_engines() if problem and setting in (ENGINES[0], "auto") else []
    for engine in others:
        if engine != first and not import_problem(engine):
            tell(stands_in(engine, problem))
            return engine
    return first


def stands_in(engine: str, problem: str) -> str:
    """Return the line that tells why another engine serves."""
    return f"{engine} runs the models: {problem}."


def import_problem(engine: str) -> str:
    """Import what the engine needs, and return why that fails; empty when it does not."""
    if problem := engine_problem(engine):
        return problem
    try:
        module, name = _IMPORTS[engine]
        getattr(importlib.import_module(f"edge.engines.{module}"), name)()
    except ModelError as error:
        return str(error)
    return ""


def engine_version(engine: str) -> str:
    """Return the engine with the version of its package, 'mxnet 1.9.1', without importing it."""
    if engine not in _DRIVERS:
        raise ModelError(engine_problem(engine))
    try:
        return f"{engine} {metadata.version(_PACKAGES[engine])}"
    except metadata.PackageNotFoundError:
        return engine
