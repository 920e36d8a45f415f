"""The structures of the networks that other projects publish, with their names for the layers.

Inception v3: Szegedy et al. 2015 (arXiv:1512.00567), figures 5 to 7 and table 1. VGG-16: Simonyan and Zisserman 2014
(arXiv:1409.1556), configuration D. ResNet-152: He et al. 2015 (arXiv:1512.03385), table 1; in v1.5 a block halves the
picture in its 3 x 3 convolution and not in the 1 x 1 before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge.installer.converter.structure import Layer, Structure

LABELS = 1000


@dataclass(frozen=True)
class _Convolution:
    """A convolution of Inception v3, with a BatchNorm and a ReLU after it."""

    name: str
    """timm's name."""
    filters: int
    height: int = 1
    width: int = 1
    """Of its kernel."""


_Step = tuple[_Convolution, ...]
"""Convolutions that take the same input, and whose outputs are joined: mostly one."""


@dataclass(frozen=True)
class _Branch:
    """One branch of a block of Inception v3."""

    steps: tuple[_Step, ...] = ()
    pool: str = ""
    """The pooling before the steps: mean, or maximum; empty for none."""


@dataclass(frozen=True)
class _Block:
    """A block of Inception v3: its branches take the same input, and their outputs are joined."""

    name: str
    """timm's name."""
    imgclsmob: str
    branches: tuple[_Branch, ...]
    halving: bool = False
    """True if the last layer of each branch halves the picture."""


def _chain(*convolutions: _Convolution, pool: str = "") -> _Branch:
    return _Branch(tuple((one,) for one in convolutions), pool)


def _block_a(name: str, imgclsmob: str, pooled: int) -> _Block:
    conv = _Convolution
    double = _chain(conv("branch3x3dbl_1", 64), conv("branch3x3dbl_2", 96, 3, 3), conv("branch3x3dbl_3", 96, 3, 3))
    branches = (
        _chain(conv("branch1x1", 64)),
        _chain(conv("branch5x5_1", 48), conv("branch5x5_2", 64, 5, 5)),
        double,
        _chain(conv("branch_pool", pooled), pool="mean"),
    )
    return _Block(name, imgclsmob, branches)


def _block_b(name: str, imgclsmob: str, middle: int) -> _Block:
    conv = _Convolution
    branches = (
        _chain(conv("branch1x1", 192)),
        _chain(conv("branch7x7_1", middle), conv("branch7x7_2", middle, 1, 7), conv("branch7x7_3", 192, 7, 1)),
        _chain(
            conv("branch7x7dbl_1", middle),
            conv("branch7x7dbl_2", middle, 7, 1),
            conv("branch7x7dbl_3", middle, 1, 7),
            conv("branch7x7dbl_4", middle, 7, 1),
            conv("branch7x7dbl_5", 192, 1, 7),
        ),
        _chain(conv("branch_pool", 192), pool="mean"),
    )
    return _Block(name, imgclsmob, branches)


def _block_c(name: str, imgclsmob: str) -> _Block:
    conv = _Convolution
    pair = (conv("branch3x3_2a", 384, 1, 3), conv("branch3x3_2b", 384, 3, 1))
    double_pair = (conv("branch3x3dbl_3a", 384, 1, 3), conv("branch3x3dbl_3b", 384, 3, 1))
    branches = (
        _chain(conv("branch1x1", 320)),
        _Branch(((conv("branch3x3_1", 384),), pair)),
        _Branch(((conv("branch3x3dbl_1", 448),), (conv("branch3x3dbl_2", 384, 3, 3),), double_pair)),
        _chain(conv("branch_pool", 192), pool="mean"),
    )
    return _Block(name, imgclsmob, branches)


