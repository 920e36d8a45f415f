"""Facts about a process, from the kernel."""

from pathlib import Path


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (the state) on: field N of proc(5) is item N - 3.

    The first two are the id and the command in brackets, which may contain anything. Raises OSError if the process has
    ended.
    """
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
