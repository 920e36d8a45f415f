"""Memory of a process, and of a process with its children.

RSS counts each page that is resident, and the kernel records its peak (VmHWM). PSS, the proportional set size, counts
1/n of a page that n processes share. So over a tree of processes each page counts once.
"""

import contextlib
from pathlib import Path

from edge.host.processes import stat_fields

_PROC = Path("/proc")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has ended."""
    return _field(pid, "status", "VmRSS")


def pss_mib(pid: int) -> float:
    """Return the proportional set size of a process in MiB; 0 if it has ended.

    It is the resident memory if only that can be read: another user's process, a kernel without smaps_rollup.
    """
    try:
        return read_field_mib(_PROC / str(pid) / "smaps_rollup", "Pss")
    except OSError:
        return rss_mib(pid)


def tree(pid: int) -> list[int]:
    """Return the ids of a process and of all its living descendants."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = stat_fields(int(folder.name))[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found, ahead = [], [pid]
    while ahead:
        one = ahead.pop()
        found.append(one)
        ahead += children.get(one, [])
    return found


def tree_mib(pid: int) -> float:
    """Return the memory of a process and its descendants in MiB."""
    return sum(pss_mib(one) for one in tree(pid))


def peak_rss_mib(pid: int | str = "self") -> float:
    """Return the peak resident memory of a process in MiB; 0 if it has ended."""
    return _field(pid, "status", "VmHWM")


def _field(pid: int | str, file: str, name: str) -> float:
    try:
        return read_field_mib(_PROC / str(pid) / file, name)
    except OSError:
        return 0.0


def read_field_mib(path: Path, name: str) -> float:
    """Return a field in kB as MiB; 0 if the file has no such field (a process that is ending). Raises OSError."""
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
