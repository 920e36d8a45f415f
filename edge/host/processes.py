"""What the kernel tells of a process."""

from pathlib import Path


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on, the state: field N of proc(5) is the item N - 3.

    The two before it are the id and the command in brackets, which may hold anything. Raises OSError when it is gone.
    """
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
