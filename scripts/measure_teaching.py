#!/usr/bin/env python3
"""Measure how long it takes to teach a thing before the camera, with a drawn body that turns.

edge runs as a daemon and looks at a stream of this script. It shows the empty place, and the body as soon as edge asks
for it. It prints the time from the request to the end. Nothing is spoken: the length of the two questions, as espeak-ng
says them, is added.
"""

import argparse
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from demo_render import corners, paste, tilt
from numpy.typing import NDArray
from teach.bodies import Body
from teach.views import HEIGHT, WIDTH, World, seen

from edge.errors import ControlError, NotRunning
from edge.host.control_client import Subscription, ask
from edge.host.processes import stat_fields

Pixels = NDArray[np.uint8]
_LIGHT = np.array((0.27, -0.44, 0.86))
TURN_S = 8.0
"""Time for a whole turn of the body."""


class Stage:
    """What the camera sees."""

    def __init__(self, photos: Path, seed: int) -> None:
        world = World(photos, "judge", seed)
        self._rng = np.random.default_rng(seed)
        self._place = world.place(self._rng, seed % 2)
        self._body = Body(3000 + seed)
        self._begun_s = time.monotonic()
        self.empty = True

    def picture(self) -> Pixels:
        """Return a view of the place, with the body unless it is empty."""
        scene = self._place.background.copy()
        if not self.empty:
            turn = 2 * np.pi * (time.monotonic() - self._begun_s) / TURN_S
            around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
            sprite = self._body.draw(around, _LIGHT)
            place = corners(sprite, (WIDTH / 2, HEIGHT / 2), 0.75 * 1.45 * HEIGHT, self._rng.normal(0, 3))
            paste(scene, sprite, tilt(self._rng, place, 0.05))
        return seen(self._rng, scene, self._place)


class Stream(http.server.ThreadingHTTPServer):
    """Sends pictures of the stage."""

    daemon_threads = True

    def __init__(self, stage: Stage, rate_hz: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stage, self.rate_hz = stage, rate_hz


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Stream

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        due_s = time.monotonic()
        try:
            while True:
                jpeg = cv2.imencode(".jpg", self.server.stage.picture()[..., ::-1])[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                due_s = max(due_s + 1 / self.server.rate_hz, time.monotonic())
                time.sleep(max(0.0, due_s - time.monotonic()))
        except OSError:
            pass  # edge has ended

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def spoken_s(text: str, folder: Path) -> float:
    """Return how long espeak-ng takes to say a sentence, in seconds."""
    path = folder / "said.wav"
    subprocess.run(["espeak-ng", "-s", "200", "-w", str(path), text], check=True)
    with wave.open(str(path)) as file:
        return float(file.getnframes() / file.getframerate())


def subscribed(socket: Path, process: "subprocess.Popen[bytes]") -> Subscription:
    """Return a subscription as soon as the daemon answers."""
    until_s = time.monotonic() + 60
    while True:
        try:
            return Subscription([socket])
        except (NotRunning, ControlError):
            if process.poll() is not None or time.monotonic() > until_s:
                raise
            time.sleep(0.1)


@dataclass
class Lesson:
    """What was measured."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor time of the daemon, without its camera's process."""
    phases: dict[str, float] = field(default_factory=dict)
    """When each phase began, in seconds since the request."""
    said: list[str] = field(default_factory=list)
    result: str = ""


def cpu_s(process: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    user, kernel = stat_fields(process)[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def teach(socket: Path, stage: Stage, events: Subscription, process: int) -> Lesson:
    """Teach the body."""
    for event in events:
        if event["event"] == "ready" or (event["event"] == "status" and event.get("looks")):
            break
    lesson, begun_s, before_s = Lesson(), time.monotonic(), cpu_s(process)
    ask([socket], {"command": "teach", "name": "my keys"})
    for event in events:
        lesson.seconds = time.monotonic() - begun_s
        if event["event"] == "teaching":
            lesson.phases.setdefault(event["phase"], lesson.seconds)
            stage.empty = event["phase"] == "empty"
            lesson.said += [event["text"]] if event["text"] else []
        elif event["event"] == "teaching_ended":
            lesson.cpu_s = cpu_s(process) - before_s
            lesson.result = f"{event['recognised']} of {event['held_back']}" if event["learnt"] else event["reason"]
            break
    return lesson


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, metavar="FOLDER", help="photos and a labels.csv, for the backgrounds")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME")
    parser.add_argument("--engine", default="onnx", metavar="NAME")
    parser.add_argument("--rate", type=float, default=5.0, metavar="HZ", help="frames a second (default: 5)")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="how many bodies (default: 3)")
    options = parser.parse_args()
    for number in range(options.times):
        stage = Stage(options.photos, number)
        stream = Stream(stage, options.rate)
        threading.Thread(target=stream.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            environment = {**os.environ, "XDG_RUNTIME_DIR": name, "XDG_STATE_HOME": f"{name}/state"}
            command = [sys.executable, "-m", "edge", "run", "--camera", f"http://127.0.0.1:{stream.server_port}/"]
            command += ["--model", options.model, "--engine", options.engine, "--speech", "log"]
            edge = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            try:
                socket = folder / "edge" / "control.sock"
                with subscribed(socket, edge) as events:
                    lesson = teach(socket, stage, events, edge.pid)
                speech_s = sum(spoken_s(text, folder) for text in lesson.said[:2])
                phases = ", ".join(f"{phase} at {at_s:.1f} s" for phase, at_s in lesson.phases.items())
                print(
                    f"body {number}: {lesson.seconds:.1f} s, with the questions {lesson.seconds + speech_s:.1f} s, "
                    f"{lesson.cpu_s:.1f} s of processor time; "
                    f"{phases}; {lesson.result}; then said: {lesson.said[2:]}",
                    flush=True,
                )
            finally:
                edge.terminate()
                edge.wait()
                stream.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
