"""What the machine says of itself: which board it is, and how much memory is left. Missing or odd files are None.

Everything is read below a root folder, so that another machine's proc/ and sys/ can be looked at too.
"""

import contextlib
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = 2**42
"""Bytes. Control groups of version 1 write the most pages there can be when they have no limit: with 32 bits 8 TiB."""
_MIB = 2**20


@dataclass(frozen=True)
class MemoryReading:
    """How tight memory is now. None: the machine does not say."""

    available_mib: float | None
    """MemAvailable: what can be had without swapping."""
    total_mib: float | None
    cgroup_headroom_mib: float | None = None
    """What the nearest limit of our control groups leaves, counting what the kernel can give up as free."""
    cgroup_limit_mib: float | None = None
    """That limit."""
    pressure: float | None = None
    """Percent of the last ten seconds in which something waited for memory (PSI, some avg10)."""


class Machine:
    """The machine below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._found: tuple[str, list[_Group]] = ("", [])
        """What /proc/self/cgroup said, and the groups found by it: looked up again only when it says something else."""
        self._asks_firmware = True

    @property
    def board(self) -> str:
        """'Raspberry Pi 4 Model B Rev 1.4', or empty."""
        return (self._read("proc/device-tree/model") or "").rstrip("\0\n")

    @property
    def is_raspberry_pi(self) -> bool:
        """Whether it says so."""
        return "Raspberry Pi" in self.board

    @property
    def kind(self) -> str:
        """pi5, pi4, pi3, pizero2 and so on, or the architecture: x86_64. Estimates go by it."""
        # one digit: the Pi 400 and 500 are a Pi 4 and 5 in a keyboard
        if match := re.match(r"Raspberry Pi (Zero )?(?:Compute Module )?(\d)?", self.board):
            return f"pi{'zero' if match[1] else ''}{match[2] or ''}"
        return platform.machine()

    @property
    def key(self) -> str:
        """What identifies a kind of machine for measurements: board or processor, architecture, number of cores."""
        name = self.board or self._processor()
        return f"{name}, {platform.machine()}, {os.cpu_count()} cores"

    def _processor(self) -> str:
        match = re.search(r"^model name\s*:\s*(.+)$", self._read("proc/cpuinfo") or "", re.MULTILINE)
        return match[1] if match else "unknown processor"

    def temperature_c(self) -> float | None:
        """The processor's temperature in degrees Celsius; None where nobody says."""
        number = _number(self._read("sys/class/thermal/thermal_zone0/temp"))
        return None if number is None else number / 1000

    def is_throttled(self) -> bool:
        """Whether a Raspberry Pi's firmware slows the processor down now; False where nobody says."""
        return bool((self.throttle_flags() or 0) & 0b1110)

    def throttle_flags(self) -> int | None:
        """What a Raspberry Pi's firmware says of power and heat; None where nobody says.

        Bits of get_throttled (raspberrypi.com, "vcgencmd"): 0 the voltage is too low, 1 the frequency is capped, 2
        throttled, 3 the soft limit of the temperature is reached; 16 to 19 the same since the start. From the
        firmware's own program where the kernel does not say, as is reported of the Pi 5.
        """
        for path in self._root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled"):
            return _hexadecimal(_text(path) or "")
        return self.ask_firmware()

    def ask_firmware(self) -> int | None:
        """The same as vcgencmd tells it; None where it is not installed, or may not be asked."""
        if not self._asks_firmware:
            return None
        ask = ["vcgencmd", "get_throttled"]
        try:
            told = subprocess.run(ask, capture_output=True, text=True, timeout=1, check=True, errors="replace")
        except subprocess.TimeoutExpired:
            return None
        except (OSError, subprocess.CalledProcessError):
            self._asks_firmware = False  # that stays so
            return None
        return _hexadecimal(told.stdout.strip().removeprefix("throttled="))

    def memory_reading(self) -> MemoryReading:
        """Read it all; cheap enough for once a second."""
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
        """The smallest limit (MiB) of the control groups we are in, and the file it stands in; None: no limit."""
        limits = [(limit[0] / _MIB, limit[1]) for group in self._groups() if (limit := group.limit())]
        return min(limits, default=None)

    def _pressure(self, groups: list["_Group"]) -> float | None:
        for group in groups:
            if group.pressure and (text := _text(group.pressure)):
                return _some_avg10(text)
        return _some_avg10(self._read("proc/pressure/memory") or "")

    def _groups(self) -> list["_Group"]:
        """Our control groups with their ancestors, innermost first: version 2, and 1 with the memory controller."""
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
                # in a container the group may lie outside of what is mounted: then the mount's own root is ours
                with contextlib.suppress(ValueError):
                    inside = PurePosixPath("/") / PurePosixPath(path).relative_to(mounted_root)
                for part in (inside, *inside.parents):
                    groups.append(_group(top / part.relative_to("/"), version))
        return groups

    def _mounts(self) -> dict[int, list[tuple[PurePosixPath, PurePosixPath]]]:
        """(root within the hierarchy, mount point) of each hierarchy of version 1 (memory) and 2."""
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
    """The kernel begins to hold processes back at memory.high already."""
    used: Path
    stat: Path
    reclaimable: re.Pattern[str]
    """What of it the kernel can give up: pages of files that nobody has looked at lately."""
    pressure: Path | None = None

    def limit(self) -> tuple[int, str] | None:
        """Bytes, and the file that says so."""
        found = [(number, str(file)) for file in self.limits if (number := _number(_text(file))) is not None]
        return min((one for one in found if one[0] < _UNLIMITED), default=None)

    def usage(self) -> int | None:
        """Bytes, without what the kernel can give up."""
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
    except (OSError, ValueError):  # ValueError: no name of a file
        return None


def _number(text: str | None) -> int | None:
    """Of the text of a file; 'max' is no number."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,20}\s*", text) else None


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _some_avg10(text: str) -> float | None:
    match = re.search(r"^some avg10=([0-9]+(?:\.[0-9]+)?)", text, re.MULTILINE)
    return float(match[1]) if match else None
