"""scripts/lanes.py: every test runs once, one report over all of them, and an end of all by one signal."""

import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import lanes
import places
import pytest
from rigs.processes import PATIENCE_S, wait_until

RUN = """
import contextlib, sys
from pathlib import Path
import lanes, places
places.ROOT = Path(sys.argv[1])
# also for root: one place alone, where all of its files are tried
lanes.places = lambda: contextlib.nullcontext([places.here()])
lanes.GRACE_S = float(sys.argv[2])
lanes.FILES = {"first": ["test_first.py"]}
lanes.TYPES = ["-c", ""]
sys.exit(lanes.main(sys.argv[3:]))
"""


def project(folder: Path, **files: str) -> Path:
    """A project with a file of tests for each text."""
    (folder / "tests").mkdir(parents=True)
    (folder / "setup.cfg").write_text("[tool:pytest]\n")
    for name, text in files.items():
        (folder / "tests" / f"test_{name}.py").write_text(textwrap.dedent(text))
    return folder


def start(folder: Path, *options: str, grace_s: float = 60) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(grace_s), *options],
        env={
            **os.environ,
            "PYTHONPATH": str(places.ROOT / "scripts"),
            # the plugins of our own tests: to load them takes most of the time
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # what is killed leaves its reports
            "TMPDIR": str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(folder: Path, *options: str) -> tuple[int, list[str]]:
    """Return (exit code, the printed lines)."""
    with start(folder, *options) as child:
        told, _ = child.communicate(timeout=PATIENCE_S)
    return child.returncode, told.splitlines()


def test_every_file_of_tests_is_in_one_lane(tmp_path: Path) -> None:
    tests = places.ROOT / "tests"
    there = sorted(str(path.relative_to(tests)) for path in tests.rglob("test_*.py"))
    for files in (lanes.FILES, lanes.ROOT_FILES):
        named = [name for names in files.values() for name in names]
        # a name is a file or a folder
        assert len(set(named)) == len(named)
        assert all(any(path == name or path.startswith(f"{name}/") for path in there) for name in named)
    chosen = {name: command.arguments for name, command in lanes.pytests([places.here()], tmp_path, []).items()}
    for path in there:
        parents = {f"tests/{path}", *(f"tests/{one}" for one in Path(path).parents), "tests"}
        in_lanes = [
            name
            for name, words in chosen.items()
            if parents & set(words) and not {f"--ignore={one}" for one in parents} & set(words)
        ]
        assert len(in_lanes) == 1, (path, in_lanes)


def test_root_runs_each_test_once_as_one_user(tmp_path: Path) -> None:
    commands: dict[str, lanes.Command] = {}
    for number, marker in enumerate(("not root", "root")):
        (tmp_path / str(number)).mkdir()
        commands |= lanes._lanes(places.here(), tmp_path / str(number), [], marker)
    markers = {name: command.arguments[-command.arguments[::-1].index("-m")] for name, command in commands.items()}
    assert markers == {
        **dict.fromkeys((*lanes.FILES, lanes.REST), "not root"),
        **dict.fromkeys((*lanes.ROOT_FILES, lanes.ROOT_REST), "root"),
    }


def test_one_report_over_all_lanes(tmp_path: Path) -> None:
    skipping = """
        import pytest
        @pytest.mark.parametrize("number", [1, 2])
        def test_skipped(number):
            pytest.skip("no camera")
        def test_well():
            print("nobody wants to know")
    """
    code, told = finished(project(tmp_path, first="def test_a(): pass\ndef test_b(): pass", second=skipping))
    assert code == 0, told
    assert [line for line in told if line.startswith("SKIPPED")] == [
        "SKIPPED tests/test_second.py:5: no camera (2 times)"
    ]
    assert told[-1].startswith("3 passed, 2 skipped in ")
    assert told[-1].endswith("all is well")
    assert "nobody wants to know" not in "\n".join(told)


def test_whatever_fails_is_told_and_is_the_exit_code(tmp_path: Path) -> None:
    failing = """
        import pytest
        @pytest.fixture
        def broken():
            yield
            raise OSError("torn")
        class TestGroup:
            def test_one(self, broken):
                assert 1 + 1 == 3
        @pytest.mark.xfail(strict=True)
        def test_known():
            assert not "known"
    """
    code, told = finished(project(tmp_path, first="def test_a(): pass", second=failing))
    assert code == 1
    listed = [line for line in told if line.startswith(("FAILED", "ERROR", "XFAIL"))]
    assert [line.partition(" - ")[0] for line in listed] == [
        "XFAIL tests/test_second.py::test_known",
        "ERROR tests/test_second.py::TestGroup::test_one",
        "FAILED tests/test_second.py::TestGroup::test_one",
    ]
    assert "1 errors, 1 failed, 1 passed, 1 xfailed in " in told[-1]
    assert told[-1].endswith("rest ended with 1")
    assert any(line.startswith("E ") and "assert (1 + 1) == 3" in line for line in told)


def test_a_lane_that_dies_or_has_no_tests_is_a_failure(tmp_path: Path) -> None:
    dying = "import os\ndef test_a(): os.kill(os.getpid(), 9)"
    code, told = finished(project(tmp_path / "dying", first="def test_a(): pass", second=dying))
    assert code == 1
    assert any(line.startswith("ERROR the rest lane has no report") for line in told)
    assert told[-1].endswith("rest ended with -9")
    leaving = "import os\ndef test_a(): os._exit(0)"
    code, told = finished(project(tmp_path / "leaving", first="def test_a(): pass", second=leaving))
    assert code == 1
    assert told[-1].endswith("not all is well")
    code, told = finished(project(tmp_path / "empty", first="def test_a(): pass"))
    assert code == 1
    assert told[-1].endswith("rest ended with 5")


@pytest.mark.root
def test_what_a_lane_mounts_is_its_own(tmp_path: Path) -> None:
    looking = """
        import pathlib
        def test_it():
            pathlib.Path("NAME").write_text(str(pathlib.Path("/proc/self/ns/mnt").readlink()))
    """
    names = ("first", "second")
    code, told = finished(project(tmp_path, **{name: looking.replace("NAME", name) for name in names}))
    assert code == 0, told
    assert len({str(Path("/proc/self/ns/mnt").readlink()), *((tmp_path / name).read_text() for name in names)}) == 3


SLEEPING = """
    import pathlib, subprocess, time, pytest
    @pytest.fixture
    def started():
        child = subprocess.Popen(["sleep", "600"])
        yield child
        child.kill()
        child.wait()
    def test_it(started):
        pathlib.Path("NAME.new").write_text(str(started.pid))
        pathlib.Path("NAME.new").rename("NAME.pid")
        time.sleep(600)
"""


def sleepers(folder: Path) -> list[Path]:
    """What tells of the processes that the tests of both lanes have started."""
    written = wait_until(lambda: found if len(found := sorted(folder.glob("*.pid"))) == 2 else [])
    return [Path("/proc", path.read_text()) for path in written]


def gone(process: Path) -> bool:
    return not process.exists()


def test_one_signal_ends_all_lanes_and_what_they_have_started(tmp_path: Path) -> None:
    texts = {name: SLEEPING.replace("NAME", name) for name in ("first", "second")}
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        folder = project(tmp_path / number.name, **texts)
        with start(folder) as child:
            processes = sleepers(folder)
            assert all(process.exists() for process in processes)
            child.send_signal(number)
            told, _ = child.communicate(timeout=PATIENCE_S)
            assert child.returncode == code, told
        # killed itself, it cannot wait for them
        for process in processes:
            wait_until(partial(gone, process))


def test_a_lane_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stubborn = """
        import pathlib, signal, time
        def test_it():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            pathlib.Path("ready").touch()
            time.sleep(600)
    """
    folder = project(tmp_path, first=stubborn, second="def test_a(): pass")
    with start(folder, grace_s=1) as child:
        wait_until((folder / "ready").exists)
        child.terminate()
        told, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130
    assert "does not end and is killed" in told
