"""The translator from the importer's layers to ncnn's: values by name, constants, and the order of both.

The importer has folded each BatchNorm into the convolution before it. Here an activation becomes part of the layer
before it, which ncnn computes at once.
"""

import mmap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge.importer import onnx
from edge.importer.description import DATA
from edge.importer.graph import FEATURES, PROBABILITIES, SCORES
from edge.importer.last_layer import features_among
from edge.importer.ncnn.network import MOST_DIMENSIONS, Blob, Network, NotInNcnnError, Parameters, bare
from edge.importer.translate import Layers

Floats = NDArray[np.float32]
Translation = Callable[["Translator", onnx.Layer], Blob]
"""Takes (translator, a layer of the importer's graph), adds ncnn's layers, and returns their output."""
_FUSING = ("Conv", "ConvTranspose", "Gemm")
_COPYING = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
"""Layers that may read the picture itself. Others may write their output into their input, and ncnn crashes if they do
so with memory that is not its own, such as numpy's: what pnnx makes of ResNet-152, which begins with a BatchNorm, dies
of it."""


def number(layer: onnx.Layer, key: str) -> float:
    """Return an attribute that the importer has written as a number."""
    value = layer.attributes[key]
    assert isinstance(value, int | float)
    return float(value)


class Translator:
    """ncnn's network while it is made from the importer's layers."""

    def __init__(self, layers: Layers, data: mmap.mmap, bin_file: IO[bytes]) -> None:
        """Take the layers, the mapped file with their constants, and the file for the weights."""
        self.network = Network(bin_file, lambda: data.madvise(mmap.MADV_DONTNEED))
        self.repeated: dict[str, Blob] = {}
        """Inputs of layers that repeat numbers in six dimensions, by the value's name (UpSampling)."""
        self._layers, self._data = layers, data
        self._readers = Counter(name for layer in layers.layers for name in layer.inputs)
        self._reader = {layer.inputs[0]: layer for layer in layers.layers if layer.inputs}
        self._values: dict[str, Blob] = {}
        self._fused: set[str] = set()

    def text(self, translations: Mapping[str, Translation]) -> str:
        """Translate all layers; return network.param. `translations` are by the operator's name."""
        channels, height, width = bare(self._layers.shapes[DATA])
        parameters: Parameters = {0: width, 1: height, 2: channels}
        picture = self.network.add("Input", [], (channels, height, width), parameters, name=DATA)
        if any(DATA in layer.inputs and layer.op not in _COPYING for layer in self._layers.layers):
            picture = self.network.add("DeepCopy", [picture], picture.shape, {})
        self._values[DATA] = picture
        last = max((number for number, one in enumerate(self._layers.layers) if one.op in _FUSING), default=0)
        for number, layer in enumerate(self._layers.layers):
            # a score of 20 has steps of 0.016 in float16
            self.network.exact = number >= last
            if layer.output in self._fused:
                continue
            if layer.op not in translations:
                raise NotInNcnnError(layer, "there is no such layer in ncnn")
            self._values[self._end_of(layer)] = translations[layer.op](self, layer)
        outputs = {PROBABILITIES: self._values[PROBABILITIES], SCORES: self._values[SCORES]}
        # none where the last layer is not clear: teaching says so
        if (features := features_among(self._layers.layers)) in self._values:
            outputs[FEATURES] = self._values[features]
        return self.network.text(outputs)

    def shape(self, layer: onnx.Layer) -> tuple[int, ...]:
        """Return the shape of a layer's output without the batch. Raises NotInNcnnError for too many dimensions."""
        shape = bare(self._layers.shapes[layer.output])
        if len(shape) > MOST_DIMENSIONS:
            raise NotInNcnnError(layer, f"it gives {len(shape) + 1} dimensions, and ncnn knows up to five")
        return shape

    def axis(self, layer: onnx.Layer, axis: int) -> int:
        """Return an axis of a layer's first input without the batch. Raises NotInNcnnError for the batch itself."""
        shape = self.whole_shape(layer.inputs[0])
        axis %= len(shape)
        gone = len(shape) - len(bare(shape))
        if axis < gone:
            raise NotInNcnnError(layer, "it changes the first dimension, and ncnn has one picture at a time")
        return axis - gone

    def blob(self, name: str) -> Blob:
        """Return a value as it is; a constant becomes a layer."""
        if name not in self._values:
            array = self.constant(name).astype(np.float32)
            self._values[name] = self._memory(array, bare(array.shape) or (1,))
        return self._values[name]

    def factor(self, name: str) -> Blob:
        """Return a value that is multiplied as a matrix; a constant of one row has two dimensions all the same."""
        if not self.is_constant(name):
            return self.full(name)
        array = self.constant(name).astype(np.float32)
        return self._memory(array, array.shape)

    def _memory(self, array: Floats, shape: tuple[int, ...]) -> Blob:
        found = self.network.add("MemoryData", [], shape, self.sizes(shape))
        self.network.weights(array)
        return found

    def full(self, name: str) -> Blob:
        """Return a value in all its dimensions."""
        blob = self.blob(name)
        return self.reshaped(blob, blob.shape) if blob.flat else blob

    def reshaped(self, blob: Blob, shape: tuple[int, ...]) -> Blob:
        """Return the value in another shape."""
        return self.network.add("Reshape", [blob], shape, self.sizes(shape))

    @staticmethod
    def sizes(shape: tuple[int, ...]) -> Parameters:
        """Return a shape as the parameters of a layer that makes it."""
        return dict(zip((0, 1, 2) if len(shape) < 4 else (0, 1, 11, 2), reversed(shape), strict=False))

    def is_constant(self, name: str) -> bool:
        return name in self._layers.places

    def constant(self, name: str) -> NDArray[Any]:
        return self._layers.places[name].mapped(self._data)

    def activation(self, layer: onnx.Layer) -> Parameters:
        """Return the parameters (9, 10) of the activation that becomes part of a layer with weights."""
        end = self._end_of(layer)
        return {} if end == layer.output else self._activation_of(self._reader[layer.output]) or {}

    def _end_of(self, layer: onnx.Layer) -> str:
        """Return the name of a layer's output, or of the output of the activation that becomes part of it."""
        reader = self._reader.get(layer.output)
        if layer.op not in _FUSING or reader is None or self._readers[layer.output] != 1:
            return layer.output
        if reader.output in (SCORES, PROBABILITIES) or self._activation_of(reader) is None:
            return layer.output
        self._fused.add(reader.output)
        return reader.output

    def _activation_of(self, layer: onnx.Layer) -> Parameters | None:
        match layer.op:
            case "Relu":
                return {9: 1}
            case "LeakyRelu":
                return {9: 2, 10: (number(layer, "alpha"),)}
            case "Clip":
                return {9: 3, 10: tuple(float(self.constant(name)) for name in layer.inputs[1:])}
            case "Sigmoid":
                return {9: 4}
        return None

    def whole_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value, the batch included."""
        places: Mapping[str, onnx.Place] = self._layers.places
        return places[name].shape if name in places else self._layers.shapes[name]