def _inception_blocks() -> list[_Block]:
    conv = _Convolution
    halving_a = (
        _chain(conv("branch3x3", 384, 3, 3)),
        _chain(conv("branch3x3dbl_1", 64), conv("branch3x3dbl_2", 96, 3, 3), conv("branch3x3dbl_3", 96, 3, 3)),
        _Branch(pool="maximum"),
    )
    halving_b = (
        _chain(conv("branch3x3_1", 192), conv("branch3x3_2", 320, 3, 3)),
        _chain(
            conv("branch7x7x3_1", 192),
            conv("branch7x7x3_2", 192, 1, 7),
            conv("branch7x7x3_3", 192, 7, 1),
            conv("branch7x7x3_4", 192, 3, 3),
        ),
        _Branch(pool="maximum"),
    )
    return [
        _block_a("Mixed_5b", "features.1.0", 32),
        _block_a("Mixed_5c", "features.1.1", 64),
        _block_a("Mixed_5d", "features.1.2", 64),
        _Block("Mixed_6a", "features.2.0", halving_a, halving=True),
        _block_b("Mixed_6b", "features.2.1", 128),
        _block_b("Mixed_6c", "features.2.2", 160),
        _block_b("Mixed_6d", "features.2.3", 160),
        _block_b("Mixed_6e", "features.2.4", 192),
        _Block("Mixed_7a", "features.3.0", halving_b, halving=True),
        _block_c("Mixed_7b", "features.3.1"),
        _block_c("Mixed_7c", "features.3.2"),
    ]


def inception_v3() -> Structure:
    """Return Inception v3, without the second head of its training. Its input is 299 x 299."""
    net = Structure(epsilon=1e-3)
    stem, conv = partial(_inception_unit, net), _Convolution
    x = stem(net.data, "Conv2d_1a_3x3", "features.0.conv1", conv("", 32, 3, 3), stride=2, padded=False)
    x = stem(x, "Conv2d_2a_3x3", "features.0.conv2", conv("", 32, 3, 3), padded=False)
    x = stem(x, "Conv2d_2b_3x3", "features.0.conv3", conv("", 64, 3, 3))
    x = net.maximum(x, "pool1", 3, 2)
    x = stem(x, "Conv2d_3b_1x1", "features.0.conv4", conv("", 80))
    x = stem(x, "Conv2d_4a_3x3", "features.0.conv5", conv("", 192, 3, 3), padded=False)
    x = net.maximum(x, "pool2", 3, 2)
    for block in _inception_blocks():
        x = net.join([_inception_branch(net, x, block, number) for number in range(len(block.branches))], block.name)
    net.fully_connected(net.mean_of_all(x, "pool3"), Layer("fc", "output.2"), 2048, LABELS)
    return net


def _inception_branch(net: Structure, x: int, block: _Block, number: int) -> int:
    branch, name = block.branches[number], f"{block.imgclsmob}.branches.{number}"
    if branch.pool == "maximum":
        return net.maximum(x, f"{block.name}_pool", 3, 2)
    if branch.pool == "mean":
        x = net.mean(x, f"{block.name}_pool", 3, 1, 1)
    for place, step in enumerate(branch.steps):
        halving = block.halving and place == len(branch.steps) - 1
        parts = []
        for one in step:
            if len(step) > 1:
                imgclsmob = f"{name}.conv{one.height}x{one.width}"
            elif len(branch.steps) > 1 or block.halving:
                imgclsmob = f"{name}.conv_list.{place}"
            else:
                imgclsmob = f"{name}.conv"
            stride = 2 if halving else 1
            timm = f"{block.name}.{one.name}"
            parts.append(_inception_unit(net, x, timm, imgclsmob, one, stride=stride, padded=not halving))
        x = parts[0] if len(parts) == 1 else net.join(parts, f"{block.name}_{step[0].name}_join")
    return x


