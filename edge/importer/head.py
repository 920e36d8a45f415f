"""Find out from the end of its structure what a network's outputs are: the same for all engines.

    a softmax               probabilities that exclude each other; with its temperature
    logits                  scores that still need a softmax, as the Gluon zoo's networks give
    independent sigmoids    each label has a separate probability, and several may be near 1

Any other end is refused, with the reason: a loss or an estimate gives no confidence.
"""

from dataclasses import dataclass

from edge.errors import ModelError
from edge.importer.symbol import Node, Symbol

SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "Softmax")
SIGMOID = ("sigmoid", "LogisticRegressionOutput", "hard_sigmoid")
_LOSSES = ("MakeLoss", "make_loss")
_ESTIMATES = ("LinearRegressionOutput", "MAERegressionOutput")
PASSING = (
    *("identity", "_copy", "BlockGrad", "stop_gradient", "Dropout", "IdentityAttachKLSparseReg"),
    *("Flatten", "flatten", "Reshape", "reshape", "squeeze", "expand_dims", "Cast", "cast", "amp_cast"),
    *_LOSSES,
    *_ESTIMATES,
)
"""Operators that change no number in inference: they may follow the end."""
_LABELLED = ("SoftmaxOutput", "Softmax", "LogisticRegressionOutput", "SVMOutput", *_ESTIMATES)
_NEITHER = {
    "SVMOutput": "the margins of a support vector machine",
    "L2Normalization": "an embedding",
    "argmax": "the number of a label",
    "argmin": "the number of a label",
    "argmax_channel": "the number of a label",
    "softmax_cross_entropy": "a loss",
    "smooth_l1": "a loss",
    "CTCLoss": "a loss",
    "_contrib_CTCLoss": "a loss",
    "ctc_loss": "a loss",
    "softmin": "a softmin",
    "tanh": "numbers from -1 to 1",
    "softsign": "numbers from -1 to 1",
    "exp": "exponentials",
    "_contrib_box_nms": "boxes",
    "_contrib_MultiBoxDetection": "boxes",
}


@dataclass(frozen=True)
class Head:
    """The kind of a network's outputs."""

    makes_probabilities: bool
    """False for logits: they need a softmax."""
    independent: bool
    """True for sigmoids: the probabilities do not sum to 1."""
    node: int | None
    """The node that makes the probabilities; None if none does."""


def head_of(symbol: Symbol) -> Head:
    """Return the kind of the outputs. Raises ModelError, with the reason, if they are not a classifier's."""
    index, passed = symbol.head, None
    while True:
        node = symbol.nodes[index]
        if node.op not in PASSING or not node.inputs:
            break
        if node.op in (*_LOSSES, *_ESTIMATES):
            passed = passed or node
        index = node.inputs[0]
    if node.op == "null":
        raise ModelError(f"{node.where}: the network has no layers")
    kind = node.values.get("act_type", "") if node.op == "Activation" else node.op
    if node.op in SOFTMAX:
        return Head(makes_probabilities=True, independent=False, node=index)
    if kind in SIGMOID:
        _check_no_second(symbol, node)
        return Head(makes_probabilities=True, independent=True, node=index)
    if kind in _NEITHER:
        raise _refused(node, _NEITHER[kind])
    if passed is not None and node.op != "log_softmax":
        raise _refused(passed, "a loss" if passed.op in _LOSSES else "estimates of numbers")
    return Head(makes_probabilities=False, independent=False, node=None)


def labels_of(symbol: Symbol) -> frozenset[int]:
    """Return the variables that are the label of a training head: no file has them, and they change no output."""
    return frozenset(
        node.inputs[1]
        for index in symbol.used
        if (node := symbol.nodes[index]).op in _LABELLED
        and len(node.inputs) > 1
        and symbol.nodes[node.inputs[1]].op == "null"
    )


def _check_no_second(symbol: Symbol, node: Node) -> None:
    """Raise ModelError for a sigmoid of probabilities: 0.5 to 0.73 for each label, never trained so on purpose."""
    index = node.inputs[0] if node.inputs else symbol.head
    while (before := symbol.nodes[index]).op in PASSING and before.inputs:
        index = before.inputs[0]
    if before is not node and before.op in (*SOFTMAX, *SIGMOID):
        raise _refused(node, f"a sigmoid of probabilities that {before.op} {before.name[:80]!r} has already made")


def _refused(node: Node, gives: str) -> ModelError:
    return ModelError(
        f"{node.where}: the network gives {gives}, and edge needs probabilities: a softmax, the scores for a softmax, "
        "or a sigmoid for each label; save it with such a last layer"
    )
