"""OpenVINO runs the graph that the importer makes of a checkpoint."""

import gc
import importlib
import sys
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import GRAPH_ENGINES
from edge.engines.classifier import first_line, lacks_memory
from edge.engines.graph import GraphClassifier
from edge.engines.memory import (
    give_back_file,
    give_back_free_memory,
    give_back_large_blocks,
    keep_large_blocks,
    repeatedly,
)
from edge.errors import ModelError
from edge.host.installation import how_to_get
from edge.importer.graph import WEIGHTS
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint

_SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    # some CPUs would compute in bfloat16, and ARM's in float16: faster, and no longer the same
    "INFERENCE_PRECISION_HINT": "f32",
}
_GIVE_BACK_EVERY_S = 0.01


def import_openvino() -> Any:
    """Return the module openvino. Raises ModelError, in one line, when it cannot be imported."""
    # importing it reports that to its vendor, with a number for this user kept in the home; without this package, which
    # pip brings along, it does not
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(f"OpenVINO cannot be imported: {error}; {how_to_get('openvino')}") from error


class OpenvinoClassifier(GraphClassifier):
    """A checkpoint's graph compiled by OpenVINO, its weights mapped and given back once they are prepared.

    Its layers keep copies in an order that the CPU likes, and OpenVINO keeps the file mapped beside them. To give back
    its pages while they are copied brings the largest memory from 331 to 240 MiB for Inception v3, from 1207 to 679 for
    VGG-16 (x86_64). OpenVINO's own cache of compiled networks loads no faster, and takes 414 and 1727.
    """

    engine = "openvino"
    vendor = "OpenVINO"
    _request: Any = None
    _model: Any = None

    def close(self) -> None:
        """Give the network's memory back to the system, so that another can be loaded. May be called twice."""
        self._request = self._model = None
        gc.collect()
        give_back_free_memory()

    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        ov = import_openvino()
        self._ov = ov
        give_back_large_blocks()
        with (
            self._graph(checkpoint) as graph,
            self._translated_errors(),
            repeatedly(partial(give_back_file, graph.folder / WEIGHTS), _GIVE_BACK_EVERY_S),
        ):
            # the mapping of the weights lives as long as what is read here
            read = ov.Core().read_model(str(graph.file))
            self._model = self._compile(read)
            self._request = self._model.create_infer_request()
            outputs = self._run_first()
        give_back_free_memory()
        keep_large_blocks()
        return outputs

    def _compile(self, read: Any) -> Any:
        try:
            return self._ov.compile_model(read, "CPU", _SETTINGS)
        except RuntimeError as error:
            if self.precision == FLOAT32 or lacks_memory(error):
                raise
            # as on ARM's A53 and A72 (emulated), which have no dot product of int8
            raise ModelError(
                f"model {self.name}: OpenVINO cannot run its {self.precision} version on this processor "
                f"({first_line(error)}); {GRAPH_ENGINES[0]} can ([model] engine)"
            ) from error

    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._translated_errors():
            tensor = self._ov.Tensor(network_input, shared_memory=True)
            self._request.infer({0: tensor})
            # a copy: the request's own array is written to again at the next frame
            found: NDArray[np.float32] = np.array(self._request.get_tensor(output).data[0])
        return found
