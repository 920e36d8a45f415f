"""What holds for every engine, and where graphs are kept for those that run one."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz_import import Tiny

from edge.engines import ENGINES, Network, engine_problem, engine_version, open_classifier
from edge.engines.backend import Backend
from edge.engines.classifier import EngineClassifier
from edge.engines.preprocess import to_input
from edge.engines.selftest import check_answer, known_picture
from edge.errors import ModelError
from edge.importer.cache import FOLDER, forget_graph, graph_of
from edge.importer.graph import FORMS, GRAPH, NCNN, ONNX, WEIGHTS, Form
from edge.models.checkpoint import Checkpoint, find_checkpoint, store_folders
from edge.models.manifest import read_manifest

pytestmark = pytest.mark.integration


def opened(engine: str, checkpoint: Checkpoint, top: int = 5) -> Network:
    if problem := engine_problem(engine):
        pytest.skip(problem)
    return open_classifier(checkpoint, Backend(engine), top)


def copy_of_the_demo(folder: Path) -> Checkpoint:
    demo = find_checkpoint("demo")
    shutil.copytree(demo.symbol.parent, folder)
    return find_checkpoint(str(folder))


@pytest.mark.parametrize(
    "load",
    [
        "from edge.engines.onnx import import_onnxruntime as load",
        "from edge.engines.openvino import import_openvino as load",
        "from edge.engines.ncnn import import_ncnn as load",
    ],
)
def test_no_engine_reports_its_use_to_its_vendor(load: str, tmp_path: Path) -> None:
    """Those that do also leave a number for this device or user in the home, and what could not be sent."""
    if problem := engine_problem(load.split(".")[2].split(maxsplit=1)[0]):
        pytest.skip(problem)
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", f"{load}; load()"], env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []


def kept(form: Form = ONNX) -> list[Path]:
    return sorted(path.parent for path in (store_folders()[0] / FOLDER).glob(f"*/{form.files[0]}"))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_it_gives_the_known_answer(engine: str) -> None:
    demo = find_checkpoint("demo")
    network = opened(engine, demo)
    manifest = read_manifest(demo.symbol.parent)
    assert manifest is not None
    assert manifest.answer is not None
    check_answer(network, manifest.answer)
    assert network.engine == engine
    assert network.parameters == manifest.parameters
    assert network.calibrated
    predictions = network.classify(known_picture())
    assert [one.probability for one in predictions] == sorted((one.probability for one in predictions), reverse=True)
    assert network.timing.inference_s > 0
    assert network.first_s > 0
    assert engine_version(Backend(engine)).startswith(f"{engine} ")
    network.close()
    network.close()


def test_a_result_is_not_written_over_by_the_next(engine: str) -> None:
    network = opened(engine, find_checkpoint("demo"))
    black, white = (np.full((8, 8, 3), value, np.uint8) for value in (0, 255))
    first = network.probabilities(to_input(black, network.input))
    before = first.copy()
    second = network.probabilities(to_input(white, network.input))
    np.testing.assert_array_equal(first, before)
    assert np.abs(first - second).max() > 0
    assert network.enqueue_s(to_input(black, network.input)) >= 0
    network.close()


@pytest.mark.parametrize("graph_engine", ENGINES[1:])
def test_what_the_engine_refuses_is_told_once(graph_engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first run that fails, as for lack of memory."""
    wrong = np.ones((1, 3, 9, 8), np.float32)
    monkeypatch.setattr(EngineClassifier, "_run_first", lambda network: network.probabilities(wrong))
    with pytest.raises(ModelError, match=r"^model demo: (ONNX Runtime|OpenVINO|ncnn) cannot run it: ") as refused:
        opened(graph_engine, find_checkpoint("demo"))
    assert str(refused.value).count("model demo") == 1


def test_files_that_do_not_fit_together_are_named(engine: str, tmp_path: Path) -> None:
    checkpoint = copy_of_the_demo(tmp_path / "demo")
    synset = tmp_path / "short.txt"
    synset.write_text("n1 one\nn2 two\n")
    with pytest.raises(ModelError, match=r"has 2 labels, but the model has 53 outputs"):
        opened(engine, dataclasses.replace(checkpoint, synset=synset, background=frozenset()))
    checkpoint.params.write_bytes(checkpoint.params.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"demo-0000.params: truncated"):
        opened(engine, checkpoint)
    checkpoint.params.unlink()
    with pytest.raises(ModelError, match=r"demo-0000.params"):
        opened(engine, checkpoint)


@pytest.mark.parametrize("graph_engine", ENGINES[1:])
def test_weights_that_make_no_numbers_are_refused(graph_engine: str, tmp_path: Path) -> None:
    checkpoint = copy_of_the_demo(tmp_path / "demo")
    data = bytearray(checkpoint.params.read_bytes())
    data[100:140] = b"\xff" * 40  # nan
    checkpoint.params.write_bytes(data)
    with pytest.raises(ModelError, match=r"demo-0000.params: the parameters of .* hold nan or infinity"):
        opened(graph_engine, checkpoint)


