"""Weights of other projects become checkpoints that say the same as those projects' own networks."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_references import pictures
from rigs.weights import Floats, reference, write_gluon, write_safetensors

from edge.engines import installed_engines, open_classifier
from edge.engines.backend import Backend
from edge.errors import ModelError
from edge.importer.params import Params
from edge.importer.symbol import read_symbol
from edge.installer.converter.convert import convert
from edge.installer.converter.networks import NETWORKS
from edge.installer.converter.structure import IMGCLSMOB, TIMM
from edge.models.catalogue import Source, load_catalogue
from edge.models.checkpoint import Checkpoint, InputSpec

pytestmark = pytest.mark.integration
LABELS = Path(str(resources.files("edge") / "data" / "imagenet.txt"))
NAMES = ("inception-v3", "vgg16", "resnet-152")
MOST = 1e-5
"""How far a score may be from the recorded one, as a share of the largest."""


def source_of(network: str, project: str) -> Source:
    """The one in the catalogue."""
    return next(source for source in load_catalogue()[network].sources if source.kind == project)


def scores(checkpoint: Checkpoint, engine: str) -> Floats:
    """What an engine's last layer gives for each of the recorded pictures."""
    from rigs.zoo import scores_of_mxnet

    inputs = pictures(checkpoint.input.size)
    if engine == "mxnet":
        return scores_of_mxnet(checkpoint, list(inputs))
    classifier = open_classifier(checkpoint, backend=Backend(engine))
    try:
        return np.array([classifier.scores(one[np.newaxis]) for one in inputs])  # type: ignore[attr-defined]
    finally:
        classifier.close()


