"""systemd/edge-link.service in a booted systemd: what it serves, and what its user cannot reach."""

import json
import shutil
import textwrap
from collections.abc import Iterator

import pytest
from rigs.bases import PROJECT, install, wheel
from rigs.booted import Booted, booted, why_not
from rigs.service import SETTINGS, lay_card, pid, start, until

from edge.doctor.service import confinement

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

PORT = 9417
EDGE = "/opt/edge/current/bin/python -P -m edge"
USER = "edge-link"
# (how, path): each can be read by somebody else of this machine
SECRETS = [
    ("list", "/var/lib/edge"),
    ("read", "/var/lib/edge/store.toml"),
    ("read", "/etc/edge/edge.toml"),
    ("list", "/run/edge"),
    ("read", "/run/edge/secret"),
    ("read", "/dev/video0"),
    ("write", "/dev/snd/pcmC0D0p"),
    ("read", "/dev/snd/pcmC0D0c"),
    ("read", "/dev/input/event0"),
    ("read", "/proc/{pid}/environ"),
    ("read", "/proc/{pid}/mem"),
    ("list", "/proc/{pid}/root/run"),
    ("read", "/home/somebody/diary"),
    ("read", "/etc/shadow"),
]
WRITTEN = ["/etc/edge/link.toml", "/etc/world", "/opt/edge/x", "/var/lib/x", "/run/x", "/run/edge/x", "/home/x"]
PROBE = """
    import json, os, socket, sys

    FLAGS = {"read": os.O_RDONLY, "write": os.O_WRONLY, "make": os.O_WRONLY | os.O_CREAT}

    def tried(how, path):
        try:
            if how == "list":
                os.listdir(path)
            else:
                os.close(os.open(path, FLAGS[how]))
        except OSError as error:
            return error.strerror
        return "done"

    def asked():
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect("/run/edge/control.sock")
            control.sendall(b'{"command": "status"}\\n')
            return json.loads(control.makefile().readline())

    tries = json.loads(sys.argv[1])
    print(json.dumps({"tried": [tried(*one) for one in tries], "status": asked()}))
"""


