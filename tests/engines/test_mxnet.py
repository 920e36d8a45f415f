"""The real MXNet: small networks made here, the demo, and the trained checkpoints of ../shared where they are."""

import csv
import ctypes
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.engines import check_finite, engine_problem, engine_version, open_classifier
from edge.engines.backend import Backend
from edge.engines.module import ModuleClassifier
from edge.engines.mxnet import MxnetClassifier
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint
from edge.stages import Frame
from edge.vision.images import read_image

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SIZE = 8
PICTURE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
TRAINED: dict[str, tuple[int, dict[str, Any]]] = {
    # how many of the 20 photos are right, and the input of ../shared/checkpoints/README.md
    "mobilenet0.5": (19, {"size": 224, "mean": [123.68, 116.779, 103.939], "std": [58.393, 57.12, 57.375]}),
    "squeezenet_v1.0": (17, {"size": 227, "channels": "bgr", "mean": [104, 117, 123], "short_side": 256}),
    "mobilenet_v2_1.0": (19, {"size": 224, "mean": 127.5, "std": 127.5}),
}


def make_net(folder: Path, head: str = "SoftmaxOutput", outputs: int = 3) -> Checkpoint:
    """Save a small random network with a BatchNorm (so with auxiliary states) and three labels."""
    mx = import_mxnet()
    net = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), name="conv")
    net = mx.sym.Activation(mx.sym.BatchNorm(net, fix_gamma=False, name="bn"), act_type="relu")
    net = mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=outputs, name="fc")
    if head == "SoftmaxOutput":
        net = mx.sym.SoftmaxOutput(net, name="softmax")
    elif head == "softmax then flatten":
        net = mx.sym.Flatten(mx.sym.softmax(net))
    random = np.random.default_rng(1)
    shapes, _, states = net.infer_shape(data=(1, 3, SIZE, SIZE))
    weights = {
        name: mx.nd.array(random.normal(0, 0.3, shape))
        for name, shape in zip(net.list_arguments(), shapes, strict=True)
        if name not in ("data", "softmax_label")
    }
    # a variance must not be negative
    auxiliary = {
        name: mx.nd.array(random.uniform(0.5, 1, shape))
        for name, shape in zip(net.list_auxiliary_states(), states, strict=True)
    }
    mx.model.save_checkpoint(str(folder / "net"), 0, net, weights, auxiliary)
    (folder / "synset.txt").write_text("n1 apple\nn2 bear, beast\nn3 cat\n")
    (folder / "model.toml").write_text(f"[input]\nsize = {SIZE}\nmean = 127.5\nstd = 64\nshort_side = {SIZE}\n")
    return find_checkpoint(str(folder / "net"))


def by_module(checkpoint: Checkpoint, network_input: NDArray[np.float32], epoch: int = 0) -> NDArray[np.float32]:
    """What the tutorials' way gives: load_checkpoint and mx.mod.Module."""
    mx = import_mxnet()
    prefix = str(checkpoint.symbol).removesuffix("-symbol.json")
    symbol, weights, states = mx.model.load_checkpoint(prefix, epoch)
    module = mx.mod.Module(symbol, label_names=None)
    module.bind(for_training=False, data_shapes=[("data", network_input.shape)])
    module.set_params(weights, states, allow_missing=True)
    module.forward(mx.io.DataBatch([mx.nd.array(network_input)]), is_train=False)
    result: NDArray[np.float32] = module.get_outputs()[0].asnumpy()[0]
    return result


def test_the_best_labels_come_first(tmp_path: Path) -> None:
    classifier = open_classifier(make_net(tmp_path))
    predictions = classifier.classify(Frame(PICTURE, 0, 0.0))
    assert sorted(prediction.id for prediction in predictions) == ["n1", "n2", "n3"]
    assert [p.probability for p in predictions] == sorted((p.probability for p in predictions), reverse=True)
    assert sum(p.probability for p in predictions) == pytest.approx(1, abs=1e-5)
    assert {p.id: p.label for p in predictions}["n2"] == "bear"
    assert classifier.timing.preprocess_s > 0
    assert classifier.timing.inference_s > 0


