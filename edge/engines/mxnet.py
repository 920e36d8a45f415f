"""MXNet runs its own checkpoints."""

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint
from edge.models.labels import read_labels
from edge.stages import Frame, Prediction, Timing

_SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "Softmax")
_SHAPE_ONLY = ("Flatten", "flatten", "Reshape", "reshape", "identity", "_copy", "Cast")


class MxnetClassifier:
    """A checkpoint bound for inference. The loaded arrays are the bound ones: the weights are in memory once."""

    engine = "mxnet"

    def __init__(self, checkpoint: Checkpoint, top: int) -> None:
        """Load, bind and warm up. Raises ModelError, naming the file, for whatever does not fit together."""
        self.name = checkpoint.name
        self.timing = Timing(0.0, 0.0)
        self._spec = checkpoint.input
        self._labels = read_labels(checkpoint.synset)
        self._top = min(top, len(self._labels))
        if unknown := checkpoint.background - {label.id for label in self._labels}:
            raise ModelError(
                f"model {self.name}: background id {min(unknown)} of model.toml is not in {checkpoint.synset}"
            )
        self._has_softmax = _ends_in_softmax(checkpoint.symbol)
        mx = import_mxnet()
        self._executor, self._input = _bind(mx, checkpoint)
        size = self._spec.size
        outputs = self.probabilities(np.zeros((1, 3, size, size), np.float32))
        if outputs.shape != (len(self._labels),):
            raise ModelError(
                f"model {self.name}: {checkpoint.synset} has {len(self._labels)} labels, but the network has "
                f"{' x '.join(map(str, outputs.shape))} outputs; use the labels it was trained with"
            )
        if not np.isfinite(outputs).all():
            raise ModelError(
                f"model {self.name}: a black picture gives nan; {checkpoint.params} is damaged, copy it again"
            )

    def classify(self, frame: Frame) -> list[Prediction]:
        """Return the `top` most probable labels, best first."""
        start = time.perf_counter()
        network_input = to_input(frame.pixels, self._spec)
        ready = time.perf_counter()
        probabilities = self.probabilities(network_input)
        self.timing = Timing(ready - start, time.perf_counter() - ready)
        # stable, so that labels of the same probability keep the network's order
        best = np.argsort(-probabilities, kind="stable")[: self._top]
        return [
            Prediction(self._labels[index].id, self._labels[index].name, float(probabilities[index])) for index in best
        ]

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each label (float32, N) for one input (float32 1 x 3 x size x size)."""
        self._input[:] = network_input
        # forward() only queues the work: asnumpy() waits for it, so any timing must include it
        scores: NDArray[np.float32] = self._executor.forward(is_train=False)[0].asnumpy()[0]
        if self._has_softmax:
            return scores
        exponentials = np.exp(scores - np.max(scores))
        probabilities: NDArray[np.float32] = (exponentials / exponentials.sum()).astype(np.float32)
        return probabilities

    def close(self) -> None:
        """Drop the network; its memory goes with the last reference."""
        self._executor = self._input = None


def _bind(mx: Any, checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return (executor, its input array)."""
    symbol, weights, states = _load(mx, checkpoint)
    if len(symbol.list_outputs()) != 1:
        raise ModelError(f"{checkpoint.symbol}: a classifier has one output, this has {len(symbol.list_outputs())}")
    free = [name for name in symbol.list_arguments() if name not in weights and not name.endswith("label")]
    if "data" in free:
        free.remove("data")
    if free or [name for name in symbol.list_auxiliary_states() if name not in states]:
        missing = [*free, *(name for name in symbol.list_auxiliary_states() if name not in states)]
        raise ModelError(
            f"{checkpoint.params}: {len(missing)} of the network's parameters are missing, the first is {missing[0]}; "
            f"are both files of the same checkpoint?"
        )
    size = checkpoint.input.size
    try:
        # it prints what it then raises
        with contextlib.redirect_stdout(io.StringIO()):
            shapes, _, state_shapes = symbol.infer_shape(data=(1, 3, size, size))
    except mx.MXNetError as error:
        raise ModelError(
            f"{checkpoint.symbol}: does not take a picture of {size} x {size} pixels: {_first_line(error)}; "
            "check the input size"
        ) from error
    arguments: dict[str, Any] = {}
    for name, shape in zip(symbol.list_arguments(), shapes, strict=True):
        # only the input, and the label that a training head keeps asking for, are not in the file
        arguments[name] = weights[name] if name in weights else mx.nd.zeros(shape)
        _check_shape(checkpoint, name, arguments[name].shape, shape)
    for name, shape in zip(symbol.list_auxiliary_states(), state_shapes, strict=True):
        _check_shape(checkpoint, name, states[name].shape, shape)
    try:
        executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    except mx.MXNetError as error:
        raise ModelError(f"{checkpoint.symbol}: MXNet cannot run it: {_first_line(error)}") from error
    return executor, arguments["data"]


def _load(mx: Any, checkpoint: Checkpoint) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return (symbol, weights by name, auxiliary states by name).

    This is mx.model.load_checkpoint in its two halves, so that an error can name the file.
    """
    try:
        symbol = mx.sym.load(str(checkpoint.symbol))
    except mx.MXNetError as error:
        raise ModelError(f"{checkpoint.symbol}: not a symbol of MXNet: {_first_line(error)}; copy it again") from error
    try:
        arrays = mx.nd.load(str(checkpoint.params))
    except (mx.MXNetError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{checkpoint.params}: truncated, or not parameters of MXNet: {_first_line(error)}; copy it again"
        ) from error
    weights: dict[str, Any] = {}
    states: dict[str, Any] = {}
    if not isinstance(arrays, dict):
        raise ModelError(f"{checkpoint.params}: its arrays have no names; save it with mx.model.save_checkpoint")
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        {"arg": weights, "aux": states}.get(kind, {})[name] = array
    return symbol, weights, states


def _check_shape(checkpoint: Checkpoint, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(found) != tuple(expected):
        raise ModelError(
            f"{checkpoint.params}: {name} has the shape {tuple(found)}, but the network with an input of "
            f"{checkpoint.input.size} pixels needs {tuple(expected)}; check the input size, and that the files belong "
            "together"
        )


def _ends_in_softmax(symbol: Path) -> bool:
    """Whether the network's last layer, but for changes of shape, makes probabilities."""
    try:
        graph = json.loads(symbol.read_text(encoding="utf-8"))
        nodes, index = graph["nodes"], graph["heads"][0][0]
        if any(source[0] >= number for number, node in enumerate(nodes) for source in node["inputs"]):
            raise ModelError(f"{symbol}: a layer feeds itself; copy it again")
        while nodes[index]["op"] in _SHAPE_ONLY:
            index = nodes[index]["inputs"][0][0]
        return nodes[index]["op"] in _SOFTMAX
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{symbol}: not a symbol of MXNet (JSON with nodes and heads); copy it again") from error


def _first_line(error: Exception) -> str:
    """The sentence in an MXNetError, without its stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "Check failed" in line or "Error" in line] or lines or ["unknown reason"]
    return said[0].split("Check failed: ")[-1].rstrip(":")[:160]
