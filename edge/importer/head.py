"""What a network's outputs are, told from the end of its structure: the same for all engines.

    a softmax               probabilities that exclude each other; with its temperature
    logits                  scores that a softmax is still to be made of, as the Gluon zoo's networks end
    independent sigmoids    each label has a probability of its own, and several may be near 1

What is none of these is refused, with the reason: of a loss or of estimates nobody can say how sure the network is.
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
"""What changes no number when a network is only used: it may stand behind the end."""
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
    """What a network's outputs are."""

    makes_probabilities: bool
    """False for logits: a softmax of them is to be taken."""
    independent: bool
    """True for sigmoids: the probabilities do not come to 1."""
    node: int | None
    """The node that makes the probabilities; None where none does."""


def head_of(symbol: Symbol) -> Head:
    """Return what the outputs are. Raises ModelError, with the reason, for what is no classifier."""
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
    """Return the variables that are the label of a training head: no file has them, and nothing depends on them."""
    return frozenset(
        node.inputs[1]
        for index in symbol.used
        if (node := symbol.nodes[index]).op in _LABELLED
        and len(node.inputs) > 1
        and symbol.nodes[node.inputs[1]].op == "null"
    )


def _check_no_second(symbol: Symbol, node: Node) -> None:
    """A sigmoid of probabilities is between 0.5 and 0.73 for each label: no network was trained so on purpose."""
    index = node.inputs[0] if node.inputs else symbol.head
    while (before := symbol.nodes[index]).op in PASSING and before.inputs:
        index = before.inputs[0]
    if before is not node and before.op in (*SOFTMAX, *SIGMOID):
        raise _refused(node, f"a sigmoid of what {before.op} {before.name[:80]!r} has made probabilities already")


def _refused(node: Node, gives: str) -> ModelError:
    return ModelError(
        f"{node.where}: the network gives {gives}, and edge needs probabilities: a softmax, what a softmax is made of, "
        "or a sigmoid for each label; save it with such an end"
    )
