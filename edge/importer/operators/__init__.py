"""Each MXNet operator in ONNX, for inference: its layers, and the shapes they give.

layers.py       layers with weights, pooling, resizing; folding into a convolution
elementwise.py  functions of each number, or of two numbers at the same place
shapes.py       moving, leaving out and repeating numbers
reductions.py   sums, means, norms; softmaxes
common.py       helpers of all operators
"""

from typing import NoReturn

from edge.importer.operators.common import Layer
from edge.importer.operators.elementwise import ELEMENTWISE
from edge.importer.operators.layers import LAYERS
from edge.importer.operators.reductions import REDUCTIONS
from edge.importer.operators.shapes import SHAPES
from edge.importer.symbol import Node, UnsupportedError

OPERATORS: dict[str, Layer] = {**LAYERS, **ELEMENTWISE, **SHAPES, **REDUCTIONS}


def unknown(node: Node) -> NoReturn:
    """Raise UnsupportedError for an unknown operator."""
    raise UnsupportedError(node.where, f"the operator {node.op} is not supported")