def test_top_limits_how_many(tmp_path: Path) -> None:
    assert len(open_classifier(make_net(tmp_path), top=2).classify(Frame(PICTURE, 0, 0.0))) == 2


@pytest.mark.parametrize("head", ["SoftmaxOutput", "logits", "softmax then flatten"])
def test_softmax_is_added_only_where_the_network_lacks_it(tmp_path: Path, head: str) -> None:
    checkpoint = make_net(tmp_path, head)
    network_input = to_input(PICTURE, checkpoint.input)
    expected = by_module(checkpoint, network_input)
    if head == "logits":
        expected = (np.exp(expected) / np.exp(expected).sum()).astype(np.float32)
    classifier = MxnetClassifier(checkpoint, top=3)
    np.testing.assert_allclose(classifier.probabilities(network_input), expected, atol=1e-6)


def test_one_frame_does_not_leak_into_the_next(tmp_path: Path) -> None:
    classifier = open_classifier(make_net(tmp_path))
    first = classifier.classify(Frame(PICTURE, 0, 0.0))
    classifier.classify(Frame(np.invert(PICTURE), 1, 0.0))
    assert classifier.classify(Frame(PICTURE, 2, 0.0)) == first


def refusal(checkpoint: Checkpoint) -> str:
    with pytest.raises(ModelError) as caught:
        open_classifier(checkpoint)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_label_too_few_is_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path, outputs=4)
    assert "synset.txt has 3 labels, but the model has 4 outputs" in refusal(checkpoint)


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
def test_truncated_params_are_refused(tmp_path: Path, keep: float) -> None:
    checkpoint = make_net(tmp_path)
    whole = checkpoint.params.read_bytes()
    checkpoint.params.write_bytes(whole[: int(len(whole) * keep)])
    assert f"{checkpoint.params}: truncated, or not MXNet parameters" in refusal(checkpoint)


def test_a_layer_that_feeds_itself_is_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = json.loads(checkpoint.symbol.read_text())
    flatten = next(number for number, node in enumerate(graph["nodes"]) if node["op"] == "Flatten")
    graph["nodes"][flatten]["inputs"] = [[flatten, 0, 0]]
    graph["heads"] = [[flatten, 0, 0]]
    checkpoint.symbol.write_text(json.dumps(graph))
    assert "feeds itself" in refusal(checkpoint)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    mx = import_mxnet()
    checkpoint = make_net(tmp_path)
    arrays = mx.nd.load(str(checkpoint.params))
    arrays["arg:fc_bias"][0] = float("nan")
    mx.nd.save(str(checkpoint.params), arrays)
    assert "gives nan" in refusal(checkpoint)


def test_a_background_that_is_no_label_is_refused(tmp_path: Path) -> None:
    checkpoint = dataclasses.replace(make_net(tmp_path), background=frozenset({"bakground"}))
    assert "background id bakground of model.toml is not in" in refusal(checkpoint)


@pytest.mark.parametrize(
    "symbol", ["[" * 100_000, " ", "{", "[]", '{"nodes": [], "heads": [[0, 0, 0]]}', "null", "\x00\x01"]
)
def test_a_symbol_that_is_none_is_refused(tmp_path: Path, symbol: str) -> None:
    checkpoint = make_net(tmp_path)
    checkpoint.symbol.write_text(symbol)
    assert f"{checkpoint.symbol}: not an MXNet symbol file" in refusal(checkpoint)


def test_params_of_another_network_are_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = checkpoint.symbol.read_text()
    checkpoint.symbol.write_text(graph.replace('"conv_weight"', '"other_weight"'))
    assert "parameters are missing, the first is other_weight" in refusal(checkpoint)


def test_the_wrong_input_size_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = make_net(tmp_path)
    wrong = dataclasses.replace(checkpoint, input=InputSpec(size=16))
    assert "check the input size" in refusal(wrong)
    smaller_than_the_kernel = dataclasses.replace(checkpoint, input=InputSpec(size=1))
    assert "does not take an image of 1 x 1 pixels" in refusal(smaller_than_the_kernel)
    # MXNet prints too, which would spoil events and --json
    assert capsys.readouterr().out == ""


