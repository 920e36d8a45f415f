"""What all tests share: the --long option, the folder of big test data, and the bundled demo."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rigs import bases, booted
from rigs.audio.card import RecordingCard
from rigs.systemd import Listener

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="repeat each fault as often as the acceptance lists ask")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The machines of tests that ask for a base with what edge needs (`debian`), or for a fresh one (`fresh`).

    The older Debian; the newer one too with --long; or those that EDGE_TEST_MACHINES names: bookworm-arm64.
    """
    releases = ["bookworm", "trixie"] if metafunc.config.getoption("--long") else ["bookworm"]
    releases = os.environ.get("EDGE_TEST_MACHINES", "").split() or releases
    if "debian" in metafunc.fixturenames:
        metafunc.parametrize("debian", releases, scope="module")
    if "fresh" in metafunc.fixturenames:
        metafunc.parametrize("fresh", [f"fresh-{name}" for name in releases], scope="module")


def _bases_of(item: pytest.Item) -> set[str]:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return {str(parameters[name]) for name in ("debian", "fresh") if name in parameters}


@pytest.hookimpl(tryfirst=True)  # -m is to see the marks of this
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is only for --long, or only for root; let the tests in booted machines, which need root, come last."""
    for item in items:
        if _bases_of(item):
            item.add_marker(pytest.mark.root)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: sudo ./scripts/test"))
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="only with ./scripts/test --long"))
    items.sort(key=lambda item: bool(_bases_of(item)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the booted machines are made of takes a minute or two: it is made while the other tests run."""
    names = sorted({name for item in session.items for name in _bases_of(item)})
    if names and not session.config.option.collectonly and not booted.why_not():
        bases.prepare(names)


@pytest.fixture(scope="module", autouse=True)
def _nothing_older_is_searched_for_garbage() -> None:
    """Each close of a network collects garbage. What pytest and the libraries hold is no garbage of a network's.

    To search it took more than half of the processor time of tests that open small networks.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    bases.end_preparing()


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
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
def card(tmp_path: Path) -> RecordingCard:
    """A sound card that records what is played."""
    folder = tmp_path / "card"
    folder.mkdir()
    return RecordingCard(folder)


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


@pytest.fixture
def wake_word_tools() -> None:
    """Skip where the wake word's package, or a program that its tests need, is missing."""
    for tool in ("arecord", "espeak-ng"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    pytest.importorskip("pymicro_wakeword")
