"""Read the structure of a network, NAME-symbol.json, as every release of MXNet since 0.8 writes it.

It is a list of nodes, each with an operator, a name, attributes (all of them texts) and the nodes that are its inputs.
A node without operator ("null") is a variable: the picture, or a parameter of that name. The releases differ:

    0.8   an operator's attributes are in `param`, other ones in `attr`; inputs are pairs; BatchNorm's mean and variance
          are not inputs yet, but known by name
    0.9   all attributes are in `attr`; inputs have a version as third number
    1.0   ... in `attrs`
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.models.foreign import foreign

_MOST_BYTES = 4 * 2**20
"""The largest file of the zoo, DenseNet-201's, has half a MiB."""
_COSTS = {b"{": 600, b"[": 120, b'"': 40, b",": 40}
"""Most bytes of memory for each such character: a node, a list, half a text, a value."""
_LEAST_ROOM = 12 * 2**20
_MOST_INPUTS = 1024
_MOST_AXES = 32
_HINTS = re.compile(r"__.*__|(.*_)?(lr_mult|wd_mult)|ctx_group|force_mirroring|mirror_stage")
"""Attributes that any node may have, about training or the device it runs on."""
_STATES = ("moving_mean", "moving_var")
_BATCH_NORM_INPUTS = 3
"""In 0.8, without its states: x, gamma and beta."""


class UnsupportedError(ModelError):
    """The checkpoint has something that the importer does not know; it may be sound, and MXNet may run it."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}; onnx and openvino cannot run it: try it with --engine mxnet")


class Attributes:
    """The attributes of an operator: each value is read once, and an unread value is an error."""

    def __init__(self, where: str, values: Mapping[str, str]) -> None:
        self.where = where
        self._values = {key: value for key, value in values.items() if not _HINTS.fullmatch(key)}

    def text(self, key: str, default: str) -> str:
        """Return a value as it is."""
        return self._values.pop(key, default)

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number, 0 or more."""
        return int(self._matched(key, default, r"\d{1,9}"))

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; never nan or infinity."""
        return float(self._matched(key, default, r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?"))

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        return self._matched(key, default, "True|true|1|False|false|0") in ("True", "true", "1")

    def tuple(self, key: str, default: tuple[int, ...] | None = None, *, low: int = 0) -> tuple[int, ...]:
        """Return integers of at least `low`, as in (3, 3)."""
        number = r"-?\d{1,9}L?"  # L: from Python 2
        text = self._matched(key, default, rf"[(\[]\s*({number}(\s*,\s*{number})*\s*,?)?\s*[)\]]")
        numbers = tuple(int(one) for one in re.findall(r"-?\d+", text))
        if numbers and min(numbers) < low:
            raise ModelError(f"{self.where}: {key} = {text[:60]!r} has a number below {low}")
        return numbers

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer, which may be below 0."""
        return int(self._matched(key, default, r"-?\d{1,9}"))

    def axes(self, key: str) -> Sequence[int] | None:
        """Return one axis or several, as in 1 or (2, -1); None if none is named."""
        text = self._values.pop(key, "None").strip()
        if text in ("None", "()", "[]"):
            return None
        self._values[key] = text if text[:1] in "([" else f"({text},)"
        return self.tuple(key, low=-_MOST_AXES)

    def limits(self, key: str) -> Sequence[int | None]:
        """Return integers; some may be None, as in (0, None)."""
        number = r"(None|-?\d{1,9})"
        text = self._matched(key, None, rf"[(\[]?\s*{number}(\s*,\s*{number})*\s*,?\s*[)\]]?")
        return [None if one == "None" else int(one) for one in re.findall(r"None|-?\d+", text)]

    def is_tuple(self, key: str) -> bool:
        """Return True if its value is in brackets."""
        return self._values.get(key, "").lstrip()[:1] in ("(", "[")

    def is_set(self, key: str) -> bool:
        """Return True if it has a value other than None."""
        return self._values.get(key, "None") != "None"

    def choice(self, key: str, *choices: str) -> str:
        """Return one of these; the first is the default."""
        value = self.text(key, choices[0])
        if value not in choices:
            known = f"{key} = {value[:60]!r} is not supported (it may be {', '.join(choices)})"
            raise UnsupportedError(self.where, known)
        return value

    def ignore(self, *keys: str) -> None:
        """Accept any value of these: they change nothing in inference."""
        for key in keys:
            self._values.pop(key, None)

    def end(self) -> None:
        """Raise UnsupportedError if a value was never read."""
        for key, value in self._values.items():
            raise UnsupportedError(self.where, f"{key[:60]!r} = {value[:60]!r} is not known")

    def _matched(self, key: str, default: object, pattern: str) -> str:
        if key not in self._values and default is None:
            raise ModelError(f"{self.where}: {key} is not set")
        value = self._values.pop(key, None)
        if value is None:
            return str(default)
        if not re.fullmatch(pattern, value.strip()):
            raise ModelError(f"{self.where}: {key} = {value[:60]!r} cannot be read")
        return value.strip()


