"""Small networks that the fusion of MXNet's oneDNN computes wrongly, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
from random_networks import Net

from edge.engines.mxnet_compat import import_mxnet
from edge.models.checkpoint import Checkpoint, find_checkpoint

SIZE = 16


def preactivation(net: Net, order: str) -> Any:
    s = net.sym
    first = s.Convolution(s.var("data"), num_filter=8, kernel=(3, 3), pad=(1, 1), no_bias=True, name="c0")
    normal = s.BatchNorm(first, fix_gamma=False, eps=1e-5, name="b0")
    active = s.Activation(first if order == "without BatchNorm" else normal, act_type="relu")
    second = s.Convolution(active, num_filter=8, kernel=(3, 3), pad=(1, 1), no_bias=True, name="c1")
    shortcut = normal if order == "the shortcut is the BatchNorm" else first
    total = shortcut + second if order == "swapped" else second + shortcut
    pooled = s.Pooling(total, global_pool=True, pool_type="avg", kernel=(1, 1))
    return s.SoftmaxOutput(s.FullyConnected(s.Flatten(pooled), num_hidden=5, name="fc"), name="softmax")


def depthwise_over_all(net: Net, _order: str) -> Any:
    """As MobileFaceNet ends."""
    s = net.sym
    first = s.Convolution(s.var("data"), num_filter=8, kernel=(3, 3), pad=(1, 1), no_bias=True, name="c0")
    full = s.Convolution(first, num_filter=8, kernel=(SIZE, SIZE), num_group=8, no_bias=True, name="dw")
    scores = s.FullyConnected(s.BatchNorm(full, fix_gamma=False, name="bdw"), num_hidden=5, no_bias=True, name="fc")
    return s.BatchNorm(scores, fix_gamma=True, name="bfc")


def write(symbol: Any, folder: Path, name: str = "net") -> Checkpoint:
    mx = import_mxnet()
    rng = np.random.RandomState(0)
    shapes, _, states = symbol.infer_shape(data=(1, 3, SIZE, SIZE))
    params = {}
    for kind, names, sizes in (
        ("arg", symbol.list_arguments(), shapes),
        ("aux", symbol.list_auxiliary_states(), states),
    ):
        for key, shape in zip(names, sizes, strict=True):
            if key != "data" and not key.endswith("label"):
                positive = key.endswith(("gamma", "var"))
                params[f"{kind}:{key}"] = mx.nd.array(
                    rng.uniform(0.5, 1.5, shape) if positive else rng.normal(0, 0.3, shape)
                )
    folder.mkdir(exist_ok=True)
    symbol.save(str(folder / f"{name}-symbol.json"))
    mx.nd.save(str(folder / f"{name}-0000.params"), params)
    (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(5)))
    (folder / "model.toml").write_text(f'[input]\nsize = {SIZE}\nmean = 127\nstd = 60\nresize = "squash"\n')
    return find_checkpoint(str(folder / name))
