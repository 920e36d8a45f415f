#!/usr/bin/env python3
"""Measure how long `edge run` takes from its start to the first sample of its first word, and what it does meanwhile.

    scripts/measure_start.py [--before PATH] [--runs 5] [--cold] [--camera SOURCE] -- --model efficientnet-lite0 ...

The first word is that of "I'm ready.", as the recording card of the tests receives it. The camera is a network camera
on this machine, unless another one is named. The clones take turns. The second table accounts for the quickest of as
many more runs, with a thread that looks what the main thread does; the processes of voice and camera run beside that.
The CPU time is that of a few frames of the demo, with all processes. With --cold, the system forgets all files of edge,
of its Python packages and of its models before each run; Python itself and the system's libraries stay in memory.
Arguments after -- go to `edge run`.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from edge.models.checkpoint import store_folders
from sides import Side, machine, parser, sides, split, table, web_camera

PROBE = Path(__file__).with_name("start_probe.py")
LONGEST_S = 60.0
LEAST_S = 0.005
"""Shorter steps are summed up."""
CPU_OF = ("--camera", "demo", "--model", "demo", "--frames", "5", "--speech", "log")


def main() -> int:
    """Print the tables; return an exit code."""
    own, flags = split(sys.argv[1:])
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each clone (default: 5)")
    arguments.add_argument("--cold", action="store_true", help="forget the files before each run")
    arguments.add_argument("--camera", default="", metavar="SOURCE", help="as for `edge run`")
    options = arguments.parse_args(own)
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, web_camera() as url:
        flags = ["--camera", options.camera or url, "--speech", "pyttsx3", *flags]
        measured = sides(options.before, Path(folder))
        for side in measured:  # once for the compiled modules, and the graph of a model
            first_word_s(side, flags)
            cpu_s(side)
        words: dict[str, list[float]] = {side.name: [] for side in measured}
        steps: dict[str, list[dict[str, float]]] = {side.name: [] for side in measured}
        cpu: dict[str, list[float]] = {side.name: [] for side in measured}
        for _ in range(options.runs):
            for side in measured:
                if options.cold:
                    forget(side)
                words[side.name].append(first_word_s(side, flags))
                if options.cold:
                    forget(side)
                steps[side.name].append(accounted(side, flags))
                cpu[side.name].append(cpu_s(side))
    print(machine())
    print(table(["", *words], list(summary(words, cpu))))
    print()
    quickest = {name: min(found, key=lambda one: sum(one.values())) for name, found in steps.items()}
    print(table(["seconds", *words], list(rows(quickest))))
    return 0


def summary(words: dict[str, list[float]], cpu: dict[str, list[float]]) -> Iterable[list[str]]:
    """Yield the rows with the results as a whole."""
    yield ["first word, quickest run, s", *(f"{min(found):.2f}" for found in words.values())]
    yield ["first word, median, s", *(f"{statistics.median(found):.2f}" for found in words.values())]
    yield ["CPU time of five frames of the demo, least, s", *(f"{min(found):.2f}" for found in cpu.values())]


def rows(quickest: dict[str, dict[str, float]]) -> Iterable[list[str]]:
    """Yield the rows of the account, in the order of its steps."""
    order = {step: None for one in quickest.values() for step in one}
    shown = [step for step in order if any(one.get(step, 0.0) >= LEAST_S for one in quickest.values())]
    for step in shown:
        yield [step, *(f"{one.get(step, 0.0):.3f}" for one in quickest.values())]
    rest = [sum(one.values()) - sum(one.get(step, 0.0) for step in shown) for one in quickest.values()]
    yield ["the rest", *(f"{value:.3f}" for value in rest)]
    yield ["**sum**", *(f"{sum(one.values()):.3f}" for one in quickest.values())]


def first_word_s(side: Side, flags: list[str]) -> float:
    """Return the seconds from the start to the first sample."""
    silence(side)
    begun_s = time.monotonic()
    with side.run(*flags) as process:
        return heard_s(side, process) - begun_s


def accounted(side: Side, flags: list[str]) -> dict[str, float]:
    """Return the seconds of each step until the first sample, in the order of the steps."""
    silence(side)
    notes, events = side.folder / "notes.json", side.folder / "events"
    events.unlink(missing_ok=True)
    begun_s = time.monotonic()
    command = [sys.executable, "-P", str(PROBE), str(notes), "run", *flags, "--events", str(events)]
    process = subprocess.Popen(command, env=side.environment, stdout=subprocess.DEVNULL)
    first_s = heard_s(side, process)
    process.terminate()
    process.wait(LONGEST_S)
    told = json.loads(notes.read_text())
    found = {"starting Python": told["begun"] - begun_s}
    said_s = min(said_at(events), default=first_s)
    before_s = told["begun"]
    for at_s, step in told["notes"]:
        until_s = min(at_s, said_s)
        found[step] = found.get(step, 0.0) + max(0.0, until_s - before_s)
        before_s = max(before_s, until_s)
    found["the voice, until the first sample"] = first_s - before_s
    return found


def said_at(events: Path) -> list[float]:
    """Return when sentences were given to the voice, by time.monotonic()."""
    offset_s = time.monotonic() - time.time()
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    return [
        datetime.fromisoformat(one["time"]).timestamp() + offset_s
        for one in lines
        if one["event"] in ("notice", "announced")
    ]


def silence(side: Side) -> None:
    """Remove what was recorded."""
    for file in side.card.folder.iterdir():
        if file.name != "pace":
            file.unlink()


def heard_s(side: Side, process: "subprocess.Popen[bytes]") -> float:
    """Wait for the first recording with sound; return the time of its first sample, by time.monotonic()."""
    until_s = time.monotonic() + LONGEST_S
    while time.monotonic() < until_s:
        texts = [file.read_text() for file in side.card.folder.glob("*.first")]
        if texts and all(texts):  # a file is made before its text is written
            return min(map(int, texts)) / 1e9
        if process.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"{side.name}: no word within {LONGEST_S:.0f} s")


def cpu_s(side: Side) -> float:
    """Return the CPU seconds of a short run of the demo, with all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = side.command(*CPU_OF)
    subprocess.run(command, env=side.environment, check=True, stdout=subprocess.DEVNULL, timeout=LONGEST_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def forget(side: Side) -> None:
    """Let the system drop the files of a clone, of its packages and of the models from memory."""
    for folder in (side.root / "edge", side.folder, Path(sys.prefix) / "lib", *store_folders()):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    descriptor = os.open(path, os.O_RDONLY)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
