"""ONNX Runtime's tools for quantising: measure the ranges of layers' outputs, and make int8 graphs with them."""

import contextlib
import dataclasses
import importlib
import io
import logging
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.onnx import import_onnxruntime
from edge.errors import ModelError
from edge.host.installation import how_to_get
from edge.importer.graph import GRAPH, SCORES, WEIGHTS, Graph

Ranges = Mapping[str, tuple[float, float]]
"""The least and the largest value of each layer's output, by the value's name in the graph."""
MIN_MAX, LEAST_ERROR = "min-max", "least error"
PERCENTILES = {f"percentile {share}": share for share in (99.99, 99.999)}

_WITH_WEIGHTS = ("Conv", "Gemm")
_OPERATORS = (
    *_WITH_WEIGHTS,
    *("Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape"),
)
"""Operators computed in int8. Not BatchNormalization and Mul: one range for all channels would lose the small ones."""
_INLINE = 1024
_PAGE = 4096
_LEVELS = 255
_SHRINK = np.linspace(0.3, 1.0, 57)


def import_onnx(part: str = "") -> Any:
    """Return the module onnx, or a part of it. Raises ModelError, in one line, if it cannot be imported."""
    try:
        return importlib.import_module(f"onnx.{part}" if part else "onnx")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(f"onnx cannot be imported: {error}; {how_to_get('onnx')}") from error


def import_tools() -> Any:
    """Return the module onnxruntime.quantization. Raises ModelError, in one line, if it or onnx is not installed."""
    import_onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_onnxruntime("quantization")


