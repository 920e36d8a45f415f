"""The engine onnx: ONNX Runtime runs the graph that the importer makes from a checkpoint."""

import gc
import importlib
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.graph import GraphClassifier
from edge.engines.memory import give_back_code, give_back_free_memory, give_back_large_blocks, keep_large_blocks
from edge.errors import ModelError
from edge.host.installation import how_to_get
from edge.host.noise import quiet
from edge.importer.onnx import with_output
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint

_ERROR = 3  # log_severity_level: its warnings are about kernels and devices, and users cannot act on them

_HARMFUL = ["WeightBiasQuantization"]
"""Rounds weights of layers that int8 graphs keep in float on purpose, with one step for all channels of a layer."""


def import_onnxruntime(part: str = "") -> Any:
    """Return the module onnxruntime, or a part of it, such as "quantization".

    Only this function may import it, because of the telemetry. Raises ModelError, one line, if the import fails.
    """
    # from 1.32 on it reports its use to its vendor, and stores a device id in the home directory, unless disabled
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(f"onnxruntime.{part}" if part else "onnxruntime")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(f"ONNX Runtime cannot be imported: {error}; {how_to_get('onnxruntime')}") from error


class OnnxClassifier(GraphClassifier):
    """A checkpoint's graph in a session of ONNX Runtime, with its weights memory-mapped during loading.

    Measures that save memory, with peak and final resident memory of Inception v3 and VGG-16 (x86_64, MiB; the time
    per frame is always the same):

        239 239   992 718   defaults, weights mapped from their file
        206 207   946 669   no arena, and free() returns large blocks during loading

    enable_mem_pattern plans the memory of a forward pass as one large block. That leaves holes where pictures are
    allocated in between: after 24 pictures Inception v3 takes 220 instead of 203 MiB, in int8 167 instead of 143.
    Without prepacking VGG-16 would peak at 670, but take twice the time. Spinning threads take 156 to 225 ms of CPU
    time per frame of Inception v3 instead of 110, and are no faster; here they sleep.
    """

    engine = "onnx"
    vendor = "ONNX Runtime"
    _session: Any = None

    def close(self) -> None:
        """Release the model's memory to the system, so that another can be loaded. May be called twice."""
        self._session = None
        gc.collect()
        give_back_free_memory()

    def _open(self, checkpoint: Checkpoint) -> NDArray[np.float32]:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = _ERROR
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        give_back_large_blocks()
        with self._graph(checkpoint) as graph, self._translated_errors():
            source: str | bytes = str(graph.file)
            if self._features_name:
                source = with_output(graph.file.read_bytes(), self._features_name)
                options.add_session_config_entry(
                    "session.model_external_initializers_file_folder_path", str(graph.folder)
                )
            with quiet():
                self._session = ort.InferenceSession(
                    source,
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=None if self.precision == FLOAT32 else _HARMFUL,
                )
            outputs = self._run_first()
        give_back_free_memory()
        give_back_code(ort.capi.onnxruntime_pybind11_state.__file__.rpartition("/")[2])
        keep_large_blocks()
        return outputs

    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._translated_errors():
            if not self._features_name:
                found: NDArray[np.float32] = self._session.run([output], {"data": network_input})[0][0]
                return found
            outputs, features = self._session.run([output, self._features_name], {"data": network_input})
            self._keep_features(features)
            row: NDArray[np.float32] = outputs[0]
            return row
