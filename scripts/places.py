"""Where and as which user the tests run. As root, tests that need root run as root, and all others as an ordinary user.

The owner of the project's folder works in it; the other user gets a temporary copy. So no file of root stays in another
user's folder, and an ordinary user can read files below /root.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path("/var/cache/edge-tests")
"""The copies, while they are used; and what root makes for the next run: systems to boot, and downloads."""

_MADE_HERE = (".roots", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__", ".cache")
_OF_A_LOGIN = ("SUDO_", "XDG_", "DBUS_", "MAIL", "LS_COLORS")


@dataclass(frozen=True)
class Place:
    """A folder with the project, its environment, and who works there."""

    root: Path
    python: Path
    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    """What starts a command as that user."""
    environment: Mapping[str, str] | None = None
    """None: as it is here."""

    @property
    def is_root(self) -> bool:
        return self.uid == 0


def here() -> Place:
    """Return this folder and the user who runs this."""
    return Place(ROOT, Path(sys.executable), os.geteuid(), os.getegid())


@contextlib.contextmanager
def places() -> Iterator[list[Place]]:
    """Yield the places to test in: this folder; for root, one of an ordinary user and one of root's own."""
    if os.geteuid() != 0:
        yield [here()]
        return
    _remove_stale()
    mine = CACHE / f"run-{os.getpid()}"
    mine.mkdir(parents=True)
    try:
        owner = ROOT.stat().st_uid
        user = _ordinary_user(owner)
        home = mine / "home"
        home.mkdir(0o700)
        downloads = CACHE / f"pip-{user.pw_uid}"
        downloads.mkdir(exist_ok=True)
        for folder in (home, downloads):
            os.chown(folder, user.pw_uid, user.pw_gid)
        settings = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_LOGIN)}
        settings |= {"HOME": str(home), "USER": user.pw_name, "LOGNAME": user.pw_name, "PIP_CACHE_DIR": str(downloads)}
        become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
        python = Path(sys.executable).relative_to(ROOT)
        copy = mine / "copy" / ROOT.name
        if owner == 0:
            _copy(copy, user)
            yield [Place(copy, copy / python, user.pw_uid, user.pw_gid, become, settings), here()]
        else:
            _copy(copy, pwd.getpwuid(0))
            # systems to boot are large: they are kept, but not in somebody's folder
            theirs = {**os.environ, "EDGE_TEST_ROOTS": str(CACHE / "roots")}
            yield [
                Place(ROOT, ROOT / python, user.pw_uid, user.pw_gid, become, settings),
                Place(copy, copy / python, 0, 0, (), theirs),
            ]
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _ordinary_user(owner: int) -> pwd.struct_passwd:
    """Return the folder's owner; if that is root, the user who called sudo; else the user `nobody`."""
    for uid in (owner, int(os.environ.get("SUDO_UID", "0"))):
        if uid != 0:
            return pwd.getpwuid(uid)
    return pwd.getpwnam("nobody")


def _copy(target: Path, user: pwd.struct_passwd) -> None:
    """Copy the project, its environment and ../shared for that user."""
    environment = Path(sys.prefix)
    unwanted = shutil.ignore_patterns(*_MADE_HERE, ".venv*")
    shutil.copytree(ROOT, target, ignore=unwanted, symlinks=True)
    shared = ROOT.parent / "shared"
    if shared.is_dir():
        shutil.copytree(shared, target.parent / "shared")
    moved = target / environment.relative_to(ROOT)
    # The packages take a gigabyte. Their files are never written to, so links are enough on the same disk.
    link = ["cp", "--archive", "--link", str(environment), str(moved)]
    if subprocess.run(link, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        shutil.rmtree(moved, ignore_errors=True)
        subprocess.run(["cp", "--archive", str(environment), str(moved)], check=True)
    _relocate(moved, target)
    # folders of packages too: Python writes there what it has compiled
    for folder, _, files in os.walk(target.parent):
        os.chown(folder, user.pw_uid, user.pw_gid)
        if moved not in (Path(folder), *Path(folder).parents):
            for file in files:
                os.chown(Path(folder, file), user.pw_uid, user.pw_gid, follow_symlinks=False)


def _relocate(environment: Path, target: Path) -> None:
    """Let the copied environment find itself and the copied project: scripts, pyvenv.cfg, and edge's own entry."""
    texts = [
        *environment.glob("bin/*"),
        environment / "pyvenv.cfg",
        *environment.glob("lib/*/site-packages/__editable__*"),
    ]
    old = os.fsencode(ROOT)
    for file in texts:
        if file.is_file() and not file.is_symlink() and old in (content := file.read_bytes()):
            mode = file.stat().st_mode
            file.unlink()  # it may be a link to the original
            file.write_bytes(content.replace(old, os.fsencode(target)))
            file.chmod(mode)


def _remove_stale() -> None:
    """Remove the copies of runs that were killed."""
    for folder in CACHE.glob("run-*"):
        if not Path("/proc", folder.name.removeprefix("run-")).exists():
            shutil.rmtree(folder, ignore_errors=True)
