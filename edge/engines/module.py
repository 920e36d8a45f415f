"""MXNet as the tutorials use it, only for `edge bench --against module`: it takes two to three times the memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.mxnet import MxnetClassifier
from edge.importer.params import Params
from edge.models.checkpoint import Checkpoint


class ModuleClassifier(MxnetClassifier):
    """A checkpoint in mx.mod.Module: load_checkpoint, bind, set_params, forward. It does not save memory."""

    engine = "module"

    def _load(self, mx: Any, checkpoint: Checkpoint, stored: Params) -> NDArray[np.float32]:
        symbol, weights, states = mx.model.load_checkpoint(checkpoint.prefix, checkpoint.epoch)
        self.parameters = sum(int(array.size) for array in (*weights.values(), *states.values()))
        spec, name = self.input, self._described.name
        self._module = mx.mod.Module(symbol, data_names=[name], label_names=None)
        self._module.bind(for_training=False, data_shapes=[(name, (1, spec.planes, spec.size, spec.size))])
        # no file contains the label input of a training head
        self._module.set_params(weights, states, allow_missing=True)
        return self._run_first()

    def _feed(self, network_input: NDArray[np.float32]) -> None:
        self._batch = self._mx.io.DataBatch([self._mx.nd.array(network_input)])

    def _forward(self) -> Any:
        self._module.forward(self._batch, is_train=False)
        return self._module.get_outputs()[0]

    def _forget(self) -> None:
        self._module = self._batch = None
