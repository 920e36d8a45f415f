"""Find the features of a network: the vector that goes into its last layer with weights, in both of its forms.

`features_of` finds it in MXNet's structure, `features_in` in a graph, also in one of an earlier release or in int8.
The graph's file stays as it is: an engine loads it with one more output (`with_output`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge.errors import ModelError
from edge.importer import onnx
from edge.importer.graph import SCORES, Graph
from edge.importer.head import PASSING, SIGMOID, SOFTMAX
from edge.importer.symbol import Node, Symbol

_WITH_WEIGHTS = ("FullyConnected", "Convolution", "Convolution_v1")
_BEHIND = (
    *PASSING,
    *SOFTMAX,
    *SIGMOID,
    *("log_softmax", "Activation", "relu", "clip", "Pooling", "mean"),
    *("_mul_scalar", "_div_scalar", "_plus_scalar", "_minus_scalar"),
)
"""Operators that may follow the last layer: they mix no numbers of different labels, except for the softmax."""
_GRAPH_WITH_WEIGHTS = ("Gemm", "Conv", "MatMul")
_SECOND_IS_CONSTANT = ("Add", "Mul", "Div", "Sub")


@dataclass(frozen=True)
class Features:
    """The input of a network's last layer with weights."""

    node: int
    """Index of the node that makes it."""
    port: int
    """Which output of that node."""


def features_of(symbol: Symbol) -> Features:
    """Return the features of a network. Raises ModelError, naming the layer, if its last layer is not clear."""
    index = symbol.head
    while (node := symbol.nodes[index]).op not in _WITH_WEIGHTS:
        if node.op not in _BEHIND or not node.inputs:
            raise _unclear(node)
        index = node.inputs[0]
    if not node.inputs or symbol.nodes[node.inputs[0]].op == "null":
        raise _unclear(node)  # the picture itself
    return Features(node.inputs[0], node.ports[0])


def features_in(graph: Graph) -> str:
    """Return the name of the value in a graph's file. Raises ModelError if its last layer is not clear."""
    try:
        found = features_among(onnx.read_layers(graph.file.read_bytes()))
    except (OSError, ValueError) as error:
        raise ModelError(f"{graph.file}: cannot be read: {error}") from error
    if not found:
        raise ModelError(f"{graph.file}: its last layer with weights is not clear")
    return found


def features_among(layers: Iterable[onnx.Layer]) -> str:
    """Return the name of the value that goes into the last layer with weights; empty if that layer is not clear."""
    makers = {layer.output: layer for layer in layers}
    for layer in _back_from(SCORES, makers):
        if layer.op in _GRAPH_WITH_WEIGHTS:
            return layer.inputs[0]
    return ""


def _back_from(name: str, makers: dict[str, onnx.Layer]) -> Iterator[onnx.Layer]:
    """Yield the layer that makes the value, and then each layer that makes the first input of the one before."""
    seen: set[str] = set()
    while name in makers and name not in seen:
        seen.add(name)
        layer = makers[name]
        yield layer
        several = [one for one in layer.inputs if one in makers]
        if layer.op in _SECOND_IS_CONSTANT and len(several) > 1:
            return
        name = several[0] if several else ""


def _unclear(node: Node) -> ModelError:
    return ModelError(
        f"{node.where}: edge cannot tell things apart by what this network computes: before its scores it has no "
        "single layer with weights; choose another model to teach things"
    )
