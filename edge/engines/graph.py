"""The base class of the engines that run the importer's graph of a checkpoint."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edge.engines.classifier import EngineClassifier
from edge.importer.cache import graph_of
from edge.importer.graph import FEATURES, ONNX, PROBABILITIES, SCORES, Graph
from edge.importer.last_layer import features_in, features_of
from edge.importer.quantised import INT8, quantised_graph
from edge.importer.symbol import read_symbol
from edge.models.checkpoint import Checkpoint


class GraphClassifier(EngineClassifier):
    """A checkpoint's graph run by an engine. Subclasses implement `_open`, `_run` and `close`."""

    form = ONNX
    """The form of graph that this engine reads."""
    _features_name = ""
    """Name of the graph's value that is `features`; empty without features."""

    def scores(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the input of the softmax or the sigmoids (float32, N)."""
        return self._run(SCORES, network_input)

    def probabilities(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the uncalibrated probability of each label (float32, N) for an input (float32 1 x 3 x size x size)."""
        return self._run(PROBABILITIES, network_input)

    def enqueue_s(self, network_input: NDArray[np.float32]) -> float:
        """Return 0: these engines compute before they return."""
        self.probabilities(network_input)
        return 0.0

    @contextmanager
    def _graph(self, checkpoint: Checkpoint) -> Iterator[Graph]:
        """Yield the checkpoint's graph in the requested precision; it exists until the context ends."""
        if self._gives_features:
            features_of(read_symbol(checkpoint.symbol))  # raises the reason, if there is one, for all engines alike
        if self.precision != INT8:
            with graph_of(checkpoint, form=self.form) as graph:
                self._take(graph)
                yield graph
        else:
            graph = quantised_graph(checkpoint, self.precision)
            self._take(graph)
            yield graph

    def _take(self, graph: Graph) -> None:
        self.input, self.parameters, self.independent = graph.input, graph.parameters, graph.independent
        if self._gives_features:
            self._features_name = features_in(graph) if self.form is ONNX else FEATURES

    @abstractmethod
    def _run(self, output: str, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one of the graph's outputs (float32, N); set `features` if the engine was opened with them."""
