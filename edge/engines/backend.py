"""What computes a model: an engine, and the precision that it computes in."""

from dataclasses import dataclass
from typing import Self

from edge.importer.quantised import FLOAT32

ENGINES = ("mxnet", "onnx", "openvino")
"""What a daemon may run; the first is the default."""
GRAPH_ENGINES = ENGINES[1:]
"""Those that run the graph which the importer makes: they can do it in int8 too."""


@dataclass(frozen=True)
class Backend:
    """An engine with its precision. As text, for people and in files: 'onnx int8', or 'onnx' for float32."""

    engine: str
    """As in [model] engine, or what stands for it (`unfused`, `module`)."""
    precision: str = FLOAT32

    def __str__(self) -> str:
        return self.engine if self.precision == FLOAT32 else f"{self.engine} {self.precision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the backend that `str` has made this text of."""
        engine, _, precision = text.partition(" ")
        return cls(engine, precision or FLOAT32)
