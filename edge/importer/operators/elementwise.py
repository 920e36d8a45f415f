"""Operators on each number alone, or on the numbers of two layers at the same place."""

import math
from collections.abc import Mapping

from edge.importer.builder import Builder, Value
from edge.importer.onnx import Attribute
from edge.importer.operators.common import Layer, need, scalar, support, takes, whole_numbers
from edge.importer.symbol import Attributes, Node

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


def activation(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add one of the functions above, of each number."""
    # MXNet too refuses an Activation without act_type
    kind = attributes.text("act_type", "")
    support(node, kind in _ACTIVATIONS, f"act_type = {kind[:60]!r} is not one of {', '.join(_ACTIVATIONS)}")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    return net.add(_ACTIVATIONS[kind], node, [x], x.shape)


def leaky_relu(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a ReLU that keeps a part of the numbers below zero."""
    kind = attributes.choice("act_type", "leaky", "elu", "prelu", "selu", "gelu")
    slope = attributes.number("slope", 0.25)
    attributes.ignore("lower_bound", "upper_bound")
    attributes.end()
    takes(node, 2 if kind == "prelu" else 1)
    x = net.value(node, 0)
    if kind == "gelu":
        return _gelu(net, node, x)
    if kind == "selu":
        return net.add("Selu", node, [x], x.shape)
    if kind == "elu":
        return net.add("Elu", node, [x], x.shape, alpha=slope)
    if kind == "leaky":
        return net.add("LeakyRelu", node, [x], x.shape, alpha=slope)
    support(node, len(x.shape) > 1, "a prelu of an input without channels is not supported")
    gamma = net.parameter(node, 1)
    need(node, gamma.shape in ((1,), (x.shape[1],)), f"gamma has the shape {gamma.shape}")
    slopes = net.constant(node, gamma.reshape(-1, *[1] * (len(x.shape) - 2)))
    return net.add("PRelu", node, [x, slopes], x.shape)


def _gelu(net: Builder, node: Node, x: Value) -> Value:
    """Add x times the share of a normal distribution below x, which is (1 + erf(x / sqrt 2)) / 2."""
    share = net.add("Mul", node, [x, scalar(net, node, math.sqrt(0.5))], x.shape)
    share = net.add("Erf", node, [share], x.shape)
    share = net.add("Add", node, [share, scalar(net, node, 1.0)], x.shape)
    share = net.add("Mul", node, [share, scalar(net, node, 0.5)], x.shape)
    return net.add("Mul", node, [x, share], x.shape)


def hard_sigmoid(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a straight line that is clipped to 0..1."""
    line = hard_sigmoid_of(attributes)
    takes(node, 1)
    x = net.value(node, 0)
    return net.add("HardSigmoid", node, [x], x.shape, **line)


def hard_sigmoid_of(attributes: Attributes) -> dict[str, Attribute]:
    """Return the line's slope and its value at zero, as ONNX's alpha and beta."""
    line: dict[str, Attribute] = {"alpha": attributes.number("alpha", 0.2), "beta": attributes.number("beta", 0.5)}
    attributes.end()
    return line


def clip(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a clip of each number to the limits."""
    low, high = attributes.number("a_min"), attributes.number("a_max")
    attributes.end()
    takes(node, 1)
    need(node, low <= high, f"a_min = {low} is more than a_max = {high}")
    x = net.value(node, 0)
    return net.add("Clip", node, [x, scalar(net, node, low), scalar(net, node, high)], x.shape)


def add_all(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add the sum of any number of inputs."""
    count = attributes.whole("num_args", len(node.inputs))
    attributes.end()
    need(node, count == len(node.inputs) > 0, f"num_args = {count}, and it has {len(node.inputs)} inputs")
    total = net.value(node, 0)
    for number in range(1, count):
        other = net.value(node, number)
        need(node, total.shape == other.shape, f"the shapes {total.shape} and {other.shape} differ")
        total = net.add("Add", node, [total, other], total.shape)
    return total


def _function(op: str) -> Layer:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        attributes.end()
        takes(node, 1)
        x = net.value(node, 0)
        return net.add(op, node, [x], x.shape)

    return layer


def square(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add the square of each number."""
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    return net.add("Mul", node, [x, x], x.shape)


def rsqrt(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add one over the square root."""
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    return net.add("Reciprocal", node, [net.add("Sqrt", node, [x], x.shape)], x.shape)


def _as_large(number: float) -> Layer:
    """Return the operator that gives the same number everywhere, in the shape of the input."""

    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        attributes.end()
        takes(node, 1)
        x = net.value(node, 0)
        return net.add("Expand", node, [scalar(net, node, number), whole_numbers(net, node, x.shape)], x.shape)

    return layer


def _of_two(op: str, *, broadcasts: bool) -> Layer:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        attributes.end()
        takes(node, 2)
        a, b = net.value(node, 0), net.value(node, 1)
        fits = len(a.shape) == len(b.shape)
        if broadcasts:
            fits &= all(m in (n, 1) or n == 1 for m, n in zip(a.shape, b.shape, strict=False))
        else:
            fits = a.shape == b.shape
        need(node, fits, f"the shapes {a.shape} and {b.shape} do not fit together")
        return net.add(op, node, [a, b], tuple(map(max, a.shape, b.shape)))

    return layer


def _with_scalar(op: str, *, reverse: bool = False) -> Layer:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        number = attributes.number("scalar")
        attributes.ignore("is_int")
        attributes.end()
        takes(node, 1)
        x = net.value(node, 0)
        pair = [x, scalar(net, node, number)]
        return net.add(op, node, pair[::-1] if reverse else pair, x.shape)

    return layer


def _names(op: str, *more: str) -> tuple[str, ...]:
    """Return the names of an operation on two layers: in Gluon, and in the oldest symbols."""
    return (f"elemwise_{op}", f"_{op}", f"_{op.capitalize()}", *more)


_PAIRS = {
    "Add": _names("add", "_plus", "_Plus"),
    "Sub": _names("sub", "_minus", "_Minus"),
    "Mul": _names("mul"),
    "Div": _names("div"),
    "Max": ("_maximum", "_Maximum"),
    "Min": ("_minimum", "_Minimum"),
}
_BROADCAST = {
    "Add": ("broadcast_add", "broadcast_plus"),
    "Sub": ("broadcast_sub", "broadcast_minus"),
    "Mul": ("broadcast_mul",),
    "Div": ("broadcast_div",),
    "Max": ("broadcast_maximum",),
    "Min": ("broadcast_minimum",),
}
_SCALARS = {
    "Add": ("_plus_scalar", "_PlusScalar"),
    "Sub": ("_minus_scalar", "_MinusScalar"),
    "Mul": ("_mul_scalar", "_MulScalar"),
    "Div": ("_div_scalar", "_DivScalar"),
    "Max": ("_maximum_scalar", "_MaximumScalar"),
    "Min": ("_minimum_scalar", "_MinimumScalar"),
}
_SCALARS_FIRST = {"Sub": ("_rminus_scalar", "_RMinusScalar"), "Div": ("_rdiv_scalar", "_RDivScalar")}
_FUNCTIONS = {
    **{"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softsign": "Softsign", "erf": "Erf", "abs": "Abs"},
    **{"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "negative": "Neg", "reciprocal": "Reciprocal"},
}


def _table(by_op: Mapping[str, tuple[str, ...]], layer: Mapping[str, Layer]) -> dict[str, Layer]:
    return {name: layer[op] for op, names in by_op.items() for name in names}


ELEMENTWISE: dict[str, Layer] = {
    "Activation": activation,
    "LeakyReLU": leaky_relu,
    "hard_sigmoid": hard_sigmoid,
    "clip": clip,
    "square": square,
    "rsqrt": rsqrt,
    "ones_like": _as_large(1.0),
    "zeros_like": _as_large(0.0),
    **dict.fromkeys(("ElementWiseSum", "add_n", "_sum"), add_all),
    **{name: _function(op) for name, op in _FUNCTIONS.items()},
    **_table(_PAIRS, {op: _of_two(op, broadcasts=False) for op in _PAIRS}),
    **_table(_BROADCAST, {op: _of_two(op, broadcasts=True) for op in _BROADCAST}),
    **_table(_SCALARS, {op: _with_scalar(op) for op in _SCALARS}),
    **_table(_SCALARS_FIRST, {op: _with_scalar(op, reverse=True) for op in _SCALARS_FIRST}),
}