def difference(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("project", [IMGCLSMOB, TIMM])
@pytest.mark.parametrize("network", NAMES)
def test_it_says_what_the_projects_own_network_says(network: str, project: str, tmp_path: Path, long: bool) -> None:
    if network != "inception-v3" and not long:
        pytest.skip("half a GB: scripts/test --long")
    recorded = reference(network, project)
    # of a picture that is another, another thing: else a wrong network could not be told from a right one
    assert difference(*recorded.outputs) > 1000 * MOST
    source = source_of(network, project)
    convert(project, source.name, recorded.write(project, tmp_path / "weights"), tmp_path / "net")
    (tmp_path / "weights").unlink()
    # without mean and std, for the recorded pictures are what goes into the network
    symbol, params = (tmp_path / f"net-{what}" for what in ("symbol.json", "0000.params"))
    checkpoint = Checkpoint("net", symbol, params, LABELS, InputSpec(source.input.size))
    for engine in installed_engines():
        assert difference(scores(checkpoint, engine), recorded.outputs) < MOST, engine


@pytest.mark.parametrize("project", [IMGCLSMOB, TIMM])
@pytest.mark.parametrize("network", NAMES)
def test_the_catalogue_has_the_preprocessing_and_every_layer(network: str, project: str) -> None:
    recorded, source = reference(network, project), source_of(network, project)
    structure = NETWORKS[source.name]()
    needed = {array.sources[project]: array.shape for array in structure.arrays}
    shapes = {name: tuple(shape) for name, shape in recorded.shapes().items()}
    assert set(needed) == set(shapes)
    flat = {
        name: shape if needed[name] == shape else (shape[0], int(np.prod(shape[1:]))) for name, shape in shapes.items()
    }
    assert flat == needed
    spec = source.input
    assert (spec.size, list(spec.mean), list(spec.std)) == tuple(recorded.table[key] for key in ("size", "mean", "std"))
    assert (spec.channels, spec.resize, spec.scaled_short_side) == ("rgb", "crop", round(spec.size / 0.875))


# ---- the structure, beside that of MXNet's own zoo

ZOO = {"inception_v3": "inception_v3", "vgg16": "vgg16", "resnet152_v1": "resnet152_v1"}
_DEFAULTS = {
    "Convolution": {"dilate": "(1, 1)", "layout": "NCHW", "num_group": "1"},
    "BatchNorm": {"axis": "1", "momentum": "0.9"},
    "Pooling": {"layout": "NCHW", "pad": "(0, 0)", "global_pool": "False"},
}


def layers(symbol: str, *, biased: bool) -> list[tuple[str, dict[str, str], list[int]]]:
    """The layers of a symbol in order: operator, attributes, and which layers feed it; -1 is the picture.

    Not `biased`: without the biases of 1 x 1 convolutions. Without Dropout, which is nothing once a network is trained.
    """
    found: list[tuple[str, dict[str, str], list[int]]] = []
    place: dict[int, int] = {}
    nodes = json.loads(symbol)["nodes"]
    for index, node in enumerate(nodes):
        if node["op"] == "null":
            if node["name"] == "data":
                place[index] = -1
            continue
        feeding = [place[source[0]] for source in node["inputs"] if source[0] in place]
        if node["op"] == "Dropout":
            place[index] = feeding[0]
            continue
        attributes = {**_DEFAULTS.get(node["op"], {}), **node.get("attrs", {})}
        if node["op"] == "Convolution" and attributes["kernel"] == "(1, 1)" and not biased:
            attributes["no_bias"] = "-"
        if attributes.get("pool_type") == "avg" and (
            attributes["kernel"] == "(8, 8)" or attributes["global_pool"] == "True"
        ):
            attributes = {"mean": "of all"}  # 8 x 8 is all that is left of 299
        place[index] = len(found)
        found.append((node["op"], attributes, feeding))
    return found


@pytest.mark.parametrize("network", ZOO)
def test_it_is_the_structure_of_the_zoo(network: str) -> None:
    from make_random_checkpoint import gluon

    from edge.engines.mxnet_compat import import_mxnet

    theirs = gluon(ZOO[network])(import_mxnet()).tojson()
    biased = network != "resnet152_v1"  # a bias before a BatchNorm is nothing that its mean could not be
    assert layers(NETWORKS[network]().symbol(), biased=biased) == layers(theirs, biased=biased)


def test_v1_5_halves_the_picture_one_layer_later() -> None:
    def halving(network: str) -> list[str]:
        nodes = json.loads(NETWORKS[network]().symbol())["nodes"]
        return [node["name"] for node in nodes if node.get("attrs", {}).get("stride") == "(2, 2)"]

    first, later = halving("resnet152_v1"), halving("resnet152_v1.5")
    assert first[:4] == ["conv1", "pool1", "layer2_0_conv1", "layer2_0_downsample_0"]
    assert later == [name.replace("_conv1", "_conv2") for name in first]


@pytest.mark.parametrize("network", NETWORKS)
def test_mxnet_and_the_importer_read_it_alike(network: str, tmp_path: Path) -> None:
    from edge.engines.mxnet_compat import import_mxnet

    mx = import_mxnet()
    structure = NETWORKS[network]()
    path = tmp_path / "net-symbol.json"
    path.write_text(structure.symbol())
    symbol = mx.sym.load(str(path))
    size = 299 if "inception" in network else 224
    shapes, outputs, states = symbol.infer_shape(data=(1, 3, size, size))
    inferred = dict(zip(symbol.list_arguments(), shapes, strict=True))
    inferred |= dict(zip(symbol.list_auxiliary_states(), states, strict=True))
    del inferred["data"]
    assert inferred == {array.name.partition(":")[2]: array.shape for array in structure.arrays}
    assert outputs == [(1, 1000)]
    auxiliary = {array.name.partition(":")[2] for array in structure.arrays if array.name.startswith("aux:")}
    assert auxiliary == set(symbol.list_auxiliary_states())
    assert len(read_symbol(path).nodes) == len(json.loads(structure.symbol())["nodes"])


# ---- what is refused


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Floats]:
    """A network of two layers, in the place of the large ones."""
    from edge.installer.converter.structure import Layer, Structure

    def network() -> Structure:
        net = Structure()
        x = net.convolution(net.data, Layer("conv", "features.conv"), 4, (3, 3))
        x = net.mean_of_all(net.relu(net.batch_norm(x, Layer("bn", "features.bn")), "relu"), "pool")
        net.fully_connected(x, Layer("fc", "output"), 4, 3)
        return net

    monkeypatch.setitem(NETWORKS, "tiny", network)
    random = np.random.RandomState(1)
    return {array.sources[TIMM]: random.uniform(0.5, 1, array.shape).astype(np.float32) for array in network().arrays}


def write(path: Path, arrays: dict[str, Floats], counters: dict[str, list[int]] | None = None) -> Path:
    write_safetensors(path, {name: array.shape for name, array in arrays.items()}, arrays.__getitem__, counters or {})
    return path


