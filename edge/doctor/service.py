"""Check of the systemd service: is it installed, does it run, is it watched? And a way to run in its confinement."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge.doctor.finding import Finding, fault, good, warning
from edge.errors import ConfigError

UNIT = "edge.service"
DROP_INS = [Path(f"/{place}/systemd/system/{UNIT}.d") for place in ("usr/lib", "run", "etc")]
_NOT_CONFINEMENT = re.compile(
    r"Type|NotifyAccess|Exec.*|Restart.*|Success.*|WatchdogSec|Timeout.*|KillMode|.*Signal|RemainAfterExit|PIDFile|"
    r"FileDescriptorStoreMax|RuntimeDirectoryPreserve|Standard.*|BusName"
)
"""Keys of [Service] about start and supervision; all others are about identity and rights (the confinement)."""


def check_service() -> Iterator[Finding]:
    """Check the service by what `systemctl show` prints."""
    properties = [
        *("LoadState", "ActiveState", "SubState", "UnitFileState", "WatchdogUSec", "Result", "NRestarts"),
        *("ExecMainStatus", "StatusText", "MemoryMax", "NeedDaemonReload"),
    ]
    done = ask_systemd(UNIT, properties)
    if done is None:
        yield warning("service", "this system has no systemd: edge can only be started by hand")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        yield warning("service", f"systemd does not answer: {last}")
        return
    yield from judge_service(properties_in(done.stdout))


def ask_systemd(unit: str, properties: Sequence[str]) -> "subprocess.CompletedProcess[str] | None":
    """Return what `systemctl show` says of a unit; None if this system has no systemd."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return None
    return subprocess.run(
        [systemctl, "show", unit, f"--property={','.join(properties)}"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=10,
    )


def properties_in(told: str) -> dict[str, str]:
    """Return the properties that `systemctl show` has printed, by their names."""
    return dict(line.partition("=")[::2] for line in told.splitlines())


def judge_service(told: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings about the properties of `systemctl show`."""
    if told.get("LoadState") != "loaded":
        yield warning("service", "edge is not installed as a service", "the unit is systemd/edge.service")
        return
    state = f"{told.get('ActiveState')} ({told.get('SubState')})"
    restarts = int(told.get("NRestarts") or 0)
    again = f", restarted {restarts} times" if restarts else ""
    if told.get("ActiveState") == "active":
        yield good("service", f"{state}{again}: {told.get('StatusText') or 'no status'}")
    elif told.get("ActiveState") == "failed":
        yield fault(
            "service",
            f"failed ({told.get('Result')}, exit status {told.get('ExecMainStatus')}): {told.get('StatusText')}",
            "`sudo journalctl -u edge -e` shows why; then `sudo systemctl restart edge`",
        )
    elif told.get("ActiveState") == "inactive":
        yield warning("service", "it is not running", "`sudo systemctl start edge`")
    else:
        yield warning("service", f"{state}{again}: {told.get('StatusText')}")
    if told.get("UnitFileState") != "enabled":
        yield warning("boot", "it does not start at boot", "`sudo systemctl enable edge`")
    else:
        yield good("boot", "it starts at boot")
    if told.get("WatchdogUSec", "0") in ("0", "infinity"):
        yield warning(
            "watchdog",
            "there is no watchdog: if edge hangs, systemd does not restart it",
            "set WatchdogSec= in the unit",
        )
    else:
        yield good("watchdog", f"armed, {told['WatchdogUSec']}")
    if told.get("NeedDaemonReload") == "yes":
        yield warning("unit", "it has changed since systemd read it", "`sudo systemctl daemon-reload`")


def in_the_service(arguments: Sequence[str], unit_file: Path | None = None) -> int:
    """Run `edge ARGUMENTS` as the service's user with its confinement, and return its exit code.

    With `unit_file`, which need not be installed yet, the confinement is that of this file with the installed drop-ins,
    and this installation of edge runs. Raises ConfigError if there is no such service or file.
    """
    run, show = shutil.which("systemd-run"), shutil.which("systemctl")
    if run is None or show is None:
        raise ConfigError("--service: this system has no systemd")
    if unit_file is None:
        shown = subprocess.run(
            [show, "cat", UNIT], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if shown.returncode:
            raise ConfigError(f"--service: there is no {UNIT}; install it first, or leave --service out")
        unit = shown.stdout
        # run the service's own edge, not this one: the service may have no access to this folder
        starts = [line.split()[0] for line in re.findall(r"(?m)^ExecStart=[-@:+!]*(\S.*)$", unit)]
    else:
        # of two with the same name, the one in the later folder is used
        drop_ins = [
            found[1] for found in sorted({one.name: one for place in DROP_INS for one in place.glob("*.conf")}.items())
        ]
        try:
            unit = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in (unit_file, *drop_ins))
        except OSError as error:
            raise ConfigError(f"--unit: {error.filename}: {error.strerror}") from error
        starts = []
    properties = [f"--property={line}" for line in confinement(unit)]
    return subprocess.run(
        [
            *(run, "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"),
            *(*properties, "--property=RuntimeDirectoryPreserve=yes"),
            *(starts[-1] if starts else sys.executable, "-P", "-m", "edge", *arguments),
        ],
        check=False,
    ).returncode


def confinement(unit: str) -> list[str]:
    """Return the lines KEY=VALUE of [Service] about identity and rights, in a unit with drop-ins (`systemctl cat`)."""
    found = []
    section = ""
    for line in re.sub(r"\s*\\\n\s*", " ", unit).splitlines():
        if line.startswith("["):
            section = line.strip()
        key = re.match(r"([A-Za-z]+)\s*=", line)
        if section == "[Service]" and key and not _NOT_CONFINEMENT.fullmatch(key[1]):
            found.append(line.strip())
    return found
