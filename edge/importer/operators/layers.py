"""Layers with weights, pooling and resizing.

Two things are folded into the weights of a convolution, and only where that changes nothing but the rounding: a
BatchNorm that follows it, if nothing else reads the convolution's output; and the normalisation of the picture before
the first layer. The division can always be folded. The mean can be folded only if the convolution has no border of
zeros: such a zero stands for the mean, and would no longer do so.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.importer.builder import Builder, Value
from edge.importer.operators.common import Layer, flattened, four_dimensions, need, support, takes
from edge.importer.symbol import Attributes, Node, UnsupportedError

Doubles = NDArray[np.float64]
_MOST_WEIGHTS = 2**20
"""In a matrix that resizes one side: enough to make 1024 pixels from 1024."""
_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def convolution(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Add a convolution over two dimensions; fold into it the normalisation and the BatchNorm, where possible."""
    x = net.value(node, 0)
    kernel, stride, pad, dilate = _window(attributes)
    filters, groups, no_bias = _filters(node, attributes, x, no_bias=False)
    sides = tuple(
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(x.shape[2:], kernel, stride, pad, dilate, strict=True)
    )
    shape = (filters, x.shape[1] // groups, *kernel)
    scale, shift = _batch_norm_after(net, index, filters)
    mean, std = _normalisation_before(net, node, pad, groups)
    inputs = [x]
    if scale is None and mean is None and std is None:
        inputs.append(net.shared(node, 1, shape))
        if not no_bias:
            inputs.append(net.shared(node, 2, (filters,)))
    else:
        weights = net.parameter(node, 1, shape)
        if not weights.flags.writeable:  # weights of other types are a copy already
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
    """Return factor and summand of each channel if the only layer that reads this one is a BatchNorm; else None."""
    reader = net.only_reader(index)
    if reader is None or not net.symbol.nodes[reader].op.startswith("BatchNorm"):
        return None, None
    node = net.symbol.nodes[reader]
    net.folded.add(reader)
    return _batch_norm(net, node, node.attributes, channels)


def _normalisation_before(
    net: Builder, node: Node, pad: tuple[int, ...], groups: int
) -> tuple[Doubles | None, Doubles | None]:
    """Return the picture's mean and std that this layer takes over, and take them from the input's specification."""
    if not net.reads_data(node) or groups != 1:
        return None, None
    spec = net.left
    has_mean, has_std = spec.mean != _NO_MEAN, spec.std != _NO_STD
    mean = np.array(spec.mean[: spec.planes]) if has_mean and not any(pad) else None
    net.left = dataclasses.replace(spec, std=_NO_STD, mean=spec.mean if mean is None else _NO_MEAN)
    # the picture minus its mean is divided by std in the weights: (x - mean) / std = x / std - mean / std
    return mean, np.array(spec.std[: spec.planes]) if has_std else None


def _batch_norm(net: Builder, node: Node, attributes: Attributes, channels: int) -> tuple[Doubles, Doubles]:
    """Return the factor and the summand of each channel."""
    epsilon = attributes.number("eps", 1e-3)
    fixed = attributes.flag("fix_gamma", True)
    attributes.choice("axis", "1")
    attributes.ignore("momentum", "use_global_stats", "output_mean_var", "cudnn_off", "min_calib_range")
    attributes.ignore("max_calib_range")
    attributes.end()
    takes(node, 5)
    gamma, beta, mean, variance = (
        net.parameter(node, number, (channels,)).astype(np.float64) for number in range(1, 5)
    )
    scale = (1.0 if fixed else gamma) / np.sqrt(variance + epsilon)
    shift = beta - mean * scale
    # numbers too large for float32 become infinite
    usable = np.isfinite(scale.astype(np.float32)).all() and np.isfinite(shift.astype(np.float32)).all()
    need(node, bool(usable), "its mean and variance give nan or infinity; the parameters are damaged, copy them again")
    return scale, shift


def batch_norm(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a BatchNorm with the learnt mean and variance, unless it is folded into a convolution."""
    x = net.value(node, 0)
    if _index in net.folded:
        return x
    support(node, len(x.shape) in (2, 4), f"its input has the shape {x.shape}, and must have two or four dimensions")
    channels = x.shape[1]
    scale, shift = _batch_norm(net, node, attributes, channels)
    if net.reads_data(node):
        spec = net.left
        picture_mean, std = (np.array(three[: spec.planes]) for three in (spec.mean, spec.std))
        scale, shift = scale / std, shift - scale * picture_mean / std
        net.left = dataclasses.replace(spec, mean=_NO_MEAN, std=_NO_STD)
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    numbers = [net.constant(node, one.astype(np.float32)) for one in (scale, shift, zeros, ones)]
    return net.add("BatchNormalization", node, [x, *numbers], x.shape, epsilon=0.0)


def fully_connected(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a matrix that takes all outputs of the layer before."""
    x = net.value(node, 0)
    outputs, no_bias = attributes.whole("num_hidden"), attributes.flag("no_bias", False)
    flatten = attributes.flag("flatten", True)
    attributes.end()
    takes(node, 2 if no_bias else 3)
    support(node, flatten or len(x.shape) == 2, f"flatten=False is not supported for an input of the shape {x.shape}")
    if len(x.shape) > 2:
        x = flattened(net, node, x)
    need(node, len(x.shape) == 2, f"its input has the shape {x.shape}, and must have two dimensions or more")
    inputs = [x, net.shared(node, 1, (outputs, x.shape[1]))]
    if not no_bias:
        inputs.append(net.shared(node, 2, (outputs,)))
    return net.add("Gemm", node, inputs, (x.shape[0], outputs), transB=1)


def _filters(node: Node, attributes: Attributes, x: Value, *, no_bias: bool) -> tuple[int, int, bool]:
    """Return (filters, groups, True if there is no bias), checked against the input; `no_bias` is the default."""
    filters, groups = attributes.whole("num_filter"), attributes.whole("num_group", 1)
    no_bias = attributes.flag("no_bias", no_bias)
    attributes.choice("layout", "NCHW", "None")
    attributes.ignore("workspace", "cudnn_tune", "cudnn_off")
    attributes.end()
    takes(node, 2 if no_bias else 3)
    four_dimensions(node, x)
    need(node, groups > 0 and x.shape[1] % groups == 0 and filters % groups == 0, f"{groups} groups do not divide")
    return filters, groups, no_bias


def deconvolution(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a transposed convolution: each number of the input is spread over a window of the output."""
    x = net.value(node, 0)
    kernel, stride, pad, dilate = _window(attributes)
    adjust = attributes.tuple("adj", ()) or (0, 0)
    # MXNet with oneDNN fails at this too
    support(node, not any(attributes.tuple("target_shape", ())), "target_shape is not supported")
    filters, groups, no_bias = _filters(node, attributes, x, no_bias=True)
    support(node, len(adjust) == 2, f"adj = {adjust} must have two numbers, as kernel has")
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilate, strict=True))
    support(node, all(a < max(s, d) for a, s, d in zip(adjust, stride, dilate, strict=True)), f"adj = {adjust}")
    sides = tuple(
        s * (side - 1) + r - 2 * p + a for side, s, r, p, a in zip(x.shape[2:], stride, reach, pad, adjust, strict=True)
    )
    inputs = [x, net.shared(node, 1, (x.shape[1], filters // groups, *kernel))]
    if not no_bias:
        inputs.append(net.shared(node, 2, (filters,)))
    window = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "dilations": dilate}
    return net.add(
        "ConvTranspose", node, inputs, (x.shape[0], filters, *sides), group=groups, output_padding=adjust, **window
    )


def bilinear_up_sampling(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a bilinear UpSampling: a deconvolution of each channel with the operator's weights."""
    attributes.ignore("sample_type")
    scale = attributes.whole("scale")
    filters = attributes.whole("num_filter", 0)
    attributes.ignore("num_args", "multi_input_mode", "workspace")
    attributes.end()
    takes(node, 2)
    x = net.value(node, 0)
    four_dimensions(node, x)
    need(node, 0 < scale < 1000, f"scale = {scale} is not supported")
    channels = x.shape[1]
    support(node, filters in (0, channels), f"num_filter = {filters} for {channels} channels is not supported")
    kernel, pad = 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
    weights = net.shared(node, 1, (channels, 1, kernel, kernel))
    window = {"kernel_shape": (kernel,) * 2, "strides": (scale,) * 2, "pads": (pad,) * 4}
    shape = (x.shape[0], channels, *(scale * (side - 1) + kernel - 2 * pad for side in x.shape[2:]))
    return net.add("ConvTranspose", node, [x, weights], shape, group=channels, **window)


def adaptive_pooling(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add the mean of windows, as many as the wanted output has numbers; the windows may overlap by one."""
    size = attributes.tuple("output_size", ()) if attributes.is_tuple("output_size") else ()
    one = attributes.whole("output_size", 1) if not size else 1
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    four_dimensions(node, x)
    wanted = {0: (one, one), 1: size * 2, 2: size}.get(len(size), ())
    need(node, len(wanted) == 2 and min(wanted) > 0, f"output_size = {size or one} cannot be read")
    sides = x.shape[2:]
    if wanted == (1, 1):
        return net.add("GlobalAveragePool", node, [x], (*x.shape[:2], 1, 1))
    if all(side % count == 0 for side, count in zip(sides, wanted, strict=True)):
        step = tuple(side // count for side, count in zip(sides, wanted, strict=True))
        return net.add("AveragePool", node, [x], (*x.shape[:2], *wanted), kernel_shape=step, strides=step)

    _check_matrices(node, sides, wanted)

    def windows(side: int, count: int) -> list[tuple[int, int]]:
        return [(number * side // count, -(-(number + 1) * side // count)) for number in range(count)]

    down = [_weights_of(windows(side, count), side) for side, count in zip(sides, wanted, strict=True)]
    return _resampled(net, node, x, *down)


def bilinear_resize(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a bilinear resize of the picture: each number is made from the four around it."""
    mode = attributes.choice("mode", "size", "like", "odd_scale")
    height, width = attributes.whole("height", 1), attributes.whole("width", 1)
    scales = tuple(
        attributes.number(key) if attributes.is_set(key) else None for key in ("scale_height", "scale_width")
    )
    attributes.ignore("scale_height", "scale_width")
    corners = attributes.flag("align_corners", True)
    attributes.end()
    x = net.value(node, 0)
    four_dimensions(node, x)
    sides = x.shape[2:]
    if mode == "like":
        takes(node, 2)
        like = net.value(node, 1)
        four_dimensions(node, like)
        wanted = like.shape[2:]
    else:
        takes(node, 1)
        support(node, mode == "size" or scales[0] is not None, f"mode = {mode!r} without scales is not supported")
        wanted = (height, width)
        if scales[0] is not None and scales[1] is not None:
            need(node, all(0 < one < 1000 for one in scales if one), f"scales of {scales} are not supported")
            wanted = tuple(
                _scaled(side, float(scale or 1), odd=mode == "odd_scale")
                for side, scale in zip(sides, scales, strict=True)
            )
    need(node, len(wanted) == 2 and min(wanted) > 0 and max(wanted) <= 8192, f"a size of {wanted} is not supported")
    _check_matrices(node, sides, wanted)
    matrices = [_between(side, count, corners=corners) for side, count in zip(sides, wanted, strict=True)]
    return _resampled(net, node, x, *matrices)


def _check_matrices(node: Node, sides: Sequence[int], wanted: Sequence[int]) -> None:
    """Raise UnsupportedError if the resizing matrices would be too large."""
    small = all(side * count <= _MOST_WEIGHTS for side, count in zip(sides, wanted, strict=True))
    support(node, small, f"{tuple(sides)} cannot become {tuple(wanted)}")


def _scaled(side: int, scale: float, *, odd: bool) -> int:
    """Return a scaled side; with `odd` (odd_scale), the steps of an odd side are scaled, so that it stays odd."""
    return int((side - 1) * scale) + 1 if odd and side % 2 else int(scale * side)


def _between(side: int, count: int, *, corners: bool) -> NDArray[np.float32]:
    """Return the matrix (count x side) that makes `count` numbers from `side`, each from the two nearest.

    With `corners` the centres of the first and last stay where they are; otherwise their borders do.
    """
    places: NDArray[np.floating[Any]] = np.zeros(count)
    if count > 1 and corners:
        places = np.arange(count) * ((side - 1) / (count - 1))
    elif not corners:
        places = np.maximum((np.arange(count) + 0.5) * (side / count) - 0.5, 0.0)
    first = np.minimum(places.astype(np.int64), side - 1)
    second = np.minimum(first + 1, side - 1)
    share = places - first
    matrix = np.zeros((count, side), np.float32)
    rows = np.arange(count)
    np.add.at(matrix, (rows, first), (1 - share).astype(np.float32))
    np.add.at(matrix, (rows, second), share.astype(np.float32))
    return matrix


def _weights_of(windows: list[tuple[int, int]], side: int) -> NDArray[np.float32]:
    """Return the matrix (windows x side) that gives the mean of each window."""
    matrix = np.zeros((len(windows), side), np.float32)
    for row, (start, end) in zip(matrix, windows, strict=True):
        row[start:end] = 1 / (end - start)
    return matrix


def _resampled(net: Builder, node: Node, x: Value, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Value:
    """Multiply each picture by `rows` from the left, and by the transpose of `columns` from the right."""
    batch, channels, height, width = x.shape
    if height != 1 or len(rows) != 1:
        x = net.add("MatMul", node, [net.constant(node, rows), x], (batch, channels, len(rows), width))
    if width != 1 or len(columns) != 1:
        turned = net.constant(node, np.ascontiguousarray(columns.T))
        x = net.add("MatMul", node, [x, turned], (batch, channels, len(rows), len(columns)))
    return x


def pooling(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add the maximum or the mean of each window.

    With pooling_convention "full" the last window may reach beyond the padding. MXNet's mean counts the padding (with
    count_include_pad), but not the part beyond it.
    """
    x = net.value(node, 0)
    kind = attributes.choice("pool_type", "max", "avg")
    everywhere = attributes.flag("global_pool", False)
    convention = attributes.choice("pooling_convention", "valid", "full")
    count_padding = attributes.text("count_include_pad", "None")
    count_padding = "True" if count_padding == "None" else count_padding
    support(node, count_padding in ("True", "False", "0", "1"), f"count_include_pad = {count_padding[:60]!r}")
    attributes.choice("layout", "NCHW", "None")
    attributes.ignore("cudnn_off", "p_value")
    takes(node, 1)
    four_dimensions(node, x)
    if everywhere:
        attributes.ignore("kernel", "stride", "pad")
        attributes.end()
        return net.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", node, [x], (*x.shape[:2], 1, 1))
    kernel, stride, pad, _ = _window(attributes, dilates=False)
    attributes.end()
    sides, beyond = [], []
    for side, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        need(node, k <= side + 2 * p, f"a window of {k} is larger than its input of {side}; check the input size")
        steps = math.ceil((side + 2 * p - k) / s) if convention == "full" else (side + 2 * p - k) // s
        sides.append(steps + 1)
        end = steps * s + k - side - p
        # the last window may end before the padding does
        beyond.append(max(end - p, 0))
        support(node, p < k and p + beyond[-1] < k, "a window would lie in the padding alone, which is not supported")
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
    """Return kernel, stride, pad and dilate: two numbers each; () stands for the default."""
    kernel = attributes.tuple("kernel", low=1)
    if len(kernel) != 2:
        raise UnsupportedError(attributes.where, f"kernel = {kernel} is not supported: two dimensions are")
    found = [kernel]
    for key, default in (("stride", 1), ("pad", 0), *([("dilate", 1)] if dilates else [])):
        numbers = attributes.tuple(key, (), low=default) or (default, default)
        if len(numbers) != 2:
            raise UnsupportedError(attributes.where, f"{key} = {numbers} must have two numbers, as kernel has")
        found.append(numbers)
    return (*found, (1, 1)) if not dilates else tuple(found)


def local_response_norm(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a layer that divides each number by a power of the sum of squares of its neighbours in other channels."""
    size = attributes.whole("nsize")
    alpha, beta, bias = (attributes.number(*one) for one in (("alpha", 1e-4), ("beta", 0.75), ("knorm", 2.0)))
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    support(
        node,
        size % 2 == 1 and size < 1000 and len(x.shape) == 4,
        f"nsize = {size} of the shape {x.shape} is not supported",
    )
    support(node, bool(np.float32(min(alpha, beta)) > 0), f"alpha = {alpha}, beta = {beta} are not supported")
    return net.add("LRN", node, [x], x.shape, alpha=alpha, beta=beta, bias=bias, size=size)


LAYERS: dict[str, Layer] = {
    **dict.fromkeys(("Convolution", "Convolution_v1"), convolution),
    **dict.fromkeys(("BatchNorm", "BatchNorm_v1", "SyncBatchNorm", "_contrib_SyncBatchNorm"), batch_norm),
    "Deconvolution": deconvolution,
    "FullyConnected": fully_connected,
    **dict.fromkeys(("Pooling", "Pooling_v1"), pooling),
    "_contrib_AdaptiveAvgPooling2D": adaptive_pooling,
    "_contrib_BilinearResize2D": bilinear_resize,
    "LRN": local_response_norm,
}
