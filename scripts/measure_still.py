#!/usr/bin/env python3
"""Measure what `edge run` costs in front of a still scene: CPU time, and how often its threads wake up.

    scripts/measure_still.py [--before PATH] [--seconds 60] [--image FILE] -- --model efficientnet-lite0 ...

Three sources show the same image: a folder; a film of ten frames a second (MPEG-4); and a network camera with as many
frames, to which the camera's process belongs. CPU time is in percent of one core, over all processes, after the first
20 s. A wake-up is a voluntary context switch of any thread (proc(5)). The clones run at the same time, so that other
programs disturb both alike. Arguments after -- go to `edge run`.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.host.memory import tree
from edge.host.processes import stat_fields
from edge.vision.images import read_image
from sides import Side, machine, parser, sides, split, table, web_camera

SETTLED_S = 20.0
RATE_HZ = 10
FILM_S = 150
SIZE = (640, 480)
NOISE = 3.0
"""Standard deviation of a camera's noise, of 255."""


@dataclass(frozen=True)
class Used:
    """What a process tree has used until now."""

    at_s: float
    cpu_s: float
    wakes: dict[tuple[int, str], int]
    """Voluntary context switches of each thread, by process and thread."""


def main() -> int:
    """Print the table; return an exit code."""
    own, flags = split(sys.argv[1:])
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, metavar="N", help="of each source (default: 60)")
    arguments.add_argument("--image", type=Path, metavar="FILE", help="what is shown (default: a drawing)")
    options = arguments.parse_args(own)
    still = scene(options.image)
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, web_camera(RATE_HZ, noisy(still)) as url:
        measured = sides(options.before, Path(folder))
        images, film = write(Path(folder), still)
        result = []
        for what, source in (("folder", str(images)), ("film", str(film)), ("network camera", url)):
            used = measure(measured, [*("--camera", source, "--loop", "--speech", "pyttsx3"), *flags], options.seconds)
            result.append([f"{what}: CPU, % of a core", *(f"{cpu:.2f}" for cpu, _ in used)])
            result.append([f"{what}: wake-ups a second", *(f"{wakes:.1f}" for _, wakes in used)])
    print(machine())
    print(table(["", *(side.name for side in measured)], result))
    return 0


def measure(measured: list[Side], flags: list[str], seconds: float) -> list[tuple[float, float]]:
    """Return the percent of a core and the wake-ups a second of each clone, run at the same time."""
    with ExitStack() as running:
        processes = [running.enter_context(side.run(*flags, "--events", str(side.events))) for side in measured]
        for side, process in zip(measured, processes, strict=True):
            side.settle(process, "notice", 1)  # "I'm ready."
        time.sleep(SETTLED_S)
        before = [used_by(process.pid) for process in processes]
        time.sleep(seconds)
        after = [used_by(process.pid) for process in processes]
        for side, process in zip(measured, processes, strict=True):
            if process.poll() is not None:
                sys.exit(f"{side.name}: edge run has ended with {process.returncode}")
    return [difference(*pair) for pair in zip(before, after, strict=True)]


def difference(before: Used, after: Used) -> tuple[float, float]:
    """Return (percent of a core, wake-ups a second) between two moments."""
    lasted_s = after.at_s - before.at_s
    wakes = sum(count - before.wakes.get(thread, 0) for thread, count in after.wakes.items())
    return 100 * (after.cpu_s - before.cpu_s) / lasted_s, wakes / lasted_s


def used_by(pid: int) -> Used:
    """Return what a process and its descendants have used."""
    at_s, cpu_s = time.monotonic(), 0.0
    wakes: dict[tuple[int, str], int] = {}
    for one in tree(pid):
        fields = stat_fields(one)
        cpu_s += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for thread in Path(f"/proc/{one}/task").iterdir():
            lines = (thread / "status").read_text(encoding="ascii", errors="replace").splitlines()
            (count,) = (line.split()[1] for line in lines if line.startswith("voluntary_ctxt_switches"))
            wakes[one, thread.name] = int(count)
    return Used(at_s, cpu_s, wakes)


def scene(image: Path | None) -> NDArray[np.uint8]:
    """Return the still scene, uint8 H x W x 3, blue first."""
    if image is not None:
        return np.ascontiguousarray(cv2.resize(read_image(image), SIZE)[..., ::-1], np.uint8)
    pixels = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    cv2.rectangle(pixels, (220, 160), (420, 360), (40, 60, 160), -1)
    return pixels


def noisy(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Return JPEGs of it with a sensor's noise: a picture that never changes is a frozen camera."""
    random = np.random.default_rng(1)
    noise = [random.normal(0, NOISE, pixels.shape) for _ in range(RATE_HZ)]
    return [cv2.imencode(".jpg", (pixels + one).clip(0, 255).astype(np.uint8))[1].tobytes() for one in noise]


def write(folder: Path, pixels: NDArray[np.uint8]) -> tuple[Path, Path]:
    """Write it as a folder with one image and as a film; return both."""
    images, film = folder / "images", folder / "film.mp4"
    images.mkdir()
    cv2.imwrite(str(images / "still.png"), pixels)
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, SIZE)
    for _ in range(FILM_S * RATE_HZ):
        writer.write(pixels)
    writer.release()
    return images, film


if __name__ == "__main__":
    sys.exit(main())