@pytest.fixture(scope="module")
def machine(debian: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("machine")
    with booted(folder, debian) as one:
        one.install(wheel(tmp_path_factory.mktemp("wheel")))
        install(debian, one.root, "prometheus-client", "paho-mqtt")
        for kind, place in (("service", "/etc/systemd/system"), ("sysusers", "/usr/lib/sysusers.d")):
            name = "edge-link.service" if kind == "service" else "edge-link.conf"
            one.write(f"{place}/{name}", (PROJECT / "systemd" / f"edge-link.{kind}").read_text())
        lay_card(one)
        one.run("systemd-sysusers")
        one.run("systemd-tmpfiles", "--create")
        lay_secrets(one)
        one.run("systemctl", "daemon-reload")
        start(one)
        one.write("/run/edge/secret", "secret", 0o640)
        one.run("chown", "edge:edge", "/run/edge/secret")
        one.run("systemctl", "start", "edge-link")
        yield one
    shutil.rmtree(folder, ignore_errors=True)


def lay_secrets(machine: Booted) -> None:
    """What a machine has that sees and hears, with the rights that a deployment and udev give."""
    machine.write("/etc/edge/edge.toml", SETTINGS, 0o640)
    machine.write("/etc/edge/link.toml", f'[metrics]\nlisten = "127.0.0.1:{PORT}"\n')
    machine.write("/opt/test/probe.py", textwrap.dedent(PROBE))
    nodes = [("video", "video0", 81, 0), ("audio", "snd/pcmC0D0p", 116, 16), ("audio", "snd/pcmC0D0c", 116, 24)]
    lines = ["mkdir -p /dev/snd /dev/input /home/somebody"]
    for group, name, major, minor in [*nodes, ("input", "input/event0", 13, 64)]:
        lines.append(f"mknod -m 660 /dev/{name} c {major} {minor}; chgrp {group} /dev/{name}")
    lines += ["chgrp edge /etc/edge/edge.toml", "install -d -m 750 -o edge -g edge /var/lib/edge"]
    lines += ["echo secret >/var/lib/edge/store.toml; chown edge:edge /var/lib/edge/store.toml"]
    lines += ["chmod 640 /var/lib/edge/store.toml; echo secret >/home/somebody/diary; chmod -R go= /home/somebody"]
    lines += ["echo x >/etc/world; chmod 666 /etc/world"]
    machine.run("sh", "-euc", "\n".join(lines))


def tries(machine: Booted) -> list[tuple[str, str]]:
    reads = [(how, path.format(pid=pid(machine))) for how, path in SECRETS]
    return [*reads, *(("make", path) for path in WRITTEN)]


def found(machine: Booted, *before: str) -> tuple[dict[tuple[str, str], str], dict[str, object]]:
    """(what came of each try, the daemon's status) of the probe, run by a command."""
    wanted = tries(machine)
    told = json.loads(machine.run(*before, "/usr/bin/python3", "/opt/test/probe.py", json.dumps(wanted)).stdout)
    return dict(zip(wanted, told["tried"], strict=True)), told["status"]


def metrics(machine: Booted) -> str:
    """What it serves, read in the machine, whose loopback it is."""
    url = f"http://127.0.0.1:{PORT}/metrics"
    program = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
    return machine.run("python3", "-c", program, check=False).stdout


def test_the_unit_is_understood_and_confined(machine: Booted) -> None:
    unit = "/etc/systemd/system/edge-link.service"
    verified = machine.run("systemd-analyze", "verify", unit)
    assert verified.stdout + verified.stderr == ""
    told = machine.run("systemd-analyze", "security", "--no-pager", "edge-link").stdout
    exposure = float(told.rpartition("edge-link.service:")[2].split()[0])
    print(f"exposure {exposure}")
    assert exposure <= 1.5


def test_it_serves_what_the_daemon_tells_it(machine: Booted) -> None:
    until(machine, lambda: "edge_model_info{" in metrics(machine))
    until(machine, lambda: machine.show("StatusText", unit="edge-link")["StatusText"].startswith("edge is reached"))
    shown = machine.show("ActiveState", "User", "NRestarts", unit="edge-link")
    assert (shown["ActiveState"], shown["User"], shown["NRestarts"]) == ("active", USER, "0")


def test_its_user_can_ask_edge_and_read_nothing_of_it(machine: Booted) -> None:
    """Without any confinement: should the unit's ever be lifted."""
    nobody = [one for one, result in found(machine)[0].items() if result != "done" and one[1] != "/dev/input/event0"]
    # there is a card, a camera and a button in name only; all else root can read and make
    assert {path for _, path in nobody} <= {"/dev/video0", "/dev/snd/pcmC0D0p", "/dev/snd/pcmC0D0c"}
    machine.run("sh", "-c", f"rm -f {' '.join(path for path in WRITTEN if path.endswith('/x'))}")
    results, status = found(machine, "setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")
    assert status["model"] == "demo"
    allowed = {one for one, result in results.items() if result == "done"}
    assert allowed <= {("make", "/etc/world")}
    assert {results[one] for one in results if one not in allowed} == {"Permission denied"}


def test_in_its_confinement_it_can_do_even_less(machine: Booted) -> None:
    unit = machine.run("systemctl", "cat", "edge-link").stdout
    properties = [f"--property={line}" for line in confinement(unit)]
    run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *properties]
    results, status = found(machine, *run)
    assert status["model"] == "demo"
    assert not [one for one, result in results.items() if result == "done"]
    # it does not even see them
    for how, path in SECRETS:
        if path.startswith(("/dev/", "/etc/edge", "/proc/")):
            assert results[how, path.format(pid=pid(machine))] == "No such file or directory", path


def test_killed_it_is_back_and_edge_does_not_notice(machine: Booted) -> None:
    before = pid(machine)
    links = machine.show("MainPID", unit="edge-link")["MainPID"]
    machine.run("systemctl", "kill", "--signal=KILL", "edge-link")
    until(machine, lambda: machine.show("ActiveState", unit="edge-link")["ActiveState"] == "active")
    until(machine, lambda: machine.show("MainPID", unit="edge-link")["MainPID"] not in ("0", links))
    until(machine, lambda: "edge_model_info{" in metrics(machine))
    assert pid(machine) == before
