"""Small networks at random, as people build them: (checkpoint, what plain MXNet says of some inputs).

Blocks of every usual kind (residual in both orders, dense, squeeze and excitation, depthwise, multi-branch, shuffled,
split attention, attention masks), all ends that a classifier may have, grey or in colours, float16, float32 or float64.
Their weights are scaled so that the outputs differ from input to input: a wrong engine is noticed.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.mxnet_compat import import_mxnet
from edge.models.checkpoint import Checkpoint, InputSpec

Floats = NDArray[np.float32]
LABELS = 6
ENDS = (
    *("SoftmaxOutput", "softmax", "temperature", "SoftmaxActivation", "logits", "log_softmax", "1 x 1"),
    *("sigmoid", "Activation", "LogisticRegressionOutput", "hard_sigmoid"),
)
INDEPENDENT = ENDS[-4:]
BEHIND = ("", "", "BlockGrad", "Dropout", "MakeLoss", "identity", "LinearRegressionOutput", "Reshape")
_INPUTS = 4


@dataclass(frozen=True)
class Made:
    """A network, and what is right of it."""

    checkpoint: Checkpoint
    what: str
    """Its parts, for people."""
    inputs: Floats
    """Pictures as they are before normalisation: count x channels x size x size, 0..255."""
    right: Floats
    """The probabilities by plain MXNet: count x labels."""
    independent: bool


class Net:
    """A symbol as it grows, and its random choices."""

    def __init__(self, rng: random.Random) -> None:
        self.mx = import_mxnet()
        self.sym = self.mx.sym
        self.rng = rng
        self.parts: list[str] = []
        self.channels: int = 0
        self.side: int = 0
        self._count = 0

    def name(self, what: str) -> str:
        """A name that no other layer has."""
        self._count += 1
        return f"{what}{self._count}"

    def conv(self, x: Any, filters: int, kernel: int = 3, **more: Any) -> Any:
        """A convolution that keeps the side, unless it has a stride."""
        bias = {"no_bias": self.rng.random() < 0.6}
        return self.sym.Convolution(
            x, num_filter=filters, kernel=(kernel,) * 2, pad=(kernel // 2,) * 2, name=self.name("conv"), **bias, **more
        )

    def norm(self, x: Any) -> Any:
        """A BatchNorm, or nothing."""
        if self.rng.random() < 0.2:
            return x
        return self.sym.BatchNorm(
            x, fix_gamma=self.rng.random() < 0.3, eps=self.rng.choice((1e-5, 1e-3, 2e-5)), name=self.name("bn")
        )

    def act(self, x: Any) -> Any:
        """An activation."""
        kind = self.rng.choice(
            ("relu", "relu", "relu", "relu6", "leaky", "prelu", "elu", "gelu", "swish", "tanh", "soft")
        )
        s = self.sym
        if kind == "relu":
            return s.Activation(x, act_type="relu", name=self.name("relu"))
        if kind == "relu6":
            return s.clip(x, a_min=0, a_max=6)
        if kind == "swish":
            return x * (s.clip(x + 3, a_min=0, a_max=6) / 6)
        if kind in ("tanh", "soft"):
            return s.Activation(x, act_type="tanh" if kind == "tanh" else "softsign")
        return s.LeakyReLU(x, act_type=kind, slope=0.2, name=self.name("act"))

    def scale(self, x: Any, end: str = "sigmoid") -> Any:
        """Gates between 0 and 1."""
        return self.sym.hard_sigmoid(x) if end == "hard" else self.sym.Activation(x, act_type="sigmoid")


def _stem(net: Net, x: Any) -> Any:
    net.channels = 8
    kind = net.rng.choice(("plain", "normalised", "stride"))
    if kind == "normalised":
        x = net.sym.BatchNorm(x, fix_gamma=True, eps=2e-5, name="bn_data")
    stride = {"stride": (2, 2)} if kind == "stride" else {}
    net.side = -(-net.side // 2) if stride else net.side
    x = net.conv(x, net.channels, net.rng.choice((1, 3, 5)), **stride)
    return net.act(net.norm(x)) if net.rng.random() < 0.6 else x


def _residual(net: Net, x: Any) -> Any:
    y = net.norm(net.conv(net.act(net.norm(net.conv(x, net.channels))), net.channels))
    return net.act(y + x if net.rng.random() < 0.5 else x + y)


def _preactivation(net: Net, x: Any) -> Any:
    y = net.act(net.norm(x))
    for _ in range(net.rng.choice((1, 2))):
        y = net.conv(y if net.rng.random() < 0.5 else net.act(net.norm(y)), net.channels)
    return y + x if net.rng.random() < 0.5 else x + y


def _dense(net: Net, x: Any) -> Any:
    parts = [x]
    for _ in range(2):
        parts.append(net.conv(net.act(net.norm(net.sym.concat(*parts, dim=1))), 4))
    net.channels += 8
    return net.sym.concat(*parts, dim=1, name=net.name("concat"))


def _excitation(net: Net, x: Any) -> Any:
    s, channels = net.sym, net.channels
    kind = net.rng.choice(("pool", "mean", "adaptive", "keep", "dense"))
    if kind == "mean":
        gates = s.expand_dims(s.expand_dims(s.mean(x, axis=(2, 3)), axis=2), axis=3)
    elif kind == "keep":
        gates = s.mean(x, axis=(2, 3), keepdims=True)
    elif kind == "adaptive":
        gates = s.contrib.AdaptiveAvgPooling2D(x, output_size=1)
    else:
        gates = s.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1))
    if kind == "dense":
        gates = s.FullyConnected(s.Flatten(gates), num_hidden=channels, name=net.name("fc"))
        gates = s.Reshape(gates, shape=(-1, channels, 1, 1))
    else:
        gates = net.conv(net.act(net.conv(gates, 4, 1)), channels, 1)
    return s.broadcast_mul(x, net.scale(gates, net.rng.choice(("soft", "hard"))))


def _depthwise(net: Net, x: Any) -> Any:
    y = net.act(net.norm(net.conv(x, 2 * net.channels, 1)))
    y = net.act(net.norm(net.conv(y, 2 * net.channels, 3, num_group=2 * net.channels)))
    y = net.norm(net.conv(y, net.channels, 1))
    return y + x if net.rng.random() < 0.6 else y


def _branches(net: Net, x: Any) -> Any:
    pool = net.sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type=net.rng.choice(("max", "avg")))
    parts = [net.act(net.norm(net.conv(x, 4, kernel))) for kernel in (1, 3)]
    parts.append(net.act(net.conv(pool, 4, 1)))
    net.channels = 12
    return net.sym.concat(*parts, dim=1)


def _shuffle(net: Net, x: Any) -> Any:
    s, groups = net.sym, 2
    kind = net.rng.choice(("swap", "transpose", "split", "slice"))
    if kind in ("swap", "transpose"):
        x = s.reshape(x, shape=(0, -4, groups, -1, -2))
        x = s.SwapAxis(x, dim1=1, dim2=2) if kind == "swap" else s.transpose(x, axes=(0, 2, 1, 3, 4))
        x = s.reshape(x, shape=(0, -3, -2))
        return net.conv(x, net.channels, 3, num_group=groups)
    half = net.channels // 2
    if kind == "split":
        one, other = s.SliceChannel(x, num_outputs=2, axis=1, name=net.name("halves"))
    else:
        one, other = s.slice_axis(x, axis=1, begin=0, end=half), s.slice_axis(x, axis=1, begin=-half, end=None)
    other = net.act(net.norm(net.conv(other, half)))
    return s.concat(one, other, dim=1) if net.rng.random() < 0.7 else s.broadcast_maximum(one, other)


def _split_attention(net: Net, x: Any) -> Any:
    s, channels = net.sym, net.channels
    y = s.reshape(net.act(net.norm(net.conv(x, 2 * channels, 3, num_group=2))), shape=(0, -4, 2, channels, -2))
    gap = s.mean(s.sum(y, axis=1), axis=(2, 3), keepdims=True)
    gates = net.conv(net.act(net.conv(gap, 4, 1)), 2 * channels, 1)
    gates = s.softmax(s.reshape(gates, shape=(0, 2, channels, 1, 1)), axis=1)
    return s.sum(s.broadcast_mul(y, gates), axis=1)


def _mask(net: Net, x: Any) -> Any:
    if net.side % 2:
        return _residual(net, x)
    s, channels = net.sym, net.channels
    y = net.conv(s.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max"), channels)
    kind = net.rng.choice(("nearest", "deconvolution", "resize"))
    if kind == "nearest":
        y = s.UpSampling(y, scale=2, sample_type="nearest", num_args=1)
    elif kind == "deconvolution":
        y = s.Deconvolution(
            *(y,), num_filter=channels, kernel=(4, 4), stride=(2, 2), pad=(1, 1), no_bias=True, name=net.name("up")
        )
    else:
        y = s.contrib.BilinearResize2D(y, height=net.side, width=net.side)
    y = net.scale(y)
    return x * (y + s.ones_like(y)) if net.rng.random() < 0.5 else x * y


def _down(net: Net, x: Any) -> Any:
    if net.side < 6:
        return net.act(net.norm(net.conv(x, net.channels)))
    full = net.rng.random() < 0.3
    net.side = (net.side - 2) // 2 + 1 if not full else -(-(net.side - 2) // 2) + 1
    return net.sym.Pooling(
        x,
        kernel=(2, 2),
        stride=(2, 2),
        pool_type=net.rng.choice(("max", "avg")),
        pooling_convention="full" if full else "valid",
    )


def _odds(net: Net, x: Any) -> Any:
    s = net.sym
    kind = net.rng.choice(("norm", "lrn", "pad", "scalars", "sub", "dropout", "squeeze"))
    if kind == "norm":
        return 3 * s.L2Normalization(x, mode=net.rng.choice(("instance", "channel", "spatial")))
    if kind == "lrn":
        return s.LRN(x, nsize=3, alpha=0.01)
    if kind == "pad":
        mode = net.rng.choice(("constant", "edge", "reflect"))
        x = s.Pad(x, mode=mode, pad_width=(0, 0, 0, 0, 1, 1, 1, 1), constant_value=0.5)
        return s.Convolution(x, num_filter=net.channels, kernel=(3, 3), name=net.name("conv"))
    if kind == "scalars":
        return (1 - x) * 0.5 + s.square(s.tanh(x)) / 2
    if kind == "sub":
        return s.broadcast_sub(x, s.mean(x, axis=(1,), keepdims=True))
    if kind == "squeeze":
        return s.squeeze(s.expand_dims(x, axis=2), axis=2)
    return s.Dropout(x, p=0.5)


BLOCKS: dict[str, Callable[[Net, Any], Any]] = {
    "residual": _residual,
    "preactivation": _preactivation,
    "dense": _dense,
    "excitation": _excitation,
    "depthwise": _depthwise,
    "branches": _branches,
    "shuffle": _shuffle,
    "split attention": _split_attention,
    "mask": _mask,
    "down": _down,
    "odds": _odds,
}


def _body(net: Net, picture: Any) -> Any:
    x = _stem(net, picture)
    for _ in range(net.rng.randint(1, 4)):
        part = net.rng.choice(list(BLOCKS))
        net.parts.append(part)
        if part == "shuffle" and net.channels % 2:
            continue
        x = BLOCKS[part](net, x)
        if part == "shuffle":
            x = net.conv(x, net.channels, 1)  # of the output so far
    return x


def _scores(net: Net, x: Any, *, rows: bool) -> Any:
    s = net.sym
    kind = net.rng.choice(("pool", "mean", "flatten", "adaptive"))
    if not rows:
        x = s.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1))
        return s.Convolution(x, num_filter=LABELS, kernel=(1, 1), name="last")
    if kind == "pool":
        x = s.Flatten(s.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1)))
    elif kind == "mean":
        x = s.mean(x, axis=(2, 3))
    elif kind == "adaptive":
        x = s.contrib.AdaptiveAvgPooling2D(x, output_size=(3, 2))
    return s.FullyConnected(x, num_hidden=LABELS, name="last")


def _end(net: Net, scores: Any, end: str, behind: str) -> Any:
    s = net.sym
    ends = {
        "SoftmaxOutput": lambda: s.SoftmaxOutput(scores, name="softmax"),
        "softmax": lambda: s.softmax(scores, axis=net.rng.choice((-1, 1))),
        "temperature": lambda: s.softmax(scores, temperature=2.5),
        "SoftmaxActivation": lambda: s.SoftmaxActivation(scores),
        "logits": lambda: scores,
        "log_softmax": lambda: s.log_softmax(scores),
        "1 x 1": lambda: s.softmax(scores, axis=1),
        "sigmoid": lambda: s.sigmoid(scores),
        "Activation": lambda: s.Activation(scores, act_type="sigmoid"),
        "LogisticRegressionOutput": lambda: s.LogisticRegressionOutput(scores, name="logistic"),
        "hard_sigmoid": lambda: s.hard_sigmoid(scores),
    }
    x = ends[end]()
    # behind logits these would make something else of them
    if end in ("logits",) and behind in ("MakeLoss", "LinearRegressionOutput"):
        return x
    after = {
        "BlockGrad": lambda: s.BlockGrad(x),
        "Dropout": lambda: s.Dropout(x, p=0.3),
        "MakeLoss": lambda: s.MakeLoss(x),
        "identity": lambda: s.identity(x),
        "LinearRegressionOutput": lambda: s.LinearRegressionOutput(x, name="lin"),
        "Reshape": lambda: s.Reshape(x, shape=(0, -1)),
    }
    return after[behind]() if behind else x


@contextlib.contextmanager
def plain_mxnet() -> Iterator[None]:
    """Let MXNet compute each layer as it is written; it writes a line about that at each bind, which is kept back."""
    before, error = os.environ.get("MXNET_SUBGRAPH_BACKEND"), os.dup(2)
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(error, 2)
        os.close(error)
        os.close(nowhere)
        if before is None:
            del os.environ["MXNET_SUBGRAPH_BACKEND"]
        else:
            os.environ["MXNET_SUBGRAPH_BACKEND"] = before


def _forward(mx: Any, symbol: Any, arrays: dict[str, Floats], picture: str, inputs: Floats) -> Floats:
    """What plain MXNet gives for each input: count x numbers."""
    known = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    given = {name: mx.nd.array(array) for name, array in arrays.items() if name in known}
    shapes, _, _ = symbol.infer_shape(**{picture: (1, *inputs.shape[1:])})
    arguments = {
        name: given.get(name, mx.nd.zeros(shape)) for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
    }
    states = {name: given[name] for name in symbol.list_auxiliary_states()}
    with plain_mxnet():
        executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    rows = []
    for one in inputs:
        arguments[picture][:] = one[np.newaxis]
        rows.append(executor.forward(is_train=False)[0].asnumpy().reshape(-1))
    return np.array(rows)


def make(seed: int, folder: Path) -> Made:
    """Write a checkpoint with labels into the folder; the same for the same seed."""
    for attempt in range(20):
        with contextlib.suppress(_UselessError):
            return _make(random.Random(f"{seed} {attempt}"), folder)
    raise RuntimeError(f"seed {seed} makes no network of use")


class _UselessError(Exception):
    """It says the same of everything."""


def _make(rng: random.Random, folder: Path) -> Made:
    net = Net(rng)
    mx = net.mx
    grey = rng.random() < 0.2
    picture = rng.choice(("data", "data", "data", "input_0"))
    end, behind = rng.choice(ENDS), rng.choice(BEHIND)
    dtype = rng.choice((np.float32, np.float32, np.float32, np.float16, np.float64))
    size = rng.choice((12, 15, 16))
    net.side = size
    body = _body(net, net.sym.var(picture))
    scores = _scores(net, body, rows=end != "1 x 1")
    symbol = _end(net, scores, end, behind)
    shape = (1, 1 if grey else 3, size, size)
    numbers = np.random.default_rng(rng.randrange(2**32))
    red, green, blue = (float(round(one)) for one in numbers.uniform(90, 140, 3))
    mean = (red, red, red) if grey else (red, green, blue)
    std = (55.0, 55.0, 55.0) if grey else (55.0, 60.0, 65.0)
    spec = InputSpec(size, mean=mean, std=std, resize="squash", channels="rgb" if grey else rng.choice(("rgb", "bgr")))
    inputs = _pictures(numbers, shape)
    normal = _normalised(inputs, spec)
    arrays = _parameters(mx, symbol, picture, shape, numbers)
    _rescale(arrays, _forward(mx, scores, arrays, picture, normal))
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    outputs = _forward(mx, symbol, {name: one.astype(np.float32) for name, one in arrays.items()}, picture, normal)
    right = _softmax(outputs) if end in ("logits", "log_softmax") else outputs
    if not np.isfinite(right).all() or right.std(0).max() < 1e-3:
        raise _UselessError
    states = set(symbol.list_auxiliary_states())
    symbol.save(str(folder / "net-symbol.json"))
    saved = {
        f"{'aux' if name in states else 'arg'}:{name}": mx.nd.array(one, dtype=dtype) for name, one in arrays.items()
    }
    mx.nd.save(str(folder / "net-0000.params"), saved)
    (folder / "synset.txt").write_text("".join(f"n{number} thing {number}\n" for number in range(LABELS)))
    files = (folder / "net-symbol.json", folder / "net-0000.params", folder / "synset.txt")
    colours = "grey" if grey else "colours"
    what = f"{', '.join(net.parts)}; {end} {behind}; {colours}, {np.dtype(dtype).name}, {picture}"
    return Made(Checkpoint("net", *files, spec), what, inputs, right, end in INDEPENDENT)


def _pictures(numbers: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    _, channels, size, _ = shape
    found = numbers.uniform(0, 255, (_INPUTS, channels, 1, 1)).repeat(size, 2).repeat(size, 3)
    coarse = numbers.normal(0, 50, (_INPUTS, channels, 4, 4)).repeat(-(-size // 4), 2).repeat(-(-size // 4), 3)
    found = found + coarse[:, :, :size, :size] + numbers.normal(0, 30, (_INPUTS, *shape[1:]))
    rounded: Floats = np.clip(np.round(found), 0, 255).astype(np.float32)
    return rounded


def _normalised(inputs: Floats, spec: InputSpec) -> Floats:
    channels = inputs.shape[1]
    mean, std = (np.array(three[:channels], np.float32)[:, np.newaxis, np.newaxis] for three in (spec.mean, spec.std))
    found: Floats = (inputs - mean) / std
    return found


def _parameters(
    mx: Any, symbol: Any, picture: str, shape: tuple[int, ...], numbers: np.random.Generator
) -> dict[str, Floats]:
    shapes, _, states = symbol.infer_shape(**{picture: shape})
    arrays: dict[str, Any] = {}
    for name, one in zip(symbol.list_arguments(), shapes, strict=True):
        if name == picture or name.endswith("label"):
            continue
        if len(one) > 1:
            arrays[name] = numbers.normal(0, np.sqrt(1.5 / np.prod(one[1:])), one)
        else:
            arrays[name] = numbers.uniform(0.5, 1.5, one) if name.endswith("gamma") else numbers.normal(0, 0.3, one)
    for name, one in zip(symbol.list_auxiliary_states(), states, strict=True):
        arrays[name] = numbers.uniform(0.5, 1.5, one) if name.endswith("var") else numbers.normal(0, 0.3, one)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _rescale(arrays: dict[str, Floats], scores: Floats) -> None:
    """Let the scores be about 0 for each label, and spread by 2 from input to input."""
    spread = float(scores.std(0).mean())
    if not np.isfinite(spread) or spread < 1e-6:
        raise _UselessError
    factor = min(2 / spread, 100.0)
    arrays["last_weight"] *= np.float32(factor)
    bias = (arrays["last_bias"] - scores.mean(0)) * factor
    arrays["last_bias"] = bias.astype(np.float32)


def _softmax(scores: Floats) -> Floats:
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True), np.float32)
