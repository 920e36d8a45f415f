"""What each operator of MXNet means in ONNX when a network is only used: its layers, and the shapes they give.

Two things are folded into the weights of a convolution, and only where that changes nothing but the rounding: a
BatchNorm that follows it, when nothing else reads what the convolution gives; and the normalisation of the picture
before the first layer. Of that, the division always can be; the mean only where the convolution has no border of zeros,
for a zero stands for the mean there, and would no longer.
"""

import dataclasses
import math
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer.builder import Builder, Value
from edge.importer.symbol import Attributes, Node

Doubles = NDArray[np.float64]
_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "Softmax")


def convolution(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Convolution over two dimensions, with what can be folded into it."""
    x = net.value(node, 0)
    kernel, stride, pad, dilate = _window(attributes)
    filters, groups = attributes.whole("num_filter"), attributes.whole("num_group", 1)
    no_bias = attributes.flag("no_bias", False)
    attributes.choice("layout", "NCHW", "None")
    attributes.ignore("workspace", "cudnn_tune", "cudnn_off")
    attributes.end()
    _takes(node, 2 if no_bias else 3)
    _need(node, len(x.shape) == 4, f"its input has the shape {x.shape}, and must have four dimensions")
    channels = x.shape[1]
    _need(node, groups > 0 and channels % groups == 0 and filters % groups == 0, f"{groups} groups do not divide")
    sides = tuple(
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(x.shape[2:], kernel, stride, pad, dilate, strict=True)
    )
    shape = (filters, channels // groups, *kernel)
    scale, shift = _batch_norm_after(net, index, filters)
    mean, std = _normalisation_before(net, node, pad, groups)
    inputs = [x]
    if scale is None and mean is None and std is None:
        inputs.append(net.shared(node, 1, shape))
        if not no_bias:
            inputs.append(net.shared(node, 2, (filters,)))
    else:
        weights = net.parameter(node, 1, shape)
        if not weights.flags.writeable:  # those of other types are a copy already
            weights = weights.copy()
        net.drop()
        bias = np.zeros(filters) if no_bias else net.parameter(node, 2, (filters,)).astype(np.float64)
        if std is not None:
            weights /= std.astype(np.float32)[:, np.newaxis, np.newaxis]
        if mean is not None:
            bias -= weights.sum((2, 3), dtype=np.float64) @ mean
        if scale is not None and shift is not None:
            weights *= scale.astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
            bias = bias * scale + shift
        inputs += [net.constant(node, weights), net.constant(node, bias.astype(np.float32))]
    strides = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "dilations": dilate}
    return net.add("Conv", node, inputs, (x.shape[0], filters, *sides), group=groups, **strides)


def _batch_norm_after(net: Builder, index: int, channels: int) -> tuple[Doubles | None, Doubles | None]:
    """The factor and summand for each channel of the only layer that reads this one, when it is a BatchNorm."""
    reader = net.only_reader(index)
    if reader is None or not net.symbol.nodes[reader].op.startswith("BatchNorm"):
        return None, None
    node = net.symbol.nodes[reader]
    net.folded.add(reader)
    return _batch_norm(net, node, node.attributes, channels)


def _normalisation_before(
    net: Builder, node: Node, pad: tuple[int, ...], groups: int
) -> tuple[Doubles | None, Doubles | None]:
    """The mean and std of the picture that this layer is to take over, and the picture then does without."""
    if not net.reads_data(node) or groups != 1:
        return None, None
    spec = net.left
    has_mean, has_std = spec.mean != _NO_MEAN, spec.std != _NO_STD
    mean = np.array(spec.mean) if has_mean and not any(pad) else None
    net.left = dataclasses.replace(spec, std=_NO_STD, mean=spec.mean if mean is None else _NO_MEAN)
    # the picture minus its mean is divided by std in the weights: (x - mean) / std = x / std - mean / std
    return mean, np.array(spec.std) if has_std else None


def _batch_norm(net: Builder, node: Node, attributes: Attributes, channels: int) -> tuple[Doubles, Doubles]:
    """What each channel is multiplied with, and what is added to it then."""
    epsilon = attributes.number("eps", 1e-3)
    fixed = attributes.flag("fix_gamma", True)
    attributes.choice("axis", "1")
    attributes.ignore("momentum", "use_global_stats", "output_mean_var", "cudnn_off", "min_calib_range")
    attributes.ignore("max_calib_range")
    attributes.end()
    _takes(node, 5)
    gamma, beta, mean, variance = (
        net.parameter(node, number, (channels,)).astype(np.float64) for number in range(1, 5)
    )
    scale = (1.0 if fixed else gamma) / np.sqrt(variance + epsilon)
    shift = beta - mean * scale
    # what is larger than a float32 holds becomes infinite
    usable = np.isfinite(scale.astype(np.float32)).all() and np.isfinite(shift.astype(np.float32)).all()
    _need(node, bool(usable), "its mean and variance make no numbers; the parameters are damaged, copy them again")
    return scale, shift


def batch_norm(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """BatchNorm with the mean and variance that were learnt; one that is folded into a convolution is no layer."""
    x = net.value(node, 0)
    if _index in net.folded:
        return x
    _need(node, len(x.shape) in (2, 4), f"its input has the shape {x.shape}, and must have two or four dimensions")
    channels = x.shape[1]
    scale, shift = _batch_norm(net, node, attributes, channels)
    if net.reads_data(node):
        spec = net.left
        scale, shift = scale / spec.std, shift - scale * spec.mean / np.array(spec.std)
        net.left = dataclasses.replace(spec, mean=_NO_MEAN, std=_NO_STD)
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    numbers = [net.constant(node, one.astype(np.float32)) for one in (scale, shift, zeros, ones)]
    return net.add("BatchNormalization", node, [x, *numbers], x.shape, epsilon=0.0)


def fully_connected(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """A matrix, of all that the layer before gives."""
    x = net.value(node, 0)
    outputs, no_bias = attributes.whole("num_hidden"), attributes.flag("no_bias", False)
    flatten = attributes.flag("flatten", True)
    attributes.end()
    _takes(node, 2 if no_bias else 3)
    _need(node, flatten or len(x.shape) == 2, f"flatten=False is not supported for an input of the shape {x.shape}")
    if len(x.shape) > 2:
        x = _flattened(net, node, x)
    _need(node, len(x.shape) == 2, f"its input has the shape {x.shape}, and must have two dimensions or more")
    inputs = [x, net.shared(node, 1, (outputs, x.shape[1]))]
    if not no_bias:
        inputs.append(net.shared(node, 2, (outputs,)))
    return net.add("Gemm", node, inputs, (x.shape[0], outputs), transB=1)


_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


def activation(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """One of the functions above, of each number."""
    # without one MXNet refuses it too
    kind = attributes.text("act_type", "")
    _need(node, kind in _ACTIVATIONS, f"act_type = {kind[:60]!r} is not one of {', '.join(_ACTIVATIONS)}")
    attributes.end()
    _takes(node, 1)
    x = net.value(node, 0)
    return net.add(_ACTIVATIONS[kind], node, [x], x.shape)


def leaky_relu(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """ReLU with something left below zero."""
    kind = attributes.choice("act_type", "leaky", "elu", "prelu")
    slope = attributes.number("slope", 0.25)
    attributes.ignore("lower_bound", "upper_bound")
    attributes.end()
    _takes(node, 2 if kind == "prelu" else 1)
    x = net.value(node, 0)
    if kind == "elu":
        return net.add("Elu", node, [x], x.shape, alpha=slope)
    if kind == "leaky":
        return net.add("LeakyRelu", node, [x], x.shape, alpha=slope)
    _need(node, len(x.shape) > 1, "a prelu of what has no channels is not supported")
    gamma = net.parameter(node, 1)
    _need(node, gamma.shape in ((1,), (x.shape[1],)), f"gamma has the shape {gamma.shape}")
    slopes = net.constant(node, gamma.reshape(-1, *[1] * (len(x.shape) - 2)))
    return net.add("PRelu", node, [x, slopes], x.shape)


def pooling(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """The largest or the mean of each window.

    With pooling_convention "full" the last window may reach beyond the padding. MXNet's mean counts the padding (where
    it is asked to), but not what lies beyond it.
    """
    x = net.value(node, 0)
    kind = attributes.choice("pool_type", "max", "avg")
    everywhere = attributes.flag("global_pool", False)
    convention = attributes.choice("pooling_convention", "valid", "full")
    count_padding = attributes.text("count_include_pad", "None")
    count_padding = "True" if count_padding == "None" else count_padding
    _need(node, count_padding in ("True", "False", "0", "1"), f"count_include_pad = {count_padding[:60]!r}")
    attributes.choice("layout", "NCHW", "None")
    attributes.ignore("cudnn_off", "p_value")
    _takes(node, 1)
    _need(node, len(x.shape) == 4, f"its input has the shape {x.shape}, and must have four dimensions")
    if everywhere:
        attributes.ignore("kernel", "stride", "pad")
        attributes.end()
        return net.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", node, [x], (*x.shape[:2], 1, 1))
    kernel, stride, pad, _ = _window(attributes, dilates=False)
    attributes.end()
    sides, beyond = [], []
    for side, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        _need(node, k <= side + 2 * p, f"a window of {k} is larger than its input of {side}; check the input size")
        steps = math.ceil((side + 2 * p - k) / s) if convention == "full" else (side + 2 * p - k) // s
        sides.append(steps + 1)
        end = steps * s + k - side - p
        # the last window may end before the padding does
        beyond.append(max(end - p, 0))
        _need(node, p < k and p + beyond[-1] < k, "a window would lie in the padding alone, which is not supported")
    shape = (*x.shape[:2], *sides)
    ends = tuple(p + more for p, more in zip(pad, beyond, strict=True))
    window = {"kernel_shape": kernel, "strides": stride}
    if kind == "max":
        return net.add("MaxPool", node, [x], shape, pads=(*pad, *ends), **window)
    if count_padding in ("False", "0") or not any(pad):
        return net.add("AveragePool", node, [x], shape, count_include_pad=0, pads=(*pad, *ends), **window)
    if not any(beyond):
        return net.add("AveragePool", node, [x], shape, count_include_pad=1, pads=(*pad, *pad), **window)
    pads = net.constant(node, np.array([0, 0, *pad, 0, 0, *pad], np.int64))
    padded = tuple(side + 2 * p for side, p in zip(x.shape[2:], pad, strict=True))
    x = net.add("Pad", node, [x, pads], (*x.shape[:2], *padded))
    return net.add("AveragePool", node, [x], shape, count_include_pad=0, pads=(0, 0, *beyond), **window)


def _window(attributes: Attributes, *, dilates: bool = True) -> tuple[tuple[int, ...], ...]:
    """kernel, stride, pad, dilate: two numbers each; () stands for the default."""
    kernel = attributes.tuple("kernel", low=1)
    if len(kernel) != 2:
        raise ModelError(f"{attributes.where}: kernel = {kernel} is not supported: two dimensions are")
    found = [kernel]
    for key, default in (("stride", 1), ("pad", 0), *([("dilate", 1)] if dilates else [])):
        numbers = attributes.tuple(key, (), low=default) or (default, default)
        if len(numbers) != 2:
            raise ModelError(f"{attributes.where}: {key} = {numbers} must have two numbers, as kernel has")
        found.append(numbers)
    return (*found, (1, 1)) if not dilates else tuple(found)


def concat(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """All inputs behind each other."""
    axis = attributes.whole("dim", 1)
    count = attributes.whole("num_args", len(node.inputs))
    attributes.end()
    _need(node, count == len(node.inputs) > 0, f"num_args = {count}, and it has {len(node.inputs)} inputs")
    values = [net.value(node, number) for number in range(count)]
    first = values[0].shape
    _need(node, 0 < axis < len(first), f"dim = {axis} is not supported for the shape {first}")
    for value in values:
        rest = (*value.shape[:axis], *value.shape[axis + 1 :])
        _need(node, rest == (*first[:axis], *first[axis + 1 :]), f"the shapes {first} and {value.shape} differ")
    shape = (*first[:axis], sum(value.shape[axis] for value in values), *first[axis + 1 :])
    return net.add("Concat", node, values, shape, axis=axis)


def _of_two(op: str, *, broadcasts: bool) -> Callable[[Builder, int, Node, Attributes], Value]:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        attributes.end()
        _takes(node, 2)
        a, b = net.value(node, 0), net.value(node, 1)
        fits = len(a.shape) == len(b.shape)
        if broadcasts:
            fits &= all(m in (n, 1) or n == 1 for m, n in zip(a.shape, b.shape, strict=False))
        else:
            fits = a.shape == b.shape
        _need(node, fits, f"the shapes {a.shape} and {b.shape} do not fit together")
        return net.add(op, node, [a, b], tuple(map(max, a.shape, b.shape)))

    return layer


def add_all(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """The sum of any number of inputs."""
    count = attributes.whole("num_args", len(node.inputs))
    attributes.end()
    _need(node, count == len(node.inputs) > 0, f"num_args = {count}, and it has {len(node.inputs)} inputs")
    total = net.value(node, 0)
    for number in range(1, count):
        other = net.value(node, number)
        _need(node, total.shape == other.shape, f"the shapes {total.shape} and {other.shape} differ")
        total = net.add("Add", node, [total, other], total.shape)
    return total


def _with_scalar(op: str) -> Callable[[Builder, int, Node, Attributes], Value]:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        number = attributes.number("scalar")
        attributes.ignore("is_int")
        attributes.end()
        _takes(node, 1)
        x = net.value(node, 0)
        return net.add(op, node, [x, _scalar(net, node, number)], x.shape)

    return layer


def clip(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Each number, no smaller and no larger than the limits."""
    low, high = attributes.number("a_min"), attributes.number("a_max")
    attributes.end()
    _takes(node, 1)
    _need(node, low <= high, f"a_min = {low} is more than a_max = {high}")
    x = net.value(node, 0)
    return net.add("Clip", node, [x, _scalar(net, node, low), _scalar(net, node, high)], x.shape)


