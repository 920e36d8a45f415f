"""Facts about a process, from the kernel."""

import os
from pathlib import Path


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (the state) on: field N of proc(5) is item N - 3.

    The first two are the id and the command in brackets, which may contain anything. Raises OSError if the process has
    ended.
    """
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    """Return True if there is a process with that id; /proc, which a container may lack, is not needed."""
    try:
        os.kill(pid, 0)  # no signal is sent (kill(2))
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
