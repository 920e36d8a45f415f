"""How much memory a tree of processes takes, and the most that it took.

It is the sum of PSS (edge/host/memory.py). Pages that the kernel keeps of files just read do not count: it gives them
up when asked. PSS has no high-water mark, so the peak of a tree is the largest of many samples.
"""

import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.host.memory import pss_mib, tree

_PROC = Path("/proc")


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
