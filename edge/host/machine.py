"""Facts about the machine: the board, and the memory that is left. A missing or unreadable file gives None.

Everything is read below a root folder, so that a copy of another machine's proc/ and sys/ can be read too.
"""

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = 2**42
"""Bytes. Without a limit, control groups of version 1 give the largest number of pages: with 32 bits 8 TiB."""
_MIB = 2**20


@dataclass(frozen=True)
class MemoryReading:
    """The current state of memory. None: the machine does not report it."""

    available_mib: float | None
    """MemAvailable: memory that is available without swapping."""
    total_mib: float | None
    cgroup_headroom_mib: float | None = None
    """Memory left below the nearest limit of our control groups; memory that the kernel can reclaim counts as free."""
    cgroup_limit_mib: float | None = None
    """That limit."""
    pressure: float | None = None
    """Percent of the last ten seconds in which a process waited for memory (PSI, some avg10)."""


class Machine:
    """The machine below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._found: tuple[str, list[_Group]] = ("", [])
        """Text of /proc/self/cgroup, and the groups found by it; they are looked up again only when it changes."""
        self._asks_firmware = True

    @property
    def board(self) -> str:
        """Name of the board, such as 'Raspberry Pi 4 Model B Rev 1.4', or empty."""
        return (self._read("proc/device-tree/model") or "").rstrip("\0\n")

    @property
    def is_raspberry_pi(self) -> bool:
        """True if the board's name says so."""
        return "Raspberry Pi" in self.board

    @property
    def kind(self) -> str:
        """Kind of machine, for estimates: pi5, pi4, pi3, pizero2 and so on, or the architecture, such as x86_64."""
        # one digit: the Pi 400 and 500 are a Pi 4 and 5 in a keyboard
        if match := re.match(r"Raspberry Pi (Zero )?(?:Compute Module )?(\d)?", self.board):
            return f"pi{'zero' if match[1] else ''}{match[2] or ''}"
        return os.uname().machine

    @property
    def key(self) -> str:
        """Kind of machine, for measurements: board or processor, architecture, number of cores."""
        name = self.board or self._processor()
        return f"{name}, {os.uname().machine}, {os.cpu_count()} cores"

    def _processor(self) -> str:
        match = re.search(r"^model name\s*:\s*(.+)$", self._read("proc/cpuinfo") or "", re.MULTILINE)
        return match[1] if match else "unknown processor"

    def temperature_c(self) -> float | None:
        """Return the processor's temperature in degrees Celsius; None if unknown."""
        number = _number(self._read("sys/class/thermal/thermal_zone0/temp"))
        return None if number is None else number / 1000

    def is_throttled(self) -> bool:
        """Return True if a Raspberry Pi's firmware throttles the processor now; False if unknown."""
        return bool((self.throttle_flags() or 0) & 0b1110)

    def throttle_flags(self) -> int | None:
        """Return what a Raspberry Pi's firmware reports about power and heat; None if unknown.

        Bits of get_throttled (raspberrypi.com, "vcgencmd"): 0 the voltage is too low, 1 the frequency is capped, 2
        throttled, 3 the soft limit of the temperature is reached; 16 to 19 the same since the start. If the kernel
        does not report them, as is said of the Pi 5, they come from the firmware's own program.
        """
        for path in self._root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled"):
            return _hexadecimal(_text(path) or "")
        return self.ask_firmware()

    def ask_firmware(self) -> int | None:
        """Return the same from vcgencmd; None if it is not installed or may not be used."""
        if not self._asks_firmware:
            return None
        ask = ["vcgencmd", "get_throttled"]
        try:
            told = subprocess.run(ask, capture_output=True, timeout=1, check=True, encoding="utf-8", errors="replace")
        except subprocess.TimeoutExpired:
            return None
        except (OSError, subprocess.CalledProcessError):
            self._asks_firmware = False  # this will not change
            return None
        return _hexadecimal(told.stdout.strip().removeprefix("throttled="))

    def memory_reading(self) -> MemoryReading:
        """Return the current state of memory; cheap enough for once a second."""
        fields = dict(_MEMINFO.findall(self._read("proc/meminfo") or ""))
        available, total = (
            int(fields[name]) / 1024 if name in fields else None for name in ("MemAvailable", "MemTotal")
        )
        groups = self._groups()
        tightest: tuple[float, float] | None = None  # headroom, limit
        for group in groups:
            if (limit := group.limit()) is None or (usage := group.usage()) is None:
                continue
            if tightest is None or limit[0] - usage < tightest[0]:
                tightest = (limit[0] - usage, limit[0])
        return MemoryReading(
            available,
            total,
            cgroup_headroom_mib=tightest[0] / _MIB if tightest else None,
            cgroup_limit_mib=tightest[1] / _MIB if tightest else None,
            pressure=self._pressure(groups),
        )

    def cgroup_limit(self) -> tuple[float, str] | None:
        """Return the smallest limit (MiB) of our control groups, and the file with it; None: no limit."""
        limits = [(limit[0] / _MIB, limit[1]) for group in self._groups() if (limit := group.limit())]
        return min(limits, default=None)

    def _pressure(self, groups: list["_Group"]) -> float | None:
        for group in groups:
            if group.pressure and (text := _text(group.pressure)):
                return _some_avg10(text)
        return _some_avg10(self._read("proc/pressure/memory") or "")

    def _groups(self) -> list["_Group"]:
        """Return our control groups with their ancestors, innermost first: version 2, and 1 (memory controller)."""
        said = self._read("proc/self/cgroup") or ""
        if said != self._found[0]:
            self._found = (said, self._find_groups(said))
        return self._found[1]

    def _find_groups(self, said: str) -> list["_Group"]:
        groups = []
        mounts = self._mounts()
        for line in said.splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            version = 2 if not controllers else 1
            if version == 1 and "memory" not in controllers.split(","):
                continue
            for mounted_root, mount_point in mounts[version]:
                top = self._root / mount_point.relative_to("/")
                inside = PurePosixPath("/")
                # in a container the group may lie outside of the mounted part: then the mount's root is our group
                with contextlib.suppress(ValueError):
                    inside = PurePosixPath("/") / PurePosixPath(path).relative_to(mounted_root)
                for part in (inside, *inside.parents):
                    groups.append(_group(top / part.relative_to("/"), version))
        return groups

    def _mounts(self) -> dict[int, list[tuple[PurePosixPath, PurePosixPath]]]:
        """Return (root within the hierarchy, mount point) of each hierarchy of version 1 (memory) and 2."""
        found: dict[int, list[tuple[PurePosixPath, PurePosixPath]]] = {1: [], 2: []}
        for line in (self._read("proc/self/mountinfo") or "").splitlines():
            before, _, after = line.partition(" - ")
            fields, kind = before.split(), after.split()
            if len(fields) < 5 or len(kind) < 3 or not fields[4].startswith("/"):
                continue
            place = (PurePosixPath(fields[3]), PurePosixPath(fields[4]))
            if kind[0] == "cgroup2":
                found[2].append(place)
            elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
                found[1].append(place)
        return found

    def _read(self, path: str) -> str | None:
        return _text(self._root / path)


