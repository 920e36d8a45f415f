"""A Debian with systemd as its first process, booted in a folder: where the service is tested for real.

The system below is made once with debootstrap and kept in `.roots/` of this checkout; each machine writes into a layer
of its own (overlayfs), so that it can be thrown away, or booted again after a power cut.
"""

import contextlib
import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rigs.processes import wait_until

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = PROJECT / ".roots"
CGROUPS = Path("/sys/fs/cgroup")
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
BOOT_S = 60.0

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

_BOOT = r"""
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$UPPER,workdir=$WORK" "$PLACE"
cd "$PLACE"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for hierarchy in $(ls /sys/fs/cgroup); do
  mkdir sys/fs/cgroup/$hierarchy
  case $hierarchy in
    unified) mount -t cgroup2 cgroup2 sys/fs/cgroup/unified ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd ;;
    *) mount -t cgroup -o "$hierarchy" cgroup sys/fs/cgroup/$hierarchy ;;
  esac
done
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 kmsg:1:11 fuse:10:229; do
  IFS=: read -r name major minor <<<"$node"
  mknod -m 666 "dev/$name" c "$major" "$minor"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs run
mount -t tmpfs tmpfs tmp
mkdir run/.outside
pivot_root . run/.outside
umount -l /run/.outside
rmdir /run/.outside
hostname booted
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def why_not() -> str:
    """Why no machine can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    if not (CGROUPS / "systemd").is_dir() or not (CGROUPS / "memory").is_dir():
        return "this rig boots on control groups of version 1, or of both, and here are others"
    if not os.access(CGROUPS / "memory", os.W_OK):
        return "control groups cannot be written here"
    missing = [name for name in ("debootstrap", "unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else ""


_preparing: list["subprocess.Popen[bytes]"] = []


def prepare(names: list[str]) -> None:
    """Begin to make the bases in a process beside, while tests run that do not need them."""
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "rigs.booted", *names]
    null = subprocess.DEVNULL
    _preparing.append(subprocess.Popen(command, cwd=PROJECT / "tests", stdin=null, stdout=null, stderr=null))


def end_preparing() -> None:
    """Whether it is done or not."""
    while _preparing:
        process = _preparing.pop()
        process.terminate()
        process.wait()


def base(name: str) -> Path:
    """The system of a Debian with what edge needs, but not edge; made where it is missing (a minute or two).

    `name` is a release, or a release with an architecture that this machine emulates: bookworm-arm64. For that
    qemu-user-static and binfmt-support must be there, and binfmt_misc must be mounted.
    """
    while _preparing:
        _preparing.pop().wait()  # if it could not, we shall see why
    release, _, architecture = name.partition("-")
    architecture = architecture or _ARCHITECTURES[platform.machine()]
    place = ROOTS / name
    packages = [*_PACKAGES, _GLIB[release], *(_ARM if architecture == "arm64" else ["libquadmath0"])]
    recipe = json.dumps([packages, _WHEELS, _NUMPY])
    stamp = place / "etc" / "recipe"
    if stamp.exists() and stamp.read_text() == recipe:
        return place
    shutil.rmtree(place, ignore_errors=True)
    ROOTS.mkdir(exist_ok=True)
    include = f"--include={','.join(packages)}"
    _do("debootstrap", "--variant=minbase", f"--arch={architecture}", include, release, str(place), _mirror())
    venv = "/opt/edge/releases/tested"
    _do("chroot", str(place), "python3", "-m", "venv", "--without-pip", "--system-site-packages", venv)
    (place / "opt/edge/current").symlink_to("releases/tested")
    _install(name, place, *_WHEELS, _NUMPY[release])
    if architecture == "arm64":
        shutil.copy(PROJECT / "scripts" / "mend-mxnet", place / "opt")
        _do("chroot", str(place), "/opt/mend-mxnet", f"{venv}/bin/python")
    stamp.write_text(recipe)
    return place


def _install(name: str, root: Path, *what: str) -> None:
    """Put Python packages into the machine's environment, from outside: it has no network."""
    release, _, architecture = name.partition("-")
    target = site_packages(root, release)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--upgrade"]
    pip += ["--python-version", PYTHONS[release], "--only-binary", ":all:", "--no-compile", "--target", str(target)]
    if architecture == "arm64":
        pip += [f"--platform=manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_27", "_2_28")]
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


