#!/usr/bin/env python3
"""Print where the memory of `edge run` goes, by process and library, with a live stream and a voice.

    scripts/memory_map.py [--before PATH] [--seconds 5] -- --model efficientnet-lite0 --engine onnx --precision int8

It is the PSS of each mapping in MiB (edge/host/memory.py), some seconds after the first 40 frames, and their largest
sum until then. A library's part is what of its file is in memory, and what was written to its data. The clones are
measured one after the other, or they would share libraries. Another edge of the same environment that runs meanwhile
shares them too. Arguments after -- go to `edge run`.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import re
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from edge.host.memory import mappings, tree
from process_memory import PeakSampler
from sides import Side, machine, parser, sides, split, table, web_camera

FRAMES = 40
"""After so many frames the start is over, and memory has been given back."""
LEAST_MIB = 0.5
"""Smaller parts are summed up."""
REST = "the rest"


def main() -> int:
    """Print the tables; return an exit code."""
    own, flags = split(sys.argv[1:])
    arguments = parser(__doc__)
    arguments.add_argument(
        "--seconds", type=float, default=5.0, metavar="N", help="seconds after these frames (default: 5)"
    )
    options = arguments.parse_args(own)
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, web_camera() as url:
        measured = sides(options.before, Path(folder))
        for side in measured:  # once for the compiled modules, and the graph of a model
            measure(side, url, 0.0, flags)
        found = {side.name: measure(side, url, options.seconds, flags) for side in measured}
    print(machine())
    print(table(["MiB", *found], rows(found)))
    return 0


def measure(side: Side, url: str, seconds: float, flags: list[str]) -> dict[tuple[str, str], float]:
    """Return the MiB of each (process, library) of a running edge, with the sums under ''."""
    flags = ["--camera", url, "--speech", "pyttsx3", *flags, "--events", str(side.events), "--events-frames"]
    with side.run(*flags) as process, PeakSampler(process.pid) as sampler:
        side.settle(process, "frame", FRAMES)
        time.sleep(seconds)
        found: defaultdict[tuple[str, str], float] = defaultdict(float)
        for pid in tree(process.pid):
            name = role(pid)
            for one in mappings(pid):
                share = one.pss_kib / 1024
                for key in ((name, library(one.file)), (name, ""), ("", "")):
                    found[key] += share
        found["largest sum", ""] = sampler.peak_mib
    return dict(found)


def rows(found: dict[str, dict[tuple[str, str], float]]) -> list[list[str]]:
    """Return the rows of the table: the sums, and each process with its larger parts."""

    def row(title: str, values: list[float]) -> list[str]:
        return [title, *(f"{value:.1f}" for value in values)]

    every = {key for parts in found.values() for key in parts}
    result = [
        row("**all processes**", [parts["", ""] for parts in found.values()]),
        row("largest sum since the start", [parts["largest sum", ""] for parts in found.values()]),
    ]
    for process in ("the daemon", *sorted({process for process, _ in every} - {"", "the daemon", "largest sum"})):
        result.append(row(f"**{process}**", [parts.get((process, ""), 0.0) for parts in found.values()]))
        libraries = {key: max(parts.get((process, key), 0.0) for parts in found.values()) for _, key in every if key}
        large = sorted((key for key in libraries if libraries[key] >= LEAST_MIB), key=libraries.__getitem__)[::-1]
        result += [row(key, [parts.get((process, key), 0.0) for parts in found.values()]) for key in large]
        shown = {name: sum(parts.get((process, key), 0.0) for key in large) for name, parts in found.items()}
        rest = [parts.get((process, ""), 0.0) - shown[name] for name, parts in found.items()]
        result.append(row(REST, rest))
    return result


def role(pid: int) -> str:
    """Return what a process is for."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "edge.worker" in words:
        return words[words.index("edge.worker") + 1]
    return "the daemon" if "edge" in words else Path(words[0]).name


def library(file: str) -> str:
    """Return the name under which a mapped file is counted."""
    if not file.startswith("/"):
        return "heap, stacks and other memory without a file"
    if file.startswith("/memfd:"):
        return "frames"
    if package := re.search(r"/site-packages/([^/]+)", file):
        name = package[1].removesuffix(".libs").partition(".")[0]
        return {"opencv_python": "cv2"}.get(name, name)
    name = Path(file).name
    return "python" if name.startswith("python3") else re.sub(r"[-.]so.*|-[0-9.]+$", "", name)


if __name__ == "__main__":
    sys.exit(main())
