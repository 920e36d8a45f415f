"""The machines that the deploy is tested in (rigs/booted.py): their networks, their files, and that nothing is left."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rigs.bases import PROJECT
from rigs.booted import CGROUPS, Booted, booted, why_not
from rigs.network import Cable, cabled
from rigs.processes import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

# a fresh machine has nothing else that can do either
LISTEN = """
import socket
server = socket.create_server(("", 0))
print(server.getsockname()[1], flush=True)
while True:
    server.accept()[0].close()
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
KILLED = """
import sys, time
from pathlib import Path
from rigs.booted import booted
from rigs.network import cabled
folder, name = Path(sys.argv[1]), sys.argv[2]
with cabled(folder / "cable") as cable, booted(folder / "machine", name, network=cable) as machine:
    machine.let_in()
    cable.run("sh", "-c", "sleep 600 >/dev/null 2>&1 &")
    print(machine.init, cable.init, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def cable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cable]:
    with cabled(tmp_path_factory.mktemp("network") / "cable") as cable:
        yield cable


@pytest.fixture(scope="module")
def one(fresh: str, cable: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    with booted(tmp_path_factory.mktemp("one"), fresh, network=cable, host="one") as machine:
        yield machine


@pytest.fixture(scope="module")
def alone(fresh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    with booted(tmp_path_factory.mktemp("alone"), fresh) as machine:
        yield machine


def hindrance(machine: Booted, address: str, port: int) -> str:
    """What stands between a machine and a server; empty when nothing does."""
    done = machine.run("python3", "-c", CONNECT, address, str(port), check=False)
    return done.stderr.strip().rpartition("\n")[2]


@contextlib.contextmanager
def listening(cable: Cable | None = None) -> Iterator[int]:
    """The port of a server on this machine, or on the controller of a cable."""
    run = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(cable.entered(*run) if cable else run, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            yield int(server.stdout.readline())
        finally:
            server.kill()


def outside(test: int) -> dict[str, set[str]]:
    """What the machines of a test, which is a process, might leave on this one."""
    return {
        "links": {path.name for path in Path("/sys/class/net").iterdir()},
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "groups": {str(path) for path in CGROUPS.glob(f"*/edge-test-{test}-*")},
    }


def namespace(process: int | str) -> str:
    """Its network's; empty where it has ended."""
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return ""


def nobody_is_in(namespaces: set[str]) -> bool:
    return namespaces.isdisjoint(namespace(folder.name) for folder in Path("/proc").glob("[0-9]*"))


# ---- what is in it


def test_it_is_what_somebody_has_who_has_just_written_a_card(alone: Booted) -> None:
    assert alone.run("systemctl", "is-system-running").stdout == "running\n"
    assert alone.run_as("pi", "sh", "-c", "id -un; pwd; sudo -n id -un").stdout == "pi\n/home/pi\nroot\n"
    for program in ("espeak-ng", "aplay", "pip", "ansible-playbook"):
        assert alone.run("sh", "-c", f"command -v {program}", check=False).stdout == ""
    assert alone.run("python3", "-m", "venv", "/tmp/v", check=False).returncode != 0
    assert alone.run("systemctl", "is-enabled", "ssh", check=False).stdout == "disabled\n"
    listed = alone.files()
    assert listed["/opt"] == "drwxr-xr-x 0:0"
    assert not [path for path in listed if path.startswith(("/opt/", "/etc/edge", "/etc/ssh/ssh_host"))]
    assert listed["/etc/sudoers.d/010_pi-nopasswd"].startswith("-r--r----- 0:0 ")


def test_files_tells_what_has_changed(alone: Booted, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "program").write_text("#!/bin/sh\n")
    (folder / "inner" / "program").chmod(0o755)
    (folder / "link").symlink_to("/nowhere")
    before = alone.files()
    alone.copy_in(folder, "/home/pi/copied", owner="pi")
    alone.write("/run/one", "")
    alone.write("/tmp/one", "")
    after = alone.files()
    assert before.keys() <= after.keys()
    assert {path: about for path, about in after.items() if before.get(path) != about} == {
        "/home/pi/copied": "drwxr-xr-x 1000:1000",
        "/home/pi/copied/inner": "drwxr-xr-x 1000:1000",
        "/home/pi/copied/inner/program": "-rwxr-xr-x 1000:1000 10",
        "/home/pi/copied/link": "lrwxrwxrwx 1000:1000 -> /nowhere",
    }
    alone.run("rm", "-r", "/home/pi/copied")
    assert alone.files() == before


def test_of_a_checkout_only_what_git_would_have_is_copied(alone: Booted) -> None:
    alone.copy_in(PROJECT, "/home/pi/edge", owner="pi")
    copied = {path.split("/")[4] for path in alone.files() if path.startswith("/home/pi/edge/")}
    assert {"README.md", "edge", "scripts"} <= copied
    assert not copied & {".git", ".venv", ".roots", ".mypy_cache"}
    assert alone.files()["/home/pi/edge/scripts/run"].startswith("-rwxr-xr-x 1000:1000 ")
    alone.run("rm", "-r", "/home/pi/edge")


