"""Operators that move numbers, leave some out or repeat them, and compute nothing."""

from collections.abc import Sequence
from math import prod

from edge.errors import ModelError
from edge.importer.builder import Builder, Value
from edge.importer.operators.common import (
    Layer,
    axis_of,
    flattened,
    need,
    renamed,
    reshaped,
    scalar,
    support,
    takes,
    whole_numbers,
)
from edge.importer.symbol import Attributes, Node

_MOST_PARTS = 256


def flatten(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a layer that puts all of a picture's numbers in a row."""
    attributes.end()
    takes(node, 1)
    return flattened(net, node, net.value(node, 0))


def reshape(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a change of shape, in MXNet's codes.

    0 keeps a size, -1 takes the rest, -2 copies all sizes that follow, -3 joins two sizes, -4 splits a size into the
    two numbers after the code. `reverse` counts from the end.
    """
    # the oldest symbols have these two beside `shape`
    target = attributes.tuple("target_shape", ())
    attributes.ignore("keep_highest")
    wanted = attributes.tuple("shape", (), low=-4)
    reverse = attributes.flag("reverse", False)
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    support(node, not any(target) or bool(wanted), f"target_shape = {target} is not supported: shape is")
    need(node, 0 < len(wanted) <= 16, f"shape = {wanted} cannot be read")
    if not reverse:
        return reshaped(net, node, x, _new_shape(node, x.shape, wanted))
    support(node, min(wanted) >= -3, f"reverse = True with shape = {wanted} is not supported")
    return reshaped(net, node, x, _new_shape(node, x.shape[::-1], wanted[::-1])[::-1])


def _new_shape(node: Node, shape: tuple[int, ...], wanted: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that the codes above make from a shape."""
    too_few = f"shape = {tuple(wanted)} takes more from {shape} than there is"
    left = list(shape)
    codes = list(wanted)
    sizes: list[int] = []

    def next_size() -> int:
        need(node, bool(left), too_few)
        return left.pop(0)

    while codes:
        code = codes.pop(0)
        if code == -2:
            sizes += left
            left = []
        elif code == -3:
            sizes.append(next_size() * next_size())
        elif code == -4:
            whole = next_size()
            need(node, len(codes) >= 2, too_few)
            first, second = codes.pop(0), codes.pop(0)
            first = whole // second if first == -1 and second > 0 else first
            second = whole // first if second == -1 and first > 0 else second
            need(node, first > 0 and second > 0 and first * second == whole, f"{whole} is not {first} x {second}")
            sizes += [first, second]
        elif code == 0:
            sizes.append(next_size())
        else:
            # a size, or -1, replaces one old size
            del left[:1]
            sizes.append(code)
    known = prod(size for size in sizes if size > 0)
    if sizes.count(-1) == 1 and known and prod(shape) % known == 0:
        sizes[sizes.index(-1)] = prod(shape) // known
    need(node, -1 not in sizes and prod(sizes) == prod(shape), f"{shape} cannot become {tuple(wanted)}")
    return tuple(sizes)


def expand_dims(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add one more dimension, of size 1."""
    axis = attributes.integer("axis")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    place = axis_of(node, axis, len(x.shape) + 1)
    return reshaped(net, node, x, (*x.shape[:place], 1, *x.shape[place:]))


def squeeze(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Remove some dimensions of size 1, or all of them."""
    axes = attributes.axes("axis")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    if axes is None:
        gone = {place for place, size in enumerate(x.shape) if size == 1}
    else:
        gone = {axis_of(node, axis, len(x.shape)) for axis in axes}
        need(node, all(x.shape[place] == 1 for place in gone), f"axis = {axes} of {x.shape} is not 1")
    kept = tuple(size for place, size in enumerate(x.shape) if place not in gone)
    return reshaped(net, node, x, kept or (1,))


def transpose(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Put the dimensions in another order."""
    order = attributes.tuple("axes", (), low=-8)
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    places = tuple(axis_of(node, axis, len(x.shape), "axes") for axis in order) or tuple(reversed(range(len(x.shape))))
    need(node, sorted(places) == list(range(len(x.shape))), f"axes = {order} do not fit the shape {x.shape}")
    return _in_order(net, node, x, places)


def swap_axes(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Exchange two dimensions."""
    one, other = (attributes.integer(key, 0) for key in ("dim1", "dim2"))
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    first, second = (axis_of(node, axis, len(x.shape), "dim") for axis in (one, other))
    places = list(range(len(x.shape)))
    places[first], places[second] = second, first
    return _in_order(net, node, x, tuple(places))


def _in_order(net: Builder, node: Node, x: Value, places: tuple[int, ...]) -> Value:
    return net.add("Transpose", node, [x], tuple(x.shape[place] for place in places), perm=places)


def _all_inputs(net: Builder, node: Node, attributes: Attributes) -> list[Value]:
    count = attributes.whole("num_args", len(node.inputs))
    attributes.end()
    need(node, count == len(node.inputs) > 0, f"num_args = {count}, and it has {len(node.inputs)} inputs")
    return [net.value(node, number) for number in range(count)]


def concat(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Join all inputs along an axis."""
    dim = attributes.integer("dim", 1)
    values = _all_inputs(net, node, attributes)
    first = values[0].shape
    axis = axis_of(node, dim, len(first), "dim")
    return _joined(net, node, values, axis)


def stack(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Join all inputs along a new dimension."""
    axis = attributes.integer("axis", 0)
    values = _all_inputs(net, node, attributes)
    place = axis_of(node, axis, len(values[0].shape) + 1)
    longer = [reshaped(net, node, one, (*one.shape[:place], 1, *one.shape[place:])) for one in values]
    return _joined(net, node, longer, place)


def _joined(net: Builder, node: Node, values: Sequence[Value], axis: int) -> Value:
    first = values[0].shape
    for value in values:
        rest = (*value.shape[:axis], *value.shape[axis + 1 :])
        need(node, rest == (*first[:axis], *first[axis + 1 :]), f"the shapes {first} and {value.shape} differ")
    shape = (*first[:axis], sum(value.shape[axis] for value in values), *first[axis + 1 :])
    return net.add("Concat", node, values, shape, axis=axis)


def _part(net: Builder, node: Node, x: Value, axis: int, within: tuple[int, int]) -> Value:
    """Return the numbers between two places along an axis, the second excluded."""
    start, end = within
    need(node, 0 <= start < end <= x.shape[axis], f"{start} to {end} is not within the {x.shape[axis]} there are")
    if (start, end) == (0, x.shape[axis]):
        return x
    places = [whole_numbers(net, node, [number]) for number in (start, end, axis)]
    return net.add("Slice", node, [x, *places], (*x.shape[:axis], end - start, *x.shape[axis + 1 :]))


def split(net: Builder, index: int, node: Node, attributes: Attributes) -> tuple[Value, ...]:
    """Split into equal parts along an axis."""
    count, axis = attributes.whole("num_outputs"), attributes.integer("axis", 1)
    squeezes = attributes.flag("squeeze_axis", False)
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    place = axis_of(node, axis, len(x.shape))
    side = x.shape[place]
    support(node, 0 < count <= _MOST_PARTS, f"num_outputs = {count} is not supported")
    need(node, side % count == 0, f"{side} is not {count} equal parts")
    each = side // count
    parts = []
    for number in range(count):
        if not net.is_read(index, number):
            parts.append(x)  # a placeholder: no node reads this part
            continue
        part = _part(net, node, x, place, (number * each, (number + 1) * each))
        if squeezes:
            part = reshaped(net, node, part, (*x.shape[:place], *x.shape[place + 1 :]))
        parts.append(part)
    return tuple(parts)


def slice_axis(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Cut out a part along one axis."""
    axis, begin = attributes.integer("axis"), attributes.integer("begin", 0)
    ends = attributes.limits("end")
    attributes.end()
    takes(node, 1)
    need(node, len(ends) == 1, "end is one number, or None")
    x = net.value(node, 0)
    place = axis_of(node, axis, len(x.shape))
    return _part(net, node, x, place, _from_the_front(begin, ends[0], x.shape[place]))


def slice_all(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Cut out a part along each axis."""
    begins, ends = attributes.limits("begin"), attributes.limits("end")
    support(node, attributes.text("step", "()") in ("()", "None", "[]"), "a step is not supported")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    need(node, len(begins) == len(ends) <= len(x.shape), f"begin and end do not fit the shape {x.shape}")
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        x = _part(net, node, x, place, _from_the_front(begin or 0, end, x.shape[place]))
    return x


def _from_the_front(begin: int, end: int | None, size: int) -> tuple[int, int]:
    start = begin + size if begin < 0 else begin
    stop = size if end is None else end + size if end < 0 else min(end, size)
    return start, stop


def pad(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Add a border: of one number, of the outermost numbers repeated, or mirrored."""
    mode = attributes.choice("mode", "constant", "edge", "reflect")
    widths = attributes.tuple("pad_width")
    value = attributes.number("constant_value", 0.0)
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    need(node, len(widths) == 2 * len(x.shape), f"pad_width = {widths} does not fit the shape {x.shape}")
    before, after = widths[::2], widths[1::2]
    if mode == "reflect":
        most = all(max(pair) < size for *pair, size in zip(before, after, x.shape, strict=True))
        need(node, most, f"pad_width = {widths} mirrors more than {x.shape} has")
    shape = tuple(sum(three) for three in zip(x.shape, before, after, strict=True))
    inputs = [x, whole_numbers(net, node, (*before, *after))]
    if mode == "constant":
        inputs.append(scalar(net, node, value))
    return net.add("Pad", node, inputs, shape, mode=mode)


def up_sampling(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Repeat each number `scale` times in both directions, or interpolate (then it is a deconvolution)."""
    from edge.importer.operators.layers import bilinear_up_sampling

    if attributes.text("sample_type", "nearest") == "bilinear":
        return bilinear_up_sampling(net, index, node, attributes)
    scale = attributes.whole("scale")
    support(node, attributes.whole("num_args", 1) == 1, "several inputs are not supported")
    attributes.ignore("num_filter", "multi_input_mode", "workspace")
    attributes.end()
    takes(node, 1)
    x = net.value(node, 0)
    support(node, len(x.shape) == 4, f"an input of the shape {x.shape} is not supported: four dimensions are")
    need(node, 0 < scale < 1000, f"scale = {scale} is not supported")
    batch, channels, height, width = x.shape
    # Expand, not Resize: it is exact in every engine
    x = reshaped(net, node, x, (batch, channels, height, 1, width, 1))
    wide = (batch, channels, height, scale, width, scale)
    x = net.add("Expand", node, [x, whole_numbers(net, node, wide)], wide)
    return reshaped(net, node, x, (batch, channels, height * scale, width * scale))


def broadcast_like(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Repeat the first input to the shape of the second."""
    attributes.choice("lhs_axes", "None", "()")
    attributes.choice("rhs_axes", "None", "()")
    attributes.end()
    takes(node, 2)
    x, like = net.value(node, 0), net.value(node, 1)
    fits = len(x.shape) == len(like.shape) and all(a in (1, b) for a, b in zip(x.shape, like.shape, strict=False))
    need(node, fits, f"the shapes {x.shape} and {like.shape} do not fit together")
    return net.add("Expand", node, [x, whole_numbers(net, node, like.shape)], like.shape)


def dropout(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Return the input: dropout is for training, and another mode is refused."""
    attributes.choice("mode", "training")
    attributes.ignore("p", "axes", "cudnn_off")
    return renamed(net, index, node, attributes)


def cast(net: Builder, index: int, node: Node, attributes: Attributes) -> Value:
    """Return the input: everything is float32 here."""
    dtype = attributes.text("dtype", "")
    support(node, dtype in ("float32", "float16"), f"dtype = {dtype[:60]!r} is not supported")
    return renamed(net, index, node, attributes)


def training_end(net: Builder, _index: int, node: Node, attributes: Attributes) -> Value:
    """Return the first input: the rest is for training."""
    if not node.inputs:
        raise ModelError(f"{node.where}: has no input")
    attributes.ignore("grad_scale", "valid_thresh", "normalization", "sparseness_target", "penalty", "momentum")
    attributes.end()
    return net.value(node, 0)


SHAPES: dict[str, Layer] = {
    **dict.fromkeys(("Flatten", "flatten"), flatten),
    **dict.fromkeys(("Reshape", "reshape"), reshape),
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "transpose": transpose,
    **dict.fromkeys(("SwapAxis", "swapaxes"), swap_axes),
    **dict.fromkeys(("Concat", "concat"), concat),
    "stack": stack,
    **dict.fromkeys(("SliceChannel", "split"), split),
    "slice_axis": slice_axis,
    **dict.fromkeys(("slice", "crop"), slice_all),
    **dict.fromkeys(("Pad", "pad"), pad),
    "UpSampling": up_sampling,
    "broadcast_like": broadcast_like,
    **dict.fromkeys(("identity", "_copy", "BlockGrad", "stop_gradient"), renamed),
    "Dropout": dropout,
    **dict.fromkeys(("Cast", "cast", "amp_cast"), cast),
    **dict.fromkeys(
        ("MakeLoss", "make_loss", "LinearRegressionOutput", "MAERegressionOutput", "IdentityAttachKLSparseReg"),
        training_end,
    ),
}
