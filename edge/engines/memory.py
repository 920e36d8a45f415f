"""Calls to the C library and the kernel that return unused memory to the system."""

import _thread
import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.host.memory import drop

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_START_TIMEOUT_S = 10.0
_LARGE = 128 * 1024
_WORK_SPACE = 32 * 1024 * 1024  # the most that glibc allows


def give_back_large_blocks() -> None:
    """Allocate each block of 128 KiB or more as its own mapping from now on, which free() returns to the kernel.

    That is glibc's initial behaviour. But glibc raises the limit up to 32 MiB as such blocks are freed, and then large
    blocks leave holes that stay resident.
    """
    _set_thresholds(_LARGE)


def keep_large_blocks() -> None:
    """Keep freed blocks in the process from now on.

    Each frame needs the same few MiB again. Getting them page by page from the kernel makes small models a tenth
    slower.
    """
    _set_thresholds(_WORK_SPACE)


def give_back_free_memory() -> None:
    """Return all free memory of malloc's heap to the kernel."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set_thresholds(size: int) -> None:
    # C libraries other than glibc lack this function, and do not raise the limit
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, size)
        mallopt(_M_TRIM_THRESHOLD, 2 * size)


def give_back_code(library: str) -> None:
    """Drop the pages of a shared library's code from this process; pages in use come back from the page cache.

    The kernel would do this only when memory is already tight. `library` is the file's name.
    """
    # code is never written to, so nothing is lost; relocated data must not be dropped
    _drop(f"/{library}", "r-xp")


def give_back_file(path: Path) -> None:
    """Drop the pages of a file that is mapped read-only and shared; pages in use come back from the page cache.

    The file must not be unmapped meanwhile.
    """
    _drop(str(path.resolve()), "r--s")


@contextlib.contextmanager
def repeatedly(give_back: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call `give_back` every `every_s` seconds in a thread while the context is open, and once at its end.

    So pages of a file that is read meanwhile never accumulate.
    """
    done, starting, running = threading.Event(), threading.Lock(), threading.Lock()
    starting.acquire()
    running.acquire()

    def work() -> None:
        try:
            starting.release()
            while not done.wait(every_s):
                give_back()
        finally:
            running.release()

    try:
        # no threading.Thread: if memory runs out in the thread's first steps, its start() never returns
        # (https://github.com/python/cpython/issues/140746)
        _thread.start_new_thread(work, ())
    except RuntimeError as error:
        raise MemoryError(f"{error}") from error
    if not starting.acquire(timeout=_START_TIMEOUT_S):
        done.set()  # in case it still starts
        raise MemoryError("can't start new thread")
    try:
        yield
    finally:
        done.set()
        running.acquire()
        give_back()


def _drop(file: str, permissions: str) -> None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1] == permissions and fields[5].endswith(file):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                drop(start, end)
