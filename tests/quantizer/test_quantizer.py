"""A network in int8: made with some pictures, judged with others, and used only where it is as good as in float."""

import dataclasses
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from rigs.stores import DEMO, unexamined, write_scenes

from edge.cli import main
from edge.engines import ENGINES, INT8_ENGINES, engine_problem, engine_version, engines_for, open_classifier
from edge.engines.backend import Backend
from edge.engines.onnx import import_onnxruntime
from edge.engines.openvino import import_openvino
from edge.engines.preprocess import to_input
from edge.engines.selftest import known_picture
from edge.errors import ModelError
from edge.host.installation import how_to_get
from edge.importer.cache import ABOUT, graph_of
from edge.importer.graph import GRAPH, WEIGHTS
from edge.importer.quantised import (
    FLOAT32,
    INT8,
    Figures,
    about_quantised,
    identity_of,
    install_quantised,
    quantised_folder,
    quantised_problem,
    to_table,
)
from edge.models.checkpoint import Checkpoint, find_checkpoint
from edge.models.store import Store
from edge.quantizer import quantize
from edge.quantizer.judge import compare, divergence, passes
from edge.quantizer.tools import LEAST_ERROR, Tools, import_onnx, rounded
from edge.quantizer.views import LEAST_PICTURES, divide, views_each, views_of
from edge.selection.selector import ModelSelector
from edge.settings import ModelSettings, Settings
from edge.stages import Pixels
from edge.vision.images import images_in

pytestmark = pytest.mark.integration
NAME = "mine"


# Pictures and figures.


def some(count: int) -> list[Any]:
    return [partial(lambda number: np.full((40, 60, 3), number, np.uint8), number) for number in range(count)]


def shade(picture: Any) -> int:
    return int(picture()[0, 0, 0])


def test_no_picture_is_in_two_parts() -> None:
    parts = divide(some(50))
    shades = [[shade(one) for one in part] for part in (parts.calibration, parts.search, parts.held_out)]
    assert sorted(itertools.chain(*shades)) == list(range(50))
    assert [len(part) for part in shades] == [15, 20, 15]
    again = divide(some(50))
    assert [shade(one) for one in again.held_out] == shades[2]
    in_order = divide(some(50), in_order=True)
    assert [shade(one) for one in in_order.held_out] == list(range(35, 50))


def test_too_few_pictures_are_told_with_how_many_are_needed() -> None:
    with pytest.raises(ModelError, match=r"^11 different images are too few: at least 12 are needed, better 100"):
        divide(some(LEAST_PICTURES - 1))
    parts = divide(some(LEAST_PICTURES))
    assert min(map(len, (parts.calibration, parts.search, parts.held_out))) >= 3


def test_views_are_many_different_and_always_the_same() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    seen = list(views_of([lambda: pixels], 10, seed=1))
    np.testing.assert_array_equal(seen[0], pixels)
    assert len({one.tobytes() for one in seen}) == 10
    assert all(one.shape[0] >= 67 and one.shape[1] >= 90 for one in seen)
    for one, same in zip(seen, views_of([lambda: pixels], 10, seed=1), strict=True):
        np.testing.assert_array_equal(one, same)
    assert list(views_of([lambda: pixels], 2, seed=2))[1].tobytes() != seen[1].tobytes()
    for count in (1, 3, 6, 7, 199, 200, 1000):
        assert count * views_each(some(count)) >= 200


def test_the_gate_counts_labels_and_how_far_probabilities_move() -> None:
    floats = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], np.float32)
    assert compare(floats, floats, 2) == Figures(1.0, 0.0, 4, 2)
    assert divergence(floats, floats) == 0
    other = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], np.float32)
    found = compare(floats, other, 2)
    assert (found.agreement, found.views) == (0.75, 4)
    assert found.moved == pytest.approx(0.05)
    assert divergence(floats, other) > 0.01
    broken = np.full((4, 2), np.nan, np.float32)
    assert compare(floats, broken, 2) == Figures(0.0, 1.0, 4, 2)
    assert not passes([])
    assert passes([Figures(0.97, 0.05, 200, 6)])
    assert not passes([Figures(1.0, 0.0, 200, 6), Figures(0.969, 0.0, 200, 6)])
    assert not passes([Figures(1.0, 0.051, 200, 6)])


