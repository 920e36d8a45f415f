"""A network's structure as it grows, layer by layer, and NAME-symbol.json of it, as MXNet 1.9 writes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMM, IMGCLSMOB = "timm", "imgclsmob"
"""Who calls layers how: rwightman's timm (PyTorch), and osmr's imgclsmob (Gluon)."""
_MXNET_VERSION = 10901


@dataclass(frozen=True)
class Layer:
    """What a layer is called."""

    timm: str
    """Its path in timm's network, as in Mixed_5b.branch1x1.conv."""
    imgclsmob: str
    """The same in imgclsmob's."""

    @property
    def own(self) -> str:
        """As in the checkpoint."""
        return self.timm.replace(".", "_")


@dataclass(frozen=True)
class Array:
    """Numbers that a network needs."""

    name: str
    """In the checkpoint, with the prefix arg: or aux:."""
    shape: tuple[int, ...]
    sources: Mapping[str, str]
    """What it is called by others: by TIMM and IMGCLSMOB."""


class Structure:
    """The nodes of a symbol. What adds a layer returns its index, which is what the next takes as `x`."""

    def __init__(self, epsilon: float = 1e-5) -> None:
        """`epsilon` is that of every BatchNorm."""
        self.arrays: list[Array] = []
        self._epsilon = epsilon
        self._nodes: list[dict[str, Any]] = []
        self._channels: dict[int, int] = {}
        self.data = self._add("null", "data")
        self._channels[self.data] = 3

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
        """A convolution over two dimensions."""
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
        """BatchNorm over the channels, with what was learnt of them."""
        channels = self._channels[x]
        parts = (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_var", "running_var"))
        inputs = [x]
        for own, timm in parts:
            gluon = own.replace("moving", "running")
            sources = {TIMM: f"{layer.timm}.{timm}", IMGCLSMOB: f"{layer.imgclsmob}.{gluon}"}
            kind = "aux" if own.startswith("moving") else "arg"
            inputs.append(self._variable(f"{layer.own}_{own}", (channels,), sources, kind))
        found = self._add("BatchNorm", layer.own, inputs, eps=self._epsilon, fix_gamma=False, use_global_stats=False)
        self._channels[found] = channels
        return found

    def relu(self, x: int, name: str) -> int:
        """What is above zero."""
        return self._same("Activation", name, [x], act_type="relu")

    def maximum(self, x: int, name: str, kernel: int, stride: int, pad: int = 0) -> int:
        """The largest of each window; one that would stand over the edge is left out."""
        return self._pool(x, name, (kernel, stride, pad), pool_type="max")

    def mean(self, x: int, name: str, kernel: int, stride: int, pad: int) -> int:
        """The mean of each window, in which what is beyond the edge counts as zero."""
        return self._pool(x, name, (kernel, stride, pad), pool_type="avg", count_include_pad=True)

    def mean_of_all(self, x: int, name: str) -> int:
        """The mean of each channel."""
        return self._same("Pooling", name, [x], kernel=(1, 1), pool_type="avg", global_pool=True)

    def join(self, parts: list[int], name: str) -> int:
        """The channels of all of them, one after the other."""
        found = self._add("Concat", name, parts, dim=1, num_args=len(parts))
        self._channels[found] = sum(self._channels[part] for part in parts)
        return found

    def plus(self, x: int, y: int, name: str) -> int:
        """The sum."""
        return self._same("elemwise_add", name, [x, y])

    def fully_connected(self, x: int, layer: Layer, inputs: int, outputs: int) -> int:
        """A matrix, of `inputs` numbers."""
        given = [
            x,
            self._parameter(layer, "weight", (outputs, inputs)),
            self._parameter(layer, "bias", (outputs,)),
        ]
        found = self._add("FullyConnected", layer.own, given, num_hidden=outputs, no_bias=False, flatten=True)
        self._channels[found] = outputs
        return found

    def symbol(self) -> str:
        """Return the text of NAME-symbol.json; what was added last is the output."""
        return symbol_text(self._nodes)

    def _pool(self, x: int, name: str, window: tuple[int, int, int], **attributes: object) -> int:
        """`window` is its side, its step and the padding: pixels."""
        sides = {key: (one, one) for key, one in zip(("kernel", "stride", "pad"), window, strict=True)}
        return self._same("Pooling", name, [x], pooling_convention="valid", **sides, **attributes)

    def _same(self, op: str, name: str, inputs: list[int], **attributes: object) -> int:
        """A layer that gives as many channels as it gets."""
        found = self._add(op, name, inputs, **attributes)
        self._channels[found] = self._channels[inputs[0]]
        return found

    def _parameter(self, layer: Layer, what: str, shape: tuple[int, ...]) -> int:
        sources = {TIMM: f"{layer.timm}.{what}", IMGCLSMOB: f"{layer.imgclsmob}.{what}"}
        return self._variable(f"{layer.own}_{what}", shape, sources, "arg")

    def _variable(self, name: str, shape: tuple[int, ...], sources: Mapping[str, str], kind: str) -> int:
        self.arrays.append(Array(f"{kind}:{name}", shape, sources))
        return self._add("null", name)

    def _add(self, op: str, name: str, inputs: list[int] | None = None, **attributes: object) -> int:
        node: dict[str, Any] = {"op": op, "name": name, "inputs": [[index, 0, 0] for index in inputs or []]}
        if attributes:
            node["attrs"] = {key: str(value) for key, value in attributes.items()}
        self._nodes.append(node)
        return len(self._nodes) - 1


def symbol_text(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of NAME-symbol.json for nodes in their order; the last one is the output."""
    graph = {
        "nodes": nodes,
        "arg_nodes": [index for index, node in enumerate(nodes) if node["op"] == "null"],
        "heads": [[len(nodes) - 1, 0, 0]],
        "attrs": {"mxnet_version": ["int", _MXNET_VERSION]},
    }
    return json.dumps(graph, indent=1) + "\n"
