#!/usr/bin/env python3
"""Feed damaged and hostile checkpoints to the importer: each must give an error or a right graph, fast and in bounds.

    scripts/fuzz_import.py [--runs N] [--seed N] [--against-mxnet] [--against-ncnn] [--atheris]

Small networks of all operators, in the formats of MXNet 0.8 to 1.9, are changed at random: bytes, numbers, attributes,
operators, connections, shapes and sizes. For each the importer must

    end with a ModelError or with a graph that ONNX Runtime loads and runs,
    within 5 s,
    without more memory than four times the files and 16 MiB.

--against-mxnet also runs the graphs that it made of changed structures in MXNet (in a child, which may crash): the
scores must be the same. --against-ncnn gives those checkpoints to the engine ncnn too, in another child: it must name
what it cannot run, or give the same scores, and must not crash. --atheris lets the coverage of the importer's code
guide the changes instead (PyPI's atheris).
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asked_child import AskedChild
from edge.engines.backend import Backend
from edge.engines import open_classifier
from edge.engines.graph import GraphClassifier
from edge.engines.onnx import import_onnxruntime
from edge.errors import ModelError
from edge.importer.graph import SCORES, Graph
from edge.importer.ncnn.network import NotInNcnnError
from edge.importer.translate import make_graph
from edge.models.checkpoint import Checkpoint, InputSpec, from_json, to_json

Floats = NDArray[np.float32]
SIZE = 12
"""Pixels: the input is SIZE x SIZE."""
RELEASES = ("0.8", "0.9", "1.9")
MOST_S = 5
MOST_MIB = 16
MOST_TIMES = 4
_ROOM = 2**30
"""Bytes of address space that the importer may take: what would allocate more fails, and counts as a failure."""
_LABELS = 5
_MOST = 1e6
"""Larger scores are not compared."""
_NOT_IN_NCNN = "not in ncnn"


class Tiny:
    """A small network, written as MXNet's releases do."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, Floats] = {}
        self._random = np.random.default_rng(seed)
        self.variable("data")

    def variable(self, name: str, shape: tuple[int, ...] | None = None, kind: str = "arg") -> int:
        """A variable; of a shape: a parameter."""
        if shape is not None:
            low = 0.5 if name.endswith(("var", "gamma")) else -1.0
            self.arrays[f"{kind}:{name}"] = self._random.uniform(low, 1.5, shape).astype(np.float32)
        self.nodes.append({"op": "null", "name": name, "inputs": []})
        return len(self.nodes) - 1

    def add(self, op: str, *inputs: int, name: str = "", **attributes: object) -> int:
        """A layer."""
        attrs = {key: str(value) for key, value in attributes.items()}
        name = name or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append({"op": op, "name": name, "attrs": attrs, "inputs": [[one, 0, 0] for one in inputs]})
        return len(self.nodes) - 1

    def convolution(self, x: int, channels: int, filters: int, kernel: int = 3, group: int = 1, **more: object) -> int:
        """A convolution with its parameters."""
        name = f"conv{len(self.nodes)}"
        inputs = [x, self.variable(f"{name}_weight", (filters, channels // group, kernel, kernel))]
        if not more.get("no_bias"):
            inputs.append(self.variable(f"{name}_bias", (filters,)))
        if group > 1:
            more["num_group"] = group
        return self.add("Convolution", *inputs, name=name, kernel=(kernel, kernel), num_filter=filters, **more)

    def batch_norm(self, x: int, channels: int, **more: object) -> int:
        """A BatchNorm with its parameters."""
        name = f"bn{len(self.nodes)}"
        inputs = [self.variable(f"{name}_{one}", (channels,)) for one in ("gamma", "beta")]
        inputs += [self.variable(f"{name}_moving_{one}", (channels,), "aux") for one in ("mean", "var")]
        return self.add("BatchNorm", x, *inputs, name=name, **more)

    def dense(self, x: int, inputs: int, outputs: int = _LABELS, **more: object) -> int:
        """A matrix with its parameters."""
        name = f"fc{len(self.nodes)}"
        weight = self.variable(f"{name}_weight", (outputs, inputs))
        bias = [] if more.get("no_bias") else [self.variable(f"{name}_bias", (outputs,))]
        return self.add("FullyConnected", x, weight, *bias, name=name, num_hidden=outputs, **more)

    def symbol(self, release: str = "1.9") -> str:
        """The structure as JSON."""
        nodes = [dict(node) for node in self.nodes]
        head = [[len(nodes) - 1, 0, 0]]
        variables = [index for index, node in enumerate(nodes) if node["op"] == "null"]
        table: dict[str, Any] = {"nodes": nodes, "arg_nodes": variables, "heads": head}
        if release == "1.9":
            return json.dumps({**table, "attrs": {"mxnet_version": ["int", 10901]}}, indent=2)
        for node in nodes:
            node["attr"] = node.pop("attrs", {})
        if release == "0.8":
            nodes = _of_the_oldest(nodes)
            variables = [index for index, node in enumerate(nodes) if node["op"] == "null"]
            return json.dumps({"nodes": nodes, "arg_nodes": variables, "heads": [[len(nodes) - 1, 0]]}, indent=2)
        return json.dumps({**table, "attrs": {"mxnet_version": ["int", 904]}})

    def params(self, release: str = "1.9") -> bytes:
        """The parameters' file."""
        return written_by(release, self.arrays)

    def write(self, folder: Path, release: str = "1.9") -> Checkpoint:
        """Write both files; return the checkpoint."""
        (folder / "tiny-symbol.json").write_text(self.symbol(release))
        (folder / "tiny-0000.params").write_bytes(self.params(release))
        (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(_LABELS)))
        return checkpoint_in(folder)


def checkpoint_in(folder: Path) -> Checkpoint:
    """The checkpoint of a folder that Tiny.write has written to."""
    spec = InputSpec(SIZE, mean=(10.0, 20.0, 30.0), std=(40.0, 50.0, 60.0))
    return Checkpoint("tiny", folder / "tiny-symbol.json", folder / "tiny-0000.params", folder / "synset.txt", spec)


def _states(nodes: list[dict[str, Any]]) -> set[int]:
    """Where the states of BatchNorms stand, which 0.8 does not write."""
    return {source[0] for node in nodes if node["op"] == "BatchNorm" for source in node["inputs"][3:]}


def _of_the_oldest(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    states = _states(nodes)
    places = np.cumsum([index not in states for index in range(len(nodes))]) - 1
    found = []
    for index, node in enumerate(nodes):
        if index in states:
            continue
        inputs = [[int(places[source]), port] for source, port, *_ in node["inputs"] if source not in states]
        one = {"op": node["op"], "param": node["attr"], "name": node["name"], "inputs": inputs}
        found.append({**one, "backward_source_id": -1, "attr": {"lr_mult": "1"}})
    return found


def written_by(release: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """What mx.nd.save of a release wrote."""
    kinds = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.float16): 2, np.dtype(np.int32): 4}
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        if release == "0.8":
            parts.append(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
        elif release == "0.9":
            parts.append(struct.pack(f"<II{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape))
        else:
            parts.append(struct.pack(f"<IiI{array.ndim}q", 0xF993FAC9, 0, array.ndim, *array.shape))
        parts += [struct.pack("<iii", 1, 0, kinds[array.dtype]), array.tobytes()]
    names = [name.encode() for name in arrays]
    return b"".join([*parts, struct.pack("<Q", len(names)), *(struct.pack("<Q", len(n)) + n for n in names)])


def networks() -> list[Tiny]:
    """Networks of all operators that the importer knows."""
    plain = Tiny(1)
    x = plain.batch_norm(0, 3, eps=1e-5, fix_gamma=True)
    x = plain.convolution(x, 3, 4, pad=(1, 1), stride=(2, 2), no_bias=True)
    x = plain.add("Activation", plain.batch_norm(x, 4, fix_gamma=False), act_type="relu")
    y = plain.add("Pooling", x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    z = plain.add("Pooling", x, kernel=(3, 3), stride=(2, 2), pool_type="avg", pooling_convention="full")
    x = plain.add("Concat", y, z, num_args=2, dim=1)
    x = plain.add("LRN", x, nsize=3, alpha=0.01)
    x = plain.add("Dropout", plain.add("Flatten", x), p=0.5)
    x = plain.dense(x, 8 * 3 * 3)
    plain.add("SoftmaxOutput", x, plain.variable("softmax_label"), name="softmax")

    residual = Tiny(2)
    x = residual.add("clip", residual.convolution(0, 3, 4), a_min=0, a_max=6)
    y = residual.convolution(x, 4, 4, group=4, pad=(1, 1), dilate=(1, 1))
    y = residual.add("LeakyReLU", residual.batch_norm(y, 4, fix_gamma=False), act_type="leaky", slope=0.1)
    x = residual.add("elemwise_add", x, y)
    x = residual.add("_mul_scalar", residual.add("_plus_scalar", x, scalar=0.5), scalar=2)
    x = residual.add("LeakyReLU", x, residual.variable("slopes", (4,)), act_type="prelu")
    x = residual.add("Pooling", x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg")
    x = residual.add("broadcast_mul", x, residual.variable("gates", (1, 4, 1, 1)))
    x = residual.add("Pooling", x, global_pool=True, pool_type="avg", kernel=(1, 1))
    x = residual.add("Reshape", residual.convolution(x, 4, _LABELS, kernel=1), shape=(0, -1))
    residual.add("softmax", x, axis=-1)

    last = Tiny(3)
    x = last.convolution(0, 3, 6, kernel=5, stride=(2, 2))
    x = last.add("ElementWiseSum", x, last.add("Activation", x, act_type="tanh"), num_args=2)
    x = last.add("LeakyReLU", last.add("Activation", x, act_type="sigmoid"), act_type="elu", slope=0.3)
    x = last.add("Pooling", x, kernel=(3, 3), pad=(1, 1), stride=(2, 2), pool_type="avg", pooling_convention="full")
    last.dense(last.add("Flatten", x), 6 * 3 * 3, no_bias=True)
    return [plain, residual, last, _modern(), _resized()]


def _modern() -> Tiny:
    """Gates, shuffled channels, parts and norms."""
    net = Tiny(4)
    x = net.add("LeakyReLU", net.convolution(0, 3, 4, pad=(1, 1)), act_type="gelu")
    gates = net.convolution(net.add("mean", x, axis=(2, 3), keepdims=True), 4, 4, kernel=1)
    x = net.add("broadcast_mul", x, net.add("hard_sigmoid", gates, alpha=0.3))
    x = net.add("SwapAxis", net.add("Reshape", x, shape=(0, -4, 2, -1, -2)), dim1=1, dim2=2)
    x = net.add("Reshape", x, shape=(0, -3, -2))
    halves = net.add("SliceChannel", x, num_outputs=2, axis=1)
    x = net.add("broadcast_sub", halves, halves)
    net.nodes[x]["inputs"][1][1] = 1
    x = net.add("Concat", x, net.add("slice_axis", x, axis=1, begin=-1, end="None"), num_args=2, dim=1)
    x = net.add("L2Normalization", x, mode="channel")
    x = net.add("squeeze", net.add("expand_dims", net.add("transpose", x, axes=(0, 2, 3, 1)), axis=1), axis=1)
    x = net.add("softmax", net.add("_mul_scalar", net.add("_rminus_scalar", x, scalar=1), scalar=5), axis=-1)
    x = net.add("mean", net.add("log_softmax", net.add("_mul_scalar", net.add("square", x), scalar=9), axis=1), axis=3)
    x = net.dense(x, SIZE * SIZE)
    net.add("LogisticRegressionOutput", x, net.variable("logistic_label"), name="logistic")
    return net


def _resized() -> Tiny:
    """Borders, and pictures that become larger or smaller."""
    net = Tiny(5)
    x = net.add("Pad", 0, mode="reflect", pad_width=(0, 0, 0, 0, 1, 1, 2, 2))
    x = net.convolution(x, 3, 3, stride=(2, 2))
    x = net.add("UpSampling", x, scale=2, sample_type="nearest", num_args=1)
    up = net.variable("up_weight", (3, 4, 4, 4))
    x = net.add("Deconvolution", x, up, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=4, no_bias=True)
    x = net.add("_contrib_BilinearResize2D", x, height=7, width=9)
    x = net.add("elemwise_mul", x, net.add("elemwise_add", net.add("ones_like", x), x))
    x = net.add("_contrib_AdaptiveAvgPooling2D", x, output_size=(3, 2))
    net.dense(net.add("Flatten", x), 4 * 3 * 2)
    return net


WORDS = (
    *(
        "0",
        "1",
        "-1",
        "2",
        "3",
        "7",
        "100000",
        "999999999",
        "1e9",
        "nan",
        "inf",
        "True",
        "False",
        "None",
        "()",
        "(1, 1)",
    ),
    *(
        "(2, 2)",
        "(0, 0)",
        "(3,)",
        "(1, 1, 1)",
        "(99999999, 99999999)",
        "avg",
        "max",
        "sum",
        "full",
        "valid",
        "relu",
        "",
    ),
    *("-4", "(-4, 2, -1)", "(0, -3, -2)", "(1, 2)", "(2, -1)", "(None, 2)", "gelu", "edge", "reflect", "instance"),
    *("tanh", "leaky", "prelu", "(0, -1)", "(1, -1)", "(1, 4, 1, 1)", "0.5", "-3", "1e-30", "(3L, 3L)", "[3, 3]"),
)
OPERATORS = (
    *("Convolution", "BatchNorm", "Activation", "Pooling", "Flatten", "FullyConnected", "Concat", "elemwise_add"),
    *(
        "broadcast_add",
        "Reshape",
        "clip",
        "softmax",
        "SoftmaxOutput",
        "LRN",
        "null",
        "identity",
        "add_n",
        "Deconvolution",
    ),
    *("mean", "sum", "squeeze", "expand_dims", "transpose", "SwapAxis", "SliceChannel", "slice_axis", "log_softmax"),
    *("L2Normalization", "hard_sigmoid", "Pad", "UpSampling", "_contrib_AdaptiveAvgPooling2D", "broadcast_sub"),
    *("_contrib_BilinearResize2D", "ones_like", "sigmoid", "MakeLoss", "LinearRegressionOutput", "SVMOutput", "Crop"),
)


def changed_symbol(random: random.Random, text: str) -> bytes:
    """The structure with something else in it."""
    if random.random() < 0.4:
        return changed_bytes(random, text.encode())
    graph = json.loads(text)
    nodes = graph["nodes"]
    for node in random.choices(nodes, k=random.choice((1, 1, 1, 2, 5))):
        if not isinstance(node.get("inputs"), list) or not isinstance(node.get("attrs", {}), dict):
            break  # it was changed once
        table = next((node[key] for key in ("attrs", "param", "attr") if node.get(key)), None)
        if table is None:
            table = node.setdefault(next((key for key in ("param", "attr") if key in node), "attrs"), {})
        what = random.randrange(9)
        if not isinstance(table, dict):
            break
        if what <= 2 and table:
            table[random.choice(list(table))] = random.choice(WORDS)
        elif what == 3 and table:
            del table[random.choice(list(table))]
        elif what == 4:
            table[
                random.choice(("pad", "stride", "axis", "axes", "shape", "foo", "layout", "keepdims", "num_outputs"))
            ] = random.choice(WORDS)
        elif what == 5:
            node["op"] = random.choice(OPERATORS)
        elif what == 6 and node["inputs"]:
            number = random.choice((random.randrange(len(nodes)), random.randrange(len(nodes)), -1, 10**9))
            node["inputs"][random.randrange(len(node["inputs"]))][random.choice((0, 0, 0, 1))] = number
        elif what == 7 and node["inputs"]:
            node["inputs"] = random.choices(node["inputs"], k=random.choice((0, 1, 2, 3, 4, 5, 2000)))
        else:
            node[random.choice(list(node))] = random.choice((None, 1, "x", [], {}, [[0, 0, 0]], "null", "data" * 500))
    if random.random() < 0.1:
        graph["heads"] = [[random.randrange(len(nodes)), 0, 0]]
    return json.dumps(graph).encode()


def changed_params(random: random.Random, data: bytes) -> bytes:
    """The parameters with other numbers in what describes them, which is what stands among small ones."""
    found = bytearray(data)
    if random.random() < 0.3:
        return changed_bytes(random, data)
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.choice(
            (random.randrange(len(found)), random.randrange(64), 8 * random.randrange(len(found) // 8))
        )
        kind, number = random.choice(
            (
                *(("<I", one) for one in (0, 1, 2, 9, 2**31, 2**32 - 1, 0xF993FAC8, 0xF993FAC9, 0xF993FACA)),
                *(("<Q", one) for one in (0, 1, 3, 2**20, 2**31, 2**40, 2**62, 2**63, 2**64 - 1)),
            )
        )
        packed = struct.pack(kind, number)
        found[place : place + len(packed)] = packed
    return bytes(found)


def changed_bytes(random: random.Random, data: bytes) -> bytes:
    """The same with bytes flipped, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(found) + 1)
        length = random.choice((1, 1, 4, 40, 400))
        what = random.randrange(5)
        if what == 0:
            found[place : place + 1] = bytes([random.randrange(256)])
        elif what == 1:
            del found[place : place + length]
        elif what == 2:
            found[place:place] = found[place : place + length] * random.choice((1, 1, 2, 300))
        elif what == 3:
            found[place:place] = random.choice((b"[", b"{", b'"', b"9", b"[],\xff", b"[[0,0,0],")) * length
        else:
            del found[place:]
        found = found or bytearray(b"{")
    return bytes(found)


class FailureError(Exception):
    """The importer did what it must not."""


def examine(checkpoint: Checkpoint, folder: Path) -> Graph | None:
    """Import a checkpoint, within the bounds; None when it was refused. Raises FailureError."""
    size = checkpoint.symbol.stat().st_size + checkpoint.params.stat().st_size
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the high-water mark
    signal.setitimer(signal.ITIMER_REAL, MOST_S)
    graph = None
    try:
        graph = make_graph(checkpoint, folder)
    except ModelError as error:
        if len(str(error)) > 2000 or "\n" in str(error):
            raise FailureError(f"an error that is not one line: {str(error)[:300]!r}") from error
    except Exception as error:
        raise FailureError(f"{type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = _status("VmHWM") - before
    if grown > MOST_TIMES * size + MOST_MIB * 2**20:
        raise FailureError(f"{grown / 2**20:.1f} MiB for files of {size / 2**20:.2f} MiB")
    return graph


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    return 0


def scores_of(graph: Graph, pictures: Floats) -> Floats:
    """What ONNX Runtime makes of pictures of 0..255. Raises FailureError when it refuses the graph."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    mean, std = (
        np.array(three, np.float32)[:, np.newaxis, np.newaxis] for three in (graph.input.mean, graph.input.std)
    )
    try:
        session = onnxruntime.InferenceSession(str(graph.file), options, providers=["CPUExecutionProvider"])
        found = [session.run([SCORES], {"data": (one[np.newaxis] - mean) / std})[0][0] for one in pictures]
    except Exception as error:
        raise FailureError(f"ONNX Runtime refuses the graph: {error}") from error
    return np.array(found)


_MXNET = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
import numpy as np
from edge.engines.mxnet_compat import import_mxnet
mx = import_mxnet()
for line in sys.stdin:
    prefix, pictures, out = json.loads(line)
    try:
        symbol, weights, states = mx.model.load_checkpoint(prefix, 0)
        inner = symbol.get_internals()
        nodes = json.loads(symbol.tojson())["nodes"]
        if nodes[-1]["op"] in ("SoftmaxOutput", "softmax", "Softmax", "SoftmaxActivation", "LogisticRegressionOutput"):
            symbol = inner[nodes[nodes[-1]["inputs"][0][0]]["name"] + "_output"]
        x = np.load(pictures)
        known = symbol.list_arguments()
        weights = {name: array for name, array in weights.items() if name in known}
        weights["data"] = mx.nd.zeros((1, *x.shape[1:]))
        executor = symbol.bind(mx.cpu(), args=weights, aux_states=states, grad_req="null")
        rows = []
        for one in x:
            weights["data"][:] = one[np.newaxis]
            rows.append(executor.forward(is_train=False)[0].asnumpy().reshape(-1))
        np.save(out, np.array(rows))
        print("ok", flush=True)
    except Exception as error:
        print("refused", " ".join(str(error).split())[:200], flush=True)
"""


class Mxnet:
    """MXNet in a child (asked_child.py)."""

    def __init__(self, folder: Path) -> None:
        # its fusion of layers adds a convolution to an overwritten input, if two layers read that input
        env = {**os.environ, "MXNET_SUBGRAPH_BACKEND": "NONE"}
        self._child = AskedChild([sys.executable, "-c", _MXNET], folder, env)

    def scores(self, checkpoint: Checkpoint, pictures: Floats) -> Floats | str:
        """What it says of pictures; or that it refuses the checkpoint, or crashes."""
        found = self._child.ask(checkpoint.prefix, _normalised(pictures, checkpoint.input))
        return found if isinstance(found, np.ndarray) else found or "crashed"

    def close(self) -> None:
        """End the child."""
        self._child.close()


class Ncnn:
    """The engine ncnn in a child (asked_child.py)."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}  # for its graphs
        self._child = AskedChild([sys.executable, __file__, "--serve-ncnn"], folder, env)

    def scores(self, checkpoint: Checkpoint, pictures: Floats, labels: int) -> Floats | None:
        """What it says of pictures of 0..255; None when it cannot run the checkpoint. Raises FailureError."""
        checkpoint.synset.write_text("".join(f"n{number} thing {number}\n" for number in range(labels)))
        found = self._child.ask(to_json(checkpoint), pictures)
        if isinstance(found, str) and found != _NOT_IN_NCNN:
            raise FailureError(f"ncnn: {found or 'crashed'}")
        return None if isinstance(found, str) else found

    def close(self) -> None:
        """End the child."""
        self._child.close()


def serve_ncnn() -> None:
    """The child: it is asked about checkpoints."""
    for line in sys.stdin:
        checkpoint, given, out = json.loads(line)
        try:
            network = open_classifier(from_json(checkpoint), Backend("ncnn"))
            assert isinstance(network, GraphClassifier)
            inputs = _normalised(np.load(given), network.input)
            np.save(out, np.array([network.scores(one[np.newaxis]) for one in inputs]))
            network.close()
            print("ok", flush=True)
        except NotInNcnnError:
            print(_NOT_IN_NCNN, flush=True)
        except Exception as error:  # a fault of any kind is an answer: the parent reports it with its files
            print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)


def _normalised(pictures: Floats, spec: InputSpec) -> Floats:
    """Return pictures of 0..255 (N x 3 x SIZE x SIZE) as a network wants them."""
    mean, std = (np.array(three, np.float32)[:, np.newaxis, np.newaxis] for three in (spec.mean, spec.std))
    return np.asarray((pictures - mean) / std, np.float32)


def changed(seed: int, runs: int, folder: Path) -> Iterator[tuple[int, str, Checkpoint]]:
    """Write one changed checkpoint after the other into the folder: (number, what was changed, the checkpoint)."""
    rng = random.Random(seed)
    texts = [(net.symbol(release), net.params(release)) for net in networks() for release in RELEASES]
    for number in range(runs):
        symbol, params = rng.choice(texts)
        what = rng.choice(("symbol", "symbol", "params", "both"))
        structure = changed_symbol(rng, symbol) if what != "params" else symbol.encode()
        weights = changed_params(rng, params) if what != "symbol" else params
        checkpoint = checkpoint_in(folder)
        checkpoint.symbol.write_bytes(structure)
        checkpoint.params.write_bytes(weights)
        yield number, what, checkpoint


def large_files() -> Iterator[tuple[str, str, bytes]]:
    """Structures and parameters that would take far more memory than they have bytes: (what it is, both files)."""
    plain = Tiny()
    plain.dense(0, 3 * SIZE * SIZE)
    for token in (
        "{},",
        '{"a":0},',
        "[],",
        '"",',
        '"abcdefgh",',
        "0,",
        "1e5,",
        "[[0,0,0]],",
        '{"op":"null","name":"","inputs":[]},',
    ):
        for times in (20_000, 300_000):
            yield token, f'{{"nodes": [{token * times}0], "heads": [[0, 0]]}}', plain.params()
    deep = Tiny()
    x = 0
    for _ in range(4000):
        x = deep.add("Activation", x, act_type="relu")
    deep.dense(x, 3 * SIZE * SIZE)
    yield "deep", deep.symbol("0.9"), deep.params()
    many = {**plain.arrays, **{f"arg:{number}": np.zeros(1, np.float32) for number in range(19_000)}}
    yield "many arrays", plain.symbol(), written_by("0.8", many)
    for normalised in (True, False):
        wide = Tiny()
        x = wide.convolution(wide.convolution(0, 3, 512, kernel=1), 512, 1024, pad=(1, 1), no_bias=True)
        if normalised:
            x = wide.batch_norm(x, 1024)
        wide.dense(wide.add("Pooling", x, global_pool=True, pool_type="avg", kernel=(1, 1)), 1024)
        for dtype in (np.float16, np.float32, np.float64):
            data = written_by("1.9", {name: array.astype(dtype) for name, array in wide.arrays.items()})
            yield f"wide, {dtype.__name__}", wide.symbol(), data


def try_large_files() -> int:
    """Import all of them; return how many. Raises FailureError."""
    count = 0
    for what, symbol, params in large_files():
        with tempfile.TemporaryDirectory(prefix="edge-fuzz-") as folder:
            checkpoint = checkpoint_in(Path(folder))
            checkpoint.symbol.write_text(symbol)
            checkpoint.params.write_bytes(params)
            out = Path(folder) / "graph"
            out.mkdir()
            try:
                graph = examine(checkpoint, out)
            except FailureError as error:
                raise FailureError(f"{what}, {len(symbol)} and {len(params)} bytes: {error}") from error
            if graph is None and not what.startswith(("{", "[", '"', "0", "1")):
                raise FailureError(f"{what}: a good network is refused")
        count += 1
    return count


def fuzz(
    runs: int, seed: int, *, against_mxnet: bool, against_ncnn: bool = False, check_every: int = 1
) -> Counter[str]:
    """Do so many runs; return the number of each outcome. Raises FailureError, and leaves the files that caused it."""
    import_onnxruntime()  # its memory is no growth then

    counts: Counter[str] = Counter()
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, SIZE, SIZE)).astype(np.float32)
    folder = Path(tempfile.mkdtemp(prefix="edge-fuzz-"))
    out = folder / "graph"
    mxnet, ncnn = Mxnet(folder), Ncnn(folder)
    number = -1
    try:
        for number, what, checkpoint in changed(seed, runs, folder):  # noqa: B007 - told at the end
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            graph = examine(checkpoint, out)
            if graph is None:
                counts["refused"] += 1
                continue
            counts["graphs"] += 1
            if what != "symbol" and counts["graphs"] % check_every:
                continue
            ours = scores_of(graph, pictures)
            counts["run"] += 1
            if against_ncnn and what == "symbol":
                counts[_ask_ncnn(ncnn, checkpoint, pictures, ours)] += 1
            if not against_mxnet or what != "symbol":
                continue
            theirs = mxnet.scores(checkpoint, pictures)
            if isinstance(theirs, str):
                counts[f"MXNet {theirs.split()[0]}"] += 1
            elif not np.isfinite(theirs).all() or np.abs(theirs).max(initial=0) > _MOST:
                counts["no numbers to compare"] += 1
            else:
                _compare(ours, theirs, independent=graph.independent)
                counts["the same as MXNet"] += 1
    except FailureError as error:
        raise FailureError(f"run {number} of seed {seed}, in {folder}: {error}") from error
    finally:
        mxnet.close()
        ncnn.close()
    shutil.rmtree(folder)
    return counts


def _ask_ncnn(ncnn: Ncnn, checkpoint: Checkpoint, pictures: Floats, expected: Floats) -> str:
    """Compare ncnn's scores with those of ONNX Runtime; return the outcome, in words. Raises FailureError."""
    theirs = ncnn.scores(checkpoint, pictures, expected.shape[1])
    if theirs is None:
        return "ncnn cannot run it"
    if not np.isfinite(expected).all() or np.abs(expected).max(initial=0) > _MOST:
        return "no numbers to compare with ncnn"
    if not _same(theirs, expected):
        raise FailureError(f"ncnn gives {theirs.shape} {theirs.ravel()[:5]}, ONNX Runtime {expected.ravel()[:5]}")
    return "the same as ncnn"


def _same(found: Floats, expected: Floats) -> bool:
    tolerance = 1e-3 * max(1.0, np.abs(expected).max(initial=0))
    return found.shape == expected.shape and bool(np.abs(found - expected).max(initial=0) <= tolerance)


def _compare(ours: Floats, theirs: Floats, *, independent: bool) -> None:
    if independent and theirs.shape == ours.shape and theirs.min(initial=0) >= 0 and theirs.max(initial=0) <= 1:
        # MXNet was asked for the probabilities
        ours = (1 / (1 + np.exp(-ours.astype(np.float64)))).astype(np.float32)
    if not _same(ours, theirs):
        raise FailureError(f"MXNet gives {theirs.shape} {theirs.ravel()[:5]}, the graph {ours.ravel()[:5]}")


def fuzz_with_atheris(runs: int) -> None:
    """Let atheris find changes that reach new code. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["edge.importer"]):
        for name in [name for name in sys.modules if name.startswith("edge.importer")]:
            del sys.modules[name]
        from edge.importer import translate

    folder = Path(tempfile.mkdtemp(prefix="edge-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, net in enumerate(networks()):
        for release in RELEASES:
            symbol = net.symbol(release).encode()
            data = struct.pack("<I", len(symbol)) + symbol + net.params(release)
            (corpus / f"{number}-{release}").write_bytes(data)
    out = folder / "graph"
    globals()["make_graph"] = translate.make_graph

    def one(data: bytes) -> None:
        length = struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0
        checkpoint = checkpoint_in(folder)
        checkpoint.symbol.write_bytes(data[4 : 4 + length])
        checkpoint.params.write_bytes(data[4 + length :])
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        examine(checkpoint, out)

    atheris.Setup([sys.argv[0], f"-runs={runs}", "-max_len=200000", "-timeout=10", str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000, metavar="N", help="default: 100000")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--against-mxnet", action="store_true", help="compare the scores with those of MXNet")
    parser.add_argument("--against-ncnn", action="store_true", help="compare the scores with those of ncnn")
    parser.add_argument("--serve-ncnn", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--atheris", action="store_true", help="guide the changes by coverage")
    options = parser.parse_args()
    if options.serve_ncnn:
        serve_ncnn()
        return 0
    guard()
    if options.atheris:
        fuzz_with_atheris(options.runs)
    start = time.monotonic()
    try:
        large = try_large_files()
        counts = fuzz(
            options.runs,
            options.seed,
            against_mxnet=options.against_mxnet,
            against_ncnn=options.against_ncnn,
            check_every=20,
        )
    except FailureError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(f"{large} large files, and {options.runs} checkpoints in {time.monotonic() - start:.0f} s:")
    for what, count in counts.most_common():
        print(f"{count:8}  {what}")
    return 0


def guard() -> None:
    """Let an alarm be an error, and a huge allocation fail."""

    def late(_number: int, _frame: object) -> None:
        raise FailureError(f"it takes longer than {MOST_S} s")

    signal.signal(signal.SIGALRM, late)
    with contextlib.suppress(ModelError):
        import_onnxruntime()  # its libraries are no allocation
    taken = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (taken + _ROOM, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main())
