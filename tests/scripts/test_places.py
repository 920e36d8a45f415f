"""scripts/places.py: as whom the tests run, and that a copy is complete, usable and gone afterwards."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import places
import pytest


def project(folder: Path, uid: int) -> Path:
    """A small project with an environment that knows where it lies, in a folder that only its owner may enter."""
    root = folder / "closed" / "project"
    site = root / ".venv/lib/python3/site-packages"
    (root / ".venv/bin").mkdir(parents=True)
    site.mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (root / ".venv/bin/tool").write_text(f"#!{root}/.venv/bin/python\n")
    (root / ".venv/pyvenv.cfg").write_text(f"command = python3 -m venv {root}/.venv\n")
    (site / "__editable___edge_finder.py").write_text(f"MAPPING = {{'edge': '{root}/edge'}}\n")
    (site / "large.py").write_text("")
    (root / "edge").mkdir()
    (root / "edge/__init__.py").write_text("")
    (root / ".roots").mkdir()
    (folder / "closed/shared").mkdir()
    (folder / "closed/shared/photo").write_text("x")
    for place in (folder / "closed", *(folder / "closed").rglob("*")):
        os.chown(place, uid, uid, follow_symlinks=False)
    (folder / "closed").chmod(0o700)
    return root


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def lay(monkeypatch: pytest.MonkeyPatch, folder: Path, root: Path) -> None:
    folder.chmod(0o755)
    for parent in folder.parents:
        # pytest's own folders are closed to others
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to(Path(os.environ.get("TMPDIR", "/tmp"))):
            parent.chmod(parent.stat().st_mode | 0o011)
    monkeypatch.setattr(places, "ROOT", root)
    monkeypatch.setattr(places, "CACHE", folder / "cache")
    monkeypatch.setattr(sys, "prefix", str(root / ".venv"))
    monkeypatch.setattr(sys, "executable", str(root / ".venv/bin/python"))
    monkeypatch.delenv("SUDO_UID", raising=False)


def read_as(place: places.Place, file: Path) -> str:
    done = subprocess.run([*place.prefix, "cat", str(file)], env=place.environment, capture_output=True, check=True)
    return done.stdout.decode()


def test_an_ordinary_user_works_in_the_folder_itself() -> None:
    if os.geteuid() == 0:
        pytest.skip("root has two places: the other tests here")
    with places.places() as there:
        assert there == [places.here()]


@pytest.mark.root
def test_root_s_folder_is_copied_for_an_ordinary_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: pwd.struct_passwd
) -> None:
    root = project(tmp_path, 0)
    lay(monkeypatch, tmp_path, root)
    with places.places() as (ordinary, mine):
        assert (mine.root, mine.uid, mine.prefix) == (root, 0, ())
        assert ordinary.uid == nobody.pw_uid
        # it can read all of it, and finds itself there, not the closed folder
        copied = ordinary.root
        assert read_as(ordinary, copied / ".venv/bin/tool") == f"#!{copied}/.venv/bin/python\n"
        finder = copied / ".venv/lib/python3/site-packages/__editable___edge_finder.py"
        assert read_as(ordinary, finder) == f"MAPPING = {{'edge': '{copied}/edge'}}\n"
        assert read_as(ordinary, copied.parent / "shared/photo") == "x"
        subprocess.run([*ordinary.prefix, "touch", copied / "new", copied / ".venv/lib/python3/new"], check=True)
        home = Path((ordinary.environment or {})["HOME"])
        subprocess.run([*ordinary.prefix, "touch", home / "new"], check=True)
        assert not (copied / ".roots").exists()
    assert not copied.exists()
    assert not home.exists()
    # the original is as it was
    assert (root / ".venv/bin/tool").read_text() == f"#!{root}/.venv/bin/python\n"
    assert {path.stat(follow_symlinks=False).st_uid for path in root.rglob("*")} == {0}


@pytest.mark.root
def test_in_a_user_s_folder_root_works_in_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: pwd.struct_passwd
) -> None:
    root = project(tmp_path, nobody.pw_uid)
    lay(monkeypatch, tmp_path, root)
    before = sorted(root.rglob("*"))
    with places.places() as (ordinary, mine):
        assert (ordinary.root, ordinary.uid) == (root, nobody.pw_uid)
        assert mine.is_root
        assert mine.root != root
        assert (mine.environment or {})["EDGE_TEST_ROOTS"] == str(tmp_path / "cache/roots")
        (mine.root / "edge/of_root.py").touch()
        tool = mine.root / ".venv/bin/tool"
        assert tool.read_text() == f"#!{mine.root}/.venv/bin/python\n"
    assert sorted(root.rglob("*")) == before
    assert {path.stat(follow_symlinks=False).st_uid for path in root.rglob("*")} == {nobody.pw_uid}


@pytest.mark.root
def test_whoever_called_sudo_is_the_ordinary_user_of_root_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(monkeypatch, tmp_path, project(tmp_path, 0))
    daemon = pwd.getpwnam("daemon")
    monkeypatch.setenv("SUDO_UID", str(daemon.pw_uid))
    with places.places() as (ordinary, _):
        assert ordinary.uid == daemon.pw_uid
        assert (ordinary.environment or {})["USER"] == "daemon"
        assert "SUDO_UID" not in (ordinary.environment or {})


@pytest.mark.root
def test_what_a_killed_run_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(monkeypatch, tmp_path, project(tmp_path, 0))
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    left = tmp_path / f"cache/run-{gone.pid}"
    shutil.copytree(places.ROOT, left, symlinks=True)
    with places.places():
        assert not left.exists()
