"""Make an int8 graph from a checkpoint and ranges that were measured elsewhere: it needs no pictures and no tools.

Each layer's output is rounded to 256 steps over its range (QuantizeLinear, DequantizeLinear), weights to 255 steps for
each output channel, biases to the product of both steps. Engines compute the layer between them in integers. The form
is that of ONNX Runtime's tools, which edge/quantizer/ uses. Only the layers of EfficientNet-Lite are supported here.
"""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.host.atomic import to_disk
from edge.importer import onnx
from edge.importer.graph import WEIGHTS, Graph
from edge.importer.translate import Layers, translate, write_graph
from edge.models.checkpoint import Checkpoint

Ranges = Mapping[str, tuple[float, float]]
"""The least and the largest value of each layer's output, by the value's name in the graph (`data`, `v17`)."""
Means = Mapping[str, NDArray[np.float32]]
"""The mean of each channel of the input of a layer with weights, by the value's name."""
_LEVELS = 255
_MOST_WEIGHT = 127
_ROUNDS_AGAIN = ("Add", "GlobalAveragePool")


def make_int8_graph(checkpoint: Checkpoint, ranges: Ranges, means: Means, folder: Path) -> Graph:
    """Write the int8 graph of a checkpoint into an empty folder, and sync it to the disk.

    Rounding a weight adds to each output the rounding error times the input. The mean of that is subtracted from the
    bias, but not in a layer without `means`.

    Raises ModelError for an unknown layer or range, OSError if the folder cannot be written to.
    """
    with tempfile.TemporaryFile(dir=folder) as floats, (folder / WEIGHTS).open("wb") as file:
        layers = translate(checkpoint, floats)
        made = _Int8(layers, ranges, means, floats, onnx.Weights(file, WEIGHTS, 2**31, lambda: None))
        to_disk(folder / WEIGHTS)
    return write_graph(folder, made.layers)


@dataclasses.dataclass(frozen=True)
class _Steps:
    """How numbers are rounded: to (n - zero) steps, n from 0 to 255."""

    step: np.float32
    zero: int


