"""Which network really runs: chosen, checked, and exchanged."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rigs.boards import Board, write_board
from rigs.stores import DEMO, store_of, unexamined

from edge.config import load
from edge.engines import ENGINES, engine_for, engine_problem, engine_version, engines_for, import_problem
from edge.engines.backend import Backend
from edge.engines.measure import examine
from edge.errors import ModelError, NoModelFits
from edge.host.installation import how_to_get
from edge.host.machine import Machine
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.measurements import Measurement, Measurements
from edge.models.store import Store, look_into
from edge.selection.fallback import Fallback
from edge.selection.recovery import MOST_KILLS
from edge.selection.selector import ModelSelector

pytestmark = pytest.mark.integration
BOARD = Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(write_board(tmp_path / "root", BOARD))


class House:
    """A loader over the store of the test's user."""

    def __init__(self, machine: Machine, **model: Any) -> None:
        self.told: list[str] = []
        settings = load(
            environment={}, flags={"model": model, "speech": {"driver": "log"}, "camera": {"source": "demo"}}
        )
        self.selector = ModelSelector(settings, machine=machine, tell=self.told.append)

    def open(self) -> str:
        try:
            return self.selector.open().name
        finally:
            self.selector.close()


def data(tmp_path: Path) -> Path:
    """Where conftest.py has put this user's data."""
    return tmp_path / "xdg-data"


def test_the_most_accurate_that_fits_runs(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, large=700, middle=400, small=100)
    assert House(machine).open() == "middle"
    assert House(machine, memory_budget_mib=1000).open() == "large"
    assert House(machine, memory_budget_mib=200).open() == "small"
    with pytest.raises(NoModelFits, match="small: needs 142 MiB, 82 MiB too much"):
        House(machine, memory_budget_mib=60).open()


def test_a_named_one_is_bound_by_the_machine_and_by_what_is_set(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, large=700, huge=1400)
    assert House(machine, name="large").open() == "large"
    for model in ({"name": "large", "memory_budget_mib": 300}, {"name": "huge"}):
        with pytest.raises(NoModelFits, match=f"model {model['name']}: needs") as refused:
            House(machine, **model).open()
        assert "\n" not in str(refused.value)


def test_nothing_installed_is_the_demo(machine: Machine) -> None:
    house = House(machine)
    assert (house.open(), house.selector.fallback, house.told) == ("demo", None, [])


@pytest.mark.parametrize("damage", ["byte", "label", "answer", "manifest", "toml"])
def test_an_unsound_one_does_not_speak_and_the_next_does(tmp_path: Path, machine: Machine, damage: str) -> None:
    folder = data(tmp_path) / "edge" / "models"
    Store(folder).add(find_checkpoint("demo"), "best", lambda one: examine(one, Backend("mxnet"))[0], "a test")
    store_of(data(tmp_path), machine, next=90)
    best = folder / "best"
    toml = (best / "model.toml").read_text()
    (best / "model.toml").write_text(toml.replace("random_weights = false", "top1 = 0.9"))
    assert House(machine).open() == "best"
    if damage == "byte":
        path = best / "best-0000.params"
        content = bytearray(path.read_bytes())
        content[900_000] ^= 0x10
        path.write_bytes(content)
        cause = "was changed or damaged"
    elif damage == "label":
        path = best / "synset.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
        cause = "bytes and had"
    elif damage == "answer":
        table = json.loads((best / "manifest.json").read_text())
        table["answer"]["id"], table["answer"]["label"] = "n02121620", "cat"
        (best / "manifest.json").write_text(json.dumps(table))
        cause = "gave 'cat'"
    elif damage == "manifest":
        (best / "manifest.json").write_text("{")
        cause = "damaged"
    else:
        path = best / "model.toml"
        path.write_text(path.read_text().replace("127.5", "0.5"))
        cause = "its self-test fails: the test image gives"
    house = House(machine)
    assert house.open() == "next"
    assert cause in house.told[0]
    assert house.selector.fallback is Fallback.ANOTHER
    with pytest.raises(ModelError, match=cause):
        House(machine, name="best").open()


