"""Model files as people have them, through the commands: each is run, or named for what it is; none ends with 70."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.engines import ENGINES, engine_problem
from edge.engines.agreement import Agreement, Agreements
from edge.engines.mxnet_compat import import_mxnet
from edge.host.machine import Machine
from edge.models.checkpoint import find_checkpoint, store_folders
from edge.models.fingerprint import fingerprint

pytestmark = pytest.mark.integration
DEMO = find_checkpoint("demo")
KNOWN = DEMO.symbol.parents[1] / "known.png"
GUITAR = "n03467517"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The demo under another name: its prefix."""
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "net-symbol.json").write_bytes(DEMO.symbol.read_bytes())
    (folder / "net-0000.params").write_bytes(DEMO.params.read_bytes())
    (folder / "synset.txt").write_bytes(DEMO.synset.read_bytes())
    (folder / "model.toml").write_bytes(DEMO.symbol.with_name("model.toml").read_bytes())
    return folder / "net"


def change(net: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = Path(f"{net}-symbol.json")
    graph = json.loads(path.read_text())
    edit(graph)
    path.write_text(json.dumps(graph))


def save(net: Path, edit: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> None:
    mx = import_mxnet()
    path = f"{net}-0000.params"
    arrays = edit(mx, mx.nd.load(path))
    mx.nd.waitall()
    mx.nd.save(path, arrays)


def classify(name: Path | str, engine: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """What an engine says of the known picture, by id; where it was never asked whether all agree, it is not now."""
    if problem := engine_problem(engine):
        pytest.skip(problem)
    checkpoint = find_checkpoint(str(name))
    Agreements(store_folders(), Machine().key).keep(fingerprint(checkpoint), Agreement(asked=ENGINES))
    assert main(["classify", "--model", str(name), "--engine", engine, "--json", "--top", "99", str(KNOWN)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["engine"] == engine
    return {one["id"]: one["probability"] for one in found["predictions"]}


def refusal(name: Path | str, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["classify", "--model", str(name), *flags, str(KNOWN)]) == 78
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def behind(op: str) -> Callable[[dict[str, Any]], None]:
    def edit(graph: dict[str, Any]) -> None:
        graph["nodes"].append({"op": op, "name": "tail", "attrs": {}, "inputs": [[graph["heads"][0][0], 0, 0]]})
        graph["heads"] = [[len(graph["nodes"]) - 1, 0, 0]]
        graph["node_row_ptr"] = list(range(len(graph["nodes"]) + 1))

    return edit


def instead(op: str) -> Callable[[dict[str, Any]], None]:
    def edit(graph: dict[str, Any]) -> None:
        node = graph["nodes"][graph["heads"][0][0]]
        node["op"], node["attrs"] = op, {}

    return edit


@pytest.mark.parametrize("engine", ENGINES)
def test_what_stands_behind_the_softmax_changes_nothing(
    engine: str, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(net, behind("BlockGrad"))
    assert classify(net, engine, capsys)[GUITAR] == pytest.approx(0.984, abs=0.001)


@pytest.mark.parametrize("engine", ENGINES)
def test_sigmoids_are_probabilities_of_their_own(engine: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(net, instead("sigmoid"))
    found = classify(net, engine, capsys)
    assert found[GUITAR] > 0.999
    assert sum(found.values()) > 2


@pytest.mark.parametrize("engine", ENGINES)
def test_float16_and_unused_arrays(engine: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(mx: Any, arrays: dict[str, Any]) -> dict[str, Any]:
        halves = {key: array.astype("float16") for key, array in arrays.items()}
        return {**halves, "arg:counter": mx.nd.array([1, 2], dtype="int64"), "arg:s": mx.nd.ones((3, 2)).tostype("csr")}

    save(net, edit)
    assert classify(net, engine, capsys)[GUITAR] == pytest.approx(0.984, abs=0.001)


@pytest.mark.parametrize("name", ["net-symbol.json", "net-0000.params", "net", ""])
def test_a_model_may_be_named_by_any_of_its_files(name: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify(net.parent / name, "onnx", capsys)[GUITAR] == pytest.approx(0.984, abs=0.001)


def test_the_structure_finds_the_only_epoch(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"{net}-0000.params").rename(f"{net}-0126.params")
    assert classify(f"{net}-symbol.json", "onnx", capsys)[GUITAR] == pytest.approx(0.984, abs=0.001)
    assert "there are net-0126.params: give one of them" in refusal(net, capsys)


@pytest.mark.parametrize("ending", ["-0000.params", "-symbol.json"])
def test_what_is_something_else_is_told_for_what_it_is(
    ending: str, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(f"{net}{ending}")
    whole = path.read_bytes()
    for data, said in (
        (b"", "this is an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1607988\n", "this is a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>404</html>", "this is a web page"),
        (gzip.compress(whole), "this is compressed (gzip)"),
        (whole[: len(whole) // 2], "copy it again"),
        (bytes(1000), "copy it again"),
    ):
        path.write_bytes(data)
        for engine in ("mxnet", "onnx"):
            found = refusal(net, capsys, "--engine", engine)
            assert str(path) in found
            assert said in found


def test_a_sparse_weight_is_named(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "arg:conv8_weight"
    save(net, lambda _mx, arrays: {**arrays, name: arrays[name].tostype("row_sparse")})
    checkpoint = find_checkpoint(str(net))
    Agreements(store_folders(), Machine().key).keep(fingerprint(checkpoint), Agreement(asked=ENGINES))
    for engine in ("mxnet", "onnx"):
        assert "'conv8_weight' is sparse (row_sparse)" in refusal(net, capsys, "--engine", engine)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (instead("LinearRegressionOutput"), "gives estimates of numbers"),
        (instead("SVMOutput"), "gives the margins of a support vector machine"),
        (instead("L2Normalization"), "gives an embedding"),
        (behind("LogisticRegressionOutput"), "has already made"),
    ],
)
def test_what_gives_no_probabilities_is_refused(
    edit: Callable[[dict[str, Any]], None], said: str, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(net, edit)
    for engine in ("mxnet", "onnx"):
        assert said in refusal(net, capsys, "--engine", engine)


def test_what_no_engine_knows_is_refused_with_the_operator(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(graph: dict[str, Any]) -> None:
        node = next(node for node in graph["nodes"] if node["op"] == "Convolution")
        node["op"] = "MyConvolution"

    change(net, edit)
    assert main(["classify", "--model", str(net), str(KNOWN)]) == 78
    said = capsys.readouterr().err.splitlines()[-1]
    assert "MyConvolution" in said
    assert "operator" in said


def test_a_model_that_is_added_says_what_is_right(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As all of it goes together: asked, told once, kept, and not asked again."""
    import random

    from random_networks import Net
    from rigs.fused import preactivation, write

    checkpoint = write(preactivation(Net(random.Random(0)), "swapped"), net.parent / "other", "other")
    assert main(["models", "add", checkpoint.prefix]) == 0
    told = capsys.readouterr()
    assert "mxnet runs it without fusing layers" in told.out + told.err
    found = []
    for engine in ENGINES:
        assert main(["classify", "--model", "other", "--engine", engine, "--json", str(KNOWN)]) == 0
        told = capsys.readouterr()
        assert "Comparing" not in told.err
        found.append({one["id"]: one["probability"] for one in json.loads(told.out)[0]["predictions"]})
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert found[2] == pytest.approx(found[0], abs=1e-5)
    # an edge that asked nobody has noted what the fusion said: that is no fault of the model's
    manifest = store_folders()[0] / "other" / "manifest.json"
    table = json.loads(manifest.read_text())
    table["answer"]["probability"] -= 0.3
    manifest.write_text(json.dumps(table))
    assert main(["classify", "--model", "other", str(KNOWN)]) == 0
