"""What comes of asking all engines about a network: who is believed, who is not used, and that it is asked once."""

import dataclasses
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import Net, plain_mxnet
from rigs.fused import SIZE, depthwise_over_all, preactivation, write

from edge.engines import ENGINES, UNFUSED, engine_problem, installed_engines, open_classifier
from edge.engines.agreement import (
    UNKNOWN,
    Agreement,
    Agreements,
    Failed,
    Said,
    agreement_of,
    difference,
    driver_of,
    is_bundled,
    judge,
)
from edge.engines.backend import Backend
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint
from edge.models.labels import Label
from edge.models.manifest import Answer

ANSWER = Answer("n0", "thing 0", float(np.float32(0.7)), "mxnet")
THINGS = [Label(f"n{number}", (f"thing {number}",)) for number in range(4)]
RIGHT = [0.7, 0.2, 0.1]
OTHER = [0.5, 0.35, 0.15]
NEAR = [0.70000001, 0.2, 0.1]


def says(*rows: list[float], independent: bool = False) -> Said:
    return Said(np.array(rows, np.float32), independent, "mxnet")


def of(answers: Mapping[str, Said | Failed]) -> Agreement:
    return judge("net", answers, THINGS)


def test_who_says_the_same_is_used() -> None:
    found = judge("net", {UNFUSED: says(RIGHT), **dict.fromkeys(ENGINES, says(NEAR))}, THINGS)
    assert found == Agreement(asked=ENGINES, answer=ANSWER)
    assert [found.driver(engine) for engine in ENGINES] == list(ENGINES)


def test_a_fusion_that_computes_something_else_is_done_without() -> None:
    found = of({UNFUSED: says(RIGHT), "mxnet": says(OTHER), "onnx": says(RIGHT)})
    assert found.unfused == "it gives 50.0% for output 0 instead of 70.0%"
    assert (found.driver("mxnet"), found.driver("onnx")) == (UNFUSED, "onnx")


def test_a_fusion_that_fails_is_done_without() -> None:
    for failed in (Failed("model net: MXNet cannot run it: odd"), Failed("it died", died=True)):
        found = of({UNFUSED: says(RIGHT), "mxnet": failed, "onnx": says(RIGHT)})
        assert found.driver("mxnet") == UNFUSED
        assert "odd" in found.unfused or "died" in found.unfused
        assert not found.refused


def test_another_engine_that_says_something_else_is_not_used() -> None:
    found = judge(
        "net", {UNFUSED: says(RIGHT), "mxnet": says(RIGHT), "onnx": says(OTHER), "openvino": says(RIGHT)}, THINGS
    )
    said = "model net: for the same image onnx gives 50.0% for output 0 instead of 70.0%, which MXNet gives without its"
    with pytest.raises(ModelError, match=said) as caught:
        found.driver("onnx")
    assert "mxnet and openvino can run it ([model] engine)" in str(caught.value)
    assert found.driver("openvino") == "openvino"


def test_where_there_is_no_mxnet_the_others_must_agree() -> None:
    assert of({"onnx": says(RIGHT), "openvino": says(NEAR)}).asked == ("onnx", "openvino")
    with pytest.raises(ModelError, match="it is unknown which is right") as caught:
        of({"onnx": says(RIGHT), "openvino": says(OTHER)})
    for figure in ("openvino gives 50.0% for output 0 instead of 70.0%", "which onnx gives"):
        assert figure in str(caught.value)


def test_what_mxnet_cannot_run_the_others_may() -> None:
    answers: dict[str, Said | Failed] = {UNFUSED: Failed("odd"), "mxnet": Failed("odd"), "onnx": says(RIGHT)}
    found = of(answers)
    assert found.unable == {"mxnet": "odd"}
    assert found.driver("onnx") == "onnx"
    with pytest.raises(ModelError, match="odd"):
        of({UNFUSED: Failed("odd"), "mxnet": Failed("odd")})


def test_what_killed_its_child_is_never_opened_here() -> None:
    found = judge(
        "net", {UNFUSED: says(RIGHT), "mxnet": says(RIGHT), "onnx": Failed("died (SIGSEGV)", died=True)}, THINGS
    )
    with pytest.raises(ModelError, match="SIGSEGV"):
        found.driver("onnx")


def test_a_lack_of_memory_is_no_verdict() -> None:
    nothing = Failed("needs more", lasting=False)
    found = of({UNFUSED: says(RIGHT), "mxnet": says(RIGHT), "onnx": nothing})
    assert found.asked == ("mxnet",)
    assert not found.refused
    assert not found.unable


@pytest.mark.parametrize(
    ("found", "right", "same"),
    [
        (NEAR, RIGHT, True),
        (OTHER, RIGHT, False),
        ([0.7, float("nan"), 0.1], RIGHT, False),
        ([0.7, 0.3], RIGHT, False),
        # a thousand unlikely labels: the probabilities are near each other whatever is wrong
        ([0.5004, 0.4996], [0.5, 0.5], True),
        ([0.998, 0.001, 0.0005, 0.0005], [0.998, 0.0005, 0.001, 0.0005], False),
    ],
)
def test_what_differs_is_told(found: list[float], right: list[float], same: bool) -> None:
    assert (difference(says(found), says(right), 1e-3) == "") is same


