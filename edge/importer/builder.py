"""The builder that operators (operators.py) make a graph with: earlier values, parameters, and new layers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer import onnx
from edge.importer.description import DATA, Description
from edge.importer.params import Params
from edge.importer.symbol import Node, Symbol, UnsupportedError
from edge.models.checkpoint import Checkpoint

Floats = NDArray[np.float32]
_MOST_ELEMENTS = 2**28
"""In the output of one layer: 1 GiB. VGG-16 has 3 million at most."""


@dataclass(frozen=True)
class Value:
    """The output of a layer."""

    name: str
    shape: tuple[int, ...]


class Builder:
    """A graph while it is built, layer by layer."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        symbol: Symbol,
        params: Params,
        description: Description,
        *,
        weights: onnx.Weights,
        most: int,
    ) -> None:
        """Start with no layers; `most` is the limit of the bytes of parameters."""
        self.symbol = symbol
        self.spec = self.left = description.input
        """How a picture becomes the input, without the part that the first layer does."""
        self.folded: set[int] = set()
        """Nodes that are folded into another one."""
        self.layers: list[onnx.Layer] = []
        self.initializers: dict[str, bytes] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        """The shape of each layer's output, by its name."""
        self.data = Value(DATA, (1, self.spec.planes, self.spec.size, self.spec.size))
        self._picture = description.picture
        self.values: dict[int, Value | tuple[Value, ...]] = {}
        self._params, self._params_file, self._weights = params, checkpoint.params, weights
        self._left = most
        self._constants: dict[int, Value] = {}
        self.readers: Counter[int] = Counter({symbol.head: 1})
        """How many inputs read each node."""
        self._read_outputs = {(symbol.head, symbol.port)}
        for index in symbol.used:
            node = symbol.nodes[index]
            self.readers.update(node.inputs)
            self._read_outputs.update(zip(node.inputs, node.ports, strict=True))
        self._reader_of = {source: index for index in symbol.used for source in symbol.nodes[index].inputs}

    def only_reader(self, index: int) -> int | None:
        """Return the index of the node that takes this one as its first input; None if another one takes it too."""
        reader = self._reader_of.get(index)
        if self.readers[index] != 1 or reader is None or self.symbol.nodes[reader].inputs[0] != index:
            return None
        return reader

    def is_read(self, index: int, port: int) -> bool:
        """Return True if a node takes that output of the node."""
        return (index, port) in self._read_outputs

    def output(self, index: int, port: int) -> Value:
        """Return one output of a node. Raises UnsupportedError for an unknown output."""
        found = self.values[index]
        if isinstance(found, tuple) and port < len(found):
            return found[port]
        if isinstance(found, tuple) or port:
            raise UnsupportedError(self.symbol.nodes[index].where, f"its output {port} is not supported")
        return found

    def value(self, node: Node, number: int) -> Value:
        """Return the value of the node's input of that number."""
        index = self._input(node, number)
        if self.symbol.nodes[index].op != "null":
            return self.output(index, node.ports[number])
        if index == self._picture:
            return self.data
        if index not in self._constants:
            self._constants[index] = self.constant(node, self.parameter(node, number))
        return self._constants[index]

    def reads_data(self, node: Node) -> bool:
        """Return True if the picture is the node's first input, and no other node's."""
        index = self._input(node, 0)
        return index == self._picture and self.readers[index] == 1

    def parameter(self, node: Node, number: int, shape: tuple[int, ...] | None = None) -> Floats:
        """Return the parameter that is the node's input of that number, with that shape, finite or not.

        The array is writeable only if it is a copy, because the file has another type.
        """
        index = self._input(node, number)
        source = self.symbol.nodes[index]
        if source.op != "null" or index == self._picture:
            what = f"its input {number} is {source.name[:80]!r} and no parameter, which is not supported"
            raise UnsupportedError(node.where, what)
        arrays = self._params.arrays
        array = arrays.get(f"arg:{source.name}", arrays.get(f"aux:{source.name}"))
        if array is None:
            self._refuse_unusable(source.name)
        if array is None:
            raise ModelError(
                f"{self._params_file}: the parameter {source.name[:80]!r} is missing; "
                "check that both files are of the same checkpoint"
            )
        if shape is not None and array.shape != shape:
            raise ModelError(
                f"{self._params_file}: {source.name[:80]!r} has the shape {array.shape}, but the network with an input "
                f"of {self.spec.size} pixels needs {shape}; check the input size, and that the files belong together"
            )
        self._left -= array.nbytes
        if self._left < 0:
            raise ModelError(f"{node.where}: the same parameters are used again and again")
        return array.astype(np.float32, copy=False)

    def _refuse_unusable(self, name: str) -> None:
        for key in (f"arg:{name}", f"aux:{name}"):
            if what := self._params.unusable.get(key):
                raise ModelError(f"{self._params_file}: {name[:80]!r} {what}")

    def shared(self, node: Node, number: int, shape: tuple[int, ...]) -> Value:
        """Return a parameter as a value; one that several nodes take is written once."""
        index = self._input(node, number)
        if index not in self._constants:
            self._constants[index] = self.constant(node, self.parameter(node, number, shape))
            self._params.drop()
        found = self._constants[index]
        if found.shape != shape:
            raise ModelError(f"{node.where}: its input {number} has the shape {found.shape}, and must have {shape}")
        return found

    def constant(self, node: Node, array: NDArray[Any]) -> Value:
        """Write numbers (float32 or int64) of a layer into the graph; return them as a value."""
        value = Value(f"w{len(self.initializers)}", array.shape)
        try:
            self.initializers[value.name] = self._weights.tensor(value.name, array)
        except ValueError as error:
            raise ModelError(
                f"{self._params_file}: the parameters of {node.name[:80]!r} hold {error}; it is damaged, copy it again"
            ) from error
        return value

    def add(
        self, op: str, node: Node, inputs: Sequence[Value], shape: tuple[int, ...], **attributes: onnx.Attribute
    ) -> Value:
        """Add an ONNX layer whose output has that shape; return the output."""
        if min(shape) < 1 or prod(shape) > _MOST_ELEMENTS:
            raise ModelError(
                f"{node.where}: gives {' x '.join(map(str, shape))} from an input of {self.spec.size} pixels; "
                "check the input size"
            )
        value = Value(f"v{len(self.layers)}", shape)
        self.shapes[value.name] = shape
        # the number tells two layers with the same name apart
        name = f"{node.name[:80]}#{len(self.layers)}"
        self.layers.append(onnx.Layer(op, name, tuple(one.name for one in inputs), value.name, attributes))
        return value

    def drop(self) -> None:
        """Drop the parameters read so far from memory."""
        self._params.drop()

    def _input(self, node: Node, number: int) -> int:
        if number >= len(node.inputs):
            raise ModelError(f"{node.where}: has {len(node.inputs)} inputs, and needs one more")
        return node.inputs[number]