_MEMINFO = re.compile(r"^(MemAvailable|MemTotal):\s*([0-9]{1,15}) kB$", re.MULTILINE)


@dataclass(frozen=True)
class _Group:
    """The files of one control group. Not all of them need to exist."""

    limits: tuple[Path, ...]
    """Files with a limit. memory.high is one: the kernel begins to slow processes down there."""
    used: Path
    stat: Path
    reclaimable: re.Pattern[str]
    """The field of `stat` with the memory that the kernel can reclaim: pages of files that were not used lately."""
    pressure: Path | None = None

    def limit(self) -> tuple[int, str] | None:
        """Return the smallest limit in bytes, and its file; None: no limit."""
        found = [(number, str(file)) for file in self.limits if (number := _number(_text(file))) is not None]
        return min((one for one in found if one[0] < _UNLIMITED), default=None)

    def usage(self) -> int | None:
        """Return the used bytes, without those that the kernel can reclaim."""
        if (used := _number(_text(self.used))) is None:
            return None
        match = self.reclaimable.search(_text(self.stat) or "")
        return used - (int(match[1]) if match else 0)


def _group(folder: Path, version: int) -> _Group:
    stat = folder / "memory.stat"
    if version == 1:
        return _Group((folder / "memory.limit_in_bytes",), folder / "memory.usage_in_bytes", stat, _V1)
    limits = (folder / "memory.max", folder / "memory.high")
    return _Group(limits, folder / "memory.current", stat, _V2, folder / "memory.pressure")


_V1 = re.compile(r"^total_inactive_file ([0-9]{1,20})$", re.MULTILINE)
_V2 = re.compile(r"^inactive_file ([0-9]{1,20})$", re.MULTILINE)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # ValueError: not a valid file name
        return None


def _number(text: str | None) -> int | None:
    """Return the number in the text of a file; None for other text, such as 'max'."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,20}\s*", text) else None


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _some_avg10(text: str) -> float | None:
    match = re.search(r"^some avg10=([0-9]+(?:\.[0-9]+)?)", text, re.MULTILINE)
    return float(match[1]) if match else None