@dataclass(frozen=True, slots=True)
class Node:
    """One operation, or a variable."""

    op: str
    """MXNet's name of the operator; "null" for a variable."""
    name: str
    values: Mapping[str, str]
    inputs: tuple[int, ...]
    """Indices of earlier nodes."""
    file: Path
    ports: tuple[int, ...] = ()
    """Which output of each input node: 0 if it has only one."""

    @property
    def where(self) -> str:
        """File, operator and name, for messages."""
        return f"{self.file}: {self.op} {self.name[:80]!r}"

    @property
    def attributes(self) -> Attributes:
        """The node's attributes, none of them read yet."""
        return Attributes(self.where, self.values)


@dataclass(frozen=True)
class Symbol:
    """A network: its nodes, each after its inputs, and the output node."""

    nodes: tuple[Node, ...]
    head: int
    used: frozenset[int]
    """Indices of the nodes that the output depends on."""
    port: int = 0
    """Which output of the head node."""


def read_symbol(path: Path) -> Symbol:
    """Read the structure of a network. Raises ModelError, naming file and node, if it is none."""
    try:
        if what := foreign(path):
            raise ModelError(f"{path}: {what}")
        graph = json.loads(_text(path))
        nodes = [_node(path, number, node) for number, node in enumerate(graph["nodes"])]
        heads, ports = _sources(graph["heads"], len(nodes))
        _check_variables(nodes)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; copy it again") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())[:120]
        raise ModelError(
            f"{path}: not an MXNet symbol file (JSON with nodes and heads): {said}; copy it again"
        ) from error
    if len(heads) != 1:
        raise ModelError(f"{path}: a classifier has one output, this has {len(heads)}")
    nodes, head = _with_states(path, nodes, heads[0])
    return Symbol(tuple(nodes), head, _ancestors(nodes, head), ports[0])


def _check_variables(nodes: Sequence[Node]) -> None:
    """Raise ValueError if a node takes an output of a variable other than its only one."""
    for node in nodes:
        for index, port in zip(node.inputs, node.ports, strict=True):
            if port and nodes[index].op == "null":
                raise ValueError(f"output {port} of the variable {nodes[index].name[:80]!r} is used, which has one")


def _text(path: Path) -> str:
    """Return the file as text. Raises ValueError if parsing it would take far more memory than it has bytes."""
    with path.open("rb") as file:
        # ask for the file's size at most: Python allocates the buffer before it reads anything
        size = min(os.fstat(file.fileno()).st_size, _MOST_BYTES) + 1
        data = file.read(size)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
    # a list of a million empty lists is 3 MB of text, and a hundred in memory
    if sum(cost * data.count(character) for character, cost in _COSTS.items()) > 4 * len(data) + _LEAST_ROOM:
        raise ValueError("too many things for its size")
    # json accepts other encodings too, in which these characters are not single bytes
    return data.decode("utf-8-sig")


def _node(path: Path, number: int, node: Mapping[str, Any]) -> Node:
    op, name = node["op"], node["name"]
    if not isinstance(op, str) or not isinstance(name, str):
        raise TypeError(f"node {number} has no operator or no name")
    if not re.fullmatch(r"[A-Za-z_]\w{0,63}", op, re.ASCII):
        raise ValueError(f"node {number} has the operator {op[:80]!r}")
    if "attrs" in node and ("attr" in node or "param" in node):
        raise ValueError(f"{name[:80]!r} has its attributes twice")
    values: dict[str, str] = {}
    for key in ("attr", "param", "attrs"):
        values |= node.get(key) or {}
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError(f"an attribute of {name[:80]!r} is not a text")
    inputs, ports = _sources(node["inputs"], number)
    if len(inputs) > _MOST_INPUTS:
        raise ValueError(f"{name[:80]!r} has {len(inputs)} inputs")
    return Node(op, name, values, inputs, path, ports)


def _sources(entries: Any, below: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the nodes in a list of [node, output, version], all below index `below`, and which output of each."""
    found, ports = [], []
    for entry in entries:
        index, output = entry[0], entry[1]
        if type(index) is not int or not 0 <= index < below:
            raise ValueError(f"a layer feeds itself, or takes its input from node {str(index)[:20]}")
        if type(output) is not int or not 0 <= output < _MOST_INPUTS:
            raise ValueError(f"node {index} has no output {str(output)[:20]}")
        found.append(index)
        ports.append(output)
    return tuple(found), tuple(ports)


def _with_states(path: Path, nodes: list[Node], head: int) -> tuple[list[Node], int]:
    """Add to each BatchNorm of MXNet 0.8 the two inputs that it has by name."""
    result: list[Node] = []
    places: list[int] = []
    for node in nodes:
        inputs, ports = tuple(places[index] for index in node.inputs), node.ports
        if node.op.startswith("BatchNorm") and len(inputs) == _BATCH_NORM_INPUTS:
            for state in _STATES:
                inputs, ports = (*inputs, len(result)), (*ports, 0)
                result.append(Node("null", f"{node.name}_{state}", {}, (), path))
        places.append(len(result))
        result.append(Node(node.op, node.name, node.values, inputs, path, ports))
    return result, places[head]


def _ancestors(nodes: list[Node], head: int) -> frozenset[int]:
    used = {head}
    # the inputs of a node stand before it
    for index in range(head, -1, -1):
        if index in used:
            used.update(nodes[index].inputs)
    return frozenset(used)
