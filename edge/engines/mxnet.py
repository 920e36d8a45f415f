"""The engine mxnet: MXNet runs its own checkpoints."""

import contextlib
import gc
import io
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.classifier import EngineClassifier, first_line
from edge.engines.memory import (
    give_back_code,
    give_back_free_memory,
    give_back_large_blocks,
    keep_large_blocks,
    repeatedly,
)
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.mxnet_symbol import load_symbol
from edge.errors import ModelError
from edge.host.noise import quiet
from edge.importer.description import Description, describe
from edge.importer.last_layer import Features, features_of
from edge.importer.params import Params, open_params
from edge.importer.symbol import Symbol, read_symbol
from edge.models.checkpoint import Checkpoint

_LIBRARY = "libmxnet.so"
_ONE_AT_A_TIME = threading.Lock()
"""MXNet does not support calls from two threads at once, as when a model is loaded while another runs. Each step of
loading is short, so frames are still classified between them."""
_SMALL = 64 * 1024
"""Bytes. Smaller arrays stay in memory: together they are small, and some are read at each frame."""
_DROP_EVERY_S = 0.003
"""Interval while layers copy their weights: at some GB/s, at most a dozen MiB of originals are in memory at a time."""
_BACKEND, _NOTHING = "MXNET_SUBGRAPH_BACKEND", "default"
"""The backend that fuses layers: MKLDNN unless set. NONE disables fusion, and prints that to stderr at each bind.
MXNet's `default` fuses only listed operators, here none, and prints nothing."""


class MxnetClassifier(EngineClassifier):
    """A checkpoint bound for inference, with its weights in memory only once.

    Measures that save memory, with peak resident memory of Inception v3, ResNet-152, VGG-16 (x86_64, MiB):

        580  1161  2314   mx.mod.Module
        402   690  1262   bind the loaded arrays themselves
        309   464   740   map the weights from the file, drop them as the layers copy them
        290   432   739   let free() return large blocks: MXNet folds BatchNorm into copies that it frees again
        273   414   717   import less (mxnet_compat.py)
        234   378   677   drop the code that only ran at the start

    The time per frame equals that of mx.mod.Module. Disabling layer fusion (MXNET_SUBGRAPH_BACKEND=NONE) saves as much
    as mapping the weights, but makes ResNet-152 7 % slower, even with BatchNorm folded beforehand.
    """

    engine = "mxnet"
    vendor = "MXNet"
    _fuses = True
    _mx: Any = None
    _features_name = ""
    """Name of the layer's output that is `features`; empty without features."""

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""
        with _ONE_AT_A_TIME, self._translated_errors():
            self._feed(network_input)
            # forward() only queues the work; asnumpy() waits for it, so every timing must include asnumpy()
            outputs: NDArray[np.float32] = self._forward().asnumpy()
            if self._features_name:
                self._keep_features(self._executor.outputs[1].asnumpy())
        # N x 1 x 1 and the like are a row too
        scores = outputs.reshape(-1) if outputs.size == max(outputs.shape, default=0) else outputs[0]
        if self._makes_probabilities:
            return scores
        exponentials = np.exp(scores - np.max(scores))
        probabilities: NDArray[np.float32] = (exponentials / exponentials.sum()).astype(np.float32)
        return probabilities

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return the seconds until forward() returns: often mistaken for its time, but it has only queued the work.

        The work is done when this method returns.
        """
        with _ONE_AT_A_TIME, self._translated_errors():
            self._feed(network_input)
            start = time.perf_counter()
            output = self._forward()
            spent = time.perf_counter() - start
            output.wait_to_read()
        return spent

    def close(self) -> None:
        """Release the model's memory to the system, so that another can be loaded. May be called twice."""
        with _ONE_AT_A_TIME:
            self._forget()
            gc.collect()
            if self._mx is not None:
                # MXNet frees memory in its own thread, after earlier work; errors of that work were reported before
                with contextlib.suppress(Exception):
                    self._mx.nd.waitall()
        give_back_free_memory()

    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        with self._translated_errors():
            structure = read_symbol(checkpoint.symbol)
            if self._gives_features:
                self._features_name = _output_name(structure, features_of(structure))
            stored = open_params(checkpoint.params)
            self._described = describe(checkpoint, structure, stored)
            self.input, self.independent = self._described.input, self._described.head.independent
            self._makes_probabilities = self._described.head.makes_probabilities
            self._mx = import_mxnet()
            return self._load(self._mx, checkpoint, stored)

    # Overridden by an engine that uses MXNet in another way (engines/module.py).

    def _load(self, mx: Any, checkpoint: Checkpoint, stored: Params) -> NDArray[np.float32]:
        """Load, bind and run the model once; return the probabilities for a black picture.

        Sets `parameters` and `first_s`.
        """
        give_back_large_blocks()
        give_back_code(_LIBRARY)
        with _ONE_AT_A_TIME, contextlib.nullcontext() if self._fuses else _without_fusion():
            with quiet():  # it reports each upgrade of an old file's format
                self._executor, self._input = _bind(mx, checkpoint, self._described, stored, self._features_name)
            arrays = {**self._executor.arg_dict, **self._executor.aux_dict}
        fed = {self._described.name, *self._described.labels}
        self.parameters = sum(int(array.size) for name, array in arrays.items() if name not in fed)
        # with oneDNN, each layer copies its weights into a layout that suits the CPU and never reads the original
        # again: a page of the file is read when it is copied
        with repeatedly(stored.drop, _DROP_EVERY_S):
            outputs = self._run_first()
        give_back_free_memory()
        give_back_code(_LIBRARY)
        keep_large_blocks()
        return outputs

    def _feed(self, network_input: NDArray[np.float32]) -> None:
        """Set the input of the next `_forward`."""
        self._input[:] = network_input

    def _forward(self) -> Any:
        """Queue the work and return MXNet's output array (1 x N), which is not filled yet."""
        return self._executor.forward(is_train=False)[0]

    def _forget(self) -> None:
        """Drop all references to the network."""
        self._executor = self._input = None