def test_a_machine_begins_with_what_another_has_written(fresh: str, tmp_path: Path) -> None:
    with booted(tmp_path / "first", fresh) as first:
        first.write("/home/pi/note", "1")
        first.run("rm", "/etc/issue")
    with booted(tmp_path / "second", fresh, on=first.upper, host="second") as second:
        listed = second.files()
        assert "/home/pi/note" in listed
        assert "/etc/issue" not in listed
        assert second.run("hostname").stdout == "second\n"


# ---- what it is connected to


def test_without_a_network_it_reaches_nothing(alone: Booted) -> None:
    assert alone.run("sh", "-c", "echo /sys/class/net/*").stdout == "/sys/class/net/lo\n"
    assert alone.run("ip", "route").stdout == ""
    with listening() as port:
        for address in this_machine():
            assert "unreachable" in hindrance(alone, address, port)
        assert "refused" in hindrance(alone, "127.0.0.1", port)


def this_machine() -> list[str]:
    """Its addresses."""
    told = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout.split()
    return [address for address in told if "." in address]


def test_a_controller_reaches_cabled_machines_over_ssh_and_they_nothing_else(
    fresh: str, cable: Cable, one: Booted, tmp_path: Path
) -> None:
    with booted(tmp_path / "two", fresh, network=cable, host="two") as two:
        for machine in (one, two):
            machine.let_in()
            assert cable.ssh(machine.host, "hostname; id -un; sudo -n id -un").stdout == f"{machine.host}\npi\nroot\n"
        assert hindrance(one, two.address, 22) == hindrance(two, one.address, 22) == ""
    with listening(cable) as port, listening() as ours:
        assert hindrance(one, cable.address, port) == ""
        assert "refused" in hindrance(one, "127.0.0.1", port)
        for address in [*this_machine(), "203.0.113.1"]:
            assert "unreachable" in hindrance(one, address, ours)
    assert one.run("ip", "route", "show", "default").stdout == ""
    assert cable.run("ip", "route", "show", "default").stdout == ""


def test_a_cabled_machine_is_reached_again_after_a_power_cut(cable: Cable, one: Booted) -> None:
    one.let_in()
    one.power_cut()
    one.boot()
    wait_until(lambda: cable.ssh("one", "hostname", check=False).stdout == "one\n")


@pytest.mark.long
def test_with_this_machine_s_network_apt_and_pip_reach_what_they_need(fresh: str, tmp_path: Path) -> None:
    with booted(tmp_path, fresh, network="host") as machine:
        machine.run_as("pi", "sudo", "apt-get", "update", timeout_s=300)
        get = ["apt-get", "install", "--yes", "--no-install-recommends", "python3-venv"]
        machine.run_as("pi", "sudo", "DEBIAN_FRONTEND=noninteractive", *get, timeout_s=300)
        machine.run_as("pi", "python3", "-m", "venv", "v")
        machine.run_as("pi", "v/bin/python", "-m", "pip", "install", "--no-cache-dir", "pyttsx3", timeout_s=300)
        assert "pyttsx3" in machine.run_as("pi", "v/bin/python", "-m", "pip", "list").stdout
        setting = "/proc/sys/net/ipv4/ip_forward"  # this machine's own
        assert "Read-only" in machine.run("sh", "-c", f"read v < {setting}; echo $v > {setting}", check=False).stderr
        # without it, that is gone
        machine.network = "none"
        machine.power_cut()
        machine.boot()
        assert machine.run("ip", "route").stdout == ""


# ---- what it leaves


def test_nothing_of_it_is_left(fresh: str, tmp_path: Path) -> None:
    before = outside(os.getpid())
    with cabled(tmp_path / "cable") as cable, booted(tmp_path / "machine", fresh, network=cable) as machine:
        machine.let_in()
        cable.run("sh", "-c", "sleep 600 >/dev/null 2>&1 &")
        namespaces = {namespace(machine.init), namespace(cable.init)}
        assert outside(os.getpid())["groups"] > before["groups"]
        assert not nobody_is_in(namespaces)
    wait_until(lambda: nobody_is_in(namespaces))
    assert outside(os.getpid()) == before


def test_nothing_of_it_is_left_when_its_test_is_killed(fresh: str, tmp_path: Path) -> None:
    run = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), fresh]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "tests")}
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) as test:
        before = outside(test.pid)
        assert test.stdout
        namespaces = {namespace(pid) for pid in test.stdout.readline().split()}
        assert outside(test.pid)["groups"]
        test.kill()
    assert len(namespaces) == 2
    wait_until(lambda: nobody_is_in(namespaces))
    # the next one that is booted removes its control groups, which the kernel keeps
    with booted(tmp_path / "next", fresh):
        pass
    assert outside(test.pid) == before
