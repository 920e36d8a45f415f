"""What the engines have in common that run the graph which the importer makes of a checkpoint."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from edge.engines.classifier import EngineClassifier
from edge.importer.graph import PROBABILITIES, SCORES


class GraphClassifier(EngineClassifier):
    """A checkpoint's graph that an engine runs. The engine's part is `_open`, `_run` and `close`."""

    def scores(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the softmax makes the probabilities of (float32, N)."""
        return self._run(SCORES, network_input)

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""
        return self._run(PROBABILITIES, network_input)

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return 0: it computes before it returns."""
        self.probabilities(network_input)
        return 0.0

    @abstractmethod
    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one of the graph's outputs (float32, N)."""
