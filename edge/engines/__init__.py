"""The engines: one driver each, and how they are measured and compared."""

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import ABLE, ENGINES, GRAPH_ENGINES, INT8_ENGINES, Backend
from edge.errors import ModelError
from edge.host.installation import FEATURES, how_to_get
from edge.host.libraries import installed_version, is_installed
from edge.importer import params
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint, InputSpec
from edge.stages import Classifier, Frame, Prediction

__all__ = [
    "DEFAULT_BACKEND",
    "ENGINES",
    "GRAPH_ENGINES",
    "INT8_ENGINES",
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
    "ncnn": "edge.engines.ncnn:NcnnClassifier",
    "unfused": "edge.engines.unfused:UnfusedClassifier",
    "module": "edge.engines.module:ModuleClassifier",
}
"""Module and class of each driver. `unfused` is not a setting: it replaces mxnet where the fusion computes wrong
numbers (agreement.py). `module` is only for comparison."""
UNFUSED = "unfused"
_PACKAGES = {"mxnet": "mxnet", "onnx": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn"}
_PACKAGES |= dict.fromkeys(("unfused", "module"), "mxnet")

_IMPORTS = {
    "onnx": "edge.engines.onnx:import_onnxruntime",
    "openvino": "edge.engines.openvino:import_openvino",
    "ncnn": "edge.engines.ncnn:import_ncnn",
    **dict.fromkeys(("mxnet", "unfused", "module"), "edge.engines.mxnet_compat:import_mxnet"),
}


class Network(Classifier, Protocol):
    """A classifier with the additional methods that measurements need."""

    first_s: float
    """Duration of the first forward pass, in which the engine prepares its kernels."""
    parameters: int
    """The number of learnt parameters."""
    input: InputSpec
    """Preprocessing before `probabilities`: the checkpoint's, or less where the graph does part of it."""
    independent: bool
    """Whether each label has an independent probability; otherwise labels exclude each other and sum to 1."""

    features: NDArray[np.float32] | None
    """The vector (float32, M) that went into the last layer in the last run; None unless opened with features."""

    def classify_uncalibrated(self, frame: Frame) -> list[Prediction]:
        """Return the same as `classify`, with probabilities before calibration."""

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return how long the engine takes to accept one input (float32 1 x 3 x size x size), not to compute it.

        0 for an engine that computes before it returns.
        """


def open_classifier(
    checkpoint: Checkpoint,
    backend: Backend = DEFAULT_BACKEND,
    top: int = 5,
    *,
    square: bool = False,
    features: bool = False,
) -> Network:
    """Load a checkpoint and run it once, so that the first real frame is as fast as the others.

    `top` is how many labels `classify` returns. If `square`, it looks at the largest square of a frame instead of the
    crop that the checkpoint states. With `features`, each run also gives the network's features. Only the engines onnx
    and openvino support int8, and only ncnn float16. Raises ModelError if the files are broken or inconsistent, the
    memory is too small, the engine is unknown or not installed, the checkpoint has no int8 version, or it has no clear
    last layer for features.
    """
    if backend.engine not in _DRIVERS or precision_problem(backend):
        raise ModelError(engine_problem(backend.engine) or precision_problem(backend))
    network: Network = _named(_DRIVERS[backend.engine])(
        checkpoint, top, backend.precision, square=square, features=features
    )
    return network


def precision_problem(backend: Backend) -> str:
    """Return why the engine does not support this precision, in one line; empty if it does."""
    able = ABLE.get(backend.precision, ())
    # the drivers without a setting are mxnet's, in float32
    if backend.engine in able or backend.precision == FLOAT32:
        return ""
    return f"{backend.engine} cannot compute in {backend.precision}; {' and '.join(able)} can ([model] engine)"


def check_finite(checkpoint: Checkpoint) -> None:
    """Raise ModelError, naming the array, if a parameter is nan or infinite, or the file cannot be read.

    Reads all parameters and keeps none in memory.
    """
    params.check_finite(params.open_params(checkpoint.params), checkpoint.params)


def engine_problem(engine: str) -> str:
    """Return why an engine cannot run, in one line; empty if it can. Does not import it."""
    if engine not in _DRIVERS:
        return f"there is no engine {engine}; known: {', '.join(ENGINES)}"
    package = _PACKAGES[engine]
    if is_installed(package):
        return ""
    brings = how_to_get(package) if package in FEATURES else "run ./scripts/run, which installs it"
    return f"{package} is not installed; {brings}"


def installed_engines() -> list[str]:
    """Return the engines that the daemon may run and whose package is installed, default first. Imports none."""
    return [engine for engine in ENGINES if not engine_problem(engine)]


def engines_for(setting: str, precision: str = FLOAT32) -> tuple[list[str], str]:
    """Return the engines for a value of [model] engine, at least one, and a line to report a replacement.

    Imports none. An engine set by name is returned even if it is not installed: opening it raises the reason.
    """
    here = installed_engines()
    if setting == "auto":
        able = [engine for engine in ENGINES if not precision_problem(Backend(engine, precision))]
        return [engine for engine in here if engine in able] or able[:1], ""
    if setting == ENGINES[0] and here and setting not in here:
        return here[:1], stands_in(here[0], engine_problem(setting))
    return [setting], ""


def engine_for(setting: str, tell: Callable[[str], None], precision: str = FLOAT32) -> str:
    """Return the first of these engines that can be imported, and import it; `tell` gets a line on a replacement."""
    engines, line = engines_for(setting, precision)
    if line:
        tell(line)
    first = engines[0]
    problem = import_problem(first)
    # an engine other than the default that is set by name is used, or the reason is raised
    others = installed_engines() if problem and setting in (ENGINES[0], "auto") else []
    for engine in others:
        if engine != first and not precision_problem(Backend(engine, precision)) and not import_problem(engine):
            tell(stands_in(engine, problem))
            return engine
    return first


def stands_in(engine: str, problem: str) -> str:
    """Return the line that says why another engine is used."""
    return f"{engine} runs the models: {problem}."


def import_problem(engine: str) -> str:
    """Import the engine's package and return why that fails; empty if it succeeds."""
    if problem := engine_problem(engine):
        return problem
    try:
        _named(_IMPORTS[engine])()
    except ModelError as error:
        return str(error)
    return ""


def engine_version(backend: Backend) -> str:
    """Return a backend with the version of the engine's package, 'onnx 1.20.0 int8', without importing it.

    float32 is omitted: 'mxnet 1.9.1'. Raises ModelError for an unknown engine.
    """
    if backend.engine not in _DRIVERS:
        raise ModelError(engine_problem(backend.engine))
    version = installed_version(_PACKAGES[backend.engine])
    return str(Backend(f"{backend.engine} {version}" if version else backend.engine, backend.precision))


def _named(name: str) -> Any:
    """Return the object named by 'module:attribute'; imports the module."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
