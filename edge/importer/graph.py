"""A checkpoint becomes a graph: network.onnx with the layers, weights.bin with the parameters, in a folder.

The graph takes `data`, float32 1 x 3 x size x size, and gives `probabilities` and `scores` (what the softmax makes them
of), float32 1 x N each. A network that ends without a softmax gets one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from edge.durable import to_disk
from edge.errors import ModelError
from edge.importer import onnx
from edge.importer.builder import DATA, Builder, Value
from edge.importer.operators import OPERATORS, SHAPE_ONLY, SOFTMAX, softmax_input, unknown
from edge.importer.params import open_params
from edge.importer.symbol import Symbol, read_symbol
from edge.models.checkpoint import Checkpoint, InputSpec

GRAPH, WEIGHTS = "network.onnx", "weights.bin"
PROBABILITIES, SCORES = "probabilities", "scores"
VERSION = 1
"""Goes up when the same checkpoint becomes another graph."""


@dataclass(frozen=True)
class Graph:
    """A graph in a folder."""

    folder: Path
    input: InputSpec
    """How a picture becomes `data`: the checkpoint's, without what the first layer does itself."""
    parameters: int
    """How many numbers the network has learnt."""

    @property
    def file(self) -> Path:
        """What an engine loads; it finds the weights beside it."""
        return self.folder / GRAPH


@dataclass(frozen=True)
class Layers:
    """A graph that is not written yet."""

    layers: tuple[onnx.Layer, ...]
    initializers: Mapping[str, bytes]
    """What stands for each constant, by its name."""
    places: Mapping[str, onnx.Place]
    """Where each of them is to be read."""
    data: tuple[int, ...]
    """The shape of the input."""
    labels: int
    """How many numbers it gives."""
    input: InputSpec
    """As in Graph."""
    parameters: int


def make_graph(checkpoint: Checkpoint, folder: Path) -> Graph:
    """Write the graph of a checkpoint into an empty folder, and down to the disk.

    Raises ModelError for a checkpoint that is damaged or not understood, OSError when the folder cannot be written to.
    """
    with (folder / WEIGHTS).open("wb") as file:
        layers = translate(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    return write_graph(folder, layers)


def translate(checkpoint: Checkpoint, file: IO[bytes]) -> Layers:
    """Return the layers of a checkpoint; their parameters are written to `file`.

    Raises ModelError for a checkpoint that is damaged or not understood, OSError when the file cannot be written.
    """
    symbol = read_symbol(checkpoint.symbol)
    params = open_params(checkpoint.params)
    # of float16 they get twice as large, and one layer's are padded to a page
    most = 2 * checkpoint.params.stat().st_size + 2**20
    weights = onnx.Weights(file, WEIGHTS, most, params.drop)
    builder = Builder(checkpoint, symbol, params, weights, most)
    # a damaged checkpoint gives nan, which is looked for when it is written
    with np.errstate(all="ignore"):
        scores = _translate(symbol, builder)
    _end(symbol, builder, scores)
    parameters = _parameters(symbol, {name: one.size for name, one in params.arrays.items()})
    layers, shape = tuple(builder.layers), builder.data.shape
    return Layers(
        layers, builder.initializers, weights.places, shape, scores.shape[1], input=builder.left, parameters=parameters
    )


def write_graph(folder: Path, layers: Layers) -> Graph:
    """Write layers, whose parameters are in the folder already, down to the disk. Raises OSError."""
    row = (1, layers.labels)
    outputs = {PROBABILITIES: row, SCORES: row}
    data = onnx.model("edge", layers.layers, layers.initializers.values(), {DATA: layers.data}, outputs)
    (folder / GRAPH).write_bytes(data)
    to_disk(folder / GRAPH)
    return Graph(folder, layers.input, layers.parameters)


def _translate(symbol: Symbol, builder: Builder) -> Value:
    """Add all layers; return what the last softmax takes, or would."""
    ends = _end_of(symbol)
    scores = None
    for index in sorted(symbol.used):
        node = symbol.nodes[index]
        if node.op == "null":
            continue
        operator = OPERATORS.get(node.op) or unknown(node)
        if index in ends and node.op in SOFTMAX:
            # this one and what is behind it makes the outputs, which have their own names
            scores = builder.values[index] = softmax_input(builder, node)
        else:
            builder.values[index] = operator(builder, index, node, node.attributes)
    head = symbol.nodes[symbol.head]
    if head.op == "null":
        raise ModelError(f"{head.where}: the network has no layers")
    last = builder.values[symbol.head]
    if len(last.shape) != 2 or last.shape[0] != 1:
        raise ModelError(f"{head.where}: gives {' x '.join(map(str, last.shape))}; a classifier gives a row of numbers")
    return last if scores is None else scores


def _end_of(symbol: Symbol) -> set[int]:
    """The head and what stands before it, back to the first that is more than a change of shape."""
    index = symbol.head
    found = {index}
    while symbol.nodes[index].op in SHAPE_ONLY and symbol.nodes[index].inputs:
        index = symbol.nodes[index].inputs[0]
        found.add(index)
    return found


def _end(symbol: Symbol, builder: Builder, scores: Value) -> None:
    head = symbol.nodes[symbol.head]
    name = head.name[:80]
    builder.layers.append(onnx.Layer("Flatten", f"{name}#scores", (scores.name,), SCORES, {"axis": 1}))
    builder.layers.append(onnx.Layer("Softmax", f"{name}#probabilities", (SCORES,), PROBABILITIES, {"axis": 1}))


def _parameters(symbol: Symbol, sizes: dict[str, int]) -> int:
    """The numbers in all parameters that the network uses, BatchNorm's states among them."""
    names = {symbol.nodes[index].name for index in symbol.used if symbol.nodes[index].op == "null"}
    return sum(sizes.get(f"arg:{name}", sizes.get(f"aux:{name}", 0)) for name in names if name != DATA)
