"""Checks of the board: power, heat, memory control group, disk and clock."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.daemon.health import HOT_C
from edge.doctor.finding import Finding, fault, good, warning
from edge.host.installation import edge_command
from edge.host.machine import Machine

LITTLE_MIB = 200
"""A disk with less free space (MiB) is nearly full: no model fits any more."""
_NOW = {
    0: ("the voltage is too low", "use the power supply that is made for this board, and a short cable"),
    1: ("the processor's frequency is capped", "check the power supply and the cooling"),
    2: ("the processor is throttled", "check the power supply and the cooling"),
    3: ("the soft limit of the temperature is reached", "add a fan or a heat sink"),
}
"""Bits of get_throttled; 16 bits higher means the same since the board was started (raspberrypi.com, "vcgencmd")."""


def check_power(machine: Machine) -> Iterator[Finding]:
    """Check throttling, voltage and temperature."""
    temperature = machine.temperature_c()
    heat = "" if temperature is None else f"{temperature:.0f} °C"
    if temperature is not None and temperature >= HOT_C:
        yield warning("temperature", heat, "edge slows down while it is so hot: add a fan or a heat sink")
    elif heat:
        yield good("temperature", heat)
    if not machine.is_raspberry_pi:
        return
    flags, told = machine.throttle_flags(), machine.ask_firmware()
    if flags is None and told is None:
        yield warning("power", "the firmware does not report whether the voltage is too low")
        return
    # the two may differ, and each may have seen something that the other has not (raspberrypi/linux issue 2367)
    both = (flags or 0) | (told or 0)
    fine = True
    for bit, (what, advice) in _NOW.items():
        if both >> bit & 1:
            fine = False
            yield fault("power", f"{what} now", advice) if bit == 0 else warning("power", f"{what} now", advice)
        elif both >> (bit + 16) & 1:
            fine = False
            yield warning("power", f"{what} at times (since the board started)", advice)
    if fine:
        yield good("power", "no throttling and no low voltage since the board started")


def check_memory_group(root: Path = Path("/"), *, on_a_pi: bool) -> Finding:
    """Check whether systemd can limit the service's memory."""
    try:
        controllers = (root / "sys/fs/cgroup/cgroup.controllers").read_text().split()
    except OSError:
        controllers = ["memory"] if (root / "sys/fs/cgroup/memory").is_dir() else []
    if "memory" in controllers:
        return good("memory", "systemd can limit it")
    return warning(
        "memory",
        "there is no memory control group: MemoryMax in the unit does nothing",
        "add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt, and reboot"
        if on_a_pi
        else "boot without cgroup_disable=memory; in a container this is up to its host",
    )


def check_disk(folders: Iterable[Path]) -> Iterator[Finding]:
    """Check whether the folders have free space, and whether edge may write there."""
    seen: set[int] = set()
    for folder in folders:
        place = next((one for one in (folder, *folder.parents) if os.access(one, os.F_OK)), Path("/"))
        try:
            device = place.stat().st_dev
            free_mib = shutil.disk_usage(place).free / 2**20
        except OSError as error:
            yield fault("disk", f"{place}: {error.strerror}")
            continue
        if os.access(folder, os.F_OK) and not os.access(folder, os.W_OK):
            yield warning("disk", f"{folder} is not writable: edge cannot save mutes and measurements")
        if device in seen:
            continue
        seen.add(device)
        text = f"{place}: {free_mib / 1024:.1f} GiB free" if free_mib > 1024 else f"{place}: {free_mib:.0f} MiB free"
        if free_mib < LITTLE_MIB:
            yield warning("disk", text, f"free some space: `{edge_command()} models list` shows the size of each model")
        else:
            yield good("disk", text)


def check_clock(quiet_hours: str, root: Path = Path("/")) -> Finding:
    """Check whether the clock was set over the internet (NTP): a Pi has no clock that runs while it is off."""
    if (root / "run/systemd/timesync/synchronized").exists() or _is_synchronized():
        return good("clock", "synchronised over the network")
    text = "not known to be synchronised"
    if quiet_hours:
        return warning("clock", f"{text}: quiet hours {quiet_hours} depend on it", "`timedatectl` shows what is wrong")
    return good("clock", f"{text}; nothing depends on it")


def _is_synchronized() -> bool:
    tool = shutil.which("timedatectl")
    if tool is None:
        return False
    command = [tool, "show", "--property=NTPSynchronized", "--value"]
    try:
        return (
            subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=5
            ).stdout.strip()
            == "yes"
        )
    except subprocess.TimeoutExpired:
        return False