def _scalar(net: Builder, node: Node, number: float) -> Value:
    array = np.array(number, np.float32)
    _need(node, bool(np.isfinite(array)), f"{number} is too large")
    return net.constant(node, array)


def flatten(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """All of a picture's numbers in a row."""
    attributes.end()
    _takes(node, 1)
    return _flattened(net, node, net.value(node, 0))


def _flattened(net: Builder, node: Node, x: Value) -> Value:
    _need(node, len(x.shape) > 0, "cannot flatten one number")
    return net.add("Flatten", node, [x], (x.shape[0], prod(x.shape[1:])), axis=1)


def reshape(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Another shape: 0 stands for the same as before, -1 for what is left."""
    wanted = attributes.tuple("shape", low=-1)
    reverse = attributes.flag("reverse", False)
    attributes.end()
    _takes(node, 1)
    x = net.value(node, 0)
    _need(node, not reverse and 0 < len(wanted) <= 8, f"shape = {wanted} is not supported")
    _need(node, 0 not in wanted[len(x.shape) :], f"shape = {wanted} takes more from {x.shape} than there is")
    sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    known = prod(size for size in sizes if size > 0)
    if sizes.count(-1) == 1 and prod(x.shape) % known == 0:
        sizes[sizes.index(-1)] = prod(x.shape) // known
    _need(node, -1 not in sizes and prod(sizes) == prod(x.shape), f"{x.shape} cannot become {wanted}")
    return net.add("Reshape", node, [x, net.constant(node, np.array(sizes, np.int64))], tuple(sizes))


def same(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Nothing, when a network is only used."""
    attributes.end()
    _takes(node, 1)
    return net.value(node, 0)


def dropout(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Nothing: it is for training, unless it says otherwise."""
    attributes.choice("mode", "training")
    attributes.ignore("p", "axes", "cudnn_off")
    return same(net, index, node, attributes)


def cast(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Nothing: all is float32 here."""
    dtype = attributes.text("dtype", "")
    _need(node, dtype == "float32", f"dtype = {dtype[:60]!r} is not supported")
    return same(net, index, node, attributes)


def local_response_norm(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Each number divided by what its neighbours in other channels come to."""
    size = attributes.whole("nsize")
    alpha, beta, bias = (attributes.number(*one) for one in (("alpha", 1e-4), ("beta", 0.75), ("knorm", 2.0)))
    attributes.end()
    _takes(node, 1)
    x = net.value(node, 0)
    _need(
        node,
        size % 2 == 1 and size < 1000 and len(x.shape) == 4,
        f"nsize = {size} of the shape {x.shape} is not supported",
    )
    _need(node, bool(np.float32(min(alpha, beta)) > 0), f"alpha = {alpha}, beta = {beta} are not supported")
    return net.add("LRN", node, [x], x.shape, alpha=alpha, beta=beta, bias=bias, size=size)


def softmax(net: Builder, _index: int, node: Node, _attributes: Attributes) -> Value:
    """Probabilities."""
    scores = softmax_input(net, node)
    return net.add("Softmax", node, [scores], scores.shape, axis=1)


def softmax_input(net: Builder, node: Node) -> Value:
    """What a softmax over all of the network's outputs makes probabilities of; raises ModelError for other ones."""
    attributes = node.attributes
    # the label is for training only
    _takes(node, min(len(node.inputs), 2) if node.op in ("SoftmaxOutput", "Softmax") else 1)
    x = net.value(node, 0)
    if node.op == "softmax":
        axis = attributes.choice("axis", "-1", "1")
        temperature = attributes.text("temperature", "None")
        attributes.choice("use_length", "False", "0")
        attributes.choice("dtype", "None", "float32")
        _need(node, temperature in ("None", "1.0", "1"), f"temperature = {temperature[:60]!r} is not supported")
        _need(node, len(x.shape) == 2 or axis == "1", f"axis = {axis} of the shape {x.shape} is not supported")
    elif node.op == "SoftmaxActivation":
        # over all of a picture's numbers, or over the channels at each place: of one place that is the same
        attributes.choice("mode", "instance", "channel")
    else:
        attributes.ignore("grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha")
        attributes.ignore("multi_output", "preserve_shape")
        _need(node, len(x.shape) == 2, f"its input has the shape {x.shape}, and must have two dimensions")
    attributes.end()
    _need(node, len(x.shape) > 1 and prod(x.shape[2:]) == 1, f"of the shape {x.shape} it is not supported")
    return x


def _takes(node: Node, count: int) -> None:
    _need(node, len(node.inputs) == count, f"has {len(node.inputs)} inputs, and must have {count}")


def _need(node: Node, holds: bool, what: str) -> None:
    if not holds:
        raise ModelError(f"{node.where}: {what}")


def _function(op: str) -> Callable[[Builder, int, Node, Attributes], Value]:
    def layer(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
        attributes.end()
        _takes(node, 1)
        x = net.value(node, 0)
        return net.add(op, node, [x], x.shape)

    return layer


SHAPE_ONLY: dict[str, Callable[[Builder, int, Node, Attributes], Value]] = {
    "Flatten": flatten,
    "flatten": flatten,
    "Reshape": reshape,
    "reshape": reshape,
    "identity": same,
    "_copy": same,
    "Cast": cast,
    "cast": cast,
    "BlockGrad": same,
    "stop_gradient": same,
    "Dropout": dropout,
}
"""What changes no number."""
OPERATORS: dict[str, Callable[[Builder, int, Node, Attributes], Value]] = {
    **SHAPE_ONLY,
    **dict.fromkeys(("Convolution", "Convolution_v1"), convolution),
    **dict.fromkeys(("BatchNorm", "BatchNorm_v1"), batch_norm),
    "FullyConnected": fully_connected,
    "Activation": activation,
    "LeakyReLU": leaky_relu,
    "Pooling": pooling,
    **dict.fromkeys(("Concat", "concat"), concat),
    **dict.fromkeys(("elemwise_add", "_plus", "_Plus", "_add"), _of_two("Add", broadcasts=False)),
    **dict.fromkeys(("elemwise_mul", "_mul", "_Mul"), _of_two("Mul", broadcasts=False)),
    **dict.fromkeys(("broadcast_add", "broadcast_plus"), _of_two("Add", broadcasts=True)),
    "broadcast_mul": _of_two("Mul", broadcasts=True),
    **dict.fromkeys(("ElementWiseSum", "add_n", "_sum"), add_all),
    **dict.fromkeys(("_plus_scalar", "_PlusScalar"), _with_scalar("Add")),
    **dict.fromkeys(("_minus_scalar", "_MinusScalar"), _with_scalar("Sub")),
    **dict.fromkeys(("_mul_scalar", "_MulScalar"), _with_scalar("Mul")),
    **dict.fromkeys(("_div_scalar", "_DivScalar"), _with_scalar("Div")),
    "clip": clip,
    "relu": _function("Relu"),
    "sigmoid": _function("Sigmoid"),
    "tanh": _function("Tanh"),
    "LRN": local_response_norm,
    **dict.fromkeys(SOFTMAX, softmax),
}


def unknown(node: Node) -> Any:
    """Raise the ModelError for an operator that is not known."""
    raise ModelError(
        f"{node.where}: the operator {node.op} is not known; known: "
        f"{', '.join(sorted(OPERATORS))}. Run this model with mxnet ([model] engine)"
    )