def test_what_was_only_for_training_is_left_out(tiny: dict[str, Floats], tmp_path: Path) -> None:
    tiny["AuxLogits.conv0.conv.weight"] = np.zeros((2, 2, 1, 1), np.float32)
    path = write(tmp_path / "weights", tiny, {"bn.num_batches_tracked": []})
    convert(TIMM, "tiny", path, tmp_path / "net")
    arrays = Params(tmp_path / "net-0000.params").arrays
    assert set(arrays) == {
        *("arg:conv_weight", "arg:bn_gamma", "arg:bn_beta", "aux:bn_moving_mean", "aux:bn_moving_var"),
        *("arg:fc_weight", "arg:fc_bias"),
    }
    assert np.array_equal(arrays["aux:bn_moving_var"], tiny["bn.running_var"])


def test_a_matrix_may_be_a_convolution(tiny: dict[str, Floats], tmp_path: Path) -> None:
    flat = tiny["fc.weight"]
    tiny["fc.weight"] = flat.reshape(3, 4, 1, 1)
    convert(TIMM, "tiny", write(tmp_path / "weights", tiny), tmp_path / "net")
    assert np.array_equal(Params(tmp_path / "net-0000.params").arrays["arg:fc_weight"], flat)


def test_mxnet_reads_back_what_was_written(tiny: dict[str, Floats], tmp_path: Path) -> None:
    from edge.engines.mxnet_compat import import_mxnet

    convert(TIMM, "tiny", write(tmp_path / "weights", tiny), tmp_path / "net")
    mx = import_mxnet()
    symbol, weights, states = mx.model.load_checkpoint(str(tmp_path / "net"), 0)
    assert np.array_equal(weights["conv_weight"].asnumpy(), tiny["conv.weight"])
    assert np.array_equal(states["bn_moving_mean"].asnumpy(), tiny["bn.running_mean"])
    mx.nd.save(str(tmp_path / "theirs"), {f"arg:{name}": array for name, array in weights.items()})
    arrays = {name: array.asnumpy() for name, array in weights.items()}
    write_gluon(
        tmp_path / "ours", {f"arg:{name}": one.shape for name, one in arrays.items()}, lambda name: arrays[name[4:]]
    )
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
    assert symbol.list_outputs() == ["fc_output"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda arrays: arrays.pop("bn.bias"), "bn.bias is missing"),
        (lambda arrays: arrays.update(more=np.zeros(3, np.float32)), "'more' is not a layer of tiny"),
        (lambda arrays: arrays.update({"fc.bias": np.zeros(4, np.float32)}), r"fc.bias has the shape \(4,\)"),
        (lambda arrays: arrays["conv.weight"].fill(np.nan), "holds nan"),
        (lambda arrays: arrays.update({"conv.weight": arrays["conv.weight"].reshape(4, 27)}), "has the shape"),
    ],
)
def test_another_networks_file_is_refused(tiny: dict[str, Floats], tmp_path: Path, change: Any, cause: str) -> None:
    change(tiny)
    with pytest.raises(ModelError, match=cause) as refused:
        convert(TIMM, "tiny", write(tmp_path / "weights", tiny), tmp_path / "net")
    assert str(refused.value).startswith(str(tmp_path / "weights"))
    assert "\n" not in str(refused.value)


def test_a_file_of_the_other_project_is_refused(tiny: dict[str, Floats], tmp_path: Path) -> None:
    write_gluon(tmp_path / "weights", {name: array.shape for name, array in tiny.items()}, tiny.__getitem__)
    with pytest.raises(ModelError, match="not safetensors"):
        convert(TIMM, "tiny", tmp_path / "weights", tmp_path / "net")
    with pytest.raises(ModelError, match=r"features\.conv\.weight is missing"):
        convert(IMGCLSMOB, "tiny", tmp_path / "weights", tmp_path / "net")
    with pytest.raises(ModelError, match="not MXNet parameters"):
        convert(IMGCLSMOB, "tiny", write(tmp_path / "other", tiny), tmp_path / "net")


def test_references_hold_what_the_script_makes() -> None:
    """Their names say which network, and which of its arrays are which."""
    for network in NAMES:
        for project in (IMGCLSMOB, TIMM):
            recorded = reference(network, project)
            assert recorded.outputs.shape == (2, 1000)
            assert re.match(r"(timm|gluoncv2) [\d.]+", recorded.table["made_with"])