@contextlib.contextmanager
def _without_fusion() -> Iterator[None]:
    """Disable fusion for networks bound in this context: they are computed layer by layer, as written."""
    before = os.environ.get(_BACKEND)
    os.environ[_BACKEND] = _NOTHING
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BACKEND]
        else:
            os.environ[_BACKEND] = before


def _output_name(structure: Symbol, features: Features) -> str:
    """Return MXNet's name of a node's output."""
    node = structure.nodes[features.node]
    if features.port:
        raise ModelError(f"{node.where}: its output {features.port} goes into the last layer, which is not supported")
    return f"{node.name}_output"


def _bind(mx: Any, checkpoint: Checkpoint, described: Description, stored: Params, extra: str = "") -> tuple[Any, Any]:
    """Return (executor, its input array); `extra` names a layer's output that is to be the second one, if any."""
    symbol = load_symbol(mx, checkpoint.symbol)
    if len(symbol.list_outputs()) != 1:
        raise ModelError(f"{checkpoint.symbol}: a classifier has one output, this has {len(symbol.list_outputs())}")
    arguments = _arrays_of(mx, checkpoint, stored, "arg", symbol.list_arguments())
    states = _arrays_of(mx, checkpoint, stored, "aux", symbol.list_auxiliary_states())
    fed = {described.name, *described.labels}
    missing = [name for name in symbol.list_arguments() if name not in arguments and name not in fed]
    missing += [name for name in symbol.list_auxiliary_states() if name not in states]
    if missing:
        raise ModelError(
            f"{checkpoint.params}: {len(missing)} of the network's parameters are missing, the first is {missing[0]}; "
            "check that both files are of the same checkpoint"
        )
    size = described.input.size
    try:
        # it prints its error before it raises it
        with contextlib.redirect_stdout(io.StringIO()):
            picture = {described.name: (1, described.input.planes, size, size)}
            shapes, outputs, state_shapes = symbol.infer_shape(**picture)
            if outputs and len(outputs[0]) == 4 and described.head.makes_probabilities:
                symbol = load_symbol(mx, checkpoint.symbol, over_channels=True)
                shapes, _, state_shapes = symbol.infer_shape(**picture)
    except Exception as error:
        raise ModelError(
            f"{checkpoint.symbol}: does not take an image of {size} x {size} pixels: {first_line(error)}; "
            "check the input size"
        ) from error
    if shapes is None:
        raise ModelError(f"{checkpoint.symbol}: the files do not give the shapes of all layers; copy them again")
    if extra:
        symbol = mx.sym.Group([symbol, symbol.get_internals()[extra]])
    weights = set(arguments)
    for name, shape in zip(symbol.list_arguments(), shapes, strict=True):
        # only the input, and the label input of a training head, are not in the file
        if name not in arguments:
            arguments[name] = mx.nd.zeros(shape)
        _check_shape(checkpoint, name, arguments[name].shape, shape)
    for name, shape in zip(symbol.list_auxiliary_states(), state_shapes, strict=True):
        _check_shape(checkpoint, name, states[name].shape, shape)

    executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    if read := _read_at_each_frame(executor):
        # without oneDNN these are all inputs; they are needed permanently, so they must not be mapped from a file
        arguments |= {name: arguments[name].copy() for name in read if name in weights}
        executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    return executor, arguments[described.name]


def _arrays_of(mx: Any, checkpoint: Checkpoint, stored: Params, kind: str, names: list[str]) -> dict[str, Any]:
    """Return the named arrays that the file has, in float32: memory-mapped if they are float32 in the file."""
    found = {}
    for name in names:
        key = f"{kind}:{name}"
        if what := stored.unusable.get(key):
            raise ModelError(f"{checkpoint.params}: {name[:80]!r} {what}")
        if (array := stored.arrays.get(key)) is None:
            continue
        as_it_is = array.dtype == np.float32
        found[name] = mx.nd.from_numpy(
            array if as_it_is else array.astype(np.float32), zero_copy=as_it_is and array.nbytes >= _SMALL
        )
    return found


def _read_at_each_frame(executor: Any) -> set[str]:
    """Return the inputs of the layers that do not copy their weights at the first frame.

    Layers computed by oneDNN do copy them; their operators begin with _sg_mkldnn_. debug_str lists the bound layers,
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


def _check_shape(checkpoint: Checkpoint, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(found) != tuple(expected):
        raise ModelError(
            f"{checkpoint.params}: {name} has the shape {tuple(found)}, but the network with an input of "
            f"{checkpoint.input.size} pixels needs {tuple(expected)}; check the input size, and that the files belong "
            "together"
        )
