"""The backend of a model: an engine and its precision."""

from dataclasses import dataclass
from typing import Self

from edge.importer.quantised import FLOAT16, FLOAT32, INT8

ENGINES = ("mxnet", "onnx", "openvino", "ncnn")
"""The engines that the daemon may run; the first is the default."""
GRAPH_ENGINES = ENGINES[1:]
"""The engines that run the importer's graph."""
INT8_ENGINES = ("onnx", "openvino")
"""The engines that run int8 versions."""
ABLE = {FLOAT32: ENGINES, FLOAT16: ("ncnn",), INT8: INT8_ENGINES}
"""The engines that can compute in each precision."""


@dataclass(frozen=True)
class Backend:
    """An engine with its precision. As text, in messages and files: 'onnx int8', or 'onnx' for float32."""

    engine: str
    """As in [model] engine, or a driver without a setting (`unfused`, `module`)."""
    precision: str = FLOAT32

    def __str__(self) -> str:
        return self.engine if self.precision == FLOAT32 else f"{self.engine} {self.precision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the backend for a text that `str` made."""
        engine, _, precision = text.partition(" ")
        return cls(engine, precision or FLOAT32)
