"""MXNet runs its own checkpoints."""

import contextlib
import gc
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.classifier import EngineClassifier, first_line, lacks_memory
from edge.engines.memory import give_back_code, give_back_free_memory, give_back_large_blocks, keep_large_blocks
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.mxnet_params import MappedParams
from edge.errors import ModelError
from edge.importer import params
from edge.models.checkpoint import Checkpoint

_SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "Softmax")
_SHAPE_ONLY = ("Flatten", "flatten", "Reshape", "reshape", "identity", "_copy", "Cast")
_LIBRARY = "libmxnet.so"
_ONE_AT_A_TIME = threading.Lock()
"""MXNet is not made for calls from two threads at once, as when a network is loaded beside the one that runs. Each step
of loading is short, so that frames go on between them."""
_SMALL = 64 * 1024
"""Bytes. Arrays below it stay in memory: together they are little, and some are read at each frame."""


class MxnetClassifier(EngineClassifier):
    """A checkpoint bound for inference, its weights in memory once.

    What keeps memory low, with the largest resident memory for Inception v3, ResNet-152, VGG-16 (x86_64, MiB):

        580  1161  2314   mx.mod.Module
        402   690  1262   bind the loaded arrays themselves
        309   464   740   map the weights from the file, drop them as the layers copy them
        290   432   739   let free() give back large blocks: MXNet folds BatchNorm into copies that it frees again
        273   414   717   import less (mxnet_compat.py)
        234   378   677   drop the code that only ran at the start

    The time of a frame is that of mx.mod.Module. Doing without the fusion of layers (MXNET_SUBGRAPH_BACKEND=NONE) saves
    as much as mapping the weights, but makes ResNet-152 7 % slower, even with BatchNorm folded beforehand.
    """

    engine = "mxnet"
    vendor = "MXNet"
    _mx: Any = None

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""
        with _ONE_AT_A_TIME, self._translated_errors():
            self._feed(network_input)
            # forward() only queues the work: asnumpy() waits for it, so any timing must include it
            scores: NDArray[np.float32] = self._forward().asnumpy()[0]
        if self._has_softmax:
            return scores
        exponentials = np.exp(scores - np.max(scores))
        probabilities: NDArray[np.float32] = (exponentials / exponentials.sum()).astype(np.float32)
        return probabilities

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return the seconds until forward() returns: it has only queued the work then, which many take for its time.

        The work is done when this returns.
        """
        with _ONE_AT_A_TIME, self._translated_errors():
            self._feed(network_input)
            start = time.perf_counter()
            output = self._forward()
            spent = time.perf_counter() - start
            output.wait_to_read()
        return spent

    def close(self) -> None:
        """Give the network's memory back to the system, so that another can be loaded. May be called twice."""
        with _ONE_AT_A_TIME:
            self._forget()
            gc.collect()
            if self._mx is not None:
                # MXNet frees in a thread of its own, after what is queued before; what was amiss there has been told
                with contextlib.suppress(*self._vendor_errors):
                    self._mx.nd.waitall()
        give_back_free_memory()

    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        self._has_softmax = _ends_in_softmax(checkpoint.symbol)
        self._mx = import_mxnet()
        self._vendor_errors = (self._mx.MXNetError, MemoryError)
        with self._translated_errors():
            return self._load(self._mx, checkpoint)

    # What an engine that uses MXNet in another way replaces (engines/module.py).

    def _load(self, mx: Any, checkpoint: Checkpoint) -> NDArray[np.float32]:
        """Load, bind and run once; return the probabilities for a black picture. Sets `parameters` and `first_s`."""
        give_back_large_blocks()
        give_back_code(_LIBRARY)
        mapped = MappedParams.open(checkpoint.params)
        with _ONE_AT_A_TIME:
            self._executor, self._input = _bind(mx, checkpoint, mapped)
            arrays = {**self._executor.arg_dict, **self._executor.aux_dict}
        self.parameters = sum(int(array.size) for name, array in arrays.items() if not _is_fed(name))
        with mapped.dropping() if mapped else contextlib.nullcontext():
            outputs = self._run_first()
        give_back_free_memory()
        give_back_code(_LIBRARY)
        keep_large_blocks()
        return outputs

    def _feed(self, network_input: NDArray[np.float32]) -> None:
        """Hand over the input of the next `_forward`."""
        self._input[:] = network_input

    def _forward(self) -> Any:
        """Queue the work and return MXNet's array of outputs (1 x N), which is not filled yet."""
        return self._executor.forward(is_train=False)[0]

    def _forget(self) -> None:
        """Drop all that belongs to the network."""
        self._executor = self._input = None


