"""edge where there is no MXNet: one that cannot be imported, and a Python 3.13 that has never had it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rigs import bases, booted
from rigs.daemon import daemon, read_events
from rigs.http import serving
from rigs.sources import catalogue_toml, digest, published
from rigs.stores import DEMO, write_scenes
from rigs.weights import reference

from edge.engines import INT8_ENGINES
from edge.models.catalogue import CONVERTED, load_catalogue

KNOWN = DEMO.parent / "known.png"
ABSENT = "mxnet is not installed; run ./scripts/run, which installs it."
_PACKAGES = {
    "onnx": ("onnxruntime", "flatbuffers", "packaging", "protobuf"),
    "openvino": ("openvino", "openvino-telemetry"),
}
# what edge[quantize] names, in a folder of its own
_TOOLS = ("onnx", "ml-dtypes", "typing-extensions", *_PACKAGES["onnx"])
# those whose Python is not the tests' own
_MACHINES = [name for name in os.environ.get("EDGE_TEST_MACHINES", "trixie").split() if name.startswith("trixie")]
_PI_4 = """processor\t: {}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
# those of a Pi 4 and of a Pi 5
_PROCESSORS = {"onnx": "cortex-a72", "openvino": "cortex-a76"}


def broken(place: Path, name: str, error: str) -> None:
    """Put a package of this name there that cannot be imported."""
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text(f"raise {error}\n")