def test_it_is_kept_by_machine_engines_and_network(tmp_path: Path) -> None:
    kept = Agreements([tmp_path / "none" / "x", tmp_path], "machine")
    agreement = Agreement("it says 1% instead of 2%", {"onnx": "why"}, ("mxnet", "onnx"), ANSWER)
    (tmp_path / "none").write_text("a file where a folder should be")
    kept.keep("abc", dataclasses.replace(agreement, unable={"openvino": "not kept"}))
    assert kept.find("abc") == agreement
    assert kept.find("abd") is None
    assert Agreements([tmp_path], "another machine").find("abc") is None
    for damaged in ("", "[]", "{", json.dumps({next(iter(json.loads((tmp_path / Agreements.FILE).read_text()))): {}})):
        (tmp_path / Agreements.FILE).write_text(damaged)
        assert kept.find("abc") is None


def test_unknown_ones_run_without_the_fusion() -> None:
    assert UNKNOWN.driver("mxnet") == UNFUSED
    assert UNKNOWN.driver("onnx") == "onnx"


# ---- with the engines themselves


def by_hand(checkpoint: Checkpoint, network_input: Any) -> Any:
    """What MXNet without fusion says, bound here."""
    mx = import_mxnet()
    symbol, arguments, states = mx.model.load_checkpoint(checkpoint.prefix, 0)
    arguments["data"] = mx.nd.array(network_input)
    for name in symbol.list_arguments():
        if name.endswith("label"):
            arguments[name] = mx.nd.zeros((1,))
    with plain_mxnet():
        executor = symbol.bind(mx.cpu(), args=arguments, aux_states=states, grad_req="null")
    found = executor.forward(is_train=False)[0].asnumpy()[0]
    if symbol.list_outputs() != ["softmax_output"]:
        found = np.exp(found - found.max()) / np.exp(found - found.max()).sum()
    return found


WRONG = {
    "with a sum": preactivation,
    "swapped": preactivation,
    "without BatchNorm": preactivation,
    "the shortcut is the BatchNorm": preactivation,
    "a depthwise convolution over all": depthwise_over_all,
}


# of each kind of network one; with --long all
_FEW = ("with a sum", "a depthwise convolution over all")


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind", [kind if kind in _FEW else pytest.param(kind, marks=pytest.mark.long) for kind in WRONG]
)
def test_what_the_fusion_does_wrong_is_right_with_every_engine(kind: str, tmp_path: Path) -> None:
    import random

    for engine in ENGINES:
        if problem := engine_problem(engine):
            pytest.skip(problem)
    checkpoint = write(WRONG[kind](Net(random.Random(0)), kind), tmp_path / "net")
    told: list[str] = []
    kept = Agreements([tmp_path / "store"], "machine")
    found = agreement_of(checkpoint, kept, ["mxnet"], told.append)
    assert "mxnet runs it without fusing layers" in told[1]
    assert not found.refused
    again = agreement_of(checkpoint, kept, ["mxnet"], told.append)
    assert (again.unfused, len(told)) == (found.unfused, 2)
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    right = by_hand(checkpoint, to_input(picture, checkpoint.input))
    for engine in ENGINES:
        network = open_classifier(checkpoint, backend=Backend(found.driver(engine)))
        assert network.engine == engine
        np.testing.assert_allclose(network.probabilities(to_input(picture, network.input)), right, atol=1e-5)
        network.close()


@pytest.mark.integration
def test_the_demo_agrees_and_is_not_asked_about(tmp_path: Path) -> None:
    """That it is not asked about is right only as long as this holds."""
    demo = find_checkpoint("demo")
    assert is_bundled(demo)
    told: list[str] = []
    backends = [Backend(engine) for engine in ENGINES]
    assert [driver_of(demo, backend, "machine", told.append) for backend in backends] == backends
    assert told == []
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (demo.symbol, demo.params, demo.synset, demo.symbol.with_name("model.toml")):
        (copy / path.name).write_bytes(path.read_bytes())
    with (copy / demo.symbol.name).open("a") as file:
        file.write("\n")
    other = find_checkpoint(str(copy / "demo"))
    assert not is_bundled(other)
    found = agreement_of(other, Agreements([tmp_path], "machine"), ["mxnet"], told.append)
    assert found.unfused == ""
    assert not found.refused
    assert found.asked == tuple(installed_engines())


@pytest.mark.integration
def test_fusion_is_done_without_as_none_does_without(tmp_path: Path) -> None:
    """MXNet's `default` backend, which is silent, is NONE in all else."""
    import random

    checkpoint = write(preactivation(Net(random.Random(0)), "with a sum"), tmp_path / "net")
    network = open_classifier(checkpoint, backend=Backend(UNFUSED))
    assert "_sg_mkldnn" not in network._executor.debug_str()  # type: ignore[attr-defined]
    network.close()
    assert "MXNET_SUBGRAPH_BACKEND" not in os.environ


@pytest.mark.integration
def test_a_child_that_dies_or_takes_too_much_is_told_apart(tmp_path: Path) -> None:
    from edge.engines.measure import OutOfMemoryError, Trial

    demo = find_checkpoint("demo")
    with Trial(demo, Backend("onnx"), most_mib=20) as trial, pytest.raises(OutOfMemoryError):
        trial.ask("load", 60)
    with Trial(demo, Backend("onnx")) as trial:
        trial.ask("load", 60)
        assert not trial.died
        pid = trial._worker.pid
        assert pid
        os.kill(pid, signal.SIGSEGV)
        with pytest.raises(ModelError, match="SIGSEGV"):
            trial.ask("answer", 60)
        assert trial.died


def test_the_input_of_a_network_is_kept_as_it_is() -> None:
    assert InputSpec(8, channels="grey").planes == 1
    assert InputSpec(8).planes == 3
