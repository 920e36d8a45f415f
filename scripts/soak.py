#!/usr/bin/env python3
"""Run edge for a long time, and check that it does not grow, leak, write to the disk, or announce missing things.

    scripts/soak.py --minutes 30                         starts `edge run` on the demo clip; its card plays nothing
    scripts/soak.py --minutes 30 --pid N --events FILE   watches one that runs on the demo clip and writes there

Every 5 s it reads the private memory, threads, open files and written bytes of the daemon and its workers. While edge
speaks some are higher, so the minimum of each minute counts. The first minutes are not judged. The growth is the median
of the slopes between all pairs of minutes (Theil and Sen): one step of an allocator, of 2 MiB once in half an hour,
would else count as a leak of 6 MiB an hour, and a leak counts all the same. Exits with 1 when the memory grows by 1 MiB
an hour or more, threads or files do not stay the same, anything was written, or an announcement was wrong.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.host.memory import tree
from score_clip import announcements_in, score

EVERY_S = 5.0
MOST_MIB_AN_HOUR = 1.0
TRUTH = Path(__file__).resolve().parents[1] / "edge" / "data" / "demo" / "clip.json"
SILENT_CARD = "pcm.!default { type null }\nctl.!default { type null }\n"


@dataclass(frozen=True)
class Reading:
    """The daemon and its workers at one moment."""

    at_s: float
    own_mib: float
    """Memory that is no file's: their share of a library's pages changes with who else uses it."""
    threads: int
    files: int
    written: int
    """Bytes, since each of them began."""


def own_mib(pid: int) -> float:
    """The anonymous and shared memory of a process, in MiB."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem")) / 1024


def look(pid: int) -> Reading:
    """Raises OSError when it has ended."""
    processes = [_look(pid)]
    for process in tree(pid)[1:]:
        with contextlib.suppress(OSError):  # a player, or what becomes one, comes and goes
            if b"edge.worker" in Path(f"/proc/{process}/cmdline").read_bytes():
                processes.append(_look(process))
    return Reading(time.monotonic(), *(sum(one) for one in zip(*processes, strict=True)))


def _look(pid: int) -> tuple[float, int, int, int]:
    """As in a reading."""
    place = Path(f"/proc/{pid}")
    threads, files = (sum(1 for _ in (place / name).iterdir()) for name in ("task", "fd"))
    io = dict(line.split(": ") for line in (place / "io").read_text().splitlines())
    return own_mib(pid), threads, files, int(io["write_bytes"])


def minutes_of(readings: list[Reading]) -> list[Reading]:
    """The least of each minute."""
    found: dict[int, list[Reading]] = {}
    for reading in readings:
        found.setdefault(int((reading.at_s - readings[0].at_s) // 60), []).append(reading)
    return [
        Reading(
            min(one.at_s for one in some),
            min(one.own_mib for one in some),
            min(one.threads for one in some),
            min(one.files for one in some),
            max(one.written for one in some),
        )
        for some in found.values()
    ]


def watch(pid: int, minutes: float) -> list[Reading]:
    """Look until the time is over, and show how it goes."""
    readings: list[Reading] = []
    start_s = time.monotonic()
    while (elapsed_s := time.monotonic() - start_s) < 60 * minutes:
        readings.append(look(pid))
        if int(elapsed_s // 60) > int((elapsed_s - EVERY_S) // 60):
            now = minutes_of(readings)[-1]
            print(
                f"{elapsed_s / 60:3.0f} min: {now.own_mib:.1f} MiB, {now.threads} threads, {now.files} files, "
                f"{now.written} bytes written",
                flush=True,
            )
        time.sleep(EVERY_S)
    return readings


def judge(readings: list[Reading], warm_up_minutes: float) -> list[str]:
    """Print the figures; return what is wrong."""
    after = [one for one in readings if one.at_s - readings[0].at_s >= 60 * warm_up_minutes]
    minutes = minutes_of(after)
    hours = np.array([one.at_s / 3600 for one in minutes])
    mib = np.array([one.own_mib for one in minutes])
    earlier, later = np.triu_indices(len(minutes), 1)
    slope = float(np.median((mib[later] - mib[earlier]) / (hours[later] - hours[earlier])))
    threads, files = {one.threads for one in minutes}, {one.files for one in minutes}
    written = after[-1].written - after[0].written
    print(
        f"after the first {warm_up_minutes:g} minutes: {slope:+.2f} MiB an hour (from {mib[0]:.1f} to "
        f"{mib[-1]:.1f} MiB), {sorted(threads)} threads, {sorted(files)} files, {written} bytes written"
    )
    return [
        *([f"memory grows by {slope:.2f} MiB an hour"] if slope >= MOST_MIB_AN_HOUR else []),
        *(["the number of threads changes"] if len(threads) > 1 else []),
        *(["the number of open files changes"] if len(files) > 1 else []),
        *([f"{written} bytes were written"] if written else []),
    ]


def main() -> int:
    """Return an exit code."""
    parser = argparse.ArgumentParser(
        description="Run edge for a long time, and check that it does not grow, leak or write."
    )
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="total minutes (default: 30)")
    parser.add_argument(
        "--warm-up", type=float, default=5.0, metavar="N", help="first minutes, which are not judged (default: 5)"
    )
    parser.add_argument("--pid", type=int, metavar="N", help="process id of a running edge")
    parser.add_argument("--events", type=Path, metavar="FILE", help="the file to which it writes events")
    options = parser.parse_args()
    if options.minutes < options.warm_up + 3 or (options.pid is None) != (options.events is None):
        parser.error("--minutes must be 3 more than --warm-up, and --pid goes with --events")
    # in memory: it is the daemon's writing that is looked for
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        folder = Path(name)
        events = options.events or folder / "events"
        child = None
        if options.pid is None:
            (folder / "asound.conf").write_text(SILENT_CARD)
            command = [sys.executable, "-m", "edge", "run", "--camera", "demo", "--loop", "--events", str(events)]
            # as the unit has it: libraries note things down there
            memory = {name: str(folder) for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")}
            environment = {**os.environ, **memory, "ALSA_CONFIG_PATH": str(folder / "asound.conf")}
            child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            readings = watch(options.pid or (child.pid if child else 0), options.minutes)
        except OSError as error:
            print(f"soak: edge has ended ({error})", file=sys.stderr)
            return 1
        finally:
            if child:
                child.send_signal(signal.SIGTERM)
                child.wait()
        faults = judge(readings, options.warm_up)
        result = score(json.loads(TRUTH.read_text(encoding="utf-8"))["things"], announcements_in(events))
    print(f"{result.announced} announcements, {result.right} of them right")
    if result.right < result.announced or not result.announced:
        faults.append("not every announcement is right")
    for fault in faults:
        print(f"soak: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