def test_a_network_of_two_outputs_is_no_classifier(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    graph = json.loads(checkpoint.symbol.read_text())
    graph["heads"].append([graph["heads"][0][0] - 2, 0, 0])
    checkpoint.symbol.write_text(json.dumps(graph))
    assert "a classifier has one output, this has 2" in refusal(checkpoint)


def test_the_weights_are_in_memory_once(tmp_path: Path) -> None:
    """What is bound lies where the file is mapped, except for what is small or read at each frame."""
    from edge.engines.mxnet import _bind
    from edge.importer.description import describe
    from edge.importer.params import open_params
    from edge.importer.symbol import read_symbol

    mx = import_mxnet()
    data = mx.sym.Convolution(mx.sym.var("data"), num_filter=256, kernel=(7, 7), name="conv")
    symbol = mx.sym.FullyConnected(mx.sym.Pooling(data, global_pool=True, pool_type="avg"), num_hidden=3, name="fc")
    shapes, _, _ = symbol.infer_shape(data=(1, 3, SIZE, SIZE))
    rng = np.random.default_rng(0)
    arrays = {
        f"arg:{name}": mx.nd.array(rng.normal(0, 0.1, shape))
        for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
        if name != "data"
    }
    checkpoint = make_net(tmp_path)
    symbol.save(str(checkpoint.symbol))
    mx.nd.save(str(checkpoint.params), arrays)
    stored = open_params(checkpoint.params)
    structure = read_symbol(checkpoint.symbol)
    executor, _ = _bind(mx, checkpoint, describe(checkpoint, structure, stored), stored)
    bound = executor.arg_dict["conv_weight"]
    place = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(bound.handle, ctypes.byref(place)))
    assert place.value == stored.arrays["arg:conv_weight"].ctypes.data