def _inception_unit(
    net: Structure, x: int, timm: str, imgclsmob: str, one: _Convolution, *, stride: int = 1, padded: bool = True
) -> int:
    pad = (one.height // 2, one.width // 2) if padded else (0, 0)
    layer = Layer(f"{timm}.conv", f"{imgclsmob}.conv")
    x = net.convolution(x, layer, one.filters, (one.height, one.width), stride=stride, pad=pad)
    x = net.batch_norm(x, Layer(f"{timm}.bn", f"{imgclsmob}.bn"))
    return net.relu(x, f"{layer.own}_relu")


def vgg16() -> Structure:
    """Return VGG-16. Its input is 224 x 224: the first matrix takes 7 x 7 pixels of 512 channels."""
    net = Structure()
    x, place = net.data, 0
    for stage, (filters, convolutions) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        for number in range(convolutions):
            layer = Layer(f"features.{place}", f"features.{stage}.{number}.conv")
            x = net.convolution(x, layer, filters, (3, 3), pad=(1, 1), bias=True)
            x = net.relu(x, f"{layer.own}_relu")
            place += 2  # timm counts the ReLU, and the pooling below
        x = net.maximum(x, f"pool{stage + 1}", 2, 2)
        place += 1
    inputs = 512 * 7 * 7
    for number in (1, 2):
        layer = Layer(f"pre_logits.fc{number}", f"output.1.fc{number}.fc")
        x = net.relu(net.fully_connected(x, layer, inputs, 4096), f"{layer.own}_relu")
        inputs = 4096
    net.fully_connected(x, Layer("head.fc", "output.1.fc3"), inputs, LABELS)
    return net


def resnet152(*, halved_in_the_middle: bool) -> Structure:
    """Return ResNet-152: v1.5 if a block halves the picture in its 3 x 3 convolution, v1 if before it."""
    net = Structure()
    x = net.convolution(net.data, Layer("conv1", "features.0.conv.conv"), 64, (7, 7), stride=2, pad=(3, 3))
    x = net.relu(net.batch_norm(x, Layer("bn1", "features.0.conv.bn")), "conv1_relu")
    x = net.maximum(x, "pool1", 3, 2, 1)
    for stage, (filters, blocks) in enumerate([(64, 3), (128, 8), (256, 36), (512, 3)], start=1):
        for number in range(blocks):
            stride = 2 if stage > 1 and number == 0 else 1
            strides = (1, stride, 1) if halved_in_the_middle else (stride, 1, 1)
            timm, imgclsmob = f"layer{stage}.{number}", f"features.{stage}.{number}"
            y, own = x, timm.replace(".", "_")
            for place in (1, 2, 3):
                side, wide = (3, filters) if place == 2 else (1, filters if place == 1 else 4 * filters)
                part = f"{imgclsmob}.body.conv{place}"
                layer = Layer(f"{timm}.conv{place}", f"{part}.conv")
                stride_here, pad = strides[place - 1], (side // 2, side // 2)
                y = net.convolution(y, layer, wide, (side, side), stride=stride_here, pad=pad)
                y = net.batch_norm(y, Layer(f"{timm}.bn{place}", f"{part}.bn"))
                if place < 3:
                    y = net.relu(y, f"{own}_relu{place}")
            if number == 0:
                part = f"{imgclsmob}.identity_conv"
                layer = Layer(f"{timm}.downsample.0", f"{part}.conv")
                x = net.convolution(x, layer, 4 * filters, (1, 1), stride=stride)
                x = net.batch_norm(x, Layer(f"{timm}.downsample.1", f"{part}.bn"))
            x = net.relu(net.plus(y, x, f"{own}_plus"), f"{own}_relu3")
    net.fully_connected(net.mean_of_all(x, "pool2"), Layer("fc", "output.1"), 2048, LABELS)
    return net


NETWORKS: dict[str, Callable[[], Structure]] = {
    "inception_v3": inception_v3,
    "vgg16": vgg16,
    "resnet152_v1": partial(resnet152, halved_in_the_middle=False),
    "resnet152_v1.5": partial(resnet152, halved_in_the_middle=True),
}
"""By the name in catalogue.toml."""
