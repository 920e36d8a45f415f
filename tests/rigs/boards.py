"""Other machines: folders with the files of proc/ and sys/ that edge/host/machine.py reads."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Board:
    """A machine; memory in MiB as Raspberry Pi OS Lite (64-bit) shows it after booting."""

    model: str
    total_mib: int
    available_mib: int


# MemTotal is what the firmware leaves of the RAM, MemAvailable that without some 150 MiB of system
BOARDS = {
    "zero-2": Board("Raspberry Pi Zero 2 W Rev 1.0", 416, 270),
    "pi3": Board("Raspberry Pi 3 Model B Plus Rev 1.3", 906, 680),
    "pi4-2": Board("Raspberry Pi 4 Model B Rev 1.5", 1849, 1600),
    "pi4-4": Board("Raspberry Pi 4 Model B Rev 1.4", 3792, 3500),
    "pi4-8": Board("Raspberry Pi 4 Model B Rev 1.4", 7807, 7400),
    "pi5-16": Board("Raspberry Pi 5 Model B Rev 1.1", 16218, 15700),
}


def write_board(root: Path, board: Board) -> Path:
    """Write its files below `root`."""
    write(root / "proc" / "device-tree" / "model", board.model + "\0")
    write(root / "proc" / "meminfo", meminfo(board.total_mib, board.available_mib))
    write(root / "proc" / "self" / "cgroup", "0::/\n")
    write(root / "proc" / "self" / "mountinfo", "")
    return root


def meminfo(total_mib: float, available_mib: float) -> str:
    return (
        f"MemTotal:       {total_mib * 1024:.0f} kB\nMemFree:          100000 kB\n"
        f"MemAvailable:   {available_mib * 1024:.0f} kB\nHugePages_Total:       0\n"
    )


def write_group(root: Path, version: int, path: str, mounted_root: str = "/", **files: int | str) -> Path:
    """Put us into a control group below `root`; `files` are its memory.* files. Returns its folder."""
    mount = "/sys/fs/cgroup" if version == 2 else "/sys/fs/cgroup/memory"
    kind = "cgroup2 cgroup2 rw" if version == 2 else "cgroup cgroup rw,memory"
    line = f"0::{path}" if version == 2 else f"4:memory:{path}"
    with (root / "proc" / "self" / "cgroup").open("a", encoding="ascii") as file:
        file.write(f"{line}\n")
    with (root / "proc" / "self" / "mountinfo").open("a", encoding="ascii") as file:
        file.write(f"30 24 0:26 {mounted_root} {mount} rw,nosuid - {kind}\n")
    inside = "/" if mounted_root == path else path
    folder = root / mount.lstrip("/") / inside.lstrip("/")
    for name, value in files.items():
        write(folder / f"memory.{name}", f"{value}\n")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
