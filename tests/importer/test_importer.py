"""From MXNet's files to a graph: the same scores as MXNet's, and errors that name what is wrong."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_import import RELEASES, SIZE, Mxnet, Tiny, networks, scores_of, written_by
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.importer.graph import Graph
from edge.importer.params import Params
from edge.importer.symbol import read_symbol
from edge.importer.translate import make_graph
from edge.models.checkpoint import Checkpoint, InputSpec

pytestmark = pytest.mark.integration
Floats = NDArray[np.float32]
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PICTURES = np.random.default_rng(3).uniform(0, 255, (3, 3, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def mxnet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    mxnet = Mxnet(tmp_path_factory.mktemp("mxnet"))
    yield mxnet
    mxnet.close()


def graph_of(checkpoint: Checkpoint) -> Graph:
    folder = checkpoint.symbol.parent / "graph"
    folder.mkdir(exist_ok=True)
    return make_graph(checkpoint, folder)


def refusal(checkpoint: Checkpoint) -> str:
    with pytest.raises(ModelError) as caught:
        graph_of(checkpoint)
    return str(caught.value)


def same_as_mxnet(mxnet: Mxnet, checkpoint: Checkpoint) -> Graph:
    """Compare what both say; return the graph."""
    graph = graph_of(checkpoint)
    theirs = mxnet.scores(checkpoint, PICTURES)
    assert not isinstance(theirs, str), theirs
    assert theirs.std(0).min() > 0, "all pictures are the same to it: it could not tell right from wrong"
    np.testing.assert_allclose(scores_of(graph, PICTURES), theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
    return graph


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("number", range(len(networks())))
def test_every_operator_in_every_format_says_what_mxnet_says(
    number: int, release: str, mxnet: Mxnet, tmp_path: Path
) -> None:
    same_as_mxnet(mxnet, networks()[number].write(tmp_path, release))


@pytest.mark.parametrize("kind", ["max", "avg", "avg, without padding"])
@pytest.mark.parametrize("convention", ["valid", "full"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (3, 1, 1), (4, 3, 1), (5, 3, 2)]
)
def test_every_way_of_pooling(  # noqa: PLR0917 - what is tried
    kernel: int, stride: int, pad: int, convention: str, kind: str, mxnet: Mxnet, tmp_path: Path
) -> None:
    net = Tiny()
    pool = {"pool_type": kind[:3], "pooling_convention": convention}
    pool |= {"count_include_pad": "False"} if "without" in kind else {}
    square: dict[str, Any] = {
        name: (side, side) for name, side in (("kernel", kernel), ("stride", stride), ("pad", pad))
    }
    x = net.add("Pooling", net.convolution(0, 3, 2), **square, **pool)
    rounded = np.ceil if convention == "full" else np.floor
    side = int(rounded((SIZE - 2 + 2 * pad - kernel) / stride)) + 1
    net.dense(x, 2 * side * side)
    same_as_mxnet(mxnet, net.write(tmp_path))


def test_a_batch_norm_is_folded_where_nothing_else_reads_the_convolution(mxnet: Mxnet, tmp_path: Path) -> None:
    net = Tiny()
    alone = net.batch_norm(net.convolution(0, 3, 4, pad=(1, 1)), 4, fix_gamma=False)
    read_twice = net.convolution(alone, 4, 4, pad=(1, 1))
    # without the tanh MXNet folds the sum too, and breaks
    x = net.add("Activation", net.batch_norm(read_twice, 4, fix_gamma=True), act_type="tanh")
    net.dense(net.add("elemwise_add", x, net.add("Activation", read_twice, act_type="tanh")), 4 * SIZE * SIZE)
    graph = same_as_mxnet(mxnet, net.write(tmp_path))
    assert graph.file.read_bytes().count(b"BatchNormalization") == 1


@pytest.mark.parametrize(
    ("first", "mean_is_left", "std_is_left"),
    [
        ("a convolution without border", False, False),
        ("a convolution with a border", True, False),
        ("a BatchNorm", False, False),
        ("a grouped convolution", True, True),
        ("two layers", True, True),
        ("a ReLU", True, True),
    ],
)
def test_the_first_layer_normalises_the_picture_where_that_is_exact(
    first: str, mean_is_left: bool, std_is_left: bool, mxnet: Mxnet, tmp_path: Path
) -> None:
    net = Tiny()
    x = 0
    if first == "a BatchNorm":
        x = net.batch_norm(0, 3, fix_gamma=False)
    elif first == "a ReLU":
        x = net.add("Activation", 0, act_type="relu")
    more = {"a grouped convolution": {"group": 3}}.get(first, {})
    y = net.convolution(x, 3, 3, pad=(0, 0) if first == "a convolution without border" else (1, 1), **more)
    if first == "two layers":
        y = net.add("elemwise_add", y, net.convolution(0, 3, 3, pad=(1, 1)))
    side = SIZE - 2 if first == "a convolution without border" else SIZE
    net.dense(y, 3 * side * side)
    checkpoint = net.write(tmp_path)
    left = same_as_mxnet(mxnet, checkpoint).input
    assert left.mean == (checkpoint.input.mean if mean_is_left else (0, 0, 0))
    assert left.std == (checkpoint.input.std if std_is_left else (1, 1, 1))


def test_a_wrong_epsilon_or_gamma_is_another_network(mxnet: Mxnet, tmp_path: Path) -> None:
    net = Tiny()
    x = net.batch_norm(net.convolution(0, 3, 4, no_bias=True), 4, fix_gamma=False, eps=1e-5)
    net.dense(x, 4 * (SIZE - 2) ** 2)
    checkpoint = net.write(tmp_path)
    same_as_mxnet(mxnet, checkpoint)
    theirs = mxnet.scores(checkpoint, PICTURES)
    assert not isinstance(theirs, str)
    for old, new in (('"1e-05"', '"0.01"'), ('"fix_gamma": "False"', '"fix_gamma": "True"')):
        text = net.symbol()
        assert old in text
        checkpoint.symbol.write_text(text.replace(old, new))
        assert np.abs(scores_of(graph_of(checkpoint), PICTURES) - theirs).max() > 1e-3 * np.abs(theirs).max()


def test_float16_weights_are_read(tmp_path: Path) -> None:
    net = Tiny()
    net.dense(net.convolution(0, 3, 4), 4 * (SIZE - 2) ** 2)
    checkpoint = net.write(tmp_path)
    whole = scores_of(graph_of(checkpoint), PICTURES)
    halves = {name: array.astype(np.float16) for name, array in net.arrays.items()}
    checkpoint.params.write_bytes(written_by("1.9", halves))
    np.testing.assert_allclose(scores_of(graph_of(checkpoint), PICTURES), whole, rtol=0.01, atol=0.01 * whole.std())


def test_an_unknown_operator_is_named_with_its_layer(tmp_path: Path) -> None:
    net = Tiny()
    net.dense(net.add("Crop", net.convolution(0, 3, 4), name="crop_7"), 100)
    said = refusal(net.write(tmp_path))
    assert "Crop 'crop_7'" in said
    assert "the operator Crop is not supported" in said
    assert "try it with --engine mxnet" in said


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"layout": "NHWC"}, "layout = 'NHWC' is not supported"),
        ({"kernel": "(3, 3, 3)"}, "two dimensions"),
        ({"kernel": "(3, x)"}, "cannot be read"),
        ({"kernel": "(99, 99)"}, "needs (4, 3, 99, 99)"),
        ({"pad": "(1, -1)"}, "below 0"),
        ({"stride": "(0, 0)"}, "below 1"),
        ({"num_filter": "5"}, "needs (5, 3, 3, 3)"),
        ({"num_filter": "99999999999"}, "cannot be read"),
        ({"num_group": "2"}, "do not divide"),
        ({"pad": "(99999999, 99999999)"}, "check the input size"),
        ({"colour": "red"}, "'colour' = 'red' is not known"),
    ],
)
def test_an_attribute_that_cannot_be_is_named(attributes: dict[str, str], said: str, tmp_path: Path) -> None:
    net = Tiny()
    conv = net.convolution(0, 3, 4)
    net.nodes[conv]["attrs"] |= attributes
    net.dense(conv, 4 * (SIZE - 2) ** 2)
    assert said in refusal(net.write(tmp_path))


def test_parameters_that_do_not_belong_are_named(tmp_path: Path) -> None:
    net = Tiny()
    net.dense(net.convolution(0, 3, 4), 4 * (SIZE - 2) ** 2)
    checkpoint = net.write(tmp_path)
    missing = {name: array for name, array in net.arrays.items() if "weight" not in name or "fc" not in name}
    checkpoint.params.write_bytes(written_by("1.9", missing))
    assert "fc4_weight' is missing" in refusal(checkpoint)
    checkpoint.params.write_bytes(net.params())
    larger = dataclasses.replace(checkpoint, input=InputSpec(SIZE + 1))
    assert "check the input size" in refusal(larger)
    smaller = dataclasses.replace(checkpoint, input=InputSpec(1))
    assert "check the input size" in refusal(smaller)
    net.arrays["aux:x"] = np.zeros(3, np.int32)  # nobody uses it
    checkpoint.params.write_bytes(net.params())
    graph_of(checkpoint)
    net.arrays["arg:fc4_weight"] = net.arrays["arg:fc4_weight"].astype(np.int32)
    checkpoint.params.write_bytes(net.params())
    assert "'fc4_weight' holds int32 numbers" in refusal(checkpoint)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "nul",
        '{"nodes": [], "heads": [[0, 0]]}',
        '{"nodes": [{"op": "null", "name": "data", "inputs": []}], "heads": [[0, 0], [0, 0]]}',
        '{"nodes": [{"op": "relu", "name": "a", "inputs": [[0, 0]]}], "heads": [[0, 0]]}',
        '{"nodes": [{"op": "relu", "name": "a", "inputs": [[1e400, 0]]}], "heads": [[0, 0]]}',
        '{"nodes": [{"op": "null", "name": "data", "inputs": []}, '
        '{"op": "relu", "name": "a", "inputs": [[0, 5, 0]]}], "heads": [[1, 0]]}',
        '{"nodes": ' + nested(100_000) + "}",
        '{"nodes": [' + "[]," * 1_000_000 + '0], "heads": []}',
        '{"nodes": 1' + "0" * 1_000_000 + "}",
        '{"nodes": "' + "x" * 5_000_000 + '"}',
    ],
)
def test_a_structure_that_is_none_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    checkpoint = Tiny().write(tmp_path)
    checkpoint.symbol.write_text(text)
    said = refusal(checkpoint)
    assert str(checkpoint.symbol) in said
    assert len(said.splitlines()) == 1
    assert len(said) < 500


def test_a_parameter_that_is_used_again_and_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    net = Tiny()
    x = net.convolution(net.convolution(0, 3, 16, pad=(1, 1)), 16, 16, pad=(1, 1), no_bias=True)
    weight = x - 1
    states = [net.variable(f"bn_{name}", (16,)) for name in ("gamma", "beta", "mean", "var")]
    for _ in range(400):
        x = net.add("Convolution", x, weight, kernel=(3, 3), pad=(1, 1), num_filter=16, no_bias=True)
        x = net.add("BatchNorm", x, *states, fix_gamma=False)
    net.dense(x, 16 * SIZE * SIZE)
    checkpoint = net.write(tmp_path)
    assert "again and again" in refusal(checkpoint)
    assert (tmp_path / "graph" / "weights.bin").stat().st_size < 2**22


def test_the_oldest_symbols_get_the_states_of_their_batch_norms(tmp_path: Path) -> None:
    net = networks()[0]
    checkpoint = net.write(tmp_path, "0.8")
    assert "moving_mean" not in checkpoint.symbol.read_text()
    symbol = read_symbol(checkpoint.symbol)
    names = [symbol.nodes[index].name for index in symbol.used]
    for name in net.arrays:
        assert name[4:] in names


def test_the_arrays_are_those_of_the_file(tmp_path: Path) -> None:
    net = networks()[0]
    checkpoint = net.write(tmp_path)
    found = Params(checkpoint.params).arrays
    assert list(found) == list(net.arrays)
    graph = graph_of(checkpoint)
    assert graph.parameters == sum(array.size for array in net.arrays.values())


def test_100000_changed_files(tmp_path: Path, long: bool) -> None:
    """In a process of its own, for its limits; 500 without --long."""
    runs, seed = (100_000, 1) if long else (500, 7)
    command = [sys.executable, str(SCRIPTS / "fuzz_import.py"), "--runs", str(runs), "--seed", str(seed)]
    done = subprocess.run(
        [*command, *(["--against-mxnet"] if long else [])], capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    counts = {line.split(maxsplit=1)[1]: int(line.split()[0]) for line in done.stdout.splitlines()[1:]}
    assert counts["graphs"] + counts["refused"] == runs
    assert counts["graphs"] > runs / 20, "hardly any was whole enough to get far"


def test_the_checkpoint_of_the_demo(tmp_path: Path) -> None:
    from edge.models.checkpoint import find_checkpoint

    graph = make_graph(find_checkpoint("demo"), tmp_path)
    assert graph.parameters > 100_000
