"""The systems that machines are booted from (booted.py), made once with mmdebstrap.

They are kept in `.roots/`, or in the folder that EDGE_TEST_ROOTS names.

Two kinds of each Debian: `bookworm` has what edge needs, but not edge; `fresh-bookworm` is what somebody has who has
just written an SD card, with a user `pi` who may use sudo, and nothing of ours.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = Path(os.environ.get("EDGE_TEST_ROOTS", PROJECT / ".roots"))
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}

_PACKAGES = ["systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "python3-systemd", "espeak-ng", "alsa-utils"]
_PACKAGES += ["libgl1", "libgomp1"]
_GLIB = {"bookworm": "libglib2.0-0", "trixie": "libglib2.0-0t64"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# what stands in for the Arm Performance Libraries (scripts/mend-mxnet)
_ARM = ["libopenblas0-pthread", "liblapacke", "libgfortran5"]
# what mxnet, with metadata of 2022, would resolve to cannot be had for each Python: they are named one by one
_WHEELS = ["mxnet==1.9.1", "opencv-python", "pyttsx3", "graphviz", "requests", "urllib3", "certifi", "idna"]
_WHEELS += ["charset-normalizer"]
_NUMPY = {"bookworm": "numpy<2", "trixie": "numpy"}

_FRESH_PACKAGES = ["systemd", "systemd-sysv", "dbus", "python3", "sudo", "ca-certificates", "openssh-server"]
_FRESH_PACKAGES += ["iproute2"]
# the keys of a host are made by its first start, and lists and packages of apt are not on a card
_FRESH = r"""
useradd --create-home --uid 1000 --groups sudo --shell /bin/bash --password '*' pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/010_pi-nopasswd
chmod 440 /etc/sudoers.d/010_pi-nopasswd
systemctl disable ssh
rm /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f /etc/ssh/ssh_host_* /etc/resolv.conf /etc/hostname
apt-get clean
find /var/lib/apt/lists -type f -delete
"""


def parts_of(name: str) -> tuple[bool, str, str]:
    """(whether it is fresh, the release, the architecture where it is not this machine's) of the name of a base."""
    release, _, architecture = name.removeprefix("fresh-").partition("-")
    return name.startswith("fresh-"), release, architecture


EMULATION = """arm64 needs the packages qemu-user-static and binfmt-support, and what follows: by Debian's own entry no
program can become another user, as sudo must.
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
sed 's/^:qemu-/:edge-/; s/$/C/' /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
To undo it:  echo -1 >/proc/sys/fs/binfmt_misc/edge-aarch64; umount /proc/sys/fs/binfmt_misc"""


def _emulates_sudo() -> bool:
    entries = [entry for entry in Path("/proc/sys/fs/binfmt_misc").glob("*aarch64") if entry.is_file()]
    return any("C" in line for entry in entries for line in entry.read_text().splitlines() if line.startswith("flags"))


_preparing: list["subprocess.Popen[bytes]"] = []


def prepare(names: list[str]) -> None:
    """Begin to make the bases in a process beside, while tests run that do not need them."""
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "rigs.bases", *names]
    null = subprocess.DEVNULL
    _preparing.append(subprocess.Popen(command, cwd=PROJECT / "tests", stdin=null, stdout=null, stderr=null))


def end_preparing() -> None:
    """Whether it is done or not."""
    while _preparing:
        process = _preparing.pop()
        process.terminate()
        process.wait()