class _Int8:
    """The layers of a graph, rewritten one by one."""

    def __init__(self, layers: Layers, ranges: Ranges, means: Means, floats: IO[bytes], weights: onnx.Weights) -> None:
        self._given, self._ranges, self._means, self._floats, self._weights = layers, ranges, means, floats, weights
        self._made: list[onnx.Layer] = []
        self._constants: dict[str, bytes] = {}
        self._rounded: dict[str, str] = {}
        """The name of the rounded value, by the name of the value."""
        self._steps: dict[str, _Steps] = {}
        self._readers = Counter(name for layer in layers.layers for name in layer.inputs)
        matrices = [number for number, layer in enumerate(layers.layers) if layer.op == "Gemm"]
        if not matrices:
            raise ModelError(
                "a network without a matrix is not supported in int8; make the version with edge models quantize"
            )
        last = matrices[-1]
        clips = {one.inputs[0]: one for one in layers.layers if one.op == "Clip"}
        for layer in layers.layers[:last]:
            self._rewrite(layer, clips)
        self._weighted(layers.layers[last])
        # the layers after the last matrix stay exact
        self._made += layers.layers[last + 1 :]
        self.layers = dataclasses.replace(layers, layers=tuple(self._made), initializers=self._constants)

    def _rewrite(self, layer: onnx.Layer, clips: Mapping[str, onnx.Layer]) -> None:
        if layer.op == "Conv":
            clip = clips.get(layer.output)
            if clip is not None and self._readers[layer.output] == 1 and self._cuts(clip):
                # rounding clips to the same range, so the Clip is not needed
                layer = dataclasses.replace(layer, output=clip.output)
            self._weighted(layer)
        elif layer.op in _ROUNDS_AGAIN:
            self._add(dataclasses.replace(layer, inputs=tuple(self._of(name) for name in layer.inputs)))
        elif layer.op == "Flatten":
            self._add(dataclasses.replace(layer, inputs=(self._of(layer.inputs[0]),)))
            self._steps[layer.output] = self._steps[layer.inputs[0]]
        elif layer.op != "Clip" or layer.output not in {one.output for one in self._made}:
            raise ModelError(
                f"{layer.name}: {layer.op} is not supported in int8; make the version with edge models quantize"
            )

    def _cuts(self, clip: onnx.Layer) -> bool:
        """Return True if the range of its output lies within its limits, so that rounding does its work."""
        low, high = (float(self._constant(name)) for name in clip.inputs[1:])
        least, most = self._range(clip.output)
        return low == 0 == least and most <= high

    def _weighted(self, layer: onnx.Layer) -> None:
        """Add a layer with weights and a bias."""
        source = self._of(layer.inputs[0])
        weights = self._constant(layer.inputs[1])
        outputs = len(weights)
        most = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
        steps = np.where(most > 0, most / np.float32(_MOST_WEIGHT), np.float32(1)).astype(np.float32)
        shaped = steps.reshape(-1, *[1] * (weights.ndim - 1))
        whole = np.clip(np.round(weights / shaped), -_MOST_WEIGHT, _MOST_WEIGHT).astype(np.int8)
        inputs = [source, self._dequantized(layer.inputs[1], whole, steps, np.zeros(outputs, np.int8))]
        if len(layer.inputs) > 2:
            both = (steps * self._steps[layer.inputs[0]].step).astype(np.float32)
            bias = self._constant(layer.inputs[2]).astype(np.float64)
            if (mean := self._means.get(layer.inputs[0])) is not None:
                bias -= _added(whole * shaped - weights, mean)
            bias = np.round(bias / both)
            limits = np.iinfo(np.int32)
            whole = np.clip(bias, limits.min, limits.max).astype(np.int32)
            inputs.append(self._dequantized(layer.inputs[2], whole, both, np.zeros(outputs, np.int32)))
        self._add(dataclasses.replace(layer, inputs=tuple(inputs)))

    def _dequantized(self, name: str, whole: NDArray[Any], steps: NDArray[np.float32], zeros: NDArray[Any]) -> str:
        parts = [self._keep(f"{name}_{what}", array) for what, array in zip("wsz", (whole, steps, zeros), strict=True)]
        self._add(onnx.Layer("DequantizeLinear", f"{name}_d", tuple(parts), f"{name}_d", {"axis": 0}))
        return f"{name}_d"

    def _of(self, name: str) -> str:
        """Return the name of the rounded value; add its rounding if it is the first use."""
        if name not in self._rounded:
            steps = self._steps.get(name) or self._steps_of(name)
            self._steps[name] = steps
            step = self._keep(f"{name}_s", np.array(steps.step, np.float32))
            zero = self._keep(f"{name}_z", np.array(steps.zero, np.uint8))
            self._add(onnx.Layer("QuantizeLinear", f"{name}_q", (name, step, zero), f"{name}_q"))
            self._add(onnx.Layer("DequantizeLinear", f"{name}_d", (f"{name}_q", step, zero), f"{name}_d"))
            self._rounded[name] = f"{name}_d"
        return self._rounded[name]

    def _steps_of(self, name: str) -> _Steps:
        least, most = self._range(name)
        step = np.float32((most - least) / _LEVELS)
        return _Steps(step, int(np.clip(np.round(-least / step), 0, _LEVELS)))

    def _range(self, name: str) -> tuple[float, float]:
        """Return the range of a value. It contains zero, because a border of zeros must be exact."""
        if name not in self._ranges:
            raise ModelError(f"there is no range of {name}; the ranges belong to another graph")
        least, most = self._ranges[name]
        least, most = min(float(least), 0.0), max(float(most), 0.0)
        if not most > least:
            raise ModelError(f"the range of {name}, {least} to {most}, is empty")
        return least, most

    def _constant(self, name: str) -> NDArray[Any]:
        return self._given.places[name].read(self._floats)

    def _keep(self, name: str, array: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = self._weights.tensor(name, array)
        return name

    def _add(self, layer: onnx.Layer) -> None:
        self._made.append(layer)


def _added(lost: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the rounding errors of the weights (outputs x inputs x ...) add to each output on average."""
    outputs, each = lost.shape[:2]
    # for each output, the inputs of its group; there may be one group only
    groups = mean.astype(np.float64).reshape(-1, each).repeat(outputs * each // len(mean), axis=0)
    found: NDArray[np.float64] = (lost.reshape(outputs, each, -1).sum(axis=2, dtype=np.float64) * groups).sum(axis=1)
    return found
