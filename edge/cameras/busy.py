"""Find the process that uses a camera, so that an error about a busy camera can name it."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")


def usb_user(node: Path, root: Path = ROOT) -> str:
    """Return 'it is used by NAME (process PID)' for another process that has the node open; '' if none is found.

    Only root can inspect the processes of other users.
    """
    for process in sorted(root.glob("proc/[0-9]*")):
        with contextlib.suppress(OSError):
            if process.name != str(os.getpid()) and any(fd.readlink() == node for fd in process.glob("fd/*")):
                return _named(process)
    return ""


def csi_user(root: Path = ROOT) -> str:
    """Return the same for a CSI camera: libcamera locks (lockf) the media device of a camera that it uses."""
    locked = _locks(root)
    for file in _files(root.glob("dev/media*")):
        if (pid := locked.get(file)) and pid != os.getpid():
            return _named(root / "proc" / str(pid))
    return ""


def _files(nodes: Iterable[Path]) -> list[str]:
    """Return the names of the nodes in /proc/locks. They include the file system: inode numbers repeat across them."""
    files = []
    for node in sorted(nodes):
        with contextlib.suppress(OSError):
            told = node.stat()
            files.append(f"{os.major(told.st_dev):02x}:{os.minor(told.st_dev):02x}:{told.st_ino}")
    return files


def _locks(root: Path) -> dict[str, int]:
    """Return the process of each locked file, from '1: POSIX  ADVISORY  WRITE 1234 00:06:520 0 EOF' (proc_locks(5))."""
    locks: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc" / "locks").read_text().splitlines():
            fields = line.split()
            if len(fields) == 8 and fields[1] == "POSIX":
                locks[fields[5]] = int(fields[4])
    return locks


def _named(process: Path) -> str:
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = "a program"
    return f"it is used by {name} (process {process.name}); stop that first"
