"""Operators that reduce many numbers to few: sums, means, norms; and softmaxes, which divide by such a sum."""

from math import prod

from edge.importer.builder import Builder, Value
from edge.importer.head import SOFTMAX
from edge.importer.operators.common import Layer, axis_of, need, reshaped, scalar, support, takes, whole_numbers
from edge.importer.symbol import Attributes, Node


def _reduce(op: str) -> Layer:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        named = attributes.axes("axis")
        keep = attributes.flag("keepdims", False)
        exclude = attributes.flag("exclude", False)
        attributes.choice("dtype", "None", "float32")
        attributes.end()
        takes(node, 1)
        x = net.value(node, 0)
        every = range(len(x.shape))
        places = {axis_of(node, axis, len(x.shape)) for axis in named} if named else set(every)
        if exclude and named:
            places = set(every) - places
        return _reduced(net, node, op, x, tuple(sorted(places)), keep=keep)

    return layer


def _reduced(net: Builder, node: Node, op: str, x: Value, places: tuple[int, ...], *, keep: bool = True) -> Value:
    kept = tuple(1 if place in places else size for place, size in enumerate(x.shape))
    if not places:
        return x
    if op == "ReduceSum":
        found = net.add(op, node, [x, whole_numbers(net, node, places)], kept, keepdims=1)
    else:
        found = net.add(op, node, [x], kept, axes=places, keepdims=1)
    if keep:
        return found
    return reshaped(net, node, found, tuple(size for place, size in enumerate(kept) if place not in places) or (1,))


def l2_normalization(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a division by the root of the sum of squares."""
    mode = attributes.choice("mode", "instance", "channel", "spatial")
    epsilon = attributes.number("eps", 1e-10)
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    need(node, len(x.shape) > 1, f"of the shape {x.shape} it is not supported")
    # over all numbers of a picture, over its channels at each place, or over the places of each channel
    places = {"instance": range(1, len(x.shape)), "channel": (1,), "spatial": range(2, len(x.shape))}[mode]
    total = _reduced(net, node, "ReduceSum", net.add("Mul", node, [x, x], x.shape), tuple(places))
    total = net.add("Add", node, [total, scalar(net, node, epsilon)], total.shape)
    return net.add("Div", node, [x, net.add("Sqrt", node, [total], total.shape)], x.shape)


def layer_norm(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a normalisation by mean and variance along an axis, then a factor and a summand for each place on it."""
    axis, epsilon = attributes.integer("axis", -1), attributes.number("eps", 1e-5)
    attributes.choice("output_mean_var", "False", "0")
    attributes.end()
    takes(node, 3)
    x = net.value(node, 0)
    place = axis_of(node, axis, len(x.shape))
    mean = _reduced(net, node, "ReduceMean", x, (place,))
    centred = net.add("Sub", node, [x, mean], x.shape)
    variance = _reduced(net, node, "ReduceMean", net.add("Mul", node, [centred, centred], x.shape), (place,))
    variance = net.add("Add", node, [variance, scalar(net, node, epsilon)], variance.shape)
    normal = net.add("Div", node, [centred, net.add("Sqrt", node, [variance], variance.shape)], x.shape)
    shape = tuple(x.shape[place] if one == place else 1 for one in range(len(x.shape)))
    gamma, beta = (
        net.constant(node, net.parameter(node, number, (x.shape[place],)).reshape(shape)) for number in (1, 2)
    )
    return net.add("Add", node, [net.add("Mul", node, [normal, gamma], x.shape), beta], x.shape)


def softmax(net: Builder, _index: int, node: Node, _attributes: Attributes) -> Value:
    """Add a softmax: its numbers sum to 1 along an axis."""
    scores, axis = softmax_input(net, node)
    return net.add("Softmax", node, [scores], scores.shape, axis=axis)


def log_softmax(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add the logarithm of a softmax."""
    scores, axis = _scores(net, node, attributes)
    return net.add("LogSoftmax", node, [scores], scores.shape, axis=axis)


def softmax_input(net: Builder, node: Node) -> tuple[Value, int]:
    """Return the scores that a softmax takes, divided by its temperature, and its axis."""
    attributes = node.attributes
    if node.op == "softmax":
        return _scores(net, node, attributes)
    # the label is for training only
    takes(node, 1 if node.op == "SoftmaxActivation" else min(len(node.inputs), 2))
    x = net.value(node, 0)
    need(node, len(x.shape) > 1, f"of the shape {x.shape} it is not supported")
    if node.op == "SoftmaxActivation":
        # over all of a picture's numbers, or over the channels at each place
        flat = attributes.choice("mode", "instance", "channel") == "instance"
        axis = 1
    else:
        attributes.ignore("grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha")
        channels, last = attributes.flag("multi_output", False), attributes.flag("preserve_shape", False)
        flat = not (channels or last)
        axis = 1 if channels else len(x.shape) - 1
    attributes.end()
    if flat:
        # the same as along the only long side, if there is one, and the shape stays
        longest = max(range(1, len(x.shape)), key=lambda place: x.shape[place])
        support(node, x.shape[longest] == prod(x.shape[1:]), f"an input of the shape {x.shape} is not supported")
        axis = longest
    return x, axis


def _scores(net: Builder, node: Node, attributes: Attributes) -> tuple[Value, int]:
    axis = attributes.integer("axis", -1)
    temperature = attributes.number("temperature", 1.0) if attributes.is_set("temperature") else 1.0
    attributes.ignore("temperature")
    attributes.choice("use_length", "False", "0")
    attributes.choice("dtype", "None", "float32")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    need(node, len(x.shape) > 0, "a softmax of one number is not supported")
    need(node, temperature > 0, f"temperature = {temperature} must be above 0")
    if temperature != 1.0:
        x = net.add("Div", node, [x, scalar(net, node, temperature)], x.shape)
    return x, axis_of(node, axis, len(x.shape))


REDUCTIONS: dict[str, Layer] = {
    "mean": _reduce("ReduceMean"),
    **dict.fromkeys(("sum", "sum_axis"), _reduce("ReduceSum")),
    **dict.fromkeys(("max", "max_axis"), _reduce("ReduceMax")),
    **dict.fromkeys(("min", "min_axis"), _reduce("ReduceMin")),
    "L2Normalization": l2_normalization,
    "LayerNorm": layer_norm,
    "log_softmax": log_softmax,
    **dict.fromkeys(SOFTMAX, softmax),
}
