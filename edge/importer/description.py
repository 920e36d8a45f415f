"""Derive a checkpoint's input and output from its two files: the picture's variable, its channels, the outputs."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ModelError
from edge.importer.head import Head, head_of, labels_of
from edge.importer.params import Params
from edge.importer.symbol import Symbol
from edge.models.checkpoint import GREY, Checkpoint, InputSpec

DATA = "data"
"""The usual name of the picture."""
_CHANNEL_WISE = (
    *("identity", "_copy", "BlockGrad", "Cast", "cast", "amp_cast", "Dropout", "Pad", "pad", "Pooling", "clip"),
    *("Activation", "LeakyReLU", "relu", "_plus_scalar", "_minus_scalar", "_mul_scalar", "_div_scalar"),
    *("_PlusScalar", "_MinusScalar", "_MulScalar", "_DivScalar", "UpSampling", "_contrib_BilinearResize2D"),
)
"""Operators whose output has as many channels as their input."""


@dataclass(frozen=True)
class Description:
    """A checkpoint's input and output."""

    picture: int
    """Index of the picture's node."""
    name: str
    """The picture's name in the structure."""
    labels: frozenset[str]
    """Variables that a training head takes, and that change no output."""
    input: InputSpec
    """How a picture becomes the input: as in model.toml, but grey if the network takes one channel."""
    head: Head


def describe(checkpoint: Checkpoint, symbol: Symbol, params: Params) -> Description:
    """Return the description of a checkpoint. Raises ModelError if it is no image classifier."""
    names = {key.partition(":")[2]: array.shape for key, array in params.arrays.items()}
    labels = labels_of(symbol) | {
        index
        for index in symbol.used
        if symbol.nodes[index].op == "null" and symbol.nodes[index].name.endswith("label")
    }
    head = head_of(symbol)
    picture = _picture(symbol, {*names, *(key.partition(":")[2] for key in params.unusable)}, labels)
    spec = _fitted(checkpoint, _channels(symbol, picture, names, checkpoint.input.size))
    name = symbol.nodes[picture].name
    return Description(picture, name, frozenset(symbol.nodes[index].name for index in labels), spec, head)


def _picture(symbol: Symbol, known: set[str], labels: Iterable[int]) -> int:
    """Return the variable whose values are in no file: `data`, or the only one."""
    left = set(labels)
    free = [
        index
        for index in sorted(symbol.used)
        if symbol.nodes[index].op == "null" and symbol.nodes[index].name not in known and index not in left
    ]
    for index in free:
        if symbol.nodes[index].name == DATA:
            return index
    # a missing parameter is never the first input of a layer
    firsts = {symbol.nodes[index].inputs[0] for index in symbol.used if symbol.nodes[index].inputs}
    candidates = [index for index in free if index in firsts] or free
    path = _path(symbol)
    if not candidates:
        raise ModelError(f"{path}: all its variables are parameters: there is no input for an image")
    if len(candidates) > 1:
        named = ", ".join(repr(symbol.nodes[index].name[:80]) for index in candidates[:3])
        raise ModelError(
            f"{path}: {len(candidates)} of its variables are in no file ({named}...), so the input is unclear. Call it "
            f"{DATA!r}, and check that both files are of the same checkpoint"
        )
    return candidates[0]


def _channels(symbol: Symbol, picture: int, shapes: dict[str, tuple[int, ...]], size: int) -> int | None:
    """Return how many channels the first layer with parameters takes; None if the files do not say."""
    reached = {picture}
    for index in sorted(symbol.used):
        node = symbol.nodes[index]
        if not node.inputs or node.inputs[0] not in reached:
            continue
        shape = shapes.get(symbol.nodes[node.inputs[1]].name, ()) if len(node.inputs) > 1 else ()
        if node.op.startswith("Convolution") and len(shape) == 4:
            groups = node.values.get("num_group", "1")
            return shape[1] if groups == "1" else next((c for c in (1, 3) if groups == str(c) and shape[1] == 1), None)
        if node.op == "Deconvolution" and len(shape) == 4:
            return shape[0]
        if node.op == "FullyConnected":
            # any other number means that the input size is wrong
            return next((count for count in (1, 3) if shape[1:] == (count * size**2,)), None)
        if node.op.startswith("BatchNorm") and len(shape) == 1:
            return shape[0]
        if node.op in (*_CHANNEL_WISE, "Flatten", "flatten"):
            reached.add(index)
    return None


def _fitted(checkpoint: Checkpoint, channels: int | None) -> InputSpec:
    spec = checkpoint.input
    if channels is None or channels == spec.planes:
        found = spec
    elif channels == 1:
        found = dataclasses.replace(spec, channels=GREY)
    elif channels == 3:
        raise ModelError(f"model {checkpoint.name}: channels = {GREY!r}, but the model takes three; use rgb or bgr")
    else:
        raise ModelError(f"{checkpoint.symbol}: takes {channels} channels; a frame has three, or one (grey)")
    if found.channels == GREY and (len(set(found.mean)) > 1 or len(set(found.std)) > 1):
        raise ModelError(
            f"model {checkpoint.name}: takes one channel (grey), so mean and std must be one number each, but are "
            f"{found.mean} and {found.std}; check model.toml or the flags"
        )
    return found


def _path(symbol: Symbol) -> Path:
    return symbol.nodes[symbol.head].file
