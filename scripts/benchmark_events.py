#!/usr/bin/env python3
"""Measure what an event costs the loop: with no subscriber, with some that read, and with some that do not.

    .venv/bin/python scripts/benchmark_events.py

It runs the real control socket in a temporary folder; each subscriber is a process.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_socket import MOST_SUBSCRIBERS, ControlServer
from edge.daemon.control_state import ControlState
from edge.daemon.events import Events
from edge.host.control_client import Subscription

EVENTS = 3000
PAUSE_S = 0.001
READER = """
import sys
from pathlib import Path
from edge.host.control_client import Subscription
with Subscription([Path(sys.argv[1])], frames=True) as events:
    print("ready", flush=True)
    for event in events:
        pass
"""
FRAME = {
    "sequence": 12,
    "frame_s": None,
    "label": "electric guitar",
    "id": "n03272010",
    "probability": 0.9123,
    "smoothed_id": "n03272010",
    "smoothed": 0.9012,
    "looked": True,
    "capture_ms": 12.345,
    "preprocess_ms": 3.456,
    "inference_ms": 45.678,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "control.sock"
        events = Events()
        server = ControlServer(path, ControlCommands(ControlState(None)).answer, events)
        try:
            print("time of one event of a frame, in microseconds: median, 99th percentile, longest")
            _report("no subscriber", events)
            for number in (1, MOST_SUBSCRIBERS):
                with _readers(path, number):
                    _report(f"{number} that read", events)
            stuck = [Subscription([path], frames=True) for _ in range(MOST_SUBSCRIBERS)]
            _report(f"{MOST_SUBSCRIBERS} that do not read", events)
            print(f"{MOST_SUBSCRIBERS - len(events.subscribers)} of those were disconnected")
            for one in stuck:
                one.close()
        finally:
            server.close()


def _report(name: str, events: Events) -> None:
    took_us = []
    for _ in range(EVENTS):
        start_s = time.perf_counter()
        events.emit("frame", **FRAME)
        took_us.append(1e6 * (time.perf_counter() - start_s))
        time.sleep(PAUSE_S)
    percentiles = statistics.quantiles(took_us, n=100)
    print(f"{name:20} {statistics.median(took_us):8.1f} {percentiles[98]:8.1f} {max(took_us):8.1f}")


@contextmanager
def _readers(path: Path, number: int) -> Iterator[None]:
    command = [sys.executable, "-c", READER, str(path)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    readers = [subprocess.Popen(command, stdout=pipe, stderr=nowhere, text=True) for _ in range(number)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            reader.stdout.readline()
        yield
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


if __name__ == "__main__":
    main()