@pytest.mark.parametrize("graph_engine", ENGINES[1:])
def test_a_graph_is_made_once(graph_engine: str) -> None:
    demo = find_checkpoint("demo")
    opened(graph_engine, demo).close()
    form = NCNN if graph_engine == "ncnn" else ONNX
    (folder,) = kept(form)
    made = (folder / form.files[0]).stat().st_mtime_ns
    opened(graph_engine, demo).close()
    assert kept(form) == [folder]
    assert (folder / form.files[0]).stat().st_mtime_ns == made
    assert {path.name for path in folder.iterdir()} == {*form.files, "about.json"}


def test_a_graph_of_one_form_leaves_that_of_the_other(tmp_path: Path) -> None:
    checkpoint = copy_of_the_demo(tmp_path / "demo")
    for form in FORMS:
        with graph_of(checkpoint, form=form):
            pass
    assert [len(kept(form)) for form in FORMS] == [1, 1]
    data = bytearray(checkpoint.params.read_bytes())
    data[200] ^= 1
    checkpoint.params.write_bytes(data)
    with graph_of(checkpoint, form=NCNN) as changed:
        assert (kept(ONNX), kept(NCNN)) == ([], [changed.folder])
    forget_graph(checkpoint)
    assert kept(NCNN) == []


def test_a_changed_checkpoint_gets_another_graph_and_the_old_one_goes(tmp_path: Path) -> None:
    checkpoint = copy_of_the_demo(tmp_path / "demo")
    with graph_of(checkpoint) as first:
        pass
    data = bytearray(checkpoint.params.read_bytes())
    data[200] ^= 1
    checkpoint.params.write_bytes(data)
    with graph_of(checkpoint) as second:
        assert kept() == [second.folder]
    assert second.folder != first.folder
    again = dataclasses.replace(checkpoint, input=dataclasses.replace(checkpoint.input, mean=(1.0, 2.0, 3.0)))
    with graph_of(again) as third:
        assert third.folder != second.folder
        assert third.input.mean == (1.0, 2.0, 3.0)
    squashed = dataclasses.replace(again, input=dataclasses.replace(again.input, resize="squash"))
    with graph_of(squashed) as fourth:
        assert fourth.folder == third.folder
        assert fourth.input.resize == "squash"


def test_the_graph_of_a_checkpoint_that_has_gone_is_removed_with_the_next(tmp_path: Path) -> None:
    one, other = copy_of_the_demo(tmp_path / "one"), Tiny()
    other.dense(0, 3 * 12 * 12)
    with graph_of(one):
        pass
    same = copy_of_the_demo(tmp_path / "same")
    shutil.rmtree(tmp_path / "one")
    with graph_of(same) as graph:  # it is the same network: the graph is its own now
        assert kept() == [graph.folder]
    (tmp_path / "tiny").mkdir()
    with graph_of(other.write(tmp_path / "tiny")):
        assert graph.folder in kept()
    shutil.rmtree(tmp_path / "same")
    (tmp_path / "tiny2").mkdir()
    other.batch_norm(0, 3)
    other.dense(len(other.nodes) - 1, 3 * 12 * 12)
    with graph_of(other.write(tmp_path / "tiny2")):
        assert graph.folder not in kept()


@pytest.mark.parametrize("damage", ["weights", "short weights", "graph", "about", "no weights"])
def test_a_damaged_graph_is_made_anew(damage: str) -> None:
    demo = find_checkpoint("demo")
    with graph_of(demo) as graph:
        whole = (graph.folder / WEIGHTS).read_bytes()
    path = graph.folder / {"graph": GRAPH, "about": "about.json"}.get(damage, WEIGHTS)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(data[:1000] if damage == "short weights" else data)
    if damage == "about":
        path.write_text('{"files": []}')
    if damage == "no weights":
        path.unlink()
    with graph_of(demo) as again:
        assert (again.folder / WEIGHTS).read_bytes() == whole
        assert json.loads((again.folder / "about.json").read_text())["parameters"] == again.parameters > 0


def test_what_a_kill_has_left_is_cleared_away() -> None:
    folder = store_folders()[0] / FOLDER
    (folder / ".new-left").mkdir(parents=True)
    with graph_of(find_checkpoint("demo")):
        pass
    assert [path.name for path in folder.iterdir() if path.name.startswith(".new")] == []


@pytest.mark.parametrize("graph_engine", ENGINES[1:])
def test_where_nothing_can_be_kept_it_works_all_the_same(
    graph_engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    demo = find_checkpoint("demo")
    with graph_of(demo, [tmp_path / "file" / "models"]) as graph:
        place = graph.folder
        assert graph.file.exists()
    assert not place.exists()
    monkeypatch.setattr("edge.importer.cache.store_folders", lambda: [tmp_path / "file" / "models"])
    network = opened(graph_engine, demo)
    assert network.classify(known_picture())[0].label == "guitar"
    network.close()


def test_no_disk_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with (
        pytest.raises(ModelError, match=r"model demo: no space for its graph"),
        graph_of(find_checkpoint("demo"), [tmp_path / "file"]),
    ):
        pass


def test_two_processes_make_the_same_graph_at_once() -> None:
    code = (
        "from edge.importer.cache import graph_of\nfrom edge.models.checkpoint import find_checkpoint\n"
        "with graph_of(find_checkpoint('demo')) as graph:\n    print(graph.folder, graph.file.exists())\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(4)
    ]
    said = {child.communicate(timeout=60)[0].strip() for child in children}
    assert said == {f"{kept()[0]} True"}
    assert len(kept()) == 1
