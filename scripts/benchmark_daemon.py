"""`edge run`, whole and with its camera's process, on frames that are always at hand: for benchmark.py.

Started as a program with the arguments of `edge`, it is `edge`, but for the driver in the camera's process: that gives
the pictures of a .npy file (EDGE_BENCHMARK_PICTURES) without a sensor's waiting, as long as there is the file
EDGE_BENCHMARK_GATE, and none meanwhile.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.__main__ import entry
from edge.cameras.pausable import PausableCamera
from edge.cameras.process import ProcessCamera, ignore
from edge.daemon import equipment
from edge.settings import CameraSettings
from edge.stages import Frame

PICTURES, GATE = "EDGE_BENCHMARK_PICTURES", "EDGE_BENCHMARK_GATE"


class ReadyCamera:
    """In the camera's process: a frame is there whenever it is asked for."""

    live = True
    description = "pictures that are always at hand"

    def __init__(self, _settings: CameraSettings) -> None:
        self._pictures = np.load(os.environ[PICTURES])
        self._gate = Path(os.environ[GATE])
        self._sequence = 0

    def read(self, timeout_s: float) -> Frame | None:
        until_s = time.monotonic() + timeout_s
        while not self._gate.exists():
            if time.monotonic() > until_s:
                return None
            time.sleep(0.01)
        self._sequence += 1
        return Frame(self._pictures[self._sequence % len(self._pictures)], self._sequence, time.monotonic())

    def close(self) -> None:
        pass


def open_ready(
    settings: CameraSettings,
    lost: Callable[[str], object] = ignore,
    back: Callable[[str], object] = ignore,
    every_frame: bool = False,
    *,
    paused: bool = False,
    wait: bool = True,
) -> PausableCamera:
    assert every_frame
    return PausableCamera(ProcessCamera(settings, lost, back, "benchmark_daemon:ReadyCamera", paused=paused, wait=wait))


if __name__ == "__main__":
    # whose signature open_ready has; mypy allows no module's import to be exchanged
    equipment.open_lasting = open_ready  # type: ignore[attr-defined]
    entry()
