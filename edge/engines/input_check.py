"""Finds the preprocessing that fits a model, by its answers to pictures: the stated one, and the likely mistakes.

The candidates are compared with the stated preprocessing picture by picture.

With labels, a picture counts if one of the two is right and the other wrong: McNemar's test in its exact form (McNemar
1947, "Note on the sampling error of the difference between correlated proportions or percentages"; Dietterich 1998,
"Approximate statistical tests for comparing supervised classification learning algorithms", recommends it for two
classifiers on one test set).

Without labels, two things tell a right preprocessing: the model says the same of a picture and its mirror image (Deng,
Gould and Zheng 2022, "On the Strong Correlation Between Model Invariance and Generalization", arXiv:2207.07065), and it
does not say the same of all pictures (Bridle, Heading, MacKay 1991, "Unsupervised Classifiers, Mutual Information and
'Phantom Targets'"). The confidence alone tells nothing: on values that are far too large, MobileNet v2 is surer than on
right ones, and gives all photos one of a few labels. The scores are compared by Fisher's test of random signs; its
probability is bounded as in Hoeffding 1963, "Probability Inequalities for Sums of Bounded Random Variables".
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.models.checkpoint import GREY, InputSpec

Triple = tuple[float, float, float]

LEAST_PICTURES = 20
"""With fewer, not even a large difference is beyond chance."""
MOST_BY_CHANCE = 0.01
"""Largest probability that chance alone makes any of the candidates look better, if all are as good as the stated."""
LEAST_GAIN = 0.03
"""Least share of the pictures that it must get right in addition. Less is not worth a change."""
LEAST_GAIN_OF_SHAPE = 0.15
"""The same for another size or crop. These depend on how the pictures are framed too: on photos that were cut close to
their subject, the whole photo is better by up to a tenth for models that were trained with the usual centre."""
SIZES = (64, 96, 128, 160, 192, 224, 227, 240, 256, 260, 288, 299, 320, 384)
"""Usual sizes of inputs."""
_SIZES_APART = 1.4
_EQUAL_MEAN, _EQUAL_STD = 2.0, 1.05
"""Two normalisations count as the same if no mean differs by more (of 255), and no std by a larger factor: some authors
write (x - 127) / 128 for (x - 127.5) / 127.5."""
_NORMALISATIONS: tuple[tuple[Triple, Triple], ...] = (
    # red, green, blue; of PyTorch, Gluon and timm: x / 255, then mean and std of ImageNet's pictures
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # of Caffe, VGG and MXNet's old zoo: the mean alone
    ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    # of TensorFlow's models: -1 to 1
    ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    # 0 to 1
    ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    # the values as they are, for networks that begin with a BatchNorm
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
)


@dataclass(frozen=True)
class Answers:
    """A model's answers to the same pictures with one preprocessing; N numbers each."""

    input: InputSpec
    confidence: NDArray[np.float64]
    """The probability of the first label."""
    steadiness: NDArray[np.float64]
    """How surely a picture and its mirror image get the same label, 0..1 (`steadiness`)."""
    rarity: NDArray[np.float64]
    """How rare that label is, 0..1 (`rarity`)."""
    right: NDArray[np.bool_] | None = None
    """Whether the first label is right; None without labels."""

    @property
    def score(self) -> NDArray[np.float64]:
        """What is compared for each picture, 0..1: right or wrong; without labels, steadiness times rarity."""
        return self.steadiness * self.rarity if self.right is None else self.right.astype(np.float64)


@dataclass(frozen=True)
class Finding:
    """The comparison of one candidate with the stated preprocessing."""

    answers: Answers
    gain: float
    """Difference of the mean scores."""
    chance: float
    """The probability that chance alone gives such a gain (p-value, one-sided)."""
    better: bool
    """Whether it is clearly better."""
    worse: bool
    """Whether it is clearly worse."""


def normalisations(stated: InputSpec) -> list[InputSpec]:
    """Return the stated input, then those with another channel order, mean or std; size and crop stay."""
    if stated.channels == GREY:
        orders = [GREY]
        known = [(mean, std) for mean, std in _NORMALISATIONS if len(set(mean)) == 1]
    else:
        orders = [stated.channels, "bgr" if stated.channels == "rgb" else "rgb"]
        known = list(_NORMALISATIONS)
    found = [stated]
    # the stated numbers in the other order, as they stand there: then the channels alone were mistaken
    found += [dataclasses.replace(stated, channels=order) for order in orders[1:]]
    for mean, std in known:
        for order in orders:
            one = dataclasses.replace(
                stated,
                channels=order,
                mean=mean[::-1] if order == "bgr" else mean,
                std=std[::-1] if order == "bgr" else std,
            )
            if not any(_is_same(one, other) for other in found):
                found.append(one)
    return found


def crops(stated: InputSpec) -> list[InputSpec]:
    """Return the inputs with another crop, at the same size: the usual centre, the whole short side, squashed."""
    usual = dataclasses.replace(stated, resize="crop", short_side=0)
    whole = dataclasses.replace(stated, resize="crop", short_side=stated.size)
    squashed = dataclasses.replace(stated, resize="squash", short_side=0)
    return [one for one in (usual, whole, squashed) if _shape(one) != _shape(stated)]


