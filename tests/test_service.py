"""systemd/edge.service in a booted systemd: start, faults, confinement, what it writes, power cuts."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rigs.bases import PROJECT, wheel
from rigs.booted import Booted, booted, why_not
from rigs.processes import wait_until
from rigs.service import PATIENCE_S, SETTINGS, events, heard, lay_card, pid, start, until, wait_for_announcement
from rigs.stores import store_of

from edge.doctor.service import confinement
from edge.host.machine import Machine

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

WATCHDOG_S = 6
# a watchdog whose period a test can wait for
TESTED = "[Service]\nWatchdogSec={watchdog_s}\n"
FAULTY = """
[Service]
Environment=PYTHONPATH=/opt/test
ExecStart=
ExecStart=/opt/edge/current/bin/python -P /opt/test/faulty.py run
"""
EDGE = ["/opt/edge/current/bin/python", "-P", "-m", "edge"]
LABELS = ["anchor", "banana", "cactus", "pizza", "snail"]


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(tmp_path_factory.mktemp("wheel"))


def lay_out(machine: Booted, wheel_file: Path) -> None:
    """What a deployment puts into a machine, and what tests need."""
    machine.install(wheel_file)
    machine.drop_in("tested", TESTED.format(watchdog_s=round(WATCHDOG_S * machine.slowness)))
    machine.write("/etc/edge/edge.toml", SETTINGS)
    lay_card(machine)
    for file in (PROJECT / "tests" / "rigs" / "unit").glob("*.py"):
        machine.write(f"/opt/test/{file.name}", file.read_text())


@pytest.fixture(scope="module")
def machine(debian: str, wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("machine")
    with booted(folder, debian) as one:
        lay_out(one, wheel_file)
        one.run("systemd-sysusers")
        one.run("systemd-tmpfiles", "--create")
        one.run("systemctl", "daemon-reload")
        one.run("systemctl", "enable", "edge")
        yield one
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(machine: Booted) -> Iterator[Booted]:
    """The machine with the service running as it is delivered; afterwards all that a test has changed is undone."""
    start(machine)
    yield machine
    machine.run("systemctl", "stop", "edge")
    machine.run("systemctl", "reset-failed", "edge", check=False)
    machine.run("rm", "-rf", "/etc/systemd/system/edge.service.d/faulty.conf", "/var/lib/edge/models")
    machine.run("systemd-tmpfiles", "--create")
    machine.run("systemctl", "daemon-reload")
    machine.write("/etc/edge/edge.toml", SETTINGS)


def edge(machine: Booted, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command, as root at a terminal of the machine."""
    return machine.run(*EDGE, *arguments, check=check)


# ---- as it is delivered


def test_the_unit_is_understood_and_confined(machine: Booted) -> None:
    unit = "/etc/systemd/system/edge.service"
    verified = machine.run("systemd-analyze", "verify", unit)
    assert verified.stdout + verified.stderr == ""
    delivered = "/run/delivered/delivered.service"  # by this name it has none of the tests' drop-ins
    machine.run("install", "-D", unit, delivered)
    told = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", delivered).stdout
    exposure = float(told.rpartition("delivered.service:")[2].split()[0])
    print(f"exposure {exposure}")
    assert exposure <= 1.0


def test_it_starts_sees_speaks_and_tells(service: Booted) -> None:
    shown = service.show("ActiveState", "StatusText", "UnitFileState", "MemoryMax", "WatchdogUSec", "Type")
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"].startswith("demo: looking through the demo clip")
    assert shown["UnitFileState"] == "enabled"
    assert shown["Type"] == ("notify" if service.release == "bookworm" else "notify-reload")
    wait_for_announcement(service, more_than=2)
    (first, *_) = events(service, "announced")
    assert first["EDGE_LABEL"] == "guitar"
    assert first["MESSAGE"].startswith("I see a guitar (")
    assert first["EDGE_MODEL"] == "demo"
    assert first["PRIORITY"] == "6"
    assert first["_UID"] != "0"
    assert 0.5 < float(first["EDGE_PROBABILITY"]) <= 1
    status = service.run("systemctl", "status", "edge", "--no-pager", check=False).stdout
    assert 'last words: "I see' in status
    assert heard(service, "I see a guitar")


