"""Build a network's structure layer by layer, and write it as NAME-symbol.json in the form of MXNet 1.9."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMM, IMGCLSMOB = "timm", "imgclsmob"
"""Schemes of layer names: rwightman's timm (PyTorch), and osmr's imgclsmob (Gluon)."""
_MXNET_VERSION = 10901


@dataclass(frozen=True)
class Layer:
    """The names of a layer."""

    timm: str
    """Its path in timm's network, as in Mixed_5b.branch1x1.conv."""
    imgclsmob: str
    """Its path in imgclsmob's network."""

    @property
    def own(self) -> str:
        """Its name in the checkpoint."""
        return self.timm.replace(".", "_")


@dataclass(frozen=True)
class Array:
    """An array of parameters that a network needs."""

    name: str
    """In the checkpoint, with the prefix arg: or aux:."""
    shape: tuple[int, ...]
    sources: Mapping[str, str]
    """Its names in other projects, by TIMM and IMGCLSMOB."""


BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
"""A BatchNorm's learnt parameters, in the order of its inputs: MXNet's names, and PyTorch's."""


class Symbol:
    """The nodes of NAME-symbol.json. A method that adds one returns its index, which the next one takes as `x`."""

    def __init__(self, epsilon: float) -> None:
        """Start with the picture's node; `epsilon` is that of every BatchNorm."""
        self._epsilon = epsilon
        self._nodes: list[dict[str, Any]] = []
        self.data = self._add("null", "data")

    def symbol(self) -> str:
        """Return the text of NAME-symbol.json, as MXNet 1.9 writes it; the node added last is the output."""
        graph = {
            "nodes": self._nodes,
            "arg_nodes": [index for index, node in enumerate(self._nodes) if node["op"] == "null"],
            "heads": [[len(self._nodes) - 1, 0, 0]],
            "attrs": {"mxnet_version": ["int", _MXNET_VERSION]},
        }
        return json.dumps(graph, indent=1) + "\n"

    def _add(self, op: str, name: str, inputs: Sequence[int] = (), **attributes: object) -> int:
        node: dict[str, Any] = {"op": op, "name": name, "inputs": [[index, 0, 0] for index in inputs]}
        if attributes:
            node["attrs"] = {key: str(value) for key, value in attributes.items()}
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _add_batch_norm(self, name: str, inputs: Sequence[int]) -> int:
        """Add a BatchNorm; `inputs` are x and the parameters in BATCH_NORM."""
        return self._add("BatchNorm", name, inputs, eps=self._epsilon, fix_gamma=False, use_global_stats=False)

    def _add_fully_connected(self, name: str, inputs: Sequence[int], outputs: int) -> int:
        """Add a matrix; `inputs` are x, the weights and the bias."""
        return self._add("FullyConnected", name, inputs, num_hidden=outputs, no_bias=False, flatten=True)

    def _add_mean_of_all(self, x: int, name: str) -> int:
        """Add the mean of each channel."""
        return self._add("Pooling", name, [x], kernel=(1, 1), pool_type="avg", global_pool=True)

    def _add_sum(self, x: int, y: int, name: str) -> int:
        return self._add("elemwise_add", name, [x, y])


class Structure(Symbol):
    """The structure of a network that other projects have too, with their names for its arrays."""

    def __init__(self, epsilon: float = 1e-5) -> None:
        """Start with the picture's node; `epsilon` is that of every BatchNorm."""
        super().__init__(epsilon)
        self.arrays: list[Array] = []
        self._channels: dict[int, int] = {self.data: 3}

    def convolution(
        self,
        x: int,
        layer: Layer,
        filters: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        pad: tuple[int, int] = (0, 0),
        bias: bool = False,
    ) -> int:
        """Add a convolution over two dimensions."""
        inputs = [x, self._parameter(layer, "weight", (filters, self._channels[x], *kernel))]
        if bias:
            inputs.append(self._parameter(layer, "bias", (filters,)))
        found = self._add(
            "Convolution",
            layer.own,
            inputs,
            kernel=kernel,
            stride=(stride, stride),
            pad=pad,
            num_filter=filters,
            no_bias=not bias,
        )
        self._channels[found] = filters
        return found

    def batch_norm(self, x: int, layer: Layer) -> int:
        """Add a BatchNorm over the channels, with its learnt parameters."""
        channels = self._channels[x]
        inputs = [x]
        for own, timm in BATCH_NORM.items():
            gluon = own.replace("moving", "running")
            sources = {TIMM: f"{layer.timm}.{timm}", IMGCLSMOB: f"{layer.imgclsmob}.{gluon}"}
            kind = "aux" if own.startswith("moving") else "arg"
            inputs.append(self._variable(f"{layer.own}_{own}", (channels,), sources, kind))
        found = self._add_batch_norm(layer.own, inputs)
        self._channels[found] = channels
        return found

    def relu(self, x: int, name: str) -> int:
        """Add a ReLU."""
        return self._as_wide_as(x, self._add("Activation", name, [x], act_type="relu"))

    def maximum(self, x: int, name: str, kernel: int, stride: int, pad: int = 0) -> int:
        """Add the maximum of each window; a window that would reach over the edge is left out."""
        return self._pool(x, name, (kernel, stride, pad), pool_type="max")

    def mean(self, x: int, name: str, kernel: int, stride: int, pad: int) -> int:
        """Add the mean of each window; the part beyond the edge counts as zero."""
        return self._pool(x, name, (kernel, stride, pad), pool_type="avg", count_include_pad=True)

    def mean_of_all(self, x: int, name: str) -> int:
        """Add the mean of each channel."""
        return self._as_wide_as(x, self._add_mean_of_all(x, name))

    def join(self, parts: list[int], name: str) -> int:
        """Join the channels of all parts, in order."""
        found = self._add("Concat", name, parts, dim=1, num_args=len(parts))
        self._channels[found] = sum(self._channels[part] for part in parts)
        return found

    def plus(self, x: int, y: int, name: str) -> int:
        """Add the sum of two layers."""
        return self._as_wide_as(x, self._add_sum(x, y, name))

    def fully_connected(self, x: int, layer: Layer, inputs: int, outputs: int) -> int:
        """Add a matrix that takes `inputs` numbers."""
        given = [
            x,
            self._parameter(layer, "weight", (outputs, inputs)),
            self._parameter(layer, "bias", (outputs,)),
        ]
        found = self._add_fully_connected(layer.own, given, outputs)
        self._channels[found] = outputs
        return found

    def _pool(self, x: int, name: str, window: tuple[int, int, int], **attributes: object) -> int:
        """Add a pooling layer; `window` is side, stride and padding, in pixels."""
        sides = {key: (one, one) for key, one in zip(("kernel", "stride", "pad"), window, strict=True)}
        found = self._add("Pooling", name, [x], pooling_convention="valid", **sides, **attributes)
        return self._as_wide_as(x, found)

    def _as_wide_as(self, x: int, found: int) -> int:
        """Note that a layer has as many channels as `x`; return the layer."""
        self._channels[found] = self._channels[x]
        return found

    def _parameter(self, layer: Layer, what: str, shape: tuple[int, ...]) -> int:
        sources = {TIMM: f"{layer.timm}.{what}", IMGCLSMOB: f"{layer.imgclsmob}.{what}"}
        return self._variable(f"{layer.own}_{what}", shape, sources, "arg")

    def _variable(self, name: str, shape: tuple[int, ...], sources: Mapping[str, str], kind: str) -> int:
        self.arrays.append(Array(f"{kind}:{name}", shape, sources))
        return self._add("null", name)