def base(name: str) -> Path:
    """The folder with a system; made where it is missing (a minute or two).

    `name` is a release, after `fresh-` or not, or one with an architecture that this machine emulates: bookworm-arm64
    (EMULATION tells what that needs).
    """
    while _preparing:
        _preparing.pop().wait()  # if it could not, we shall see why
    ROOTS.mkdir(parents=True, exist_ok=True)
    # held until it is made: another run of the tests may want the same one
    with (ROOTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(name)


def _made(name: str) -> Path:
    fresh, release, architecture = parts_of(name)
    assert not architecture or _emulates_sudo(), EMULATION
    architecture = architecture or _ARCHITECTURES[platform.machine()]
    place = ROOTS / name
    packages = [*_PACKAGES, _GLIB[release], *(_ARM if architecture == "arm64" else ["libquadmath0"])]
    recipe = json.dumps([_FRESH_PACKAGES, _FRESH] if fresh else [packages, _WHEELS, _NUMPY])
    stamp = place / "etc" / "recipe"
    if stamp.exists() and stamp.read_text() == recipe:
        return place
    shutil.rmtree(place, ignore_errors=True)
    # what it mounts meanwhile is nothing for others to see, and gone with it
    bootstrap = ["unshare", "--mount", "mmdebstrap", "--quiet", "--mode=root", "--format=directory"]
    bootstrap += ["--variant=minbase", f"--architectures={architecture}"]
    packages = _FRESH_PACKAGES if fresh else packages
    # what bookworm needs of usrmerge; apt would take that itself, and all of Perl with it
    packages = [*packages, *(["usr-is-merged"] if release == "bookworm" else [])]
    bootstrap += [f"--include={','.join(packages)}"]
    # else dpkg waits for the disk with each file; what is not whole at the end is made anew
    bootstrap += ["--dpkgopt=force-unsafe-io"]
    _do(*bootstrap, release, str(place), _mirror())
    if fresh:
        _do("chroot", str(place), "sh", "-euc", _FRESH)
    else:
        _lay_environment(name, place)
    stamp.write_text(recipe)
    return place


def _lay_environment(name: str, place: Path) -> None:
    """All that edge needs from PyPI, where a deployment puts it."""
    _, release, architecture = parts_of(name)
    venv = "/opt/edge/releases/tested"
    _do("chroot", str(place), "python3", "-m", "venv", "--without-pip", "--system-site-packages", venv)
    (place / "opt/edge/current").symlink_to("releases/tested")
    install(name, place, *_WHEELS, _NUMPY[release])
    if (architecture or _ARCHITECTURES[platform.machine()]) == "arm64":
        shutil.copy(PROJECT / "scripts" / "mend-mxnet", place / "opt")
        _do("chroot", str(place), "/opt/mend-mxnet", f"{venv}/bin/python")


def install(name: str, root: Path, *what: str) -> None:
    """Put Python packages into the machine's environment, from outside: it has no network."""
    install_into(site_packages(root, parts_of(name)[1]), name, *what)


def install_into(target: Path, name: str, *what: str) -> None:
    """Put Python packages into a folder, for the Python of a machine of that name."""
    _, release, architecture = parts_of(name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--upgrade"]
    pip += ["--python-version", PYTHONS[release], "--only-binary", ":all:", "--no-compile", "--target", str(target)]
    if architecture == "arm64":
        pip += [f"--platform=manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_27", "_2_28", "_2_35")]
    _do(*pip, *what)


def site_packages(root: Path, release: str) -> Path:
    """Where the machine's Python packages are, below `root`."""
    return root / "opt/edge/releases/tested/lib" / f"python{PYTHONS[release]}" / "site-packages"


def wheel(folder: Path) -> Path:
    """Build edge's wheel from a copy, so that nothing is left in the checkout."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "edge", source / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    _do(*(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)))
    (built,) = folder.glob("edge-*.whl")
    return built


def _mirror() -> str:
    """The first Debian archive that this machine's apt uses."""
    listed = _do("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages")
    (*_, site) = (line.split()[0] for line in reversed(listed.splitlines()) if line.split()[1] in PYTHONS)
    return site


def _do(*command: str) -> str:
    with_us = ["setpriv", "--pdeathsig", "TERM", *command]
    done = subprocess.run(with_us, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(command[:3])}...: {done.stdout[-2000:]}"
    return done.stdout


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        base(argument)
