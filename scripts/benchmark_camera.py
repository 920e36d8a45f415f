#!/usr/bin/env python3
"""Measure the cost of a camera beside the model, and the age of its frames when they are classified.

    scripts/benchmark_camera.py [--model inception-v3] [--seconds 60] [--part age|cost|still]

Prints three things, each from one run, side by side:
age: the age of frames of a 30 fps camera in the daemon's camera process, when a model that takes half a second gets
them;
cost: the time of the copy into the shared memory and of the check of a frame, beside one forward;
still: the CPU time of `edge run` for a still scene at 10 fps, with motion detection and without (two runs of
--seconds), and the number of frames from a change to the next classification.
--model is a name of scripts/make_random_checkpoint.py: the weights are random, the work is the same.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge.cameras.child import Slot
from edge.cameras.process import ProcessCamera
from edge.engines import open_classifier
from edge.host.processes import stat_fields
from edge.models.checkpoint import find_checkpoint
from edge.vision.thumbnail import make_thumbnail
from edge.settings import CameraSettings
from edge.stages import Frame, Pixels

HERE = Path(__file__).resolve().parent
SIZE = (480, 640, 3)
CAMERA_HZ, LOOKS_HZ, STILL_HZ = 30.0, 2.0, 10.0
PARTS = ("age", "cost", "still")


class SteadyCamera:
    """A sensor at 30 frames a second, in the camera's process; a frame counts from when its exposure ended."""

    live = True
    description = "a camera of 30 frames a second"

    def __init__(self, _settings: CameraSettings) -> None:
        self._picture = np.random.default_rng(1).integers(0, 255, SIZE, np.uint8)
        self._begun_s = time.monotonic()
        self._sequence = -1

    def read(self, _timeout_s: float) -> Frame:
        now = (time.monotonic() - self._begun_s) * CAMERA_HZ
        if int(now) <= self._sequence:
            time.sleep((self._sequence + 1 - now) / CAMERA_HZ)
        self._sequence = max(int(now), self._sequence + 1)
        return Frame(self._picture, self._sequence, self._begun_s + self._sequence / CAMERA_HZ)

    def close(self) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="inception-v3", metavar="NAME", help="default: inception-v3")
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="length of each still run (default: 60)"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    options = parser.parse_args()
    parts = options.part or PARTS
    if "age" in parts:
        measure_age()
    with tempfile.TemporaryDirectory(prefix="edge-benchmark-") as folder:
        prefix = f"{folder}/{options.model}/{options.model}"
        if {"cost", "still"} & set(parts):
            make = [sys.executable, str(HERE / "make_random_checkpoint.py"), options.model]
            subprocess.run([*make, "--out", f"{folder}/{options.model}"], check=True, stdout=sys.stderr)
        if "cost" in parts:
            measure_cost(prefix)
        if "still" in parts:
            measure_still(Path(folder), prefix, options.seconds)
    return 0


def open_steady() -> ProcessCamera:
    driver = f"{Path(__file__).stem}:SteadyCamera"
    return ProcessCamera(CameraSettings(source="steady", width=SIZE[1], height=SIZE[0]), driver=driver)


def measure_age() -> None:
    """Print the ages of the frames that a slow network gets."""
    camera = open_steady()
    ages = []
    try:
        for _ in range(40):
            frame = None
            while frame is None:
                frame = camera.read(1.0)
            ages.append(1000 * (time.monotonic() - frame.captured_s))
            time.sleep(1 / LOOKS_HZ)  # the forward
    finally:
        camera.close()
    print(
        f"age: a {CAMERA_HZ:g} fps camera, {LOOKS_HZ:g} looks a second, {len(ages)} frames: "
        f"median {statistics.median(ages):.1f} ms, worst {max(ages):.1f} ms after the end of the exposure"
    )


def measure_cost(prefix: str) -> None:
    """Print the time of a copy and of the check of a frame, beside a forward."""
    classifier = open_classifier(find_checkpoint(prefix))
    picture: Pixels = np.random.default_rng(2).integers(0, 255, SIZE, np.uint8)
    slot = Slot(os.memfd_create("edge-benchmark"))
    copies: list[float] = []
    glances: list[float] = []
    forwards: list[float] = []
    for number in range(30):
        for kept, work in (
            (copies, lambda: slot.write(picture, 0, mirror=False)),
            (glances, lambda: make_thumbnail(picture)),
            (forwards, lambda: classifier.classify(Frame(picture, number, 0.0))),  # noqa: B023
        ):
            begun_s = time.perf_counter()
            work()
            kept.append(1000 * (time.perf_counter() - begun_s))
    copy, look, forward = (statistics.median(kept) for kept in (copies, glances, forwards))
    print(
        f"cost: copy {copy:.3f} ms ({copy / forward:.2%} of a forward), check {look:.3f} ms ({look / forward:.2%}), "
        f"preprocessing and forward {forward:.1f} ms"
    )