@pytest.fixture
def no_mxnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is installed under this name cannot be imported, as on a Pi whose wheel was not mended."""
    broken(tmp_path / "path", "mxnet", "OSError('libarmpl_lp64_mp.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    return tmp_path / "path"


@pytest.mark.integration
@pytest.mark.usefixtures("no_mxnet")
def test_the_daemon_says_so_in_one_line_and_runs(tmp_path: Path) -> None:
    events = tmp_path / "events"
    with daemon(tmp_path, "--events", str(events), "--frames", "3") as child:
        said = child.communicate(timeout=60)[0]
    lines = [line for line in said.splitlines() if "libarmpl" in line]
    assert len(lines) == 1, said
    assert lines[0].startswith("onnx runs the models: MXNet cannot be imported: libarmpl_lp64_mp.so")
    assert "Model: demo, run by onnx." in said
    (ready,) = (event for event in read_events(events) if event["event"] == "ready")
    assert (ready["model"], ready["engine"]) == ("demo", "onnx")


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind", [CONVERTED[0], *(pytest.param(kind, marks=pytest.mark.long) for kind in CONVERTED[1:])]
)
def test_inception_v3_is_fetched_and_converted(kind: str, no_mxnet: Path, tmp_path: Path, *, long: bool) -> None:
    """Neither MXNet nor PyTorch is needed for what imgclsmob and timm publish; with --long all other engines say so."""
    for engine in () if long else ("openvino", "ncnn"):
        broken(no_mxnet, engine, "ImportError('it was not asked for')")
    store = tmp_path / "store"
    store.mkdir()
    (source,) = (one for one in load_catalogue()["inception-v3"].sources if one.kind == kind)
    weights = reference("inception-v3", kind).write(kind, tmp_path / "weights").read_bytes()
    with serving(published(source, weights)) as server:
        text = catalogue_toml(load_catalogue()["inception-v3"], {kind: [server.url]}, {kind: digest(kind, weights)})
        (store / "catalogue.toml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "edge", "models", "fetch", "inception-v3", "--store", str(store)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((store / "inception-v3" / "manifest.json").read_text())
    assert manifest["answer"]["engine"] == "onnx"
    assert manifest["licence"] == source.licence
    shutil.rmtree(store)


@pytest.mark.integration
@pytest.mark.usefixtures("no_mxnet")
def test_the_commands_work() -> None:
    def edge(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    (classified,) = json.loads(edge("classify", "--model", "demo", KNOWN, "--json").stdout)
    assert (classified["engine"], classified["predictions"][0]["label"]) == ("onnx", "guitar")
    compared = edge("compare", KNOWN, "--json")
    assert json.loads(compared.stdout)[0]["models"]["demo"]["engine"] == "onnx"
    assert compared.stderr.count("onnx runs the models") == len(compared.stderr.splitlines()) == 1
    found = json.loads(edge("doctor", "--json").stdout)
    (broken,) = (one for one in found if one["check"] == "mxnet")
    assert broken["grade"] == "warning"
    assert "onnxruntime" in broken["text"]


class Machine:
    """A Debian 13 with Python 3.13, and in it edge with only what `edge[ENGINE]` names, from wheels."""

    INSIDE = Path("/mnt/without-mxnet")

    def __init__(self, name: str, engine: str, scratch: Path) -> None:
        self._root = bases.base(name)
        self.place = self._root / self.INSIDE.relative_to("/")
        self.remove()
        for folder in ("packages", "tools", "pictures"):
            (self.place / folder).mkdir(parents=True)
        # the base has the same packages in the environment of a deployment, with mxnet: that is not asked
        wanted = ("numpy", "opencv-python", "pyttsx3", *_PACKAGES[engine])
        bases.install_into(self.place / "packages", name, *wanted)
        bases.install_into(self.place / "packages", name, str(bases.wheel(scratch)))
        bases.install_into(self.place / "tools", name, *_TOOLS)
        assert not list(self.place.glob("*/mxnet"))
        self._engine, self.emulated = engine, bool(bases.parts_of(name)[2])
        # with the one of this machine, which is of another kind, ONNX Runtime crashes while it is imported
        (self.place / "cpuinfo").write_text("\n".join(_PI_4.format(core) for core in range(2)))

    def remove(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def edge(
        self, *arguments: object, tools: bool = False, code: int = 0, processor: str = ""
    ) -> tuple[str, list[str]]:
        """Run a command that must end with `code`; return what it prints, and the lines of its standard error."""
        # what it mounts ends with it
        mounts = "mount -t proc proc /proc; mount -t sysfs -o ro sysfs /sys; mount -t tmpfs tmpfs /tmp"
        if self.emulated:
            mounts += f"; mount --bind {self.INSIDE}/cpuinfo /proc/cpuinfo"
        inside = f'{mounts}; exec python3 -m edge "$@"'
        command = ["unshare", "--mount", "--propagation", "private", "chroot", str(self._root)]
        command += ["sh", "-c", inside, "sh", *map(str, arguments)]
        path = [self.INSIDE / "packages", *([self.INSIDE / "tools"] if tools else [])]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONPYCACHEPREFIX": str(self.INSIDE / "bytecode"),
            "HOME": str(self.INSIDE / "home"),
            "LANG": "C.UTF-8",
            "QEMU_CPU": processor or _PROCESSORS[self._engine],
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, env=environment)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout, done.stderr.splitlines()

    def json(self, *arguments: object, tools: bool = False, code: int = 0) -> Any:
        return json.loads(self.edge(*arguments, "--json", tools=tools, code=code)[0])


@pytest.mark.root
@pytest.mark.system
@pytest.mark.parametrize("name", _MACHINES)
@pytest.mark.parametrize("engine", INT8_ENGINES)
def test_a_python_that_never_had_it(name: str, engine: str, tmp_path: Path, long: bool) -> None:
    """All that there is to do with networks, in float and then in int8."""
    if not long:
        pytest.skip("makes a Debian 13: with --long")
    if why := booted.why_not():
        pytest.skip(why)
    machine = Machine(name, engine, tmp_path)
    try:
        write_scenes(machine.place / "pictures")
        _do_all_in_float(machine, engine)
        _do_all_in_int8(machine, engine)
    finally:
        machine.remove()


def _do_all_in_float(machine: Machine, engine: str) -> None:
    data = machine.INSIDE / "packages" / "edge" / "data"
    said, complaints = machine.edge("classify", data / "known.png", "--json")
    (found,) = json.loads(said)
    assert (found["engine"], found["predictions"][0]["label"]) == (engine, "guitar")
    assert found["predictions"][0]["probability"] > 0.99
    # which an emulated processor does not have
    complaints = [line for line in complaints if "MIDR_EL1" not in line]
    assert complaints == [f"{engine} runs the models: {ABSENT}"]

    said, _ = machine.edge("run", "--camera", "demo", "--speech", "log", "--frames", "30")
    assert f"Model: demo, run by {engine}." in said

    machine.edge("models", "add", data / "demo" / "demo", "--name", "mine")
    machine.edge("models", "verify", "mine")
    (row,) = machine.json("models", "measure", "mine")["rows"]
    assert (row["engine"], row["problem"]) == (engine, "")
    assert machine.json("models", "choose")["chosen"] == "mine"
    (row,) = machine.json("bench", "--models", "mine", "--frames", "3")["rows"]
    assert (row["engine"], row["problem"]) == (engine, "")
    (compared,) = machine.json("compare", data / "known.png", "--models", "mine")
    assert compared["models"]["mine"]["predictions"][0]["label"] == "guitar"
    graded = {one["check"]: one["grade"] for one in machine.json("doctor", code=1)}
    # but there is no sound card
    assert {check for check, grade in graded.items() if grade == "fault"} == {"sound"}


def _do_all_in_int8(machine: Machine, engine: str) -> None:
    pictures = machine.INSIDE / "pictures"
    made = machine.json("models", "quantize", "mine", "--images", pictures, tools=True)
    assert made["passes"]
    # the tools bring ONNX Runtime, which judges then too
    assert set(made["figures"]) == {engine, "onnx"}
    print(engine, made["figures"])
    # without the tools from here on
    said, _ = machine.edge(
        *("run", "--camera", "demo", "--speech", "log", "--frames", "30"),
        *("--model", "mine", "--precision", "int8", "--engine", engine),
    )
    assert f"Model: mine, run by {engine} int8" in said
    rows = machine.json("models", "measure", "mine")["rows"]
    assert [(row["engine"], row["problem"]) for row in rows] == [(engine, ""), (f"{engine} int8", "")]
    known = machine.INSIDE / "packages" / "edge" / "data" / "known.png"
    (found,) = machine.json("classify", known, "--model", "mine", "--precision", "int8", "--engine", "auto")
    assert (found["engine"], found["predictions"][0]["label"]) == (f"{engine} int8", "guitar")
    if machine.emulated and engine == "openvino":
        arguments = ("classify", known, "--model", "mine", "--precision", "int8", "--engine", engine)
        (line,) = (one for one in machine.edge(*arguments, code=78, processor="cortex-a72")[1] if "MIDR_EL1" not in one)
        assert "OpenVINO cannot run its int8 version on this processor" in line