def test_the_group_may_ask_it_and_nobody_else(service: Booted) -> None:
    assert "the demo clip" in edge(service, "status").stdout
    service.run("useradd", "--groups", "edge", "friend")
    service.run("useradd", "stranger")
    for user, code in (("friend", 0), ("stranger", 69)):
        command = "/opt/edge/current/bin/python -P -m edge status"
        asked = service.run(
            "setpriv", f"--reuid={user}", "--init-groups", f"--regid={user}", "sh", "-c", command, check=False
        )
        assert asked.returncode == code, asked.stderr


def test_with_its_confinement_it_can_do_what_it_must_and_nothing_else(service: Booted) -> None:
    service.run("mkdir", "-p", "/home/somebody")
    service.run("sh", "-c", "echo secret > /home/somebody/diary; chmod -R a+rX /home/somebody")
    service.run("sh", "-c", "echo x > /etc/world; chmod 666 /etc/world")
    # each must fail by the confinement: all but the last can be done by this user without it
    probe = """
        import socket
        def tried(what):
            try:
                what()
            except OSError as error:
                return error.strerror
            return "done"
        def loopback():
            socket.create_connection(("127.0.0.1", 1), 1)
        print(tried(lambda: open("/home/somebody/diary").read()))
        print(tried(lambda: open("/etc/world", "w").write("y")))
        print(tried(lambda: open("/dev/fuse", "rb").close()))
        print(tried(loopback))
        print(tried(lambda: open("/var/lib/edge/probe", "w").close()))
        print(tried(lambda: open("/proc/meminfo").read()))
    """
    service.write("/opt/test/probe.py", textwrap.dedent(probe))
    unit = service.run("systemctl", "cat", "edge").stdout
    properties = [f"--property={line}" for line in confinement(unit)]
    run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--property=RuntimeDirectoryPreserve=yes"]
    told = service.run(*run, *properties, "/usr/bin/python3", "/opt/test/probe.py").stdout.splitlines()
    assert told == [
        *("Permission denied", "Read-only file system", "Operation not permitted"),
        *("Address family not supported by protocol", "done", "done"),
    ]
    assert service.run("sh", "-c", "cat /etc/world").stdout == "x\n"
    free = service.run(
        "setpriv", "--reuid=edge", "--regid=edge", "--clear-groups", "python3", "/opt/test/probe.py"
    ).stdout
    assert free.splitlines()[:4] == ["done", "done", "done", "Connection refused"]