class Tools:
    """A float graph and the int8 graphs made from it. Working files lie in a folder that the caller removes."""

    def __init__(self, graph: Graph, scratch: Path) -> None:
        """Read the graph whole: its weights stay in memory. Raises ModelError without the tools, OSError."""
        self.input = graph.input
        self._tools = import_tools()
        self._onnx = import_onnx()
        self._graph = graph
        self._scratch = scratch
        # the tools write beside the files they read, and accept no links
        for name in (GRAPH, WEIGHTS):
            shutil.copyfile(graph.folder / name, scratch / name)
        loading = import_onnxruntime("quantization.quant_utils")
        self._model = loading.load_model_with_shape_infer(scratch / GRAPH)
        self._nodes = list(self._model.graph.node)
        self._made_by = {output: node for node in self._nodes for output in node.output}
        self._weighted = [node for node in self._nodes if node.op_type in _WITH_WEIGHTS]
        self.means: dict[str, NDArray[np.float64]] = {}
        """The mean of each channel of the input of a layer with weights, by the value's name, once measured."""
        self.layers = [node.name for node in self._weighted]
        """The layers that may stay in float, in the graph's order."""
        self._tail = self._find_tail()

    def min_max(self, inputs: Iterable[NDArray[np.float32]]) -> Ranges:
        """Return the least and the largest value of each layer's output."""
        calibrator = self._calibrator(self._tools.CalibrationMethod.MinMax, inputs)
        return _plain(calibrator.compute_data())

    def histograms(self, inputs: Iterable[NDArray[np.float32]]) -> dict[str, Ranges]:
        """Return other ranges by the name of the method, from histograms of each layer's output."""
        calibrator = self._calibrator(self._tools.CalibrationMethod.Percentile, inputs, symmetric=False)
        found = {}
        with _silent():
            for name, share in PERCENTILES.items():
                calibrator.collector.percentile = share
                found[name] = _plain(calibrator.compute_data())
        found[LEAST_ERROR] = {
            name: _least_error(*histogram[:4]) for name, histogram in calibrator.collector.histogram_dict.items()
        }
        return found

    def learn_means(self, inputs: Iterable[NDArray[np.float32]]) -> None:
        """Measure the mean of each channel that a layer with weights takes: `write` corrects the biases by it.

        Rounding a weight adds to each output the rounding error times the input. The mean of that is the same for all
        pictures, so it can be subtracted from the bias. (This reduces SqueezeNet's divergence to a fifth.)
        """
        model = self._onnx.load(str(self._scratch / GRAPH), load_external_data=False)
        helper = self._onnx.helper
        names = sorted({node.input[0] for node in self._weighted})
        planes = {node.input[0] for node in self._weighted if node.op_type == "Conv"}
        for name in names:
            if name in planes:
                model.graph.node.append(helper.make_node("GlobalAveragePool", [name], [f"{name}_mean"]))
            else:
                model.graph.node.append(helper.make_node("Identity", [name], [f"{name}_mean"]))
            model.graph.output.append(helper.make_tensor_value_info(f"{name}_mean", 1, None))
        # beside the weights, so that the graph finds them
        path = self._scratch / "means.onnx"
        path.write_bytes(model.SerializeToString())
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        sums: dict[str, NDArray[np.float64]] = {}
        count = 0
        for one in inputs:
            count += 1
            found = session.run([f"{name}_mean" for name in names], {"data": one})
            for name, mean in zip(names, found, strict=True):
                sums[name] = sums.get(name, np.zeros(1)) + mean.reshape(-1).astype(np.float64)
        self.means = {name: total / count for name, total in sums.items()}

    def write(self, folder: Path, ranges: Ranges, kept: Sequence[str] = (), only: Sequence[str] = ()) -> Graph:
        """Write the int8 graph into a folder. Layers in `kept` stay in float; with `only`, all but those do."""
        model = self._onnx.ModelProto()
        model.CopyFrom(self._model)
        float_layers = set(self._float(kept))
        self._correct(
            model, {name for name in self.layers if name not in float_layers and name in (only or self.layers)}
        )
        method = self._tools.CalibrationMethod.MinMax
        data = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
        tensors = import_onnxruntime("quantization.calibrate").TensorsData(method, data)
        types = self._tools.QuantType
        quantizer = import_onnxruntime("quantization.qdq_quantizer").QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=types.QInt8,
            # signed ones make ONNX Runtime a fifth faster on x86, but OpenVINO then computes nonsense for SqueezeNet
            activation_qType=types.QUInt8,
            tensors_range=tensors,
            nodes_to_quantize=list(only),
            nodes_to_exclude=[*self._tail, *sorted(float_layers)],
            op_types_to_quantize=list(_OPERATORS),
            extra_options={},
        )
        with _silent():
            quantizer.quantize_model()
        self._save(quantizer.model.model, folder)
        return dataclasses.replace(self._graph, folder=folder)

    def _calibrator(self, method: Any, inputs: Iterable[NDArray[np.float32]], **options: Any) -> Any:
        calibrate = import_onnxruntime("quantization.calibrate")
        with _silent():
            calibrator = calibrate.create_calibrator(
                self._scratch / GRAPH,
                list(_OPERATORS),
                augmented_model_path=str(self._scratch / "augmented.onnx"),
                calibrate_method=method,
                use_external_data_format=True,
                extra_options=options,
            )
            # one at a time: it keeps the outputs of all layers until the reader has no more inputs
            for one in inputs:
                calibrator.collect_data(_One(one))
        return calibrator

    def _find_tail(self) -> list[str]:
        """Return the names of the layers after the last weights: they are cheap, and their output must be exact."""
        names = []
        node: Any = self._nodes[-1]
        while node is not None and node.op_type not in _WITH_WEIGHTS:
            names.append(node.name)
            node = self._made_by.get(node.input[0])
        return names

    def _float(self, kept: Sequence[str]) -> list[str]:
        """Return the kept layers, and the layers without weights after them, which would only round exact values."""
        found = set(kept)
        for node in self._nodes:
            makers = [self._made_by[name].name for name in node.input if name in self._made_by]
            if node.op_type not in _WITH_WEIGHTS and found.intersection(makers):
                found.add(node.name)
        return sorted(found)

    def _correct(self, model: Any, layers: set[str]) -> None:
        """Subtract from the biases of these layers the mean error that rounding their weights adds."""
        weights = {one.name: one for one in model.graph.initializer}
        for node in model.graph.node:
            mean = self.means.get(node.input[0]) if node.name in layers and node.input else None
            if mean is None or node.input[1] not in weights:
                continue
            weight = self._onnx.numpy_helper.to_array(weights[node.input[1]])
            outputs, each = weight.shape[:2]
            # for each output, the inputs of its group; there may be one group only
            lost = (rounded(weight) - weight).reshape(outputs, each, -1).sum(axis=2, dtype=np.float64)
            groups = mean.reshape(-1, each).repeat(outputs * each // len(mean), axis=0)
            shift = (lost * groups).sum(axis=1)
            bias = np.zeros(outputs, np.float32)
            if len(node.input) > 2:
                bias = self._onnx.numpy_helper.to_array(weights[node.input[2]])
            name = f"{node.name}_corrected"
            model.graph.initializer.append(self._onnx.numpy_helper.from_array((bias - shift).astype(np.float32), name))
            del node.input[2:]
            node.input.append(name)

    def _save(self, model: Any, folder: Path) -> None:
        helper = import_onnx("external_data_helper")
        _leave_scores_float(model)
        used = {name for node in model.graph.node for name in node.input}
        kept = [one for one in model.graph.initializer if one.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        with (folder / WEIGHTS).open("wb") as file:
            for one in model.graph.initializer:
                data = self._onnx.numpy_helper.to_array(one).tobytes()
                if len(data) < _INLINE:
                    continue
                # at the start of a page, so that engines can map it
                file.write(bytes(-file.tell() % _PAGE))
                place = file.tell()
                file.write(data)
                one.ClearField("float_data")
                one.ClearField("int32_data")
                one.raw_data = b""
                helper.set_external_data(one, WEIGHTS, place, len(data))
                one.ClearField("raw_data")
        (folder / GRAPH).write_bytes(model.SerializeToString())


class _One:
    """A reader of one input, in the form that the tools take."""

    def __init__(self, one: NDArray[np.float32]) -> None:
        self._left = [{"data": one}]

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return self._left.pop() if self._left else None


def _leave_scores_float(model: Any) -> None:
    """Remove the rounding after the last matrix: its sums are exact without it.

    A convolution that gives floats does not run in int8; its output stays rounded.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    end: Any = made_by[SCORES]
    last: Any = made_by.get(end.input[0])
    if last is None or last.op_type != "DequantizeLinear":
        return
    before: Any = made_by[last.input[0]]
    if made_by[before.input[0]].op_type == "Gemm":
        end.input[0] = before.input[0]
        if not any(last.output[0] in node.input for node in model.graph.node):
            model.graph.node.remove(last)
            model.graph.node.remove(before)


def rounded(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights as int8 rounds them: the largest of each output becomes 127 steps."""
    most = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    step = np.where(most > 0, most / 127, 1).astype(np.float32)
    result: NDArray[np.float32] = (np.clip(np.round(weight / step), -127, 127) * step).astype(np.float32)
    return result


def _plain(data: Any) -> Ranges:
    """Return the tools' ranges as numbers; mypy cannot know that each has two ends."""
    return {name: tuple(float(np.min(end)) for end in one.range_value) for name, one in data.items()}  # type: ignore[misc]


def _least_error(counts: NDArray[np.int64], edges: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Return the range for which rounding and clipping together have the least squared error."""
    there = counts > 0
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float64)[there]
    weights = counts[there].astype(np.float64)
    ends = min(float(low), 0.0), max(float(high), 0.0)
    best = (np.inf, ends)
    for share in _SHRINK:
        least, most = share * ends[0], share * ends[1]
        if (step := (most - least) / _LEVELS) <= 0:
            return ends
        zero = np.round(least / step)
        rounded = np.clip(np.round(middles / step), zero, zero + _LEVELS) * step
        best = min(best, (float(np.sum(weights * (middles - rounded) ** 2)), (least, most)))
    return best[1]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence the tools: they print their progress, and log advice that does not help the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