class _StillServer(http.server.ThreadingHTTPServer):
    """A network camera on the loopback that shows one scene, with the noise of a sensor; and, told so, another."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _StillHandler)
        import cv2

        rng = np.random.default_rng(3)
        self.over, self.changed = threading.Event(), threading.Event()
        self.changed_at_s = 0.0
        scenes = [cv2.GaussianBlur(rng.normal(128, 400, SIZE), (0, 0), 12).clip(0, 255) for _ in range(2)]
        self.pictures = [
            [
                cv2.imencode(".jpg", (scene + rng.normal(0, 4, SIZE)).clip(0, 255).astype(np.uint8))[1].tobytes()
                for _ in range(20)
            ]
            for scene in scenes
        ]


class _StillHandler(http.server.BaseHTTPRequestHandler):
    server: _StillServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            while not self.server.over.wait(1 / STILL_HZ):
                number += 1
                jpeg = self.server.pictures[self.server.changed.is_set()][number % 20]
                self.wfile.write(
                    f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    + jpeg
                    + b"\r\n"
                )
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""


def measure_still(folder: Path, prefix: str, seconds: float) -> None:
    """Print what a still scene costs with the gate and without, and how soon a change is looked at."""
    server = _StillServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = {}
        for name, still_s in (("every frame", "0"), ("gate", "5")):
            found[name] = run_still(folder / f"{still_s}.events", prefix, seconds, still_s, server)
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
    every, gate = found["every frame"], found["gate"]
    all_s = every["cpu_s"] / every["looks"] * gate["frames"]
    print(f"still: {seconds:g} s at {STILL_HZ:g} fps, processor time of all processes")
    print(f"  gate                      {gate['cpu_s']:6.1f} s, {gate['looks']} looks at {gate['frames']} frames")
    print(
        f"  all the machine manages   {every['cpu_s']:6.1f} s, {every['looks']} looks: the gate takes "
        f"{gate['cpu_s'] / every['cpu_s']:.1%} of it"
    )
    print(f"  all, at the same a look   {all_s:6.1f} s: the gate takes {gate['cpu_s'] / all_s:.1%} of it")
    print(f"  after a change the network looks at frame {gate['frames_to_look']}")


def run_still(events: Path, prefix: str, seconds: float, still_s: str, server: _StillServer) -> dict[str, Any]:
    """Run `edge run` on the still scene; the processor's time is that of all its processes from the first second on."""
    server.changed.clear()
    url = f"http://127.0.0.1:{server.server_port}/"
    command = [sys.executable, "-P", "-m", "edge", "run", "--camera", url, "--model", prefix, "--speech", "log"]
    environment_ = {**os.environ, "EDGE_MODEL_STILL_S": still_s}
    child = subprocess.Popen(
        [*command, "--events", str(events), "--events-frames"], env=environment_, stdout=subprocess.DEVNULL
    )
    try:
        while not any(event["event"] == "ready" for event in read(events)):
            if child.poll() is not None:
                raise SystemExit(f"edge run ended: {child.returncode}")
            time.sleep(0.1)
        time.sleep(3)  # the gate settles
        from_s, start = processor_s(child.pid), len(read_frames(events))
        time.sleep(seconds)
        cpu_s = processor_s(child.pid) - from_s
        still = read_frames(events)[start:]
        before = start + len(still)
        server.changed.set()
        time.sleep(3)
    finally:
        child.terminate()
        child.wait(30)
    # the first of them may have been on its way before the change
    first = next((number for number, event in enumerate(read_frames(events)[before:], 1) if event["looked"]), 0)
    looks = sum(event["looked"] for event in still)
    return {"cpu_s": cpu_s, "frames": len(still), "looks": looks, "frames_to_look": first}


def processor_s(pid: int) -> float:
    """Return the processor's time that a process and its living descendants have taken."""
    ticks, children = 0, [pid]
    while children:
        one = children.pop()
        try:
            fields = stat_fields(one)
            children += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def read_frames(events: Path) -> list[dict[str, Any]]:
    return [event for event in read(events) if event["event"] == "frame"]


def read(events: Path) -> list[dict[str, Any]]:
    if not events.exists():
        return []
    return [json.loads(line) for line in events.read_text().splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    sys.exit(main())