# The demo in int8.


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_scenes(folder)
    return folder


@pytest.fixture(scope="module")
def made(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo with an int8 version; to be copied, not changed."""
    if problem := engine_problem("onnx"):
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("made") / NAME
    shutil.copytree(DEMO, folder)
    for old in folder.glob("demo-*"):
        old.rename(old.with_name(old.name.replace("demo", NAME)))
    (folder / "manifest.json").unlink()
    prefix = str(folder / NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        assert main(["models", "quantize", prefix, "--images", str(pictures)]) == 0
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where conftest.py has put this user's."""
    return tmp_path / "xdg-data" / "edge" / "models"


@pytest.fixture
def mine(made: Path, store: Path) -> Checkpoint:
    """The same in the store, by name."""
    shutil.copytree(made, store / NAME)
    return find_checkpoint(NAME)


def selector(tell: Any = lambda _line: None, **model: Any) -> ModelSelector:
    return ModelSelector(Settings(model=ModelSettings(precision=INT8, **model)), tell=tell)


def test_it_says_the_same_in_a_third_of_the_size(mine: Checkpoint) -> None:
    about = about_quantised(mine)
    assert about is not None
    assert passes(about.figures.values())
    assert set(about.figures) == {engine for engine in INT8_ENGINES if not engine_problem(engine)}
    assert all(one.views >= 200 for one in about.figures.values())
    with graph_of(mine) as graph:
        ratio = (quantised_folder(mine) / WEIGHTS).stat().st_size / (graph.folder / WEIGHTS).stat().st_size
    assert ratio < (0.35 if not about.kept else 0.9)
    for engine in about.figures:
        network = open_classifier(mine, backend=Backend(engine, INT8))
        assert network.engine == f"{engine} int8"
        best = network.classify(known_picture())[0]
        assert best.label == "guitar"
        assert network.calibrated, "the temperature holds for int8 too"
        network.close()
    with pytest.raises(ModelError, match=r"^mxnet cannot compute in int8; onnx and openvino can"):
        open_classifier(mine, backend=Backend("mxnet", INT8))


def test_weights_are_in_int8_but_for_the_layers_that_are_kept(mine: Checkpoint, tmp_path: Path) -> None:
    onnx = import_onnx()
    parts = divide([partial(picture_of, number) for number in range(12)])
    with graph_of(mine) as graph:
        whole = onnx.load(str(graph.file))
        tools = Tools(graph, tmp_path)
        inputs = [to_input(one, graph.input) for one in views_of(parts.calibration, 2, 0)]
    tools.learn_means(inputs)
    ranges = tools.min_max(inputs)
    finer = tools.histograms(inputs)
    assert set(finer) >= {LEAST_ERROR, "percentile 99.999"}
    for name, (low, high) in ranges.items():
        assert low <= finer[LEAST_ERROR][name][0] <= max(0.0, low)
        assert min(0.0, high) <= finer[LEAST_ERROR][name][1] <= high
    floats = {one.name: onnx.numpy_helper.to_array(one) for one in whole.graph.initializer}
    kept = tools.layers[1]
    (tmp_path / "int8").mkdir()
    found = onnx.load(str(tools.write(tmp_path / "int8", ranges, [kept]).file))
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in found.graph.initializer}
    made_by = {output: node for node in found.graph.node for output in node.output}
    seen = []
    for node in found.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        back = made_by.get(node.input[1])
        if node.name == kept:
            assert back is None, "its weights are floats"
            np.testing.assert_array_equal(arrays[node.input[1]], floats[node.input[1]])
            continue
        assert back is not None
        assert back.op_type == "DequantizeLinear"
        weights, steps, zeros = (arrays[name] for name in back.input)
        assert weights.dtype == np.int8
        assert not zeros.any()
        shape = (-1, *[1] * (weights.ndim - 1))
        original = floats[next(one.input[1] for one in whole.graph.node if one.name == node.name)]
        np.testing.assert_allclose(weights * steps.reshape(shape), rounded(original), atol=1e-6)
        seen.append(node.name)
    assert len(seen) == len(tools.layers) - 1
    (end,) = (node for node in found.graph.node if node.output[0] == "scores")
    assert made_by[end.input[0]].op_type != "DequantizeLinear", "the scores are rounded"


