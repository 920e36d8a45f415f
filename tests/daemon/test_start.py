"""What a daemon imports that starts with a model of its store: what is not needed costs time and memory on a Pi."""

import subprocess
import sys
from pathlib import Path

import pytest
from rigs.boards import Board, write_board
from rigs.stores import store_of

from edge.engines import engine_problem
from edge.host.machine import Machine

pytestmark = pytest.mark.integration
UNNEEDED = (
    *("edge.daemon.upgrade", "edge.installer.converter", "edge.installer.install", "edge.installer.packaged"),
    *("edge.importer.builder", "edge.importer.operators", "edge.importer.translate", "edge.quantizer"),
    *("edge.cameras.http", "edge.cli.compare", "edge.cli.keys", "edge.cli.link", "edge.cli.speech", "edge.link"),
    *("http", "importlib.metadata", "ssl", "statistics"),
)
RUN = """
import sys
from edge.cli import main
code = main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that `edge run --frames 1` has imported when it ends."""
    command = [sys.executable, "-c", RUN, "run", "--frames", "1", "--camera", "demo", "--speech", "log", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Model: mine, run by" in done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("engine", ["mxnet", "onnx"])
def test_a_stored_model_starts_without_what_makes_models(tmp_path: Path, engine: str) -> None:
    if problem := engine_problem(engine):
        pytest.skip(problem)
    store_of(tmp_path / "xdg-data", Machine(write_board(tmp_path / "root", Board("a board", 1900, 1500))), mine=100)
    model = ("--model", "mine", "--engine", engine)
    imported(*model)  # asks the engines about it, and makes the graph
    found = imported(*model)
    assert "edge.engines.classifier" in found
    assert not [name for name in found if name.startswith(UNNEEDED)]


@pytest.mark.parametrize(
    ("driver", "unneeded"),
    [
        ("edge.speech.pyttsx3, pyttsx3.drivers.espeak", "numpy cv2 edge.settings ssl"),
        ("edge.speech.espeak", "numpy cv2 edge.settings ssl"),
        ("edge.cameras.child, edge.cameras.opencv", "edge.daemon edge.models edge.engines http ssl"),
    ],
)
def test_a_child_loads_only_what_it_needs(driver: str, unneeded: str) -> None:
    code = f"import sys, edge.worker, {driver}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(unneeded.split()) & set(done.stdout.split())
