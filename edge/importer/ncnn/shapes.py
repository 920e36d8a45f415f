"""Layers that move numbers, leave some out or repeat them."""

import numpy as np

from edge.importer import onnx
from edge.importer.ncnn.network import MOST_DIMENSIONS, Blob, NotInNcnnError, bare
from edge.importer.ncnn.translator import Translation, Translator

_MODES = {"constant": 0, "edge": 1, "reflect": 2}
_AXES = {1: "w", 2: "hw", 3: "chw", 4: "cdhw"}
_ORDERS = {
    1: ("w",),
    2: ("wh", "hw"),
    3: ("whc", "hwc", "wch", "cwh", "hcw", "chw"),
    4: (
        *("whdc", "hwdc", "wdhc", "dwhc", "hdwc", "dhwc", "whcd", "hwcd", "wchd", "cwhd", "hcwd", "chwd"),
        *("wdch", "dwch", "wcdh", "cwdh", "dcwh", "cdwh", "hdcw", "dhcw", "hcdw", "chdw", "dchw", "cdhw"),
    ),
}
"""ncnn's numbers of the orders of dimensions, the innermost first (src/layer/permute.cpp)."""
_UP_SAMPLING = 6
"""Dimensions of a picture whose numbers are to be repeated: batch, channels, height, 1, width, 1."""


def flatten(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.blob(layer.inputs[0])
    shape = translator.shape(layer)
    if x.flat or len(x.shape) == 1:
        return Blob(x.name, shape)
    return translator.network.add("Flatten", [x], shape, {})


def reshape(translator: Translator, layer: onnx.Layer) -> Blob:
    name = layer.inputs[0]
    whole = translator.whole_shape(layer.output)
    if name in translator.repeated:
        return _repeated(translator, translator.repeated[name], translator.shape(layer))
    if len(whole) == _UP_SAMPLING:
        translator.repeated[layer.output] = translator.full(name)
        return translator.repeated[layer.output]
    shape = translator.shape(layer)
    x = translator.blob(name)
    if len(shape) == 1 and (x.flat or len(x.shape) == 1):
        return Blob(x.name, shape)
    return x if x.shape == shape else translator.reshaped(x, shape)


def expand(translator: Translator, layer: onnx.Layer) -> Blob:
    name = layer.inputs[0]
    if name in translator.repeated:
        translator.repeated[layer.output] = translator.repeated[name]
        return translator.repeated[name]
    shape = translator.shape(layer)
    if translator.is_constant(name) and translator.constant(name).size == 1:
        number = float(np.asarray(translator.constant(name)).reshape(-1)[0])
        found = translator.network.add("MemoryData", [], shape, translator.sizes(shape))
        translator.network.weights(np.full(shape, number, np.float32))
        return found
    x = translator.full(name)
    if len(x.shape) != len(shape):
        raise NotInNcnnError(layer, f"{x.shape} cannot become {shape}")
    repeats = tuple(want // have for want, have in zip(shape, x.shape, strict=True))
    return translator.network.add("Tile", [x], shape, {2: repeats})


def _repeated(translator: Translator, x: Blob, shape: tuple[int, ...]) -> Blob:
    """Repeat each number of a picture in both directions: a transposed convolution with ones, which is exact."""
    channels, height, _ = x.shape
    scale = shape[1] // height
    weights = channels * scale * scale
    parameters = {0: channels, 1: scale, 3: scale, 6: weights, 7: channels}
    found = translator.network.add_shaped("DeconvolutionDepthWise", [x], shape, parameters)
    translator.network.weights(np.ones(weights, np.float32), flagged=True)
    return found


def transpose(translator: Translator, layer: onnx.Layer) -> Blob:
    places = layer.attributes["perm"]
    assert isinstance(places, tuple)
    before, after = (translator.whole_shape(name) for name in (layer.inputs[0], layer.output))
    x, shape = translator.full(layer.inputs[0]), translator.shape(layer)
    if len(bare(before)) != len(before) and places[0] != 0:
        moved = [place for place in places if before[place] > 1]
        if moved != sorted(moved):
            raise NotInNcnnError(layer, f"it moves the first of the dimensions {before} to another place")
        return translator.reshaped(x, shape)
    if len(bare(after)) == len(after) - 1:
        places = tuple(place - 1 for place in places[1:])
    if len(places) > MOST_DIMENSIONS:
        raise NotInNcnnError(layer, f"it has {len(places)} dimensions")
    names = _AXES[len(places)]
    order = "".join(names[place] for place in reversed(places))
    return translator.network.add("Permute", [x], shape, {0: _ORDERS[len(places)].index(order)})


def concat(translator: Translator, layer: onnx.Layer) -> Blob:
    axis = layer.attributes["axis"]
    assert isinstance(axis, int)
    place, shape = translator.axis(layer, axis), translator.shape(layer)
    values = [translator.blob(name) for name in layer.inputs]
    flat = all(value.flat for value in values) and place == 0
    if not flat:
        values = [translator.full(name) for name in layer.inputs]
    return values[0] if len(values) == 1 else translator.network.add("Concat", values, shape, {0: place}, flat=flat)


def cut(translator: Translator, layer: onnx.Layer) -> Blob:
    start, end, axis = (int(translator.constant(name)[0]) for name in layer.inputs[1:])
    parameters = {9: (start,), 10: (end,), 11: (translator.axis(layer, axis),)}
    return translator.network.add("Crop", [translator.full(layer.inputs[0])], translator.shape(layer), parameters)


def pad(translator: Translator, layer: onnx.Layer) -> Blob:
    widths = [int(width) for width in translator.constant(layer.inputs[1])]
    value = float(translator.constant(layer.inputs[2])) if len(layer.inputs) > 2 else 0.0
    mode = str(layer.attributes.get("mode", "constant"))
    before, after = widths[: len(widths) // 2], widths[len(widths) // 2 :]
    x = translator.full(layer.inputs[0])
    gone = len(before) - len(x.shape)
    if any(before[:gone] + after[:gone]):
        raise NotInNcnnError(layer, "it changes the first dimension, and ncnn has one picture at a time")
    pairs = dict(zip(_AXES[len(x.shape)], zip(before[gone:], after[gone:], strict=True), strict=True))
    if any(pairs.get("d", ())) or (any(pairs.get("c", ())) and mode != "constant"):
        raise NotInNcnnError(layer, f"it adds channels (mode {mode})")
    top, left, front = (pairs.get(axis, (0, 0)) for axis in "hwc")
    parameters = {0: top[0], 1: top[1], 2: left[0], 3: left[1], 4: _MODES[mode], 5: value, 7: front[0], 8: front[1]}
    return translator.network.add("Padding", [x], translator.shape(layer), parameters)


SHAPES: dict[str, Translation] = {
    "Flatten": flatten,
    "Reshape": reshape,
    "Expand": expand,
    "Transpose": transpose,
    "Concat": concat,
    "Slice": cut,
    "Pad": pad,
}
