"""The whole daemon and a bad network camera: a day of it, and what the log says about it."""

import itertools
import re
import statistics
import time
from pathlib import Path

import pytest
from rigs.daemon import daemon, named, read_events
from rigs.http import running
from rigs.processes import wait_until, workers
from rigs.web_camera import TOLD, WebCamera

from edge.host.memory import rss_mib

pytestmark = pytest.mark.integration
QUICK = {
    "EDGE_MODEL_NAME": "demo",
    "EDGE_CAMERA_RETRY_S": "0.1",
    "EDGE_CAMERA_READ_TIMEOUT_S": "1",
    "EDGE_CAMERA_WAIT": "true",
}
"""The waits of the daemon, so short that a day passes in minutes."""
SHARES = (0.1, 0.5, 1.0)
"""The parts of the day after which memory and descriptors are compared."""
READINGS = 20
QUICKLY_TOLD = ("login", "busy", "missing", "hangs_up", "slow")


class Gauge:
    """Memory and descriptors of the daemon, as they were while its camera worked, and the largest of its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._readings: list[tuple[float, int]] = []
        self._child_mib = 0.0

    def read(self) -> None:
        children = [mib for mib in map(rss_mib, workers(self._pid)) if mib]
        if children:
            files = len(list(Path(f"/proc/{self._pid}/fd").iterdir()))
            self._readings = [*self._readings[-READINGS + 1 :], (rss_mib(self._pid), files)]
            self._child_mib = max(self._child_mib, *children)

    @property
    def is_full(self) -> bool:
        return len(self._readings) == READINGS

    def reading(self) -> tuple[float, float, float]:
        """The medians of the last readings, and the peak of all children since the call before.

        A child that has just started has no OpenCV yet: what it takes after a while counts, not what it has now.
        """
        mib, files = zip(*self._readings, strict=True)
        child_mib, self._child_mib = self._child_mib, 0.0
        return statistics.median(mib), statistics.median(files), child_mib


def test_a_day_of_a_bad_camera(tmp_path: Path, long: bool) -> None:
    """It drops, changes its size and sends broken pictures; frames go on, memory and descriptors stay as they are."""
    events = 10_000 if long else 250
    path = tmp_path / "events"
    arguments = ["--speech", "log", "--events", str(path), "--events-frames"]
    waits = QUICK | {"EDGE_CAMERA_OPEN_TIMEOUT_S": "5", "EDGE_CAMERA_MAX_FPS": "1000"}
    shown: list[tuple[float, float, float]] = []
    frames: list[int] = []
    with (
        running(WebCamera()) as server,
        daemon(tmp_path, "--camera", server.url("day"), *arguments, **waits) as child,
    ):
        server.rate_hz = 25  # a connection has to outlive the frames that are dropped while the exposure settles
        wait_until(lambda: named(read_events(path), "frame"))
        began_s = time.monotonic()
        gauge = Gauge(child.pid)
        for share in SHARES:
            while server.happened.total() < share * events or not gauge.is_full:
                assert child.poll() is None
                assert time.monotonic() - began_s < (3600 if long else 300), server.happened
                time.sleep(0.05)
                gauge.read()
            shown.append(gauge.reading())
            frames.append(len(named(read_events(path), "frame")))
            print("after {} events: {:.1f} MiB, {:.0f} descriptors, child {:.1f} MiB, {} frames, {:.0f} s".format(
                server.happened.total(), *shown[-1], frames[-1], time.monotonic() - began_s))  # fmt: skip
        wait_until(lambda: len(named(read_events(path), "frame")) > frames[-1] + 3)
        child.terminate()
        log = child.communicate(timeout=30)[0]
        assert child.returncode == 0
    told = read_events(path)
    seen = named(told, "frame")
    gaps_s = [after["elapsed_s"] - before["elapsed_s"] for before, after in itertools.pairwise(seen)]
    print(dict(server.happened), f"lost {len(named(told, 'camera_lost'))} times, longest gap {max(gaps_s):.1f} s")
    print(f"{log.count(chr(10))} lines of log")
    for (share, count), (_, before) in itertools.pairwise(reversed([(0.0, 0), *zip(SHARES, frames, strict=True)])):
        assert count - before > 0.01 * share * events
    assert all(before["sequence"] < after["sequence"] for before, after in itertools.pairwise(seen))
    for now, then in itertools.pairwise(reversed(shown)):
        assert now[0] - then[0] < 16
        assert now[1] - then[1] <= 2
    # a child has read its libraries, and frames of both sizes, before the middle of the day
    assert shown[2][2] - shown[1][2] < 16
    # what is said aloud is printed too
    logged = [line for line in log.splitlines() if not line.startswith(("I can't see", "I can see"))]
    assert len(logged) < 60, log


def test_the_log_says_a_problem_once_and_not_with_each_try(tmp_path: Path, long: bool) -> None:
    """Again only if the problem is another one, or after the camera was back."""
    tries = 20 if long else 2
    kinds = [*TOLD, "slow"] if long else QUICKLY_TOLD
    path = tmp_path / "events"
    with running(WebCamera()) as server:
        server.kind = "missing"
        arguments = ["--camera", server.url("changing"), "--speech", "log", "--events", str(path)]
        with daemon(tmp_path, *arguments, **QUICK, EDGE_CAMERA_OPEN_TIMEOUT_S="6") as child:
            for kind in [*kinds, *(("standard", "missing") * 3), "standard"]:
                server.kind = kind
                if kind == "standard":
                    back = len(named(read_events(path), "camera_back"))
                    wait_until(lambda: len(named(read_events(path), "camera_back")) > back)  # noqa: B023
                    continue
                tried = len(server.asked)
                # the first of these may still have been of the kind before
                wait_until(lambda: len(server.asked) > tried + tries)  # noqa: B023
            child.terminate()
            log = child.communicate(timeout=30)[0]
    print(log)
    lines = log.splitlines()
    lost = [line for line in lines if "edge keeps trying" in line or "lost again" in line]
    for kind in kinds:
        pattern = TOLD.get(kind, "no frame came for 1 s|stopped sending")
        assert any(re.search(pattern, line) for line in lost), kind
    assert len(lost) == len(set(lost))
    assert sum("(404 Not Found)" in line for line in lost) == 1
    assert sum("lost again" in line for line in lost) == 1
    assert sum(" is back." in line for line in lines) == 3
