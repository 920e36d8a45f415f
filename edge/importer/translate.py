"""Translate a checkpoint into a graph (graph.py), layer by layer.

head.py finds out which outputs are probabilities; a network that ends in logits gets a softmax.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from edge.errors import ModelError
from edge.host.atomic import to_disk
from edge.importer import onnx
from edge.importer.builder import Builder, Value
from edge.importer.description import DATA, Description, describe
from edge.importer.graph import GRAPH, PROBABILITIES, SCORES, WEIGHTS, Graph
from edge.importer.head import SOFTMAX, Head
from edge.importer.operators import OPERATORS, unknown
from edge.importer.operators.elementwise import hard_sigmoid_of
from edge.importer.operators.reductions import softmax_input
from edge.importer.params import open_params
from edge.importer.symbol import Node, Symbol, read_symbol
from edge.models.checkpoint import Checkpoint, InputSpec


@dataclass(frozen=True)
class Layers:
    """A graph before it is written."""

    layers: tuple[onnx.Layer, ...]
    initializers: Mapping[str, bytes]
    """The TensorProto of each constant, by its name."""
    places: Mapping[str, onnx.Place]
    """Where to read each constant."""
    shapes: Mapping[str, tuple[int, ...]]
    """The shape of each value, by its name."""
    labels: int
    """Number of outputs."""
    input: InputSpec
    """As in Graph, like the following fields."""
    parameters: int
    independent: bool = False


def make_graph(checkpoint: Checkpoint, folder: Path) -> Graph:
    """Write the graph of a checkpoint into an empty folder, and sync it to the disk.

    Raises ModelError if the checkpoint is damaged or not supported, OSError if the folder cannot be written to.
    """
    with (folder / WEIGHTS).open("wb") as file:
        layers = translate(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    return write_graph(folder, layers)


def translate(checkpoint: Checkpoint, file: IO[bytes]) -> Layers:
    """Return the layers of a checkpoint, and write their parameters to `file`.

    Raises ModelError if the checkpoint is damaged or not supported, OSError if the file cannot be written.
    """
    symbol = read_symbol(checkpoint.symbol)
    params = open_params(checkpoint.params)
    description = describe(checkpoint, symbol, params)
    # float16 parameters become twice as large, and the parameters of each layer are padded to a page
    most = 2 * checkpoint.params.stat().st_size + 2**20
    weights = onnx.Weights(file, WEIGHTS, most, params.drop)
    builder = Builder(checkpoint, symbol, params, description, weights=weights, most=most)
    # a damaged checkpoint gives nan, which is checked for when it is written
    with np.errstate(all="ignore"):
        scores = _translate(symbol, builder, description)
    _end(symbol, builder, scores, description.head)
    return Layers(
        tuple(builder.layers),
        builder.initializers,
        weights.places,
        {DATA: builder.data.shape, SCORES: (1, prod(scores.shape)), **builder.shapes},
        prod(scores.shape),
        input=builder.left,
        parameters=_parameters(symbol, description, {name: one.size for name, one in params.arrays.items()}),
        independent=description.head.independent,
    )


def write_graph(folder: Path, layers: Layers) -> Graph:
    """Write layers to the disk; their parameters are in the folder already. Raises OSError."""
    row = (1, layers.labels)
    outputs = {PROBABILITIES: row, SCORES: row}
    data = onnx.model("edge", layers.layers, layers.initializers.values(), {DATA: layers.shapes[DATA]}, outputs)
    (folder / GRAPH).write_bytes(data)
    to_disk(folder / GRAPH)
    return Graph(folder, layers.input, layers.parameters, layers.independent)


def _translate(symbol: Symbol, builder: Builder, description: Description) -> Value:
    """Add all layers; return the scores: the input of the last softmax or sigmoid, or the output if there is none."""
    for index in sorted(symbol.used):
        node = symbol.nodes[index]
        if node.op == "null":
            continue
        if index == description.head.node:
            # `_end` adds this layer, because the outputs have names of the graph's
            builder.values[index] = _scores(builder, node)
        else:
            operator = OPERATORS.get(node.op) or unknown(node)
            builder.values[index] = operator(builder, index, node, node.attributes)
    last = builder.output(symbol.head, symbol.port)
    if not last.shape or prod(last.shape) != max(last.shape):
        where = symbol.nodes[symbol.head].where
        raise ModelError(f"{where}: gives {' x '.join(map(str, last.shape))}; a classifier gives a row of numbers")
    return last


def _scores(builder: Builder, node: Node) -> Value:
    if node.op in SOFTMAX:
        scores, axis = softmax_input(builder, node)
        if prod(scores.shape) != scores.shape[axis]:
            raise ModelError(
                f"{node.where}: its softmax runs over {scores.shape[axis]} of {' x '.join(map(str, scores.shape))} "
                "numbers; a classifier's runs over all"
            )
        return scores
    if len(node.inputs) < 1:
        raise ModelError(f"{node.where}: has no input")
    return builder.value(node, 0)


def _end(symbol: Symbol, builder: Builder, scores: Value, ends: Head) -> None:
    head = symbol.nodes[symbol.head]
    name = head.name[:80]
    if scores.shape[0] != 1:
        shape = builder.constant(head, np.array([1, prod(scores.shape)], np.int64))
        scores = builder.add("Reshape", head, [scores, shape], (1, prod(scores.shape)))
    builder.layers.append(onnx.Layer("Flatten", f"{name}#scores", (scores.name,), SCORES, {"axis": 1}))
    last: tuple[str, dict[str, onnx.Attribute]] = ("Softmax", {"axis": 1})
    if ends.independent:
        assert ends.node is not None
        node = symbol.nodes[ends.node]
        last = ("HardSigmoid", hard_sigmoid_of(node.attributes)) if node.op == "hard_sigmoid" else ("Sigmoid", {})
    builder.layers.append(onnx.Layer(last[0], f"{name}#probabilities", (SCORES,), PROBABILITIES, last[1]))


def _parameters(symbol: Symbol, description: Description, sizes: dict[str, int]) -> int:
    """Return how many numbers the parameters that the network uses have, BatchNorm's states included."""
    names = {symbol.nodes[index].name for index in symbol.used if symbol.nodes[index].op == "null"}
    names -= {description.name}
    return sum(sizes.get(f"arg:{name}", sizes.get(f"aux:{name}", 0)) for name in names)
