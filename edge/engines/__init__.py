"""What computes: one driver an engine, and how engines are measured and compared."""

import importlib
from collections.abc import Callable
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import ENGINES, GRAPH_ENGINES, Backend
from edge.errors import ModelError
from edge.host.installation import FEATURES, how_to_get
from edge.host.libraries import is_installed
from edge.importer import params
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint, InputSpec
from edge.stages import Classifier, Frame, Prediction

__all__ = [
    "DEFAULT_BACKEND",
    "ENGINES",
    "GRAPH_ENGINES",
    "UNFUSED",
    "Network",
    "check_finite",
    "engine_for",
    "engine_problem",
    "engine_version",
    "engines_for",
    "import_problem",
    "installed_engines",
    "open_classifier",
    "precision_problem",
    "stands_in",
]

DEFAULT_BACKEND = Backend(ENGINES[0])
_DRIVERS = {
    "mxnet": "edge.engines.mxnet:MxnetClassifier",
    "onnx": "edge.engines.onnx:OnnxClassifier",
    "openvino": "edge.engines.openvino:OpenvinoClassifier",
    "unfused": "edge.engines.unfused:UnfusedClassifier",
    "module": "edge.engines.module:ModuleClassifier",
}
"""The module of each driver and its class. Nobody sets `unfused`: it runs what mxnet is asked for where the fusion is
not right (agreement.py). `module` is only for comparison."""
UNFUSED = "unfused"
_PACKAGES = {"mxnet": "mxnet", "onnx": "onnxruntime", "openvino": "openvino"}
_PACKAGES |= dict.fromkeys(("unfused", "module"), "mxnet")

_IMPORTS = {
    "onnx": "edge.engines.onnx:import_onnxruntime",
    "openvino": "edge.engines.openvino:import_openvino",
    **dict.fromkeys(("mxnet", "unfused", "module"), "edge.engines.mxnet_compat:import_mxnet"),
}


class Network(Classifier, Protocol):
    """A classifier with what a measurement asks besides."""

    first_s: float
    """How long the first forward took, in which the engine prepares its kernels."""
    parameters: int
    """How many numbers the network has learnt."""
    input: InputSpec
    """How a picture becomes what `probabilities` takes: the checkpoint's, or less where the network does the rest."""
    independent: bool
    """Whether each label has a probability of its own; else they exclude each other, and come to 1."""

    def classify_uncalibrated(self, frame: Frame) -> list[Prediction]:
        """Return what `classify` does, with the probabilities as they are before calibration."""

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return how long the engine takes to accept one input (float32 1 x 3 x size x size), not to compute it.

        0 for one that computes before it returns.
        """


def open_classifier(checkpoint: Checkpoint, backend: Backend = DEFAULT_BACKEND, top: int = 5) -> Network:
    """Load a checkpoint and run it once, so that the first real frame is as fast as the others.

    `top` is how many labels `classify` returns; int8 is a precision of the engines onnx and openvino only. Raises
    ModelError when the files are broken or at odds, the memory is not enough, or there is no such engine, or it is not
    installed, or there is no int8 version of the checkpoint.
    """
    if backend.engine not in _DRIVERS or precision_problem(backend):
        raise ModelError(engine_problem(backend.engine) or precision_problem(backend))
    network: Network = _named(_DRIVERS[backend.engine])(checkpoint, top, backend.precision)
    return network


def precision_problem(backend: Backend) -> str:
    """Return why the engine cannot compute in this precision, in one line; empty when it can."""
    if backend.precision == FLOAT32 or backend.engine in GRAPH_ENGINES:
        return ""
    return f"{backend.engine} cannot compute in {backend.precision}; {' and '.join(GRAPH_ENGINES)} can ([model] engine)"


def check_finite(checkpoint: Checkpoint) -> None:
    """Raise ModelError, naming the array, when a parameter is nan or infinite, or the file cannot be read.

    Reads all of them, keeps none.
    """
    params.check_finite(params.open_params(checkpoint.params), checkpoint.params)


def engine_problem(engine: str) -> str:
    """Return why an engine cannot run, in one line; empty when it can. Does not import it."""
    if engine not in _DRIVERS:
        return f"there is no engine {engine}; known: {', '.join(ENGINES)}"
    package = _PACKAGES[engine]
    if is_installed(package):
        return ""
    brings = how_to_get(package) if package in FEATURES else "run ./scripts/run, which installs it"
    return f"{package} is not installed; {brings}"


def installed_engines() -> list[str]:
    """Return those that a daemon may run and whose package is here, the default first. Imports none."""
    return [engine for engine in ENGINES if not engine_problem(engine)]


def engines_for(setting: str, precision: str = FLOAT32) -> tuple[list[str], str]:
    """Return the engines that [model] engine stands for, at least one, and a line for people where one stands in.

    Imports none. An engine that is asked for by name and not installed is returned all the same: opening it says why.
    """
    here = installed_engines()
    if setting == "auto":
        able = [engine for engine in ENGINES if not precision_problem(Backend(engine, precision))]
        return [engine for engine in here if engine in able] or able[:1], ""
    if setting == ENGINES[0] and here and setting not in here:
        return here[:1], stands_in(here[0], engine_problem(setting))
    return [setting], ""


def engine_for(setting: str, tell: Callable[[str], None], precision: str = FLOAT32) -> str:
    """Return the first of these that can be imported, and import it; `tell` hears of one that stands in."""
    engines, line = engines_for(setting, precision)
    if line:
        tell(line)
    first = engines[0]
    problem = import_problem(first)
    # who asks for another than the default by name gets that, or hears why not
    others = installed_engines() if problem and setting in (ENGINES[0], "auto") else []
    for engine in others:
        if engine != first and not precision_problem(Backend(engine, precision)) and not import_problem(engine):
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
        _named(_IMPORTS[engine])()
    except ModelError as error:
        return str(error)
    return ""


def engine_version(backend: Backend) -> str:
    """Return a backend with the version of the engine's package, 'onnx 1.20.0 int8', without importing it.

    float32 is not mentioned: 'mxnet 1.9.1'. Raises ModelError for an engine that is not known.
    """
    if backend.engine not in _DRIVERS:
        raise ModelError(engine_problem(backend.engine))
    try:
        version = metadata.version(_PACKAGES[backend.engine])
    except metadata.PackageNotFoundError:
        return str(backend)
    return str(Backend(f"{backend.engine} {version}", backend.precision))


def _named(name: str) -> Any:
    """What a 'module:attribute' is the name of; imports the module."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
