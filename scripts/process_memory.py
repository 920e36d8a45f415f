"""How much memory a tree of processes takes, and the most that it took.

It is the sum of PSS, the proportional set size: a page that n processes share counts 1/n in each, so over the tree it
counts once. Pages that the kernel keeps of files just read do not count: it gives them up when asked. PSS has no
high-water mark, so the peak of a tree is the largest of many samples.
"""

import contextlib
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.host.memory import read_field_mib, rss_mib
from edge.host.processes import stat_fields

_PROC = Path("/proc")


def pss_mib(pid: int) -> float:
    """Its share of memory in MiB; 0 when it has ended.

    Its resident memory where only that can be read: another user's process, a kernel without smaps_rollup.
    """
    try:
        return read_field_mib(_PROC / str(pid) / "smaps_rollup", "Pss")
    except OSError:
        return rss_mib(pid)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it, as far as they live."""
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


class PeakSampler:
    """Samples the memory of a process tree in a thread, up to 50 times a second, and keeps the largest sum."""

    EVERY_S = 0.02

    def __init__(self, pid: int, without: Collection[int] = ()) -> None:
        """`without` names processes of the tree that don't count, the sampler's own for instance."""
        self._pid = pid
        self._without = set(without)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peak", daemon=True)
        self.peak_mib = 0.0
        self.at_peak: dict[int, tuple[str, float]] = {}
        """Command and MiB of each process at the largest moment."""
        self.samples = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            start_s = time.monotonic()
            now = {pid: pss_mib(pid) for pid in tree(self._pid) if pid not in self._without}
            self.samples += 1
            if (total := sum(now.values())) > self.peak_mib:
                self.peak_mib = total
                self.at_peak = {pid: (_command(pid), share) for pid, share in now.items()}
            # where a sample takes longer than that, what is measured gets its turn all the same
            self._stop.wait(max(self.EVERY_S - (time.monotonic() - start_s), 0.005))


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