class Booted:
    """One machine. `root` is its file system as seen from outside while it runs, `upper` what it has written."""

    def __init__(self, folder: Path, name: str) -> None:
        """`name` is that of a base. Nothing is booted yet; files may be laid into `upper`."""
        self.name = name
        self.release, _, architecture = name.partition("-")
        self.slowness = 15.0 if architecture else 1.0
        """How much slower it may be than this machine."""
        self._base = base(name)
        self._folder = folder
        self._group = f"edge-test-{os.getpid()}-{id(self)}"
        for part in ("upper", "work", "place"):
            (folder / part).mkdir()
        self.upper = folder / "upper"
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0
        """The process id, outside, of its first process."""

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.init}/root")

    def boot(self) -> None:
        """Start it, and return when systemd has done so."""
        for hierarchy in self._hierarchies():
            hierarchy.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / name).exists():
                    (hierarchy / name).write_text((hierarchy.parent / name).read_text())
        environment = {
            **os.environ,
            "BASE": str(self._base),
            "UPPER": str(self.upper),
            "WORK": str(self._folder / "work"),
            "PLACE": str(self._folder / "place"),
        }
        join = "; ".join(f'echo $$ > "{hierarchy}/cgroup.procs"' for hierarchy in self._hierarchies())
        # with whoever boots it, however that ends, the machine ends too
        die_with_us = ["setpriv", "--pdeathsig", "KILL"]
        unshare = "unshare --mount --uts --ipc --net --cgroup --pid --fork --kill-child"
        console = (self._folder / "console").open("ab")
        with console:
            self._outer = subprocess.Popen(
                [*die_with_us, "bash", "-euc", f'{join}; exec {unshare} bash -euc "$0"', _BOOT],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + BOOT_S * self.slowness
        while not self._is_up():
            assert self._outer.poll() is None, (self._folder / "console").read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline_s, (self._folder / "console").read_text(errors="replace")[-2000:]
            time.sleep(0.1)

    def _is_up(self) -> bool:
        assert self._outer
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children:
            return False
        self.init = int(children[0])
        with contextlib.suppress(OSError):
            if "systemd" in Path(f"/proc/{self.init}/cmdline").read_text():
                return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
        return False

    def run(self, *command: str, check: bool = True, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.init), "--all", "--wd=/", *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s * self.slowness,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"},
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def runs(self) -> bool:
        """Whether it has not ended by itself."""
        return self._outer is not None and self._outer.poll() is None

    def processes(self, unit: str = "edge.service") -> list[int]:
        """The processes of a unit, by their ids outside."""
        (place,) = (one for one in self._hierarchies() if one.parent.name == "systemd")
        return sorted(int(line) for line in (place / "system.slice" / unit / "cgroup.procs").read_text().split())

    def show(self, *properties: str, unit: str = "edge") -> dict[str, str]:
        """Properties of a unit."""
        told = self.run("systemctl", "show", unit, f"--property={','.join(properties)}").stdout
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def journal(self, *matches: str, unit: str = "edge") -> list[dict[str, Any]]:
        """The entries of a unit's journal, oldest first."""
        told = self.run("journalctl", "-u", unit, "-o", "json", "--no-pager", *matches).stdout
        return [json.loads(line) for line in told.splitlines()]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in it, running or not."""
        place = (self.root if self.init else self.upper) / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def install(self, wheel_file: Path) -> None:
        """Put edge into it, as a deployment would; not started."""
        _install(self.name, self.upper, str(wheel_file))
        units = PROJECT / "systemd"
        self.write("/etc/systemd/system/edge.service", (units / "edge.service").read_text())
        self.write("/usr/lib/sysusers.d/edge.conf", (units / "edge.sysusers").read_text())
        self.write("/usr/lib/tmpfiles.d/edge.conf", (units / "edge.tmpfiles").read_text())
        if self.release != "bookworm":
            self.drop_in("newer-systemd", (units / "drop-ins" / "newer-systemd.conf").read_text())

    def drop_in(self, name: str, text: str) -> None:
        self.write(f"/etc/systemd/system/edge.service.d/{name}.conf", text)

    def power_cut(self) -> None:
        """Everything in it is gone at once."""
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        if self._outer:
            self._outer.wait(30)
        self._outer, self.init = None, 0

    def close(self) -> None:
        """End it, and remove its control groups."""
        self.power_cut()
        for hierarchy in self._hierarchies():
            wait_until(functools.partial(_remove_groups, hierarchy))

    def _hierarchies(self) -> list[Path]:
        return [place / self._group for place in sorted(CGROUPS.iterdir()) if place.is_dir()]


def _remove_groups(place: Path) -> bool:
    """Whether a control group and those in it are gone; the kernel may need a moment after the last process."""
    for folder, _, _ in os.walk(place, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not place.exists()


@contextlib.contextmanager
def booted(folder: Path, name: str) -> Iterator[Booted]:
    """A machine that runs; at the end nothing of it is left but its folder."""
    machine = Booted(folder, name)
    try:
        machine.boot()
        yield machine
    finally:
        machine.close()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        base(argument)