def picture_of(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)


def test_the_mean_of_what_rounding_adds_is_taken_off(mine: Checkpoint, tmp_path: Path) -> None:
    """With weights that all are rounded up, the scores are nearer to the float ones when the biases are corrected."""
    with graph_of(mine) as graph:
        (tmp_path / "tools").mkdir()
        tools = Tools(graph, tmp_path / "tools")
        inputs = [to_input(picture_of(number), graph.input) for number in range(8)]
    ranges = tools.min_max(inputs)
    network = open_classifier(mine, backend=Backend("onnx"))
    expected = np.array([network.probabilities(one) for one in inputs])
    network.close()
    off = []
    for corrected in (False, True):
        if corrected:
            tools.learn_means(inputs)
        folder = tmp_path / f"{corrected}"
        folder.mkdir()
        off.append(divergence(expected, run(tools.write(folder, ranges).file, inputs)))
    assert off[1] < off[0]


def test_onnx_runtime_does_not_round_what_is_kept(mine: Checkpoint, tmp_path: Path) -> None:
    """Left to itself it does, between two layers in int8: see engines/onnx.py."""
    with graph_of(mine) as graph:
        (tmp_path / "tools").mkdir()
        tools = Tools(graph, tmp_path / "tools")
        inputs = [to_input(picture_of(number), graph.input) for number in range(8)]
    graph = tools.write(quantised_folder(mine), tools.min_max(inputs), tools.layers[1::2])
    about = about_quantised(mine)
    assert about is not None
    (quantised_folder(mine) / ABOUT).write_text(json.dumps(to_table(about, graph)))
    network = open_classifier(mine, backend=Backend("onnx", INT8))
    found = np.array([network.probabilities(one) for one in inputs])
    network.close()
    as_written = run(graph.file, inputs, literally=True)
    assert np.abs(found - as_written).max() < 0.2 * np.abs(run(graph.file, inputs) - as_written).max()


def run(graph: Path, inputs: list[Any], *, literally: bool = False) -> Any:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    if literally:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return np.array([session.run(["probabilities"], {"data": one})[0][0] for one in inputs])


# Used only where it belongs.


