"""Layers with weights, pooling, normalisation, reductions and softmaxes."""

import numpy as np
from numpy.typing import NDArray

from edge.importer import onnx
from edge.importer.graph import PROBABILITIES
from edge.importer.ncnn.network import MATRIX, Blob, Parameters
from edge.importer.ncnn.translator import Translation, Translator, number

_MOST_ROWS = 2**25
"""Bytes of a matrix that is one layer: ncnn holds a layer's weights twice while it prepares them, so a larger matrix
becomes several. VGG-16's is 392 MiB."""
_PACK = 16
"""ncnn computes so many outputs at once, at most."""
_REDUCTIONS = {"ReduceSum": 0, "ReduceMean": 3, "ReduceMax": 4, "ReduceMin": 5}


def _four(layer: onnx.Layer, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = layer.attributes.get(key, default)
    assert isinstance(value, tuple)
    return value


def _window(layer: onnx.Layer) -> tuple[tuple[int, ...], ...]:
    """Return kernel, stride, (top, left, bottom, right) and dilation."""
    return (
        _four(layer, "kernel_shape", ()),
        _four(layer, "strides", (1, 1)),
        _four(layer, "pads", (0, 0, 0, 0)),
        _four(layer, "dilations", (1, 1)),
    )


def _convolution_parameters(translator: Translator, layer: onnx.Layer, filters: int, weights: int) -> Parameters:
    kernel, stride, (top, left, bottom, right), dilation = _window(layer)
    groups = _groups(layer)
    return {
        0: filters,
        **{1: kernel[1], 11: kernel[0], 2: dilation[1], 12: dilation[0], 3: stride[1], 13: stride[0]},
        **{4: left, 14: top, 15: right, 16: bottom},
        **{5: int(len(layer.inputs) > 2), 6: weights},
        **({7: groups} if groups != 1 else {}),
        **translator.activation(layer),
    }


def _groups(layer: onnx.Layer) -> int:
    groups = layer.attributes.get("group", 1)
    assert isinstance(groups, int)
    return groups


def _filtered(
    translator: Translator, layer: onnx.Layer, kind: str, parameters: Parameters, weights: NDArray[np.float32]
) -> Blob:
    """Add a layer that moves filters over its input; `kind` is its name in ncnn if there is one group."""
    kind = kind if _groups(layer) == 1 else f"{kind}DepthWise"
    found = translator.network.add_shaped(kind, [translator.full(layer.inputs[0])], translator.shape(layer), parameters)
    translator.network.weights(weights, flagged=True)
    _bias(translator, layer)
    return found


def _bias(translator: Translator, layer: onnx.Layer) -> None:
    if len(layer.inputs) > 2:
        translator.network.weights(translator.constant(layer.inputs[2]))


def convolution(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.blob(layer.inputs[0])
    weights = translator.constant(layer.inputs[1])
    kernel, stride, pads, _ = _window(layer)
    if x.shape[1:] == (1, 1) and kernel == stride == (1, 1) and not any(pads) and _groups(layer) == 1:
        # a matrix, as in squeeze and excitation
        return _matrix(translator, layer, weights.reshape(len(weights), -1), flat=True)
    parameters = _convolution_parameters(translator, layer, len(weights), weights.size)
    return _filtered(translator, layer, "Convolution", parameters, weights)


def transposed_convolution(translator: Translator, layer: onnx.Layer) -> Blob:
    weights = translator.constant(layer.inputs[1])
    groups = _groups(layer)
    inputs, each, *kernel = weights.shape
    # of each group, the outputs go before the inputs in ncnn
    turned = weights.reshape(groups, inputs // groups, each, *kernel).swapaxes(1, 2)
    adjust = _four(layer, "output_padding", (0, 0))
    parameters = {
        **_convolution_parameters(translator, layer, groups * each, weights.size),
        **{18: adjust[1], 19: adjust[0]},
    }
    return _filtered(translator, layer, "Deconvolution", parameters, turned)


def matrix(translator: Translator, layer: onnx.Layer) -> Blob:
    return _matrix(translator, layer, translator.constant(layer.inputs[1]), flat=False)


def _matrix(translator: Translator, layer: onnx.Layer, weights: NDArray[np.float32], *, flat: bool) -> Blob:
    outputs, inputs = weights.shape
    rows = max(_PACK, _MOST_ROWS // (4 * inputs) // _PACK * _PACK)
    bias = translator.constant(layer.inputs[2]) if len(layer.inputs) > 2 else None
    x = translator.blob(layer.inputs[0])
    parts = []
    for start in range(0, outputs, rows):
        part = weights[start : start + rows]
        parameters = {0: len(part), 1: int(bias is not None), 2: part.size, **translator.activation(layer)}
        parts.append(translator.network.add(MATRIX, [x], (len(part),), parameters))
        translator.network.weights(part, flagged=True)
        if bias is not None:
            translator.network.weights(bias[start : start + rows])
    shape = translator.shape(layer)
    if len(parts) == 1:
        return Blob(parts[0].name, shape, flat)
    return translator.network.add("Concat", parts, shape, {0: 0}, flat=flat)


def product(translator: Translator, layer: onnx.Layer) -> Blob:
    """Add the product with a constant matrix, from the left or from the right: it resizes one side."""
    inputs = [translator.factor(name) for name in layer.inputs]
    return translator.network.add("MatMul", inputs, translator.shape(layer), {})


def batch_norm(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.blob(layer.inputs[0])
    scale, shift, mean, variance = (translator.constant(name) for name in layer.inputs[1:])
    found = translator.network.add("BatchNorm", [x], x.shape, {0: len(scale), 1: 0.0}, flat=x.flat)
    for array in (scale, mean, variance, shift):
        translator.network.weights(array)
    return found


def _pooling(translator: Translator, layer: onnx.Layer) -> Blob:
    kernel, stride, (top, left, bottom, right), _ = _window(layer)
    average = layer.op == "AveragePool"
    parameters = {
        0: int(average),
        **{1: kernel[1], 11: kernel[0], 2: stride[1], 12: stride[0]},
        **{3: left, 13: top, 14: right, 15: bottom},
        5: 1,  # the padding as it is
        6: int(average and layer.attributes.get("count_include_pad", 0) == 1),
    }
    return translator.network.add_shaped(
        "Pooling", [translator.full(layer.inputs[0])], translator.shape(layer), parameters
    )


def _global_pooling(translator: Translator, layer: onnx.Layer) -> Blob:
    return _pooled(translator, layer, average=layer.op == "GlobalAveragePool")


def _pooled(translator: Translator, layer: onnx.Layer, *, average: bool) -> Blob:
    x = translator.blob(layer.inputs[0])
    if x.flat:
        return x
    return translator.network.add("Pooling", [x], translator.shape(layer), {0: int(average), 4: 1}, flat=True)


def reduction(translator: Translator, layer: onnx.Layer) -> Blob:
    if layer.op == "ReduceSum":
        axes = tuple(int(axis) for axis in translator.constant(layer.inputs[1]))
    else:
        axes = _four(layer, "axes", ())
    shape = translator.whole_shape(layer.inputs[0])
    axes = tuple(axis % len(shape) for axis in axes)
    if layer.op in ("ReduceMean", "ReduceMax") and axes == (2, 3) and len(shape) == 4 and shape[0] == 1:
        return _pooled(translator, layer, average=layer.op == "ReduceMean")
    if shape[0] == 1 and len(shape) > 1:
        axes = tuple(axis for axis in axes if axis)  # of one picture
    x = translator.full(layer.inputs[0])
    if not axes:
        return x
    return _reduced(translator, x, _REDUCTIONS[layer.op], tuple(translator.axis(layer, axis) for axis in axes))


def _reduced(translator: Translator, x: Blob, operation: int, axes: tuple[int, ...]) -> Blob:
    shape = tuple(1 if place in axes else side for place, side in enumerate(x.shape))
    return translator.network.add("Reduction", [x], shape, {0: operation, 1: 0, 3: axes, 4: 1, 5: 1})


def softmax(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.full(layer.inputs[0])
    name = PROBABILITIES if layer.output == PROBABILITIES else ""
    return translator.network.add("Softmax", [x], x.shape, {0: _axis_of(translator, layer), 1: 1}, name=name)


def log_softmax(translator: Translator, layer: onnx.Layer) -> Blob:
    """Add x - max - log(sum(exp(x - max))): the logarithm of a softmax is minus infinity for an unlikely label."""
    x = translator.full(layer.inputs[0])
    axes = (_axis_of(translator, layer),)
    add = translator.network.add
    centred = add("BinaryOp", [x, _reduced(translator, x, _REDUCTIONS["ReduceMax"], axes)], x.shape, {0: 1})
    total = _reduced(translator, add("UnaryOp", [centred], x.shape, {0: 7}), _REDUCTIONS["ReduceSum"], axes)
    return add("BinaryOp", [centred, add("UnaryOp", [total], total.shape, {0: 8})], x.shape, {0: 1})


def _axis_of(translator: Translator, layer: onnx.Layer) -> int:
    axis = layer.attributes.get("axis", -1)
    assert isinstance(axis, int)
    return translator.axis(layer, axis)


def local_response_norm(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.full(layer.inputs[0])
    numbers = {place: number(layer, key) for place, key in ((2, "alpha"), (3, "beta"), (4, "bias"))}
    size = layer.attributes["size"]
    assert isinstance(size, int)
    return translator.network.add("LRN", [x], x.shape, {0: 0, 1: size, **numbers})


def parametric_relu(translator: Translator, layer: onnx.Layer) -> Blob:
    slopes = translator.constant(layer.inputs[1]).reshape(-1)
    x = translator.full(layer.inputs[0])
    found = translator.network.add("PReLU", [x], x.shape, {0: len(slopes)})
    translator.network.weights(slopes)
    return found


LAYERS: dict[str, Translation] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Gemm": matrix,
    "MatMul": product,
    "BatchNormalization": batch_norm,
    **dict.fromkeys(("MaxPool", "AveragePool"), _pooling),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), _global_pooling),
    **dict.fromkeys(_REDUCTIONS, reduction),
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "LRN": local_response_norm,
    "PRelu": parametric_relu,
}
