"""`edge run` that hangs when the file FAULT says how, once each time: for tests in the booted machine.

Its camera is live, in a process of its own (live_demo.py).
"""

import functools
import threading
from pathlib import Path
from typing import Any

from edge import cameras
from edge.__main__ import entry
from edge.cameras.process import ProcessCamera
from edge.selection import opening

FAULT = Path("/run/edge/fault")


def take(name: str) -> bool:
    """Whether this fault is wanted; from then on it is not any more."""
    try:
        wanted = FAULT.read_text() == name
    except OSError:
        return False
    if wanted:
        FAULT.unlink()
    return wanted


def open_classifier(*arguments: Any, **keywords: Any) -> Any:
    network: Any = _open(*arguments, **keywords)
    classify = network.classify

    def faulty(frame: Any) -> Any:
        if take("busy"):
            while True:
                pass
        if take("deadlock"):
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        return classify(frame)

    network.classify = faulty
    return network


if __name__ == "__main__":
    loading: Any = opening
    looking: Any = cameras
    _open, loading.open_classifier = loading.open_classifier, open_classifier
    looking.ProcessCamera = functools.partial(ProcessCamera, driver="live_demo:open_it")
    entry()