def sizes(stated: InputSpec) -> list[InputSpec]:
    """Return the inputs of another usual size not far from the stated one, the nearest first, with the same crop."""
    near = [
        size
        for size in SIZES
        if size != stated.size and max(size, stated.size) <= _SIZES_APART * min(size, stated.size)
    ]
    share = stated.size / stated.scaled_short_side
    return [
        dataclasses.replace(stated, size=size, short_side=round(size / share) if stated.short_side else 0)
        for size in sorted(near, key=lambda size: abs(size - stated.size))
    ]


def fed_through(wanted: InputSpec, stated: InputSpec, left: InputSpec) -> InputSpec:
    """Return the preprocessing that makes an open network see its pictures as `wanted`.

    The network was opened with `stated`, and its graph does part of that: `left` is the rest (Network.input). It
    computes with (fed - s) / S for some s and S of each channel; this undoes them.
    """
    mean, std = [], []
    for channel in range(3):
        whole = stated.std[channel] / left.std[channel]
        offset = stated.mean[channel] - left.mean[channel]
        # fed * left.std + left.mean - stated.mean, divided by stated.std, must be (x - wanted.mean) / wanted.std
        mean.append(wanted.mean[channel] - offset * wanted.std[channel] / stated.std[channel])
        std.append(wanted.std[channel] / whole)
    return dataclasses.replace(
        wanted, mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]), channels=wanted.channels
    )


def steadiness(plain: NDArray[np.float32], mirrored: NDArray[np.float32]) -> float:
    """Return how surely a picture and its mirror image get the same label, 0..1, from the probabilities of both.

    It is the geometric mean of the two confidences, and 0 if the labels differ.

    This is the effective invariance of Deng, Gould and Zheng.
    """
    best = int(np.argmax(plain))
    if best != int(np.argmax(mirrored)):
        return 0.0
    return math.sqrt(float(plain[best]) * float(mirrored[best]))


def rarity(labels: NDArray[np.int64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how rare the label of each picture is, 0..1: 1 if no other picture is like it, 0 if all are.

    `mean` has the mean probability of each label over the pictures. This is the information of the label, as a share of
    the most that so many pictures can have.
    """
    found: NDArray[np.float64] = -np.log(np.maximum(mean[labels], 1e-12)) / math.log(max(2, len(labels)))
    return np.clip(found, 0.0, 1.0)


def by_random_signs(differences: NDArray[np.float64]) -> float:
    """Return a bound on the probability that their sum is so large if each sign is random (Fisher; Hoeffding)."""
    total, squares = float(np.sum(differences)), float(np.sum(differences**2))
    return math.exp(-(total**2) / (2 * squares)) if total > 0 else 1.0


def by_chance(wins: int, losses: int) -> float:
    """Return the probability of at least so many wins among wins + losses, if each is as likely (binomial, exact)."""
    count = wins + losses
    return float(sum(math.comb(count, k) for k in range(wins, count + 1)) / 2**count)


def compare(stated: Answers, candidates: Sequence[Answers], least_gain: float = LEAST_GAIN) -> list[Finding]:
    """Return the comparison of each candidate with the stated preprocessing, in the same order.

    The limit for chance is divided by the number of candidates (Bonferroni), so that trying many finds nothing.
    """
    found = []
    limit = MOST_BY_CHANCE / max(1, len(candidates))
    for one in candidates:
        differences = one.score - stated.score
        gain = float(np.mean(differences))
        better = gain >= least_gain and _chance(differences, one) <= limit
        if one.right is None and float(np.mean(one.steadiness)) < float(np.mean(stated.steadiness)):
            # the pictures may all show the same thing, and then more labels are no merit
            better = False
        worse = gain < 0 and _chance(-differences, one) <= limit
        found.append(Finding(one, gain, _chance(differences, one), better, worse))
    return found


def _chance(differences: NDArray[np.float64], answers: Answers) -> float:
    if answers.right is None:
        return by_random_signs(differences)
    return by_chance(int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0)))


def best(findings: Iterable[Finding]) -> Finding | None:
    """Return the clearly better candidate with the highest score; None if none is clearly better."""
    return max(
        (one for one in findings if one.better),
        key=lambda one: (float(np.mean(one.answers.score)), float(np.mean(one.answers.confidence))),
        default=None,
    )


def _is_same(one: InputSpec, other: InputSpec) -> bool:
    if one.channels != other.channels:
        return False
    near = all(abs(a - b) <= _EQUAL_MEAN for a, b in zip(one.mean, other.mean, strict=True))
    return near and all(max(a, b) <= _EQUAL_STD * min(a, b) for a, b in zip(one.std, other.std, strict=True))


def _shape(spec: InputSpec) -> tuple[str, int]:
    return spec.resize, 0 if spec.resize == "squash" else spec.scaled_short_side