def check_finite(checkpoint: Checkpoint) -> None:
    """Raise ModelError, naming the array, when a parameter is nan or infinite. Reads all of them, keeps none."""
    mapped = MappedParams.open(checkpoint.params)
    if mapped is not None:
        params.check_finite(mapped, checkpoint.params)
        return
    for name, array in _read_params(import_mxnet(), checkpoint).items():
        params.check_array(name, array.asnumpy(), checkpoint.params)


def _bind(mx: Any, checkpoint: Checkpoint, mapped: MappedParams | None = None) -> tuple[Any, Any]:
    """Return (executor, its input array). The parameters are those of `mapped`, or are read from the file."""
    symbol, weights, states = _read(mx, checkpoint, mapped)
    if len(symbol.list_outputs()) != 1:
        raise ModelError(f"{checkpoint.symbol}: a classifier has one output, this has {len(symbol.list_outputs())}")
    missing = [name for name in symbol.list_arguments() if name not in weights and not _is_fed(name)]
    missing += [name for name in symbol.list_auxiliary_states() if name not in states]
    if missing:
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
            f"{checkpoint.symbol}: does not take a picture of {size} x {size} pixels: {first_line(error)}; "
            "check the input size"
        ) from error
    arguments: dict[str, Any] = {}
    for name, shape in zip(symbol.list_arguments(), shapes, strict=True):
        # only the input, and the label that a training head keeps asking for, are not in the file
        arguments[name] = weights[name] if name in weights else mx.nd.zeros(shape)
        _check_shape(checkpoint, name, arguments[name].shape, shape)
    for name, shape in zip(symbol.list_auxiliary_states(), state_shapes, strict=True):
        _check_shape(checkpoint, name, states[name].shape, shape)

    executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    if mapped is not None and (read := _read_at_each_frame(executor)):
        # without oneDNN these are all; they are needed for good, so no file must lie behind them
        arguments |= {name: arguments[name].copy() for name in read if name in weights}
        executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    return executor, arguments["data"]


def _read(mx: Any, checkpoint: Checkpoint, mapped: MappedParams | None) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return (symbol, weights by name, auxiliary states by name).

    This is mx.model.load_checkpoint in its two halves, so that an error can name the file.
    """
    try:
        symbol = mx.sym.load(str(checkpoint.symbol))
    except mx.MXNetError as error:
        raise ModelError(f"{checkpoint.symbol}: not a symbol of MXNet: {first_line(error)}; copy it again") from error
    if mapped is None:
        arrays = _read_params(mx, checkpoint)
    else:
        arrays = {
            name: mx.nd.from_numpy(array, zero_copy=array.nbytes >= _SMALL) for name, array in mapped.arrays.items()
        }
    weights: dict[str, Any] = {}
    states: dict[str, Any] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        {"arg": weights, "aux": states}.get(kind, {})[name] = array
    return symbol, weights, states


def _read_params(mx: Any, checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        arrays = mx.nd.load(str(checkpoint.params))
    except (mx.MXNetError, UnicodeDecodeError) as error:
        if lacks_memory(error):
            raise
        raise ModelError(
            f"{checkpoint.params}: truncated, or not parameters of MXNet: {first_line(error)}; copy it again"
        ) from error
    if not isinstance(arrays, dict):
        raise ModelError(f"{checkpoint.params}: its arrays have no names; save it with mx.model.save_checkpoint")
    return arrays


def _read_at_each_frame(executor: Any) -> set[str]:
    """Return the inputs of those layers that do not make a copy of their weights at the first frame.

    The layers that oneDNN computes do; their operators have _sg_mkldnn_ in front. debug_str lists the bound layers,
    each as `Op:` operator, `Name=`..., and below it a line `arg[0]=` name `(0)` for each input.
    """
    read: set[str] = set()
    copies = False
    for line in executor.debug_str().splitlines():
        text = line.strip()
        if text.startswith("Op:"):
            copies = text.startswith("Op:_sg_mkldnn_")
        elif text.startswith("arg[") and not copies:
            read.add(text.partition("=")[2].partition("(")[0])
    return read


def _is_fed(name: str) -> bool:
    """Whether an argument is the input, or the label that a training head keeps asking for."""
    return name == "data" or name.endswith("label")


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
