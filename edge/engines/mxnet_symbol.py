"""Loads a network's structure for MXNet, changed to float32 if it was trained in float16."""

import json
from pathlib import Path
from typing import Any

from edge.engines.classifier import first_line
from edge.errors import ModelError

_CASTS = ("Cast", "cast", "amp_cast")
_SOFTMAX_OUTPUT = ("SoftmaxOutput", "Softmax")
_TYPE_HINT = "__dtype__"
_HALF = "float16"


def load_symbol(mx: Any, path: Path, *, over_channels: bool = False) -> Any:
    """Return MXNet's symbol; with `over_channels` each SoftmaxOutput runs over the channels.

    It should do so for an input of N x 1 x 1 too, but with oneDNN it then runs over the last 1. Raises ModelError,
    naming the file, if MXNet does not accept it.
    """
    try:
        # read_symbol has checked before that it is JSON with nodes
        text = path.read_text(encoding="utf-8-sig")
        if over_channels or _HALF in text or _TYPE_HINT in text:
            return mx.sym.load_json(_in_float32(text, over_channels=over_channels))
        return mx.sym.load(str(path))
    except Exception as error:
        said = first_line(error)
        if "is not registered" in said or "not find" in said:
            raise ModelError(f"{path}: has an operator that MXNet does not know: {said}") from error
        raise ModelError(f"{path}: not an MXNet symbol file: {said}; copy it again") from error


def _in_float32(text: str, *, over_channels: bool) -> str:
    """Change casts to float16 into float32, and remove type hints: MXNet has few float16 kernels for CPUs."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        if over_channels and node["op"] in _SOFTMAX_OUTPUT:
            key = next((key for key in ("param", "attr") if key in node), "attrs")
            node[key] = {**(node.get(key) or {}), "multi_output": "True"}
        for key in ("attrs", "attr", "param"):
            values = node.get(key)
            if not values:
                continue
            values.pop(_TYPE_HINT, None)
            if node["op"] in _CASTS and values.get("dtype") == _HALF:
                values["dtype"] = "float32"
    return json.dumps(graph)
