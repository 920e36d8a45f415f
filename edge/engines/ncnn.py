"""The engine ncnn: it runs the graph that the importer makes from a checkpoint, in ncnn's own form."""

import contextlib
import gc
import importlib
import os
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.graph import GraphClassifier
from edge.engines.memory import give_back_free_memory, give_back_large_blocks, keep_large_blocks
from edge.errors import ModelError
from edge.host.installation import how_to_get
from edge.host.noise import quiet
from edge.importer.description import DATA
from edge.importer.graph import FEATURES, NCNN
from edge.importer.quantised import FLOAT16
from edge.models.checkpoint import Checkpoint

_SPINS = "GOMP_SPINCOUNT"
_SPIN_COUNTS = {"x86_64": 3_000, "aarch64": 60_000}
"""How often a thread looks before it sleeps. x86's loop has a pause of 25 to 40 ns, ARM's six plain instructions."""
_OUT_OF_MEMORY = -100
"""What a layer of ncnn returns if it gets no memory."""


def import_ncnn() -> Any:
    """Return the module ncnn. Raises ModelError, in one line, if it cannot be imported."""
    try:
        with _briefly_spinning_threads():
            return importlib.import_module("ncnn")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(f"ncnn cannot be imported: {error}; {how_to_get('ncnn')}") from error


@contextlib.contextmanager
def _briefly_spinning_threads() -> Iterator[None]:
    """Make the threads of an OpenMP library that is loaded now wait for each other for a tenth of a ms, and then sleep.

    Threads that sleep at once are woken for each layer: EfficientNet-Lite0 takes 13.1 ms instead of 7.1. Threads that
    never sleep take the core that another thread needs, where other programs run (docs/decisions/0042). MXNet's library
    keeps its own setting.
    """
    if _SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield  # the user's choice
        return
    os.environ[_SPINS] = str(_SPIN_COUNTS.get(platform.machine(), 0))
    try:
        yield
    finally:
        del os.environ[_SPINS]


class NcnnClassifier(GraphClassifier):
    """A checkpoint's graph in a network of ncnn, in float32 throughout, or with the weights of matrices in float16.

    Where a processor has float16 for all layers (ARM's A76, of a Pi 5), float16 is refused: a probability of MobileNet
    0.5 is off by 0.13, and layers that are masked to stay in float32 give nan or crash (ncnn 1.0.20261020, emulated).

    ncnn reads the weights layer by layer and arranges each layer's for the processor before it reads the next, so
    nothing is mapped, and no more than one layer is in memory twice.
    """

    engine = "ncnn"
    vendor = "ncnn"
    form = NCNN
    _network: Any = None

    def close(self) -> None:
        """Release the model's memory to the system, so that another can be loaded. May be called twice."""
        self._network = None
        gc.collect()
        give_back_free_memory()

    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        self._ncnn = import_ncnn()
        half = self.precision == FLOAT16
        if half and self._ncnn.cpu_support_arm_asimdhp():
            raise ModelError(
                f"model {self.name}: ncnn's float16 is wrong on this processor, which has float16 for all layers; "
                'use [model] precision = "float32"'
            )
        give_back_large_blocks()
        with self._graph(checkpoint) as graph, self._translated_errors():
            self._network = self._ncnn.Net()
            options = self._network.opt
            options.use_vulkan_compute = False
            options.use_fp16_packed = options.use_fp16_storage = half
            options.use_fp16_arithmetic = False
            options.use_bf16_packed = options.use_bf16_storage = False
            options.num_threads = len(os.sched_getaffinity(0))
            with quiet():
                self._demand(self._network.load_param(str(graph.file)))
                self._demand(self._network.load_model(str(graph.weights)))
            if self._features_name and FEATURES not in self._network.output_names():
                raise ModelError(f"{graph.file}: its last layer with weights is not clear")
            outputs = self._run_first()
        give_back_free_memory()
        keep_large_blocks()
        return outputs

    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._translated_errors():
            planes, side = self.input.planes, self.input.size
            if network_input.shape != (1, planes, side, side):
                # ncnn does not look, and reads beyond the end
                raise ValueError(f"Error: an input of {network_input.shape}, and not {(1, planes, side, side)}")
            # ncnn reads the array where it is, as rows of float32 without gaps
            picture = np.ascontiguousarray(network_input[0], np.float32)
            extractor = self._network.create_extractor()
            self._demand(extractor.input(DATA, self._ncnn.Mat(picture)))
            row = self._extract(extractor, output)
            if self._features_name:
                self._keep_features(self._extract(extractor, FEATURES)[np.newaxis])
            return row

    def _extract(self, extractor: Any, output: str) -> NDArray[np.float32]:
        result, mat = extractor.extract(output)
        self._demand(result)
        return np.array(mat, np.float32)

    def _demand(self, result: int) -> None:
        if result == _OUT_OF_MEMORY:
            raise MemoryError
        if result:
            raise RuntimeError(f"Error {result}")