def test_the_loader_runs_it_and_measures_it_apart(mine: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    chosen = selector(told.append, engine="onnx", name=NAME)
    network = chosen.open()
    assert chosen.running == (NAME, "onnx int8")
    assert network.classify(known_picture())[0].label == "guitar"
    assert chosen.description.startswith(f"{NAME}, run by onnx int8")
    chosen.close()
    assert identity_of(mine, INT8) != identity_of(mine, FLOAT32)
    assert engine_version(Backend("onnx", INT8)) == f"{engine_version(Backend('onnx'))} int8"
    assert engines_for("auto", INT8)[0] == [engine for engine in INT8_ENGINES if not engine_problem(engine)]

    assert main(["models", "measure", NAME, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    here = [engine for engine in ENGINES if not engine_problem(engine)]
    assert [row["engine"] for row in rows] == [*here, *(f"{one} int8" for one in here if one in INT8_ENGINES)]
    known = selector(name=NAME, engine="auto")
    assert set(known.options.eligible[0].measured) == set(engines_for("auto", INT8)[0])


def test_int8_that_was_never_made_is_told_with_what_makes_it(mine: Checkpoint) -> None:
    shutil.rmtree(quantised_folder(mine))
    advice = f"there is no int8 version of it: edge models quantize {NAME} makes one"
    assert quantised_problem(mine, INT8) == advice
    assert quantised_problem(mine, FLOAT32) == ""
    with pytest.raises(ModelError) as refused:
        selector(engine="onnx", name=NAME).open()
    assert str(refused.value) == f"model {NAME}: {advice}"
    with pytest.raises(ModelError, match="edge models quantize"):
        open_classifier(mine, backend=Backend("onnx", INT8))


def test_the_demo_runs_in_float_all_the_same() -> None:
    chosen = selector(engine="onnx")
    chosen.open()
    assert chosen.running == ("demo", "onnx")
    chosen.close()


def test_mxnet_in_int8_is_a_fault_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MODEL_PRECISION", "int8")
    monkeypatch.setenv("EDGE_MODEL_ENGINE", "mxnet")
    assert main(["config"]) == 78
    said = capsys.readouterr().err
    assert "environment: [model] precision = 'int8' does not work with mxnet; set engine to onnx" in said
    monkeypatch.setenv("EDGE_MODEL_ENGINE", "auto")
    assert main(["config"]) == 0


def test_of_a_changed_checkpoint_it_is_not_used(mine: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(mine.params.read_bytes())
    data[-1000] ^= 1
    mine.params.write_bytes(data)
    with pytest.raises(ModelError, match=r"was made from other weights or for another input, so it is not used"):
        selector(engine="onnx", name=NAME).open()
    assert main(["models", "list"]) == 0
    assert f"model {NAME}: its int8 version was made from other weights" in capsys.readouterr().out
    other = dataclasses.replace(mine, input=dataclasses.replace(mine.input, mean=(1.0, 2.0, 3.0)))
    assert "another input" in quantised_problem(other, INT8)


@pytest.mark.parametrize("damage", ["weights", "graph", "about", "no about", "figures"])
def test_a_damaged_one_is_refused(damage: str, mine: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    folder = quantised_folder(mine)
    path = folder / {"weights": WEIGHTS, "graph": GRAPH}.get(damage, "about.json")
    if damage == "no about":
        path.unlink()
    elif damage == "figures":
        path.write_text(path.read_text().replace('"agreement": ', '"agreement": "x", "was": '))
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 64
        path.write_bytes(data[:-1] if damage == "about" else data)
    assert main(["models", "verify"]) == 78
    (told,) = capsys.readouterr().err.splitlines()
    assert f"edge models quantize {NAME} makes another" in told
    with pytest.raises(ModelError, match=rf"(damaged|missing).*edge models quantize {NAME} makes another"):
        selector(engine="onnx", name=NAME).open()


def test_list_shows_it_and_remove_takes_it_along(
    mine: Checkpoint, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert f"Also in int8: {NAME}, same first label as in float: " in said
    assert main(["models", "list", "--json"]) == 0
    (row, *_) = json.loads(capsys.readouterr().out)
    assert row["int8"]["figures"]["onnx"]["views"] >= 200
    with graph_of(mine):
        pass
    folder = quantised_folder(mine)
    with pytest.MonkeyPatch.context() as patch:
        # as from the system: with the name of the file alone
        refused = OSError(errno.EROFS, "Read-only file system", "network.onnx")
        patch.setattr(shutil, "rmtree", Mock(side_effect=refused))
        assert main(["models", "quantize", NAME, "--remove"]) == 78
    assert capsys.readouterr().err.startswith(f"edge: {folder}: Read-only file system; ")
    assert main(["models", "quantize", NAME, "--remove"]) == 0
    assert quantised_problem(mine, INT8).startswith("there is no int8 version")
    assert main(["models", "quantize", NAME, "--remove"]) == 78
    assert main(["models", "remove", NAME]) == 0
    assert not (store / NAME).exists()


def test_it_goes_along_when_a_model_is_added_and_added_again(made: Path, store: Path, tmp_path: Path) -> None:
    there = Store(store)
    there.add(find_checkpoint(str(made)), "other", unexamined, "")
    other = find_checkpoint("other")
    assert about_quantised(other) is not None
    network = open_classifier(other, backend=Backend("onnx", INT8))
    network.close()
    shutil.copytree(made, tmp_path / NAME)
    shutil.rmtree(quantised_folder(find_checkpoint(str(tmp_path / NAME))))
    there.add(find_checkpoint(str(tmp_path / NAME)), "other", unexamined, "")
    assert about_quantised(find_checkpoint("other")) is not None


def test_the_service_may_read_what_root_has_made(mine: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(quantised_folder(mine), tmp_path / "made")
    before = os.umask(0o077)
    try:
        folder = install_quantised(mine, tmp_path / "made")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        ABOUT: 0o644,
        GRAPH: 0o644,
        WEIGHTS: 0o644,
    }
    assert folder.stat().st_mode & 0o777 == 0o755


def test_both_precisions_stand_side_by_side(mine: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    known = DEMO.parent / "known.png"
    arguments = ["compare", str(known), "--models", NAME, "--engine", "onnx", "--precision", "float32,int8", "--json"]
    assert main(arguments) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert {name: one["engine"] for name, one in result["models"].items()} == {
        NAME: "onnx",
        f"{NAME} int8": "onnx int8",
    }
    firsts = {one["predictions"][0]["label"] for one in result["models"].values()}
    assert firsts == {"guitar"}
    arguments = ["bench", "--models", NAME, "--engines", "mxnet,onnx", "--precision", "float32,int8", "--frames", "2"]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    assert [row["engine"] for row in json.loads(said.out)["rows"]] == ["mxnet", "onnx", "onnx int8"]
    # on a busy machine there is progress too
    skipped = [line for line in said.err.splitlines() if not line.endswith(": loading")]
    assert skipped == ["Skipped: mxnet cannot compute in int8; onnx and openvino can ([model] engine)."]
    assert main(["bench", "--models", NAME, "--precision", "int4"]) == 78
    assert "there is no precision 'int4'" in capsys.readouterr().err
    # which edge models quantize would refuse to make
    assert main(["compare", str(known), "--models", "demo", "--engine", "onnx", "--precision", "int8"]) == 78
    assert "edge models quantize" not in capsys.readouterr().err


# The command.


def test_what_does_not_pass_is_refused_with_the_figures_and_nothing_changes(
    mine: Checkpoint, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in quantised_folder(mine).iterdir()}
    min_max = Tools.min_max
    # as if the calibration's pictures were black
    monkeypatch.setattr(Tools, "min_max", lambda *given: dict.fromkeys(min_max(*given), (-0.01, 0.01)))
    monkeypatch.setattr(Tools, "histograms", lambda _tools, _inputs: {})
    monkeypatch.setattr(quantize, "KEPT", ())
    # so the order of the layers is not asked for
    monkeypatch.setattr(quantize, "MOST_FLIPS", 1)
    assert main(["models", "quantize", NAME, "--images", str(pictures)]) == 78
    said = capsys.readouterr()
    assert "rejected" in said.out
    assert "97.0%" in said.out
    assert (
        f"model {NAME}: its int8 version differs too much from float, so it is rejected; nothing was changed"
        in said.err
    )
    assert {path.name: path.read_bytes() for path in quantised_folder(mine).iterdir()} == before
    assert sorted(path.name for path in mine.params.parent.iterdir() if path.name.startswith(".")) == []


def test_what_the_camera_sees_will_do(mine: Checkpoint, capsys: pytest.CaptureFixture[str], pictures: Path) -> None:
    """Here a folder, played as a camera."""
    arguments = ["--from-camera", "--camera", str(pictures), "--frames", "14", "--dry-run", "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_CAMERA_IMAGE_S", "0.1")
        # whether it passes is not asked here, so the search may be short
        patch.setattr(quantize, "MOST_FLIPS", 1)
        patch.setattr(quantize, "KEPT", (1,))
        code = main(["models", "quantize", NAME, *arguments])
    found = json.loads(capsys.readouterr().out)
    assert sum(found["pictures"].values()) == 14
    assert found["installed"] is None
    assert code in (0, 78)


def test_copies_of_a_picture_count_once(
    mine: Checkpoint, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for number, path in enumerate(images_in(pictures)[:11]):
        shutil.copy(path, folder / path.name)
        shutil.copy(path, folder / f"copy-{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    assert main(["models", "quantize", NAME, "--images", str(folder)]) == 78
    said = capsys.readouterr().err
    assert said.count("is the same image as") == 11
    assert "broken.png: not an image" in said
    assert "11 different images are too few: at least 12 are needed" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_on_the_disk(
    number: signal.Signals, mine: Checkpoint, pictures: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-P", "-m", "edge", "models", "quantize", str(mine.params.with_name(NAME)), "--images"]
    child = subprocess.Popen(
        [*command, str(pictures)], env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE
    )
    try:
        until_s = time.monotonic() + 60
        while not list(scratch.glob("edge-quantize-*/views")) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert list(scratch.glob("edge-quantize-*"))
        child.send_signal(number)
        assert child.wait(30) == -number
    finally:
        child.kill()
        _, said = child.communicate()
    assert list(scratch.glob("edge-quantize-*")) == []
    assert said == b""


def test_an_engine_that_cannot_run_it_here_is_told_and_another_serves(
    mine: Checkpoint, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenVINO on a Pi 4."""
    if problem := engine_problem("openvino"):
        pytest.skip(problem)
    openvino = import_openvino()
    compiles = openvino.compile_model

    def compile_model(model: Any, *given: Any) -> Any:
        if any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
            raise RuntimeError(
                "Exception from src/core.cpp:117:\nException from plugin.cpp:54:\nobject is not there\n\n"
            )
        return compiles(model, *given)

    monkeypatch.setattr(openvino, "compile_model", compile_model)
    shutil.rmtree(quantised_folder(mine))
    assert main(["models", "quantize", NAME, "--images", str(pictures)]) == 0
    why = "OpenVINO cannot run its int8 version on this processor (object is not there); onnx can ([model] engine)"
    assert f"Not judged     with openvino: {why}" in capsys.readouterr().out
    about = about_quantised(mine)
    assert about is not None
    assert set(about.figures) == {"onnx"}
    with pytest.raises(ModelError) as refused:
        selector(engine="openvino", name=NAME).open()
    assert str(refused.value) == f"model {NAME}: {why}"
    told: list[str] = []
    chosen = selector(told.append, engine="auto", name=NAME)
    chosen.open()
    assert chosen.running == (NAME, "onnx int8")
    assert not [line for line in told if "openvino" in line.lower()], "it is not even tried"
    chosen.close()


def test_without_the_tools_one_line_says_what_installs_them(
    mine: Checkpoint, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one == "onnx" or one.startswith("onnxruntime.quantization")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["models", "quantize", NAME, "--images", str(pictures)]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(how_to_get("onnx"))
    # to run what was made, they are not needed
    network = open_classifier(mine, backend=Backend("onnx", INT8))
    assert network.classify(known_picture())[0].label == "guitar"
    network.close()


def test_nothing_to_quantize_with(mine: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "quantize", NAME]) == 78
    assert "--images DIR" in capsys.readouterr().err
    nowhere = mine.params.parent / "nowhere"
    for folder, told in ((nowhere, "there is no such folder"), (mine.params, "this is not a folder")):
        assert main(["models", "quantize", NAME, "--images", str(folder)]) == 69
        assert capsys.readouterr().err == f"edge: {folder}: {told}; give the path of a folder with images\n"
    assert main(["models", "quantize", "demo", "--from-camera"]) == 78
    assert "the bundled demo" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("name", ["mobilenet_v2_1.0", "squeezenet_v1.0", "mobilenet0.5"])
def test_the_real_networks_pass(name: str, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rigs.zoo import REAL

    from edge.models.store import to_toml

    folder = tmp_path / name
    shutil.copytree(shared / "checkpoints" / name, folder)
    shutil.copy(shared / "checkpoints" / "synset.txt", folder)
    files = (folder / f"{name}-symbol.json", folder / f"{name}-0000.params", folder / "synset.txt")
    folder.chmod(0o755)
    (folder / "model.toml").write_text(to_toml(Checkpoint(name, *files, REAL[name])))
    code = main(["models", "quantize", str(folder / name), "--images", str(shared / "images"), "--json"])
    found = json.loads(capsys.readouterr().out)
    print(name, found["method"], len(found["kept"]), found["figures"])
    assert found["passes"], found["figures"]
    assert code == 0
    assert all(one["views"] >= 200 for one in found["figures"].values())
