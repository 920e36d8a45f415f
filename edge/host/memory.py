"""Memory of a process: the resident memory now, and its peak, which the kernel records (VmHWM)."""

from pathlib import Path

_PROC = Path("/proc")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has ended."""
    return _field(pid, "status", "VmRSS")


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
