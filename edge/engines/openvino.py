"""The engine openvino: OpenVINO runs the graph that the importer makes from a checkpoint."""

import gc
import importlib
import sys
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import INT8_ENGINES
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
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint

_SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    # some CPUs would compute in bfloat16, and ARM in float16: faster, but with different results
    "INFERENCE_PRECISION_HINT": "f32",
}
_GIVE_BACK_EVERY_S = 0.01


def import_openvino() -> Any:
    """Return the module openvino. Raises ModelError, in one line, if it cannot be imported."""
    # its import is reported to its vendor, with a user id stored in the home directory; not so without this package,
    # which pip installs with it
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(f"OpenVINO cannot be imported: {error}; {how_to_get('openvino')}") from error


class OpenvinoClassifier(GraphClassifier):
    """A checkpoint's graph compiled by OpenVINO; the mapped weights are released once they are prepared.

    Its layers keep copies in a layout that suits the CPU, and OpenVINO keeps the file mapped as well. Releasing its
    pages during the copy reduces peak memory from 331 to 240 MiB for Inception v3, from 1207 to 679 for VGG-16
    (x86_64). OpenVINO's own cache of compiled networks loads no faster, and takes 414 and 1727.
    """

    engine = "openvino"
    vendor = "OpenVINO"
    _request: Any = None
    _model: Any = None

    def close(self) -> None:
        """Release the model's memory to the system, so that another can be loaded. May be called twice."""
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
            repeatedly(partial(give_back_file, graph.weights), _GIVE_BACK_EVERY_S),
        ):
            # the weights stay mapped as long as this object exists
            read = ov.Core().read_model(str(graph.file))
            if self._features_name:
                read.add_outputs(self._features_name)
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
            # as on ARM's A53 and A72 (emulated), which have no int8 dot product
            raise ModelError(
                f"model {self.name}: OpenVINO cannot run its {self.precision} version on this processor "
                f"({first_line(error)}); {INT8_ENGINES[0]} can ([model] engine)"
            ) from error

    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._translated_errors():
            tensor = self._ov.Tensor(network_input, shared_memory=True)
            self._request.infer({0: tensor})
            # a copy: the next frame overwrites the request's array
            found: NDArray[np.float32] = np.array(self._request.get_tensor(output).data[0])
            if self._features_name:
                self._keep_features(np.array(self._request.get_tensor(self._features_name).data))
        return found
