"""Functions of each number, or of two numbers at the same place."""

import numpy as np

from edge.importer import onnx
from edge.importer.graph import PROBABILITIES
from edge.importer.ncnn.network import Blob, Parameters
from edge.importer.ncnn.translator import Translation, Translator

_UNARY = {"Abs": 0, "Neg": 1, "Sqrt": 5, "Exp": 7, "Log": 8, "Reciprocal": 15, "Tanh": 16}
_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Max": 4, "Min": 5}
_REVERSED = {"Sub": 7, "Div": 8}
_PLAIN = {"Relu": "ReLU", "Sigmoid": "Sigmoid", "Erf": "Erf", "Softplus": "Softplus", "Selu": "SELU"}


def _each(translator: Translator, layer: onnx.Layer, kind: str, parameters: Parameters) -> Blob:
    x = translator.blob(layer.inputs[0])
    name = PROBABILITIES if layer.output == PROBABILITIES else ""
    return translator.network.add(kind, [x], x.shape, parameters, flat=x.flat, name=name)


def plain(translator: Translator, layer: onnx.Layer) -> Blob:
    return _each(translator, layer, _PLAIN[layer.op], {})


def unary(translator: Translator, layer: onnx.Layer) -> Blob:
    return _each(translator, layer, "UnaryOp", {0: _UNARY[layer.op]})


def _number(layer: onnx.Layer, key: str) -> float:
    value = layer.attributes[key]
    assert isinstance(value, int | float)
    return float(value)


def leaky_relu(translator: Translator, layer: onnx.Layer) -> Blob:
    return _each(translator, layer, "ReLU", {0: _number(layer, "alpha")})


def elu(translator: Translator, layer: onnx.Layer) -> Blob:
    return _each(translator, layer, "ELU", {0: _number(layer, "alpha")})


def clip(translator: Translator, layer: onnx.Layer) -> Blob:
    low, high = (float(translator.constant(name)) for name in layer.inputs[1:])
    return _each(translator, layer, "Clip", {0: low, 1: high})


def hard_sigmoid(translator: Translator, layer: onnx.Layer) -> Blob:
    """Add the line, and then the clip: ncnn's own layer divides by the slope, which may be 0."""
    x = translator.blob(layer.inputs[0])
    line = _with_number(translator, x, "Mul", _number(layer, "alpha"))
    line = _with_number(translator, line, "Add", _number(layer, "beta"))
    name = PROBABILITIES if layer.output == PROBABILITIES else ""
    return translator.network.add("Clip", [line], x.shape, {0: 0.0, 1: 1.0}, flat=x.flat, name=name)


def softsign(translator: Translator, layer: onnx.Layer) -> Blob:
    x = translator.full(layer.inputs[0])
    size = translator.network.add("UnaryOp", [x], x.shape, {0: _UNARY["Abs"]})
    return translator.network.add(
        "BinaryOp", [x, _with_number(translator, size, "Add", 1.0)], x.shape, {0: _BINARY["Div"]}
    )


def binary(translator: Translator, layer: onnx.Layer) -> Blob:
    one, other = layer.inputs
    number = [
        name
        for name in (other, one)
        if translator.is_constant(name) and translator.constant(name).size == 1 and one != other
    ]
    if number:
        name = number[0]
        x = translator.blob(one if name == other else other)
        if x.shape == translator.shape(layer):
            value = float(np.asarray(translator.constant(name)).reshape(-1)[0])
            return _with_number(translator, x, layer.op, value, reverse=name == one)
    a, b = translator.blob(one), translator.blob(other)
    if a.flat and b.flat:
        return translator.network.add("BinaryOp", [a, b], a.shape, {0: _BINARY[layer.op]}, flat=True)
    a, b = translator.full(one), translator.full(other)
    return translator.network.add("BinaryOp", [a, b], translator.shape(layer), {0: _BINARY[layer.op]})


def _with_number(translator: Translator, x: Blob, op: str, number: float, *, reverse: bool = False) -> Blob:
    kind = _REVERSED.get(op, _BINARY[op]) if reverse else _BINARY[op]
    return translator.network.add("BinaryOp", [x], x.shape, {0: kind, 1: 1, 2: number}, flat=x.flat)


ELEMENTWISE: dict[str, Translation] = {
    **dict.fromkeys(_PLAIN, plain),
    **dict.fromkeys(_UNARY, unary),
    **dict.fromkeys(_BINARY, binary),
    "LeakyRelu": leaky_relu,
    "Elu": elu,
    "Clip": clip,
    "HardSigmoid": hard_sigmoid,
    "Softsign": softsign,
}
