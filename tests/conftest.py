"""What all tests share: the --long option, the folder of big test data, and the bundled demo."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rigs import booted
from rigs.systemd import Listener

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="repeat each fault as often as the acceptance lists ask")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the booted machines are made of takes a minute or two: it is made while the other tests run."""
    items = [item for item in session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    names = {str(item.callspec.params["release"]) for item in items if "release" in item.callspec.params}
    if names and not session.config.option.collectonly and not booted.why_not():
        booted.prepare(sorted(names))


def pytest_sessionfinish() -> None:
    booted.end_preparing()


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether to repeat faults in the acceptance's numbers instead of a few times."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def shared() -> Path:
    """The folder of real checkpoints and photos beside the project, where it exists."""
    if not (SHARED / "checkpoints").is_dir():
        pytest.skip("needs ../shared with its checkpoints and photos")
    return SHARED


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """What systemd is told by this process and those it starts."""
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Tests must not see what the person who runs them has set or stored, nor a daemon of theirs."""
    for name in os.environ:
        if name.startswith("EDGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    # the path of a socket may have 107 bytes, which a test's own folder may exceed
    with tempfile.TemporaryDirectory(prefix="edge-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield
