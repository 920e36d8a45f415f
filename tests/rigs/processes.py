"""Looking at processes from outside, and waiting without sleeping too long."""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from edge.host.processes import stat_fields

T = TypeVar("T")

PATIENCE_S = 60.0
"""For what should take milliseconds, on a machine that does much else."""


def wait_until(condition: Callable[[], T]) -> T:
    """Return what the condition returns as soon as that counts as true; fail when it never does.

    It is asked less and less often, up to 20 times a second: many conditions read files that grow, or all of /proc.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    pause_s = 0.005
    while not (result := condition()):
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, 0.05)
    return result


def grown(before: Sequence[int], now: Sequence[int]) -> bool:
    """Return whether anything has become more. Less is well: what an earlier test left may have ended since."""
    return any(one > then for one, then in zip(now, before, strict=True))


def members(group: int) -> list[int]:
    """The ids of the living processes of a process group."""
    return [pid for pid, _, its_group in _living() if its_group == group]


def workers(parent: int) -> list[int]:
    """The ids of the living children of a process that are workers (edge/worker.py); each leads a group."""
    return [pid for pid, its_parent, _ in _living() if its_parent == parent and "edge.worker" in command(pid)]


def command(pid: int) -> str:
    """The command line of a process, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until_gone(group: int) -> None:
    """Return when a process group has no living member."""
    wait_until(lambda: not members(group))


def shared_memory() -> set[str]:
    """The names in /dev/shm."""
    memory = Path("/dev/shm")
    return {entry.name for entry in memory.iterdir()} if memory.is_dir() else set()


def left_in_shared_memory(before: set[str], daemons: set[int]) -> set[str]:
    """What is new there, but for the folders of daemons that are not ours: other tests may run beside."""
    owners = {name: re.match(r"edge-(\d+)-", name) for name in shared_memory() - before}
    return {name for name, owner in owners.items() if owner is None or int(owner[1]) in daemons}


def temp_folder(pid: int) -> Path:
    """The folder that a process was given for its temporary files."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (folder,) = (entry.removeprefix(b"TMPDIR=") for entry in environment if entry.startswith(b"TMPDIR="))
    return Path(os.fsdecode(folder))


def _living() -> list[tuple[int, int, int]]:
    """(process, parent, group), without those that are dead and only not reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, group = stat_fields(int(folder.name))[:3]
        except OSError:  # it has just ended
            continue
        if state != "Z":
            found.append((int(folder.name), int(parent), int(group)))
    return found
