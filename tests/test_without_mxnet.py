"""edge where there is no MXNet: one that cannot be imported, and a Python 3.13 that has never had it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rigs import bases, booted
from rigs.daemon import daemon, read_events
from rigs.stores import DEMO

from edge.engines import ENGINES

KNOWN = DEMO.parent / "known.png"
OTHERS = ENGINES[1:]
_PACKAGES = {
    "onnx": ("onnxruntime", "flatbuffers", "packaging", "protobuf"),
    "openvino": ("openvino", "openvino-telemetry"),
}


@pytest.fixture
def no_mxnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed under this name cannot be imported, as on a Pi whose wheel was not mended."""
    folder = tmp_path / "path" / "mxnet"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise OSError('libarmpl_lp64_mp.so: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))


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
@pytest.mark.usefixtures("no_mxnet")
def test_the_commands_work() -> None:
    def edge(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    (classified,) = json.loads(edge("classify", KNOWN, "--json").stdout)
    assert (classified["engine"], classified["predictions"][0]["label"]) == ("onnx", "guitar")
    compared = edge("compare", KNOWN, "--json")
    assert json.loads(compared.stdout)[0]["models"]["demo"]["engine"] == "onnx"
    assert compared.stderr.count("onnx runs the models") == len(compared.stderr.splitlines()) == 1
    found = json.loads(edge("doctor", "--json").stdout)
    (broken,) = (one for one in found if one["check"] == "mxnet")
    assert broken["grade"] == "warning"
    assert "onnxruntime" in broken["text"]


@pytest.mark.system
@pytest.mark.parametrize("engine", OTHERS)
def test_a_python_that_never_had_it(engine: str, tmp_path: Path, long: bool) -> None:
    """Debian 13 with Python 3.13; edge and only what `edge[ENGINE]` names, from wheels."""
    if not long:
        pytest.skip("makes a Debian 13: with --long")
    if why := booted.why_not():
        pytest.skip(why)
    root = bases.base("trixie")
    place = root / "mnt" / "without-mxnet"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        bases.install_into(place, "trixie", "numpy", "opencv-python", "pyttsx3", *_PACKAGES[engine])
        bases.install_into(place, "trixie", str(bases.wheel(tmp_path)))
        assert not (place / "mxnet").exists()
        for name, arguments in {
            "classify": ("classify", "/mnt/without-mxnet/edge/data/known.png", "--json"),
            "run": ("run", "--camera", "demo", "--speech", "log", "--frames", "30"),
            "add": (
                "models",
                "add",
                "/mnt/without-mxnet/edge/data/demo/demo",
                "--name",
                "mine",
                "--store",
                "/tmp/store",
            ),
            "bench": ("bench", "--frames", "3", "--json"),
        }.items():
            done = _in_the_root(root, *arguments)
            assert done.returncode == 0, (name, done.stdout, done.stderr)
            if name == "classify":
                (found,) = json.loads(done.stdout)
                assert (found["engine"], found["predictions"][0]["label"]) == (engine, "guitar")
                assert found["predictions"][0]["probability"] > 0.99
                assert done.stderr.splitlines() == [
                    f"{engine} runs the models: mxnet is not installed; run ./scripts/run, which installs it."
                ]
            elif name == "run":
                assert f"Model: demo, run by {engine}." in done.stdout
            elif name == "bench":
                (row,) = json.loads(done.stdout)["rows"]
                assert (row["engine"], row["problem"]) == (engine, "")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _in_the_root(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # the system's own Python, which knows nothing of the environment with MXNet; what it mounts ends with it
    mounts = "mount -t proc proc /proc; mount -t sysfs -o ro sysfs /sys; mount -t tmpfs tmpfs /tmp"
    inside = f'{mounts}; exec python3 -m edge "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "chroot", str(root), "sh", "-c", inside, "sh"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/mnt/without-mxnet", "HOME": "/tmp", "LANG": "C.UTF-8"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
