"""A Debian with systemd as its first process, booted in a folder: where the service is tested for real.

The system below is made once (bases.py); each machine writes into a layer of its own (overlayfs), so that it can be
thrown away, or booted again after a power cut.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rigs.bases import PROJECT, base, install, parts_of
from rigs.network import Cable, Network, host_key, lay_the_way_out
from rigs.processes import wait_until

CGROUPS = Path("/sys/fs/cgroup")
BOOT_S = 60.0

_TOOLS = ["mmdebstrap", "unshare", "nsenter", "setpriv", "ip", "ssh-keygen"]
_GROUP = "edge-test-"
_EMULATED = "[Service]\nPrivateNetwork=no\nLoadCredential=\nSetCredential=\n"

_BOOT = r"""
mount --make-rprivate /
layers=lowerdir=$BASE,upperdir=$UPPER,workdir=$WORK
# nothing of it is to outlive this machine's own end: it need not wait for the disk, where the kernel knows that
rm -rf "$WORK/work/incompat"
mount -t overlay overlay -o "$layers,volatile" "$PLACE" 2>/dev/null || mount -t overlay overlay -o "$layers" "$PLACE"
cd "$PLACE"
while IFS= read -r folder; do
  [ -n "$folder" ] || continue
  mkdir -p ".$folder"
  mount --bind "$folder" ".$folder"
  mount -o remount,bind,ro ".$folder"