def test_what_is_wrong_with_the_named_one_is_told_once(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, mine=100)
    told: list[str] = []
    toml = data(tmp_path) / "edge" / "models" / "mine" / "model.toml"
    toml.write_text(toml.read_text().replace("size = 64", "size = 72"))
    with pytest.raises(ModelError, match="short_side = 64 is less than size = 72"):
        ModelSelector(load(environment={}, flags={"model": {"name": "mine"}}), machine=machine, tell=told.append)
    assert told == []


LOADING = """
import os, signal, sys
from edge.models.checkpoint import find_checkpoint
from edge.models.crash_marker import CrashMarker
with CrashMarker().loading(find_checkpoint(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_the_last_one_is_left_out_aloud(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    store_of(data(tmp_path), machine, large=400, small=100)
    subprocess.run([sys.executable, "-c", LOADING, "large"], check=False, timeout=60)
    house = House(machine)
    assert (house.open(), house.selector.fallback) == ("small", Fallback.SMALLER)
    assert "large is not used: loading it has killed edge before" in house.told[0]
    house.selector.crash_marker.forgive(find_checkpoint("large"))
    assert House(machine).open() == "large"


def test_where_there_is_no_other_it_is_tried_again_but_not_for_ever(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever killed it may be over; a service that is not tried again would be silent until somebody comes."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    store_of(data(tmp_path), machine, only=100)
    for name in ("auto", "only"):
        house = House(machine, name=name)
        assert (house.open(), house.told) == ("only", [])
    for kills in range(1, MOST_KILLS):
        subprocess.run([sys.executable, "-c", LOADING, "only"], check=False, timeout=60)
        for name in ("auto", "only"):
            house = House(machine, name=name)
            assert (house.open(), kills, house.selector.fallback) == ("only", kills, None)
            assert "has killed edge before" in house.told[0]
    subprocess.run([sys.executable, "-c", LOADING, "only"], check=False, timeout=60)
    for name in ("auto", "only"):
        with pytest.raises(NoModelFits, match="edge models measure only"):
            House(machine, name=name).open()


def test_down_and_up_again(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, large=400, middle=250, small=100)
    selector = House(machine).selector
    assert selector.open().name == "large"
    assert (selector.growth_mib(), selector.can_step_down()) == (None, True)
    assert selector.step_down().name == "middle"
    assert selector.step_down().name == "small"
    assert (selector.growth_mib(), selector.can_step_down()) == (150, False)
    assert selector.step_up().name == "middle"
    assert selector.step_up().name == "large"
    assert selector.growth_mib() is None
    selector.close()


def test_a_step_down_passes_over_what_is_damaged(tmp_path: Path, machine: Machine) -> None:
    store = store_of(data(tmp_path), machine, large=400, middle=250, small=100)
    house = House(machine)
    house.selector.open()
    (store / "middle" / "middle-0000.params").write_bytes(b"gone")
    assert house.selector.step_down().name == "small"
    assert "middle-0000.params" in house.told[0]
    house.selector.close()


def test_when_nothing_smaller_can_be_used_it_goes_on_with_what_ran(tmp_path: Path, machine: Machine) -> None:
    store = store_of(data(tmp_path), machine, large=400, small=100)
    selector = House(machine).selector
    selector.open()
    (store / "small" / "small-0000.params").write_bytes(b"gone")
    assert selector.step_down().name == "large"
    assert not selector.can_step_down()
    selector.close()


def test_a_named_one_may_step_down_too(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, large=400, small=100)
    selector = House(machine, name="large").selector
    selector.open()
    assert selector.step_down().name == "small"
    selector.close()


def test_a_guess_that_matters_is_measured_once(tmp_path: Path, machine: Machine) -> None:
    store = data(tmp_path) / "edge" / "models"
    Store(store).add(find_checkpoint("demo"), "net", unexamined, "a test")
    house = House(machine, memory_budget_mib=300)
    assert house.open() == "net"
    assert house.told == ["Measuring net on this machine; this is done once."]
    one = look_into(store / "net")
    identity = fingerprint(find_checkpoint("net"), one.digests)
    found = Measurements([store], machine.key).find(identity, engine_version(Backend("mxnet")))
    assert found is not None
    assert not found.estimated
    again = House(machine, memory_budget_mib=300)
    assert (again.open(), again.told) == ("net", [])
    # where even twice the guess would fit it does not matter
    (store / "measurements.json").unlink()
    roomy = House(machine, memory_budget_mib=640)
    assert (roomy.open(), roomy.told) == ("net", [])


def test_a_checkpoint_outside_of_the_store_runs_by_its_path(tmp_path: Path, machine: Machine) -> None:
    shutil.copytree(DEMO, tmp_path / "mine")
    (tmp_path / "mine" / "manifest.json").unlink()
    assert House(machine, name=str(tmp_path / "mine" / "demo")).open() == "demo"


def test_a_path_goes_before_a_stored_model_of_the_same_name(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once another engine serves: both become other options then."""
    store = store_of(data(tmp_path), machine, mine=300)
    folder = tmp_path / "other" / "mine"
    shutil.copytree(store / "mine", folder)
    broken(monkeypatch)
    house = House(machine, name=str(folder / "mine"))
    assert (house.open(), house.selector.option.engine) == ("mine", "onnx")
    assert house.selector.option.checkpoint.params.parent == folder


