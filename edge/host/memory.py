"""Memory of a process, and of a process with its children.

RSS counts each page that is resident, and the kernel records its peak (VmHWM). PSS, the proportional set size, counts
1/n of a page that n processes share. So over a tree of processes each page counts once.
"""

import contextlib
import ctypes
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass
class Mapping:
    """A range of a process's address space, and its resident memory in KiB."""

    start: int
    end: int
    permissions: str
    """As in /proc/PID/maps: 'r-xp' for code."""
    file: str
    """Path of the mapped file; '[heap]' and the like, or '' for memory without a file."""
    pss_kib: int = 0
    anonymous_kib: int = 0
    """The part that is no copy of the file's content: it exists in memory alone."""


def mappings(pid: int | str = "self") -> Iterator[Mapping]:
    """Yield the mappings of a process (proc_pid_smaps(5)). Raises OSError if they cannot be read."""
    one: Mapping | None = None
    for line in (_PROC / str(pid) / "smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line):
            if one is not None:
                yield one
            one = Mapping(int(head[1], 16), int(head[2], 16), head[3], head[4])
        elif one is not None and line.startswith("Pss:"):
            one.pss_kib = int(line.split()[1])
        elif one is not None and line.startswith("Anonymous:"):
            one.anonymous_kib = int(line.split()[1])
    if one is not None:
        yield one


def give_back_start() -> None:
    """Return to the system what only the start of a program needed: free memory, and pages of libraries.

    Of files, only mappings that hold nothing but the content are dropped. What is used again comes back from the page
    cache. The kernel would do this only when memory is already tight.
    """
    with contextlib.suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        for one in list(mappings()):
            if one.file.startswith("/") and "w" not in one.permissions and not one.anonymous_kib:
                drop(one.start, one.end)


def drop(start: int, end: int) -> None:
    """Drop the pages of a range of addresses; what was written there is lost, the rest can be read again."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    madvise(start, end - start, mmap.MADV_DONTNEED)


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