done <<<"$FOLDERS"
mount -t proc proc proc
if [ -n "$SHARED" ]; then  # its settings of the network would be this machine's
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
fi
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
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs run
mount -t tmpfs tmpfs tmp
mkdir run/.outside
pivot_root . run/.outside
umount -l /run/.outside
rmdir /run/.outside
hostname "$HOST"
# its modules would be this machine's
exec setpriv --bounding-set=-sys_module env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def why_not() -> str:
    """Why no machine can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "booting a machine needs root: sudo ./scripts/test"
    if not (CGROUPS / "systemd").is_dir() or not (CGROUPS / "memory").is_dir():
        return "this rig boots on control groups of version 1, or of both, and here are others"
    if not os.access(CGROUPS / "memory", os.W_OK):
        return "control groups cannot be written here"
    missing = [name for name in _TOOLS if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else ""


class Booted:
    """One machine. `root` is its file system as seen from outside while it runs, `upper` what it has written."""

    def __init__(
        self, folder: Path, name: str, *, network: Network = "none", host: str = "booted", on: Path | None = None
    ) -> None:
        """Nothing is booted yet; files may be laid into `upper`.

        `name` is that of a base. `network`, which may be another at the next boot: "none" is only itself, "host" that
        of this machine, for apt and pip, a cable whatever else is plugged into it. `on` is the `upper` of another
        machine of this base, which does not run: this one has all that that one wrote.
        """
        self.name = name
        fresh, self.release, architecture = parts_of(name)
        self.slowness = 15.0 if architecture else 1.0
        """How much slower it may be than this machine."""
        self.network = network
        self.host = host
        self.address = ""
        """On the cable."""
        self._lower = [str(layer) for layer in (on, base(name)) if layer]
        self._folder = folder
        self._group = f"{_GROUP}{os.getpid()}-{id(self)}"
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("upper", "work", "place"):
            (folder / part).mkdir()
        self.upper = folder / "upper"
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0
        """The process id, outside, of its first process."""
        if architecture:  # qemu can make neither network namespaces nor what credentials are mounted in
            self.write("/etc/systemd/system/service.d/emulated.conf", _EMULATED)
        if fresh:
            self.write("/etc/hostname", f"{host}\n")
            self.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host}\n")

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.init}/root")

    def boot(self) -> None:
        """Start it, and return when systemd has done so."""
        _remove_stale_groups()
        folders = lay_the_way_out(self.write) if self.network == "host" else []
        for hierarchy in self._hierarchies():
            hierarchy.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / name).exists():
                    (hierarchy / name).write_text((hierarchy.parent / name).read_text())
        environment = {
            **os.environ,
            "BASE": ":".join(self._lower),
            "UPPER": str(self.upper),
            "WORK": str(self._folder / "work"),
            "PLACE": str(self._folder / "place"),
            "HOST": self.host,
            "FOLDERS": "\n".join(str(folder) for folder in folders),
            "SHARED": "yes" if self.network == "host" else "",
        }
        join = "; ".join(f'echo $$ > "{hierarchy}/cgroup.procs"' for hierarchy in self._hierarchies())
        # with whoever boots it, however that ends, the machine ends too
        die_with_us = ["setpriv", "--pdeathsig", "KILL"]
        net = "" if self.network == "host" else "--net"
        unshare = f"unshare --mount --uts --ipc {net} --cgroup --pid --fork --kill-child"
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
        if isinstance(self.network, Cable):
            self.address = self.address or self.network.free_address()
            self.network.plug_in(self.init, self.address)

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
        return self.run_as("root", *command, check=check, timeout_s=timeout_s)

    def run_as(
        self, user: str, *command: str, check: bool = True, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as a user, in the user's home, and as root in /."""
        home = "/" if user == "root" else f"/home/{user}"
        enter = ["nsenter", "--target", str(self.init), "--all", "env", f"--chdir={home}"]
        if user != "root":
            enter += [f"HOME={home}", f"USER={user}", f"LOGNAME={user}"]
            enter += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        done = subprocess.run(
            [*enter, *command],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s * self.slowness,
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

    def copy_in(self, folder: Path, path: str, owner: str = "root") -> None:
        """Copy a folder to where `path` does not exist yet; of a checkout what git would not ignore, and no .git."""
        if (folder / ".git").exists():
            listed = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            told = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
            names = [Path(name) for name in told.split("\0") if name]
        else:
            names = [file.relative_to(folder) for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()]
        place = self.root / path.lstrip("/")
        place.mkdir(parents=True)
        for name in names:
            if os.path.lexists(folder / name):  # git also lists what has been removed since
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(folder / name, place / name, follow_symlinks=False)
        self.run("chown", "-R", "-h", f"{owner}:{owner}", path)

    def files(self) -> dict[str, str]:
        """What every path in it is: type, mode, owner, and size or target of a link; not what is in other mounts.

        Those are /proc, /sys, /dev, /run, /tmp, and folders that it shares with this machine.
        """
        found = {}
        root = self.root
        device = root.stat().st_dev
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(f"{root}/{folder}") as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}"
                    status = entry.stat(follow_symlinks=False)
                    about = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
                    if entry.is_symlink():
                        about += f" -> {os.readlink(entry.path)}"  # noqa: PTH115
                    elif not entry.is_dir():
                        about += f" {status.st_size}"
                    elif status.st_dev == device:
                        folders.append(path)
                    found[path] = about
        return found

    def let_in(self) -> None:
        """Start sshd, now and at each boot; the controller at the other end of the cable may enter as pi."""
        assert isinstance(self.network, Cable)
        self.network.know(self.host, self.address, host_key(self.root))
        home = "/home/pi/.ssh"
        self.write(f"{home}/authorized_keys", self.network.key.with_suffix(".pub").read_text(), 0o600)
        self.run("chown", "-R", "pi:pi", home)
        self.run("chmod", "700", home)
        self.run("systemctl", "enable", "--now", "ssh")

    def install(self, wheel_file: Path) -> None:
        """Put edge into it, as a deployment would; not started."""
        install(self.name, self.upper, str(wheel_file))
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


def _remove_stale_groups() -> None:
    """Those of machines whose tests were killed; the machines themselves ended with them."""
    for place in CGROUPS.glob(f"*/{_GROUP}*-*"):
        if not Path("/proc", place.name.removeprefix(_GROUP).partition("-")[0]).exists():
            wait_until(functools.partial(_remove_groups, place))


@contextlib.contextmanager
def booted(
    folder: Path, name: str, *, network: Network = "none", host: str = "booted", on: Path | None = None
) -> Iterator[Booted]:
    """A machine that runs (Booted.__init__); at the end nothing of it is left but its folder."""
    machine = Booted(folder, name, network=network, host=host, on=on)
    try:
        machine.boot()
        yield machine
    finally:
        machine.close()