@pytest.mark.parametrize("name", TRAINED)
def test_trained_networks_know_the_photos(shared: Path, name: str) -> None:
    """And say the same as mx.mod.Module of the same input."""
    right, overrides = TRAINED[name]
    folder = shared / "checkpoints"
    checkpoint = find_checkpoint(str(folder / name / name), overrides, folder / "synset.txt")
    classifier = MxnetClassifier(checkpoint, top=5)
    correct = 0
    with (shared / "images" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        pixels = read_image(shared / "images" / row["file"])
        best = classifier.classify(Frame(pixels, number, 0.0))[0]
        correct += best.id in row["accepted_wnids"].split("|")
        if number % 5 == 0:
            network_input = to_input(pixels, checkpoint.input)
            expected = by_module(checkpoint, network_input)
            found = classifier.probabilities(network_input)
            assert np.argmax(found) == np.argmax(expected)
            np.testing.assert_allclose(found, expected, atol=1e-3)
    assert len(rows) == 20
    assert correct >= right


# Memory. WIDE has weights of 64 MiB in one layer.

WIDE = 4096


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    mx = import_mxnet()
    folder = tmp_path_factory.mktemp("wide")
    net = mx.sym.FullyConnected(mx.sym.Flatten(mx.sym.Variable("data")), num_hidden=WIDE, name="first")
    net = mx.sym.FullyConnected(mx.sym.Activation(net, act_type="relu"), num_hidden=WIDE, name="wide")
    net = mx.sym.softmax(mx.sym.FullyConnected(net, num_hidden=3, name="last"))
    shapes, _, _ = net.infer_shape(data=(1, 3, SIZE, SIZE))
    random = np.random.default_rng(1)
    weights = {
        name: mx.nd.array(random.standard_normal(shape, np.float32) / np.sqrt(shape[-1]))
        for name, shape in zip(net.list_arguments(), shapes, strict=True)
        if name != "data"
    }
    mx.model.save_checkpoint(str(folder / "wide"), 0, net, weights, {})
    (folder / "synset.txt").write_text("n1 apple\nn2 bear\nn3 cat\n")
    (folder / "model.toml").write_text(f"[input]\nsize = {SIZE}\nmean = 127.5\nstd = 64\nshort_side = {SIZE}\n")
    yield find_checkpoint(str(folder / "wide"))
    for path in folder.iterdir():
        path.unlink()


def pss_mib() -> float:
    """What this process takes, but for libraries: their share is smaller while other tests have them loaded too."""
    mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    own = "".join(mapping for mapping in mappings if ".so" not in mapping.partition("\n")[0])
    return sum(int(kib) for kib in re.findall(r"(?m)^Pss: +(\d+) kB", own)) / 1024


def test_large_weights_are_in_memory_once_and_go_at_close(tmp_path: Path, wide: Checkpoint) -> None:
    MxnetClassifier(make_net(tmp_path), top=1).close()
    before = pss_mib()
    for _ in range(3):
        classifier = MxnetClassifier(wide, top=1)
        classifier.classify(Frame(PICTURE, 0, 0.0))
        # 64 MiB of weights, as oneDNN likes them; the file's pages are gone
        assert 60 < pss_mib() - before < 100
        classifier.close()
        assert pss_mib() - before < 20
        classifier.close()


@pytest.mark.parametrize("what", ["truncated", "removed"])
def test_a_running_network_does_not_need_its_file(tmp_path: Path, wide: Checkpoint, what: str) -> None:
    params = tmp_path / "wide-0000.params"
    params.write_bytes(wide.params.read_bytes())
    classifier = MxnetClassifier(dataclasses.replace(wide, params=params), top=3)
    before = classifier.classify(Frame(PICTURE, 0, 0.0))
    if what == "truncated":
        os.truncate(params, 0)
    else:
        params.unlink()
    assert classifier.classify(Frame(PICTURE, 1, 0.0)) == before
    classifier.close()


@pytest.mark.parametrize("fused", [True, False])
def test_large_weights_compute_the_same_with_and_without_onednn(
    wide: Checkpoint, monkeypatch: pytest.MonkeyPatch, fused: bool
) -> None:
    """Without it, as MXNet is where oneDNN is not, the layers read the arrays themselves at each frame."""
    network_input = to_input(PICTURE, wide.input)
    expected = by_module(wide, network_input)
    if not fused:
        monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
    classifier = MxnetClassifier(wide, top=3)
    for _ in range(2):
        np.testing.assert_allclose(classifier.probabilities(network_input), expected, atol=1e-6)
    classifier.close()


STARVED = """
import resource, sys
from pathlib import Path
from edge.engines.mxnet import MxnetClassifier
from edge.errors import ModelError
from edge.models.checkpoint import find_checkpoint
small = MxnetClassifier(find_checkpoint(sys.argv[1]), top=1)  # MXNet has its threads now
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + (int(sys.argv[3]) << 20),) * 2)
try:
    MxnetClassifier(find_checkpoint(sys.argv[2]), top=1)
except ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("mib", [1, 40])
def test_too_little_memory_is_a_model_error(tmp_path: Path, wide: Checkpoint, mib: int) -> None:
    """1 MiB is not enough for a thread, 40 not for the weights."""
    small = make_net(tmp_path)
    run = [sys.executable, "-c", STARVED, small.prefix, wide.prefix, str(mib)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("model wide: there is not enough memory for it"), done.stderr
    assert done.stdout.count("\n") == 1


PEAK = """
import sys
from pathlib import Path
from edge.engines import open_classifier
from edge.engines.backend import Backend
from edge.models.checkpoint import find_checkpoint
import cv2
open_classifier(find_checkpoint(sys.argv[1]), backend=Backend(sys.argv[2]))
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""


@pytest.mark.parametrize(("name", "share"), [("inception-v3", 0.7), ("resnet-152", 0.6), ("vgg16", 0.6)])
def test_it_takes_less_memory_than_the_tutorials(tmp_path: Path, long: bool, name: str, share: float) -> None:
    """The largest resident memory of a process of its own."""
    if name != "inception-v3" and not long:
        pytest.skip("large: with --long")
    script = ROOT / "scripts" / "make_random_checkpoint.py"
    subprocess.run([sys.executable, script, name, "--out", tmp_path], capture_output=True, timeout=120, check=True)
    peak = {}
    for engine in ("mxnet", "module"):
        run = [sys.executable, "-c", PEAK, str(tmp_path / name), engine]
        peak[engine] = float(
            subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
        )
    (tmp_path / f"{name}-0000.params").unlink()
    assert peak["mxnet"] <= share * peak["module"], peak


def test_the_import_leaves_out_what_only_downloads() -> None:
    code = """
import sys
from edge.engines.mxnet_compat import import_mxnet
mx = import_mxnet()
print(sorted({"distutils", "requests", "setuptools", "ssl"} & set(sys.modules)))
try:
    print(callable(mx.gluon.utils.requests.get))
except ImportError:
    print("not installed")
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout in ("[]\nTrue\n", "[]\nnot installed\n")


# What a measurement asks.


def test_parameters_are_counted_with_the_states_of_batchnorm(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    # convolution 4 x 3 x 3 x 3 and 4, BatchNorm 4 times 4, fully connected 3 x (4 x 6 x 6) and 3
    expected = 108 + 4 + 16 + 432 + 3
    assert MxnetClassifier(checkpoint, top=1).parameters == expected
    assert ModuleClassifier(checkpoint, top=1).parameters == expected


@pytest.mark.parametrize("engine", ["mxnet", "module"])
def test_enqueueing_leaves_nothing_behind(tmp_path: Path, engine: str) -> None:
    checkpoint = make_net(tmp_path)
    classifier = open_classifier(checkpoint, top=3, backend=Backend(engine))
    before = classifier.classify(Frame(PICTURE, 0, 0.0))
    assert classifier.first_s > 0
    assert classifier.enqueue_s(to_input(np.invert(PICTURE), checkpoint.input)) > 0
    assert classifier.classify(Frame(PICTURE, 1, 0.0)) == before
    classifier.close()


@pytest.mark.parametrize("head", ["SoftmaxOutput", "logits"])
def test_the_tutorials_way_says_the_same(tmp_path: Path, head: str) -> None:
    checkpoint = make_net(tmp_path, head)
    network_input = to_input(PICTURE, checkpoint.input)
    module = open_classifier(checkpoint, backend=Backend("module"))
    assert isinstance(module, ModuleClassifier)
    expected = MxnetClassifier(checkpoint, top=3).probabilities(network_input)
    np.testing.assert_allclose(module.probabilities(network_input), expected, atol=1e-6)


def test_another_epoch_is_loaded_the_tutorials_way_too(tmp_path: Path) -> None:
    make_net(tmp_path)
    (tmp_path / "net-0000.params").rename(tmp_path / "net-0126.params")
    assert open_classifier(find_checkpoint(str(tmp_path / "net-0126.params")), backend=Backend("module")).parameters > 0


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    checkpoint = make_net(tmp_path)
    caffe = Backend("caffe")
    for refused in (lambda: open_classifier(checkpoint, caffe), lambda: engine_version(caffe)):
        with pytest.raises(ModelError, match="there is no engine caffe; known: mxnet, onnx, openvino, ncnn"):
            refused()
    assert "there is no engine caffe" in engine_problem("caffe")


def test_an_engine_tells_its_version_without_being_imported() -> None:
    code = (
        "import sys; from edge.engines import DEFAULT_BACKEND as mxnet, engine_problem, engine_version; "
        "print(engine_version(mxnet), engine_problem('mxnet') + engine_problem('module'), 'mxnet' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"mxnet {metadata.version('mxnet')}  False\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_found_by_name(tmp_path: Path, value: float) -> None:
    mx = import_mxnet()
    checkpoint = make_net(tmp_path)
    check_finite(checkpoint)
    arrays = mx.nd.load(str(checkpoint.params))
    arrays["aux:bn_moving_var"][2] = value
    for others in ({}, {"arg:unused": mx.nd.zeros(3, dtype="float16")}):
        mx.nd.save(str(checkpoint.params), {**arrays, **others})
        with pytest.raises(ModelError, match="aux:bn_moving_var holds nan or infinity"):
            check_finite(checkpoint)
    checkpoint.params.write_bytes(b"x")
    with pytest.raises(ModelError, match="truncated, or not MXNet parameters"):
        check_finite(checkpoint)


def test_arrays_without_names_are_refused(tmp_path: Path) -> None:
    mx = import_mxnet()
    checkpoint = make_net(tmp_path)
    mx.nd.save(str(checkpoint.params), [mx.nd.zeros(3)])
    assert "its arrays have no names" in refusal(checkpoint)