# ---- engines


def note(tmp_path: Path, machine: Machine, name: str, **figures: tuple[float, float]) -> None:
    """Let a network count as measured: peak and median by engine."""
    store = data(tmp_path) / "edge" / "models"
    identity = fingerprint(find_checkpoint(str(store / name)))
    for engine, (peak_mib, median_ms) in figures.items():
        measured = Measurement(peak_mib, 1.0, 10.0, median_ms, 6.0, 30)
        assert Measurements([store], machine.key).keep(identity, engine_version(Backend(engine)), measured)


def absent(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr("edge.engines.is_installed", lambda name: name not in packages)


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ModelError("MXNet cannot be imported: libarmpl_lp64_mp.so: no such file")

    for module in ("mxnet", "mxnet_compat"):
        monkeypatch.setattr(f"edge.engines.{module}.import_mxnet", fail)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_of_the_settings_runs_it(engine: str, machine: Machine) -> None:
    house = House(machine, engine=engine)
    assert house.open() == "demo"
    assert house.selector.description == f"demo, run by {engine}"
    assert house.selector.running == ("demo", engine)


def test_auto_takes_the_fastest_that_fits(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, one=300)
    note(tmp_path, machine, "one", mxnet=(240, 55), onnx=(190, 39), openvino=(330, 27), ncnn=(240, 60))
    for budget_mib, engine in ((1000, "openvino"), (300, "onnx")):
        house = House(machine, engine="auto", memory_budget_mib=budget_mib)
        house.open()
        assert (house.selector.option.engine, house.told) == (engine, [])
        (verdict,) = house.selector.verdicts
        assert verdict.candidate.engine == engine
    house = House(machine, engine="onnx", memory_budget_mib=1000)
    house.open()
    assert house.selector.option.engine == "onnx"
    with pytest.raises(NoModelFits, match="one: needs 232 MiB, 132 MiB too much"):
        House(machine, engine="auto", memory_budget_mib=100).open()


def test_a_network_that_fits_with_another_engine_only_is_chosen_with_auto(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, large=700, small=100)
    note(tmp_path, machine, "large", onnx=(300, 20), openvino=(900, 10), ncnn=(800, 15))
    note(tmp_path, machine, "small", onnx=(90, 2), openvino=(130, 1), ncnn=(95, 2))
    assert House(machine, memory_budget_mib=400).open() == "small"
    house = House(machine, memory_budget_mib=400, engine="auto")
    assert house.open() == "large"
    assert house.selector.running == ("large", "onnx")
    house.selector.step_down()
    assert house.selector.running == ("small", "openvino")
    house.selector.close()


def test_auto_measures_what_was_not_measured_once(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, one=300)
    house = House(machine, engine="auto", memory_budget_mib=1000)
    house.open()
    assert [line for line in house.told if "Measuring" in line] == [
        f"Measuring one on this machine with {engine}; this is done once." for engine in ENGINES[1:]
    ]
    assert set(house.selector.option.measured) == set(ENGINES)
    times = {engine: one.median_ms for engine, one in house.selector.option.measured.items()}
    assert house.selector.option.engine == min(times, key=lambda engine: times[engine])
    again = House(machine, engine="auto", memory_budget_mib=1000)
    again.open()
    assert again.told == []
    assert again.selector.option.engine == house.selector.option.engine


def test_an_engine_that_cannot_run_a_network_is_left_out_with_auto(tmp_path: Path, machine: Machine) -> None:
    store_of(data(tmp_path), machine, one=300)
    symbol = data(tmp_path) / "edge" / "models" / "one" / "one-symbol.json"
    table = json.loads(symbol.read_text())
    head = table["nodes"][-1]
    assert head["op"] == "softmax"
    # what MXNet knows and the importer does not
    head["attrs"] = {"dtype": "float64"}
    symbol.write_text(json.dumps(table))
    note(tmp_path, machine, "one", mxnet=(200, 10))
    house = House(machine, engine="auto", memory_budget_mib=1000)
    assert house.open() == "one"
    assert house.selector.option.engine == "mxnet"
    assert len([line for line in house.told if "dtype = 'float64' is not supported" in line]) == len(ENGINES[1:])
    with pytest.raises(ModelError, match=r"dtype = 'float64' is not supported"):
        House(machine, engine="onnx").open()


def test_another_serves_where_mxnet_is_not_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "mxnet")
    house = House(machine)
    assert house.open() == "demo"
    assert house.selector.option.engine == "onnx"
    assert house.told == [
        "onnx runs the models: mxnet is not installed; run ./scripts/run, which installs it.",
    ]
    absent(monkeypatch, "mxnet", "onnxruntime")
    assert engines_for("mxnet")[0] == ["openvino"]
    assert engines_for("auto") == (["openvino", "ncnn"], "")
    absent(monkeypatch, "mxnet", "onnxruntime", "openvino", "ncnn")
    assert engines_for("mxnet") == engines_for("auto") == (["mxnet"], "")
    assert engine_problem("mxnet") == "mxnet is not installed; run ./scripts/run, which installs it"
    assert engine_problem("openvino") == f"openvino is not installed; {how_to_get('openvino')}"


def test_who_names_another_engine_gets_that_or_hears_why_not(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot be imported: .*; `.*`"):
        House(machine, engine="onnx").open()
    assert "run ./scripts/run" in import_problem("onnx")
    assert import_problem("openvino") == ""
    assert "there is no engine caffe" in import_problem("caffe")


def test_another_serves_where_mxnet_cannot_be_imported(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(data(tmp_path), machine, one=300)
    note(tmp_path, machine, "one", onnx=(190, 39))
    broken(monkeypatch)
    house = House(machine)
    assert house.open() == "one"
    assert house.selector.option.engine == "onnx"
    assert house.told == [
        "onnx runs the models: MXNet cannot be imported: libarmpl_lp64_mp.so: no such file.",
    ]
    told: list[str] = []
    assert engine_for("mxnet", told.append) == "onnx"
    assert told == house.told
    assert engine_for("openvino", told.append) == "openvino"
    assert len(told) == 1
