"""Programs of Debian packages that are not installed: servers that tests speak to, unpacked into a folder.

An installed server would start with this machine, and needs root. Packages are kept in `.roots/`, or in the folder that
EDGE_TEST_ROOTS names (rigs/bases.py).
"""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rigs.bases import ROOTS

_PLACES = ("usr/sbin", "usr/bin")


def program(package: str, name: str) -> list[str]:
    """Return the beginning of the command line of a package's program; skip the test where apt cannot have it."""
    folder = _unpacked(package)
    (file,) = (folder / place / name for place in _PLACES if (folder / place / name).exists())
    libraries = ":".join(str(place) for place in sorted(folder.glob("usr/lib/*-linux-gnu")))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(file)]


def _unpacked(package: str) -> Path:
    """Return the folder that has the package's files; it is made where it is missing (seconds, and a download)."""
    place = ROOTS / "programs" / package
    if (place / "usr").exists():
        return place
    if shutil.which("apt-get") is None:
        pytest.skip(f"needs apt, for Debian's {package}")
    place.parent.mkdir(parents=True, exist_ok=True)
    # held until it is there: another run of the tests may want the same one
    with (place.parent / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "usr").exists():
            _unpack(package, place)
    return place


def _with_what_it_needs(package: str) -> list[str]:
    """Return a package, and those that it needs and this machine does not have."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", package]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
    return sorted({package, *re.findall(r"(?m)^Inst (\S+)", told)})


def _unpack(package: str, place: Path) -> None:
    unfinished = place.with_name(f"{package}.{os.getpid()}")
    unfinished.mkdir()
    try:
        command = ["apt-get", "download", "-qq", *_with_what_it_needs(package)]
        done = subprocess.run(command, cwd=unfinished, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"apt cannot download {package}: {done.stderr.strip()[-200:]}")
        for file in sorted(unfinished.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(file), str(unfinished)], check=True)
            file.unlink()
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
