"""The base class of all engines: turns a picture into the input, and the outputs into labels."""

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import Backend
from edge.engines.preprocess import to_input, whole_square
from edge.errors import ModelError
from edge.importer.quantised import FLOAT32
from edge.models.calibration import in_force, void
from edge.models.calibration_file import Calibration
from edge.models.checkpoint import Checkpoint, InputSpec
from edge.models.confidence import calibrated
from edge.models.labels import read_label_file
from edge.stages import Frame, Prediction, Timing

_log = logging.getLogger(__name__)
_NO_MEMORY = (
    *("Failed to allocate", "AlignedMalloc", "bad_alloc", "Cannot allocate", "Resource temporarily unavailable"),
    "not enough memory",
)


_MOST_OFF = 0.01
"""Largest allowed error of the sum of probabilities in float32, which should be 1."""


class EngineClassifier(ABC):
    """A checkpoint run by an engine. Subclasses implement `_open`, `probabilities`, `enqueue_s` and `close`."""

    engine: str
    """The engine's name; once open, with the precision, as in 'onnx int8'."""
    precision: str
    """float32 or int8."""
    vendor: str
    """The engine's name in messages."""
    first_s: float
    parameters: int
    input: InputSpec
    """Preprocessing before `probabilities`: the checkpoint's, or less where the graph does part of it."""
    independent = False
    """Whether each label has an independent probability; otherwise labels exclude each other and sum to 1."""

    features: NDArray[np.float32] | None = None
    """The vector (float32, M) that went into the last layer in the last run; None unless opened with features."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        top: int,
        precision: str = FLOAT32,
        *,
        square: bool = False,
        features: bool = False,
    ) -> None:
        """Load and warm up the model. Raises ModelError, naming the file, if its files do not fit together.

        If `square`, `classify` looks at the largest square of a frame instead of the crop that the checkpoint states.
        With `features`, each run also gives `features`, and ModelError is raised if the last layer is not clear.
        """
        self._square, self._gives_features = square, features
        self.precision = precision
        self.engine = str(Backend(self.engine, precision))
        self.name = checkpoint.name
        self.timing = Timing(0.0, 0.0)
        self.input = checkpoint.input
        self._calibration = in_force(checkpoint)
        self.calibrated = self._calibration is not None
        if checkpoint.calibration and not self._calibration:
            _log.warning("%s", void(self.name))
        labels = read_label_file(checkpoint.synset)
        self._labels = labels.labels
        self._top = min(top, len(self._labels))
        if unknown := checkpoint.background - {label.id for label in self._labels}:
            raise ModelError(
                f"model {self.name}: background id {min(unknown)} of model.toml is not in {checkpoint.synset}"
            )
        try:
            outputs = self._open(checkpoint)
            self._check(outputs, checkpoint, labels.counted)
            if self.independent:
                # a temperature is fitted to probabilities that sum to 1
                self.calibrated, self._calibration = False, None
        except ModelError:
            self.close()
            raise

    def classify(self, frame: Frame) -> list[Prediction]:
        """Return the `top` most probable labels, best first, with calibrated probabilities where possible.

        Their sum is less than 1 by the probability that the frame shows none of the labels.
        """
        return self._classify(frame, whole_square(self.input) if self._square else self.input, self._calibration)

    def classify_uncalibrated(self, frame: Frame) -> list[Prediction]:
        """Return the same with the network's own probabilities, which no calibration changes."""
        return self._classify(frame, self.input, None)

    def _classify(self, frame: Frame, spec: InputSpec, calibration: Calibration | None) -> list[Prediction]:
        start = time.perf_counter()
        network_input = to_input(frame.pixels, spec)
        ready = time.perf_counter()
        probabilities = self.probabilities(network_input)
        self.timing = Timing(ready - start, time.perf_counter() - ready)
        # stable, so that labels of equal probability keep the network's order; no temperature changes it
        best = np.argsort(-probabilities, kind="stable")[: self._top]
        if calibration:
            probabilities = calibrated(probabilities, calibration)
        return [
            Prediction(self._labels[index].id, self._labels[index].name, float(probabilities[index])) for index in best
        ]

    @abstractmethod
    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""

    @abstractmethod
    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return how long the engine takes to accept one input; 0 if it computes before it returns."""

    @abstractmethod
    def close(self) -> None:
        """Release the model's memory to the system, so that another can be loaded. May be called twice."""

    @abstractmethod
    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        """Load and run the model once; return the probabilities for a black picture.

        Sets `parameters` and `first_s`.
        """

    def _keep_features(self, found: NDArray[np.float32]) -> None:
        """Set `features` to the input of the last layer: 1 x M, or 1 x M x height x width for a convolution."""
        # for a convolution over more than one place, the mean: what is in view counts, and not where
        self.features = found[0] if found.ndim == 2 else found[0].reshape(len(found[0]), -1).mean(axis=1)

    def _run_first(self) -> NDArray[np.float32]:
        """Return the probabilities for a black picture; this first run makes the engine prepare its layers."""
        start = time.perf_counter()
        outputs = self.probabilities(np.zeros((1, self.input.planes, self.input.size, self.input.size), np.float32))
        self.first_s = time.perf_counter() - start
        return outputs

    def _check(self, outputs: NDArray[np.float32], checkpoint: Checkpoint, counted: str) -> None:
        if outputs.shape != (len(self._labels),):
            raise ModelError(
                f"model {self.name}: {checkpoint.synset} has {counted}, "
                f"but the model has {' x '.join(map(str, outputs.shape))} outputs; use the labels it was trained with"
            )
        open_set = self._calibration.open_set if self._calibration else None
        if open_set and len(open_set.weights) != len(outputs):
            raise ModelError(
                f"model {self.name}: its open_set has {len(open_set.weights)} weights, but the model has "
                f"{len(outputs)} outputs; calibrate it again with edge models calibrate"
            )
        if not np.isfinite(outputs).all():
            raise ModelError(
                f"model {self.name}: a black image gives nan; {checkpoint.params} is damaged, copy it again"
            )
        if self.independent:
            return
        if len(outputs) == 1:
            raise ModelError(
                f"{checkpoint.symbol}: has one output, and a softmax of one number is always 1; a network with one "
                "output must end in a sigmoid"
            )
        if abs(float(outputs.sum(dtype=np.float64)) - 1) > _MOST_OFF:
            raise ModelError(
                f"{checkpoint.symbol}: its probabilities sum to {float(outputs.sum()):.3g} instead of 1; a softmax at "
                "the end has to run over all labels"
            )

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except ModelError:
            raise
        except Exception as error:
            # an odd file may make the vendor's code raise any exception
            said = first_line(error)
            if lacks_memory(error):
                raise ModelError(
                    f"model {self.name}: there is not enough memory for it ({said}); choose a smaller model, or stop "
                    "other programs"
                ) from error
            raise ModelError(f"model {self.name}: {self.vendor} cannot run it: {said}") from error


def lacks_memory(error: Exception) -> bool:
    """Return whether an engine failed for lack of memory."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def first_line(error: Exception) -> str:
    """Return the message of an engine's error, without its stack trace."""
    text = str(error) if str(error) else type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # OpenVINO begins with the place in its source code
    lines = [line for line in lines if not line.startswith("Exception from ")] or lines
    said = [line for line in lines if "Check failed" in line or "Error" in line] or lines or ["unknown reason"]
    return said[0].split("Check failed: ")[-1].rstrip(":")[:160]
