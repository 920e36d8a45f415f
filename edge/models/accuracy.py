"""Doubts a stated accuracy that no published network of that size reaches: it was probably copied from another."""

import bisect
import math

IMAGENET_LABELS = 1000
"""A task with fewer labels is easier, and says nothing about a network's size."""
MARGIN = 0.05
"""How far above the published best a stated top-1 may be: for newer networks, and for a user's pictures."""
_BEST = (
    (0.27, 0.478),  # test_convnext
    (0.48, 0.535),  # test_convnext2
    (1.07, 0.660),  # dla46x_c
    (1.33, 0.719),  # edgenext_xx_small
    (2.34, 0.757),  # edgenext_x_small
    (3.05, 0.778),  # xcit_nano_12_p8_384
    (5.39, 0.809),  # tiny_vit_5m
    (6.71, 0.824),  # xcit_tiny_12_p8_384
    (11.0, 0.832),  # tiny_vit_11m
    (12.2, 0.841),  # tf_efficientnet_b3.ns_jft
    (21.3, 0.864),  # tiny_vit_21m_512
    (87.1, 0.887),  # eva02_base_patch14_448
    (305.0, 0.901),  # eva02_large_patch14_448
)
"""Millions of parameters, and the best top-1 on ImageNet's validation set of all networks with at most so many: the
upper edge of the 1556 pretrained networks in timm's results-imagenet.csv
(https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv, read in November 2026)."""


def best_published(parameters: int) -> float:
    """Return the best published top-1 on ImageNet, 0..1, for so many parameters; logarithmic between the known ones."""
    millions = parameters / 1e6
    sizes = [size for size, _ in _BEST]
    right = bisect.bisect_left(sizes, millions)
    if right in (0, len(_BEST)):
        return _BEST[min(right, len(_BEST) - 1)][1]
    (low, worse), (high, better) = _BEST[right - 1 : right + 1]
    return worse + (better - worse) * math.log(millions / low) / math.log(high / low)


def is_doubtful(top1: float | None, parameters: int, labels: int) -> bool:
    """Return whether a stated top-1 is far above the published best; False if none is stated, or the task is another.

    `labels` is how many the model has.
    """
    if top1 is None or labels < IMAGENET_LABELS:
        return False
    return top1 > best_published(parameters) + MARGIN
