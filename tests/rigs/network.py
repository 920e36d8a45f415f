"""What booted machines are connected to: this machine's own network, or a cable of the test's own."""

import ast
import configparser
import contextlib
import io
import itertools
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from rigs.processes import command, wait_until

_NETWORK = "198.51.100"  # set aside for examples: nothing out there has it
PIP = ("cert", "proxy", "timeout", "default-timeout", "trusted-host", "index-url", "extra-index-url", "find-links")
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
OWN_CERTIFICATES = Path("usr/local/share/ca-certificates")
APT = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")


def lay_the_way_out(write: Callable[[str, str], None]) -> list[Path]:
    """Write what lets apt and pip of a machine go where this one's do: resolver, certificates, their settings.

    The folders that are returned must be mounted there too, at the same places.
    """
    write("/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    pip, folders, certificates = _pip()
    bundles = {ssl.get_default_verify_paths().cafile or f"/{BUNDLE}", *certificates}
    write(f"/{BUNDLE}", "\n".join(Path(bundle).read_text() for bundle in sorted(bundles)))
    for file in sorted(("/" / OWN_CERTIFICATES).glob("*.crt")):
        # should the machine make its bundle anew
        write(f"/{OWN_CERTIFICATES / file.name}", file.read_text())
    write("/etc/pip.conf", pip)
    told = subprocess.run(["apt-config", "dump", *APT], check=True, capture_output=True, text=True).stdout
    write("/etc/apt/apt.conf.d/90as-outside", told)
    return folders


def _pip() -> tuple[str, list[Path], list[str]]:
    """(a pip.conf as this machine's pip is set, the folders here that it names, its bundles of certificates)."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = configparser.RawConfigParser()
    folders, certificates = set(), set()
    for line in told.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.replace(":env:", "global").partition(".")
        if option not in PIP:
            continue
        words = str(ast.literal_eval(value)).split()
        if option == "cert":
            certificates.update(words)
            words = [f"/{BUNDLE}"]
        elif option in ("extra-index-url", "index-url", "find-links"):
            for place in (Path(word.removeprefix("file://")) for word in words):
                if place.is_absolute() and place.is_dir():
                    # an index's links lead to folders beside it
                    folders.add(place if option == "find-links" else place.parent)
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, option, " ".join(words))
    text = io.StringIO()
    settings.write(text)
    return text.getvalue(), sorted(folders), sorted(certificates)


class Cable:
    """A network of the test's own: machines, and a controller, which is this machine in a network namespace of its own.

    Nothing else can be reached from it. It is held by a process that ends with this one, and the kernel removes it with
    the last process in it: nothing of it has a name outside.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is made: the controller's key, what it knows of hosts, and `config`, for `ssh -F`."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.address = f"{_NETWORK}.1"
        """The controller's."""
        self.config = folder / "ssh_config"
        self.key = folder / "id_ed25519"
        self._known_hosts = folder / "known_hosts"
        _make_key(self.key)
        self._hosts: dict[str, tuple[str, str]] = {}
        self._options = (
            f"User pi\nIdentityFile {self.key}\nIdentitiesOnly yes\nUserKnownHostsFile {self._known_hosts}\n"
            "GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nBatchMode yes\nConnectTimeout 20\n"
        )
        self._write_hosts()
        self._numbers = itertools.count(2)
        # its processes have a process namespace: all of them end with the first
        hold = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "-c"]
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *hold, "sleep infinity & wait"], stdin=subprocess.DEVNULL
        )
        try:
            self.init = int(wait_until(self._first_process))
            # else it takes one of its ports', another with each, and machines go on sending to the one before
            self._ip("link", "add", "cable", "address", "02:00:00:00:00:01", "type", "bridge")
            self._ip("addr", "add", f"{self.address}/24", "dev", "cable")
            self._ip("link", "set", "cable", "up")
            self._ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def _first_process(self) -> str:
        """Its id, outside, as soon as it is in its namespaces; else nothing."""
        with contextlib.suppress(OSError):
            pid = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().strip()
            if pid and command(int(pid)).startswith("bash"):
                return pid
        return ""

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{self.init}/ns/net", "ip", *arguments], check=True)

    def entered(self, *command: str, cwd: Path | None = None) -> list[str]:
        """What runs a command as the controller, in a folder: this one where none is named."""
        enter = ["nsenter", "--target", str(self.init), "--net", "--pid", "--mount", f"--wdns={cwd or Path.cwd()}"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", "--", *command]

    def run(
        self, *command: str, check: bool = True, cwd: Path | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the controller; `options` are those of subprocess.run."""
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 120, **options}
        done: subprocess.CompletedProcess[str] = subprocess.run(self.entered(*command, cwd=cwd), check=False, **options)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def ssh(self, host: str, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a machine as its user pi, from the controller."""
        return self.run("ssh", "-F", str(self.config), host, *command, check=check, **options)

    def plug_in(self, init: int, address: str) -> None:
        """Connect the network namespace of a process."""
        port = f"port{address.rpartition('.')[2]}"
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(init))
        self._ip("link", "set", port, "master", "cable", "up")
        inside = ["nsenter", f"--net=/proc/{init}/ns/net", "ip"]
        for what in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            subprocess.run([*inside, *what.split()], check=True)

    def free_address(self) -> str:
        """One that no other machine on it has."""
        return f"{_NETWORK}.{next(self._numbers)}"

    def know(self, host: str, address: str, host_key: str) -> None:
        """Make the controller know a host by name, and its key, as in ssh_host_..._key.pub.

        Another that it knew by this name is forgotten.
        """
        self._hosts[host] = address, host_key
        self._write_hosts()

    def _write_hosts(self) -> None:
        named = [f"Host {host}\n    HostName {address}\n" for host, (address, _) in self._hosts.items()]
        self.config.write_text(self._options + "".join(named))
        known = [f"{host},{address} {key}\n" for host, (address, key) in self._hosts.items()]
        self._known_hosts.write_text("".join(known))

    def close(self) -> None:
        """End all that the controller still runs, and with it the network."""
        self._outer.kill()
        self._outer.wait()


Network = Cable | Literal["none", "host"]


@contextlib.contextmanager
def cabled(folder: Path) -> Iterator[Cable]:
    """A cable, with nothing on it yet."""
    cable = Cable(folder)
    try:
        yield cable
    finally:
        cable.close()


def host_key(root: Path) -> str:
    """Give the machine with this file system a key as a host, if it has none; return the line that says it."""
    key = root / "etc/ssh/ssh_host_ed25519_key"
    if not key.exists():
        _make_key(key)
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def _make_key(path: Path) -> None:
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
