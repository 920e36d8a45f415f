"""Helpers of all operators: checks of the inputs, errors, constants and changes of shape."""

from collections.abc import Callable
from math import prod

import numpy as np

from edge.errors import ModelError
from edge.importer.builder import Builder, Value
from edge.importer.symbol import Attributes, Node, UnsupportedError

Layer = Callable[[Builder, int, Node, Attributes], Value | tuple[Value, ...]]
"""Takes (graph, the node's index, the node, its attributes), adds the node's layers, and returns its output."""


def takes(node: Node, count: int) -> None:
    """Raise ModelError if the node does not have `count` inputs."""
    need(node, len(node.inputs) == count, f"has {len(node.inputs)} inputs, and must have {count}")


def need(node: Node, holds: bool, what: str) -> None:
    """Raise ModelError, with the fault `what`, if a condition does not hold."""
    if not holds:
        raise ModelError(f"{node.where}: {what}")


def support(node: Node, holds: bool, what: str) -> None:
    """Raise UnsupportedError, with the reason `what`, if a condition does not hold."""
    if not holds:
        raise UnsupportedError(node.where, what)


def scalar(net: Builder, node: Node, number: float) -> Value:
    """Write a number into the graph. Raises ModelError if float32 cannot hold it."""
    array = np.array(number, np.float32)
    need(node, bool(np.isfinite(array)), f"{number} is too large")
    return net.constant(node, array)


def whole_numbers(net: Builder, node: Node, numbers: tuple[int, ...] | list[int]) -> Value:
    """Write integers into the graph, in the form that ONNX takes for shapes, axes and indices."""
    return net.constant(node, np.array(numbers, np.int64))


def reshaped(net: Builder, node: Node, x: Value, shape: tuple[int, ...]) -> Value:
    """Add a change of shape, if the shape differs."""
    if shape == x.shape:
        return x
    need(node, prod(shape) == prod(x.shape), f"{x.shape} cannot become {shape}")
    return net.add("Reshape", node, [x, whole_numbers(net, node, shape)], shape)


def flattened(net: Builder, node: Node, x: Value) -> Value:
    """Add a layer that puts all of a picture's numbers in a row."""
    need(node, len(x.shape) > 0, "cannot flatten one number")
    return net.add("Flatten", node, [x], (x.shape[0], prod(x.shape[1:])), axis=1)


def axis_of(node: Node, axis: int, dimensions: int, key: str = "axis") -> int:
    """Return an axis counted from the front. Raises ModelError if it does not exist."""
    need(node, -dimensions <= axis < dimensions, f"{key} = {axis} is not one of {dimensions} dimensions")
    return axis % dimensions


def four_dimensions(node: Node, x: Value) -> None:
    """Raise UnsupportedError if a value does not have the four dimensions of a picture with its channels."""
    support(node, len(x.shape) == 4, f"an input of the shape {x.shape} is not supported: four dimensions are")


def renamed(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Return the input: the operator does nothing in inference."""
    attributes.end()
    takes(node, 1)
    return net.value(node, 0)
