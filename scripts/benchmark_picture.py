#!/usr/bin/env python3
"""Compare the rate of edge's loop with and without clients that look at the picture.

    scripts/benchmark_picture.py [--seconds 10] [--rounds 5] [--model demo]

One daemon plays a film of 640 x 480 pixels, and meanwhile clients come and go again and again, so that both kinds of
time see the same machine. Prints both rates and the daemon's processor time, at the usual pace of 10 frames a second
and as fast as the model runs.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge.daemon.viewers import MOST_VIEWERS
from edge.errors import NotRunning
from edge.host.control_client import ask
from edge.host.processes import stat_fields

PACES = {"the usual pace": [], "as fast as it can": ["--every-frame"]}
SETTLE_S = 1.0
"""After each change, not counted."""
LOOK = """
import sys
from pathlib import Path
from edge.host.control_client import Pictures
for picture in Pictures([Path(sys.argv[1])]):
    pass
"""


class Rates(NamedTuple):
    frames_hz: float
    cores: float
    """Processor time of the daemon, over the time."""


def film(path: Path) -> None:
    """Write a film in which everything moves, so that every frame is classified."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 480))
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.integers(0, 256, (60, 160, 3), np.uint8), (1280, 480), interpolation=cv2.INTER_CUBIC)
    for shift in range(0, 600, 4):
        writer.write(scene[:, shift : shift + 640])
    writer.release()


def measured(sock: Path, pid: int, seconds: float) -> Rates:
    def now() -> tuple[float, int, float]:
        ticks = sum(map(int, stat_fields(pid)[11:13]))
        frames = ask([sock], {"command": "status"}, 20.0)["frames"]
        return time.monotonic(), frames, ticks / os.sysconf("SC_CLK_TCK")

    time.sleep(SETTLE_S)
    before = now()
    time.sleep(seconds)
    elapsed_s, frames, cpu_s = (after - then for after, then in zip(now(), before, strict=True))
    return Rates(frames / elapsed_s, cpu_s / elapsed_s)


def compare(pace: str, model: str, seconds: float, rounds: int) -> None:
    """Measure and print one pace."""
    with tempfile.TemporaryDirectory(prefix="edge-picture-") as name, ExitStack() as ending:
        folder = Path(name)
        film(folder / "film.avi")
        command = [sys.executable, "-m", "edge", "run", "--camera", str(folder / "film.avi"), "--loop"]
        command += ["--speech", "log", "--model", model, *PACES[pace]]
        variables = {"XDG_RUNTIME_DIR": name, "XDG_STATE_HOME": name, "EDGE_MODEL_STILL_S": "0"}
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
        ending.callback(daemon.wait, 20)
        ending.callback(daemon.send_signal, signal.SIGTERM)
        sock = folder / "edge" / "control.sock"
        while True:
            time.sleep(0.5)
            if daemon.poll() is not None:
                raise SystemExit(f"edge has ended: {(folder / 'log').read_text()[-2000:]}")
            try:
                if ask([sock], {"command": "status"}).get("looks"):
                    break
            except NotRunning:
                continue
        found: dict[int, list[Rates]] = {0: [], MOST_VIEWERS: []}
        for _ in range(rounds):
            for clients, rates in found.items():
                look = [sys.executable, "-c", LOOK, str(sock)]
                viewers = [subprocess.Popen(look, stderr=subprocess.DEVNULL) for _ in range(clients)]
                try:
                    rates.append(measured(sock, daemon.pid, seconds))
                finally:
                    for one in viewers:
                        one.kill()
                        one.wait()
        print(f"{pace}:")
        for clients, rates in found.items():
            frames_hz, cores = (statistics.median(values) for values in zip(*rates, strict=True))
            print(f"  {clients} clients: {frames_hz:7.2f} frames a second, {cores:5.3f} cores")
        none, some = (statistics.median(one.frames_hz for one in rates) for rates in found.values())
        print(f"  the rate with clients is {some / none - 1:+.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (default: 10)")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements of each kind (default: 5)")
    parser.add_argument("--model", default="demo", help="model to run (default: demo)")
    options = parser.parse_args()
    for pace in PACES:
        compare(pace, options.model, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