def test_the_doctor_in_the_service_s_circumstances(service: Booted) -> None:
    service.run("systemctl", "stop", "edge")
    done = edge(service, "doctor", "--service", "--speak", "--json", check=False)
    findings = {one["check"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert findings["speaking"]["grade"] == "good"
    assert findings["model"]["text"].startswith("demo, run by mxnet")
    assert findings["watchdog"]["grade"] == findings["boot"]["grade"] == "good"
    assert "systemd-python" in findings["packages"]["text"]
    # an edge that runs has the camera: it is asked
    start(service)
    findings = {one["check"]: one for one in json.loads(edge(service, "doctor", "--service", "--json").stdout)}
    assert "in use by the running edge" in findings["camera"]["text"]
    assert service.show("ActiveState")["ActiveState"] == "active"
    assert (service.root / "run/edge/control.sock").exists()


def test_a_member_of_edge_control_may_talk_to_it_and_read_nothing_of_it(service: Booted) -> None:
    for user, group in (("watcher", "edge-control"), ("member", "edge"), ("outsider", "users")):
        service.run("useradd", "--create-home", "--groups", group, user)

    def status(user: str) -> str:
        done = service.run_as(user, *EDGE, "status", check=False)
        return done.stdout + done.stderr

    try:
        assert "guitar" in edge(service, "mute", "guitar").stdout
        assert "demo, run by mxnet" in status("watcher")
        assert "demo, run by mxnet" in status("member")
        assert "sudo usermod -aG edge outsider" in status("outsider")
        code = (
            "import json; from pathlib import Path; from edge.host.control_client import SERVICE_SOCKET, Subscription;"
        )
        code += "print(Subscription([SERVICE_SOCKET]).next(10)['event'])"
        assert service.run_as("watcher", EDGE[0], "-c", code).stdout == "status\n"
        refused = service.run_as("watcher", *EDGE, "snapshot", "now.jpg", check=False)
        assert "gets no snapshot" in refused.stderr
        others = [str(file).removeprefix(str(service.root)) for file in (service.root / "run/edge").iterdir()]
        assert "/run/edge/control.sock" in others
        for file in ("/run/edge", "/var/lib/edge", "/var/lib/edge/mutes.json", *others):
            assert service.run("test", "-e", file).returncode == 0
            assert service.run_as("watcher", "test", "-r", file, check=False).returncode != 0 or "sock" in file, file
        # a machine on which somebody put the unit by hand has no such group
        service.run("gpasswd", "--delete", "watcher", "edge-control")
        service.run("groupdel", "edge-control")
        start(service)
        assert "demo, run by mxnet" in status("member")
        assert "you may not use it" in status("watcher")
    finally:
        for user in ("watcher", "member", "outsider"):
            service.run("userdel", "--remove", user, check=False)
        service.run("systemd-sysusers")
        edge(service, "unmute", "guitar", check=False)


# ---- settings


def test_wrong_settings_end_it_until_they_are_mended(service: Booted) -> None:
    service.write("/etc/edge/edge.toml", SETTINGS + '[speech]\nrate = "fast"\n')
    assert service.run("systemctl", "restart", "edge", check=False).returncode != 0
    time.sleep(3)  # longer than a restart would take
    shown = service.show("ActiveState", "Result", "ExecMainStatus", "NRestarts", "StatusText")
    assert (shown["ActiveState"], shown["ExecMainStatus"], shown["NRestarts"]) == ("failed", "78", "0")
    status = service.run("systemctl", "status", "edge", "--no-pager", check=False).stdout
    (line,) = (line for line in status.splitlines() if "edge[" in line)
    assert "/etc/edge/edge.toml" in line
    assert "rate" in line
    assert [entry["PRIORITY"] for entry in service.journal("EDGE_EVENT=failed")][-1:] == ["3"]
    service.write("/etc/edge/edge.toml", SETTINGS)
    start(service)


def test_reload_takes_good_settings_and_refuses_bad_ones(service: Booted) -> None:
    before = pid(service)
    service.write("/etc/edge/edge.toml", SETTINGS + '[announce]\ntemplate = "There is {label}"\n')
    service.run("systemctl", "reload", "edge")
    until(service, lambda: events(service, "reloaded"))
    until(service, lambda: events(service, "announced")[-1]["MESSAGE"].startswith("There is "))
    service.write("/etc/edge/edge.toml", "[announce]\ntempalte = 1\n")
    refused = service.run("systemctl", "reload", "edge", check=False)
    # systemd itself tells where edge is asked before it is signalled
    assert (refused.returncode != 0) == (service.release == "bookworm")
    service.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "edge")
    faults = until(service, lambda: events(service, "reload_refused"))
    assert "tempalte" in faults[-1]["MESSAGE"]
    assert faults[-1]["PRIORITY"] == "3"
    wait_for_announcement(service, more_than=len(events(service, "announced")))
    assert events(service, "announced")[-1]["MESSAGE"].startswith("There is ")
    assert pid(service) == before
    assert service.show("ActiveState")["ActiveState"] == "active"


# ---- faults


@pytest.mark.parametrize("fault", ["stopped", "busy", "deadlock", "camera"])
def test_what_hangs_is_ended_and_announces_again(service: Booted, fault: str, long: bool) -> None:
    service.drop_in("faulty", FAULTY)
    service.write("/etc/edge/edge.toml", '[camera]\nsource = "usb"\n[model]\nname = "demo"\n')
    service.run("systemctl", "daemon-reload")
    start(service)
    for _ in range(20 if long else 1):
        service.run("systemctl", "reset-failed", "edge")
        before = pid(service)
        known = len(events(service, "camera_back"))
        deadline_s = time.monotonic() + (WATCHDOG_S + PATIENCE_S) * service.slowness
        if fault == "stopped":
            service.run("sh", "-c", f"kill -STOP {before}")
        else:
            # the service's user must be able to remove it
            service.run("sh", "-c", f"printf {fault} > /run/edge/fault.new; mv /run/edge/fault.new /run/edge/fault")
        if fault == "camera":
            until(service, lambda number=known: len(events(service, "camera_back")) > number, PATIENCE_S)
            assert pid(service) == before, "its supervisor is enough"
            assert service.show("NRestarts")["NRestarts"] == "0"
            wait_for_announcement(service, more_than=len(events(service, "announced")))
            continue
        until(service, lambda pid_before=before: pid(service) not in (pid_before, "0"), WATCHDOG_S + PATIENCE_S)
        left_s = (deadline_s - time.monotonic()) / service.slowness
        until(service, lambda: events(service, "announced"), left_s)
        assert service.show("NRestarts")["NRestarts"] == "1"
        if fault != "stopped":
            told = "".join(str(entry["MESSAGE"]) for entry in service.journal(f"_PID={before}"))
            assert "faulty.py" in told, "where it hung stands in the journal"


def test_a_hog_in_its_control_group_makes_the_network_smaller(service: Booted, tmp_path: Path) -> None:
    store = store_of(tmp_path, Machine(), large=400.0, small=200.0)
    service.run("rm", "-rf", "/var/lib/edge/models")
    shutil.copytree(store, service.root / "var/lib/edge/models")
    service.run("chown", "-R", "edge:edge", "/var/lib/edge/models")
    service.run("systemd-run", "--unit=neighbour", "sleep", "600")
    start(service)
    assert service.show("StatusText")["StatusText"].startswith("large: ")
    hog = """
        import sys, time
        from pathlib import Path
        limit, used = (Path("/sys/fs/cgroup/memory/system.slice/edge.service") / f"memory.{name}_in_bytes"
                       for name in ("limit", "usage"))
        Path("/sys/fs/cgroup/memory/system.slice/edge.service/cgroup.procs").write_text("0")
        blocks, until_s = [], time.monotonic() + 14
        while time.monotonic() < until_s:
            if int(limit.read_text()) - int(used.read_text()) > 30 * 2**20:
                blocks.append(b"x" * 2**23)
            else:
                time.sleep(0.1)
    """
    service.write("/opt/test/hog.py", textwrap.dedent(hog))
    service.run("python3", "/opt/test/hog.py", check=False)
    status = until(service, lambda: service.show("StatusText", "ActiveState"))
    assert status["ActiveState"] == "active"
    assert status["StatusText"].startswith("small: ")
    announced = len(events(service, "announced"))
    wait_for_announcement(service, more_than=announced)
    assert service.show("ActiveState", unit="neighbour")["ActiveState"] == "active"
    service.run("systemctl", "stop", "neighbour")


def test_what_is_killed_while_it_loads_comes_back_with_the_smaller_network(service: Booted, tmp_path: Path) -> None:
    """As the kernel's OOM killer does it; the mark in the runtime directory survives the restart."""
    store = store_of(tmp_path, Machine(), large=400.0, small=200.0)
    service.run("rm", "-rf", "/var/lib/edge/models")
    shutil.copytree(store, service.root / "var/lib/edge/models")
    service.run("chown", "-R", "edge:edge", "/var/lib/edge/models")
    kill = "until ls /run/edge/loading-* 2>/dev/null; do :; done; systemctl kill --kill-whom=main --signal=KILL edge"
    service.run("systemd-run", "--quiet", "--unit=killer", "sh", "-c", kill)
    service.run("systemctl", "restart", "edge", check=False)
    until(service, lambda: service.show("StatusText")["StatusText"].startswith("small: "))
    wait_for_announcement(service)
    notices = [entry["MESSAGE"] for entry in events(service, "notice")]
    assert "Using a smaller model." in notices


def test_the_optional_reboot_comes_after_failed_recoveries(debian: str, wheel_file: Path, tmp_path: Path) -> None:
    with booted(tmp_path, debian) as one:
        lay_out(one, wheel_file)
        drop_in = (PROJECT / "systemd" / "drop-ins" / "reboot.conf").read_text()
        one.drop_in("reboot", drop_in.replace("StartLimitBurst=10", "StartLimitBurst=3"))
        one.drop_in("crash", "[Service]\nRestartSec=100ms\nRestartSteps=0\nExecStart=\nExecStart=/bin/false\n")
        one.run("systemd-sysusers")
        one.run("systemd-tmpfiles", "--create")
        one.run("systemctl", "daemon-reload")
        one.run("systemctl", "start", "edge", check=False)
        wait_until(lambda: not one.runs())


# ---- what it leaves on the disk


def test_in_steady_state_nothing_is_written(service: Booted, long: bool) -> None:
    """Whatever is written anywhere but in memory ends up in the machine's layer."""
    wait_for_announcement(service, more_than=3)
    service.run("sync")
    files, written = listing(service.upper), bytes_written(service)
    assert written
    time.sleep(600 if long else 12)
    assert listing(service.upper) == files
    for process, line in bytes_written(service).items():
        assert line == written.get(process, "write_bytes: 0"), process


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size and times of everything but the journal's own files."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        if folder / "var/log/journal" in path.parents:
            continue
        status = path.lstat()
        found[str(path)] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def bytes_written(machine: Booted) -> dict[str, str]:
    """What each process of the service has ever caused to be written to a disk, in bytes."""
    found = {}
    for number in machine.processes():
        with contextlib.suppress(OSError):  # a player that has ended
            io = Path(f"/proc/{number}/io").read_text()
            found[str(number)] = next(line for line in io.splitlines() if line.startswith("write_bytes"))
    return found


def test_a_power_cut_at_any_moment_costs_nothing(debian: str, wheel_file: Path, tmp_path: Path, long: bool) -> None:
    generator = random.Random(6)
    with booted(tmp_path, debian) as one:
        lay_out(one, wheel_file)
        one.run("systemd-sysusers")  # the folders are made at each boot
        one.run("systemctl", "enable", "edge")
        muted: set[str] = set()
        for number in range(20 if long else 4):
            one.power_cut()
            one.boot()  # it is enabled
            moment = ("start", "run", "mute", "reload")[number % 4]
            if moment != "start":
                until(one, lambda: events(one, "announced"))
                mutes = set(edge(one, "mute").stdout.splitlines())
                assert muted <= mutes, "a mute that was answered is there"
                muted = mutes & set(LABELS)
            if moment == "mute":
                # answered or not, it is cut off right after
                label = LABELS[number % len(LABELS)]
                told = one.run("timeout", str(generator.uniform(0.1, 1)), *EDGE, "mute", label, check=False)
                muted |= {label} if told.stdout.startswith("Muted") else set()
            elif moment == "reload":
                text = SETTINGS + f"[announce]\nper_minute = {10 + number}\n"
                one.write("/etc/edge/edge.toml", text)
                one.run("systemctl", "reload", "edge", "--no-block")
                time.sleep(generator.uniform(0, 0.3))
            else:
                time.sleep(generator.uniform(0, 4))
        one.power_cut()
        one.boot()
        until(one, lambda: events(one, "announced"))
        assert muted <= set(edge(one, "mute").stdout.splitlines())


def test_what_must_survive_is_synced_in_the_right_order(tmp_path: Path) -> None:
    """The file before it gets its name, and the folder after: else a power cut may leave a name without its bytes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    code = "import pathlib, sys; from edge.host.atomic import write_text; write_text(pathlib.Path(sys.argv[1]), '[]')"
    calls = "trace=openat,fsync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", code]
    subprocess.run([*command, str(tmp_path / "mutes.json")], check=True, cwd=PROJECT)
    lines = trace.read_text().splitlines()
    (renamed,) = (number for number, line in enumerate(lines) if "rename" in line and "mutes.json" in line)
    synced = [number for number, line in enumerate(lines) if "fsync(" in line]
    assert any(".mutes.json." in lines[number] for number in synced if number < renamed)
    assert any(f"{tmp_path}>" in lines[number] for number in synced if number > renamed)
