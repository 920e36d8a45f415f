#!/usr/bin/env python3
"""Measure the memory and the processor time of an idle `edge link`, beside an edge that plays the demo.

    scripts/measure_link.py                    the metrics, scraped every 15 s
    scripts/measure_link.py --mqtt HOST:PORT   MQTT too, at a broker that needs no password
    scripts/measure_link.py --seconds 300

Memory is the largest PSS (edge/host/memory.py) of a sample each second. Exits with 1 if
it is above the limits of the project: 40 MiB, or 1 % of a core.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from edge.errors import ControlError
from edge.host.control_client import ask
from edge.host.memory import pss_mib

MOST_MIB, MOST_PERCENT = 40.0, 1.0
SCRAPE_S = 15.0
START_S = 120.0
"""How long the daemon and the link may take to start."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure (default: 60)")
    parser.add_argument("--mqtt", metavar="HOST:PORT", default="", help="a broker for MQTT too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-link-") as name:
        folder = Path(name)
        port = free_port()
        lines = ["[metrics]", f'listen = "127.0.0.1:{port}"']
        if options.mqtt:
            host, _, broker_port = options.mqtt.rpartition(":")
            lines += ["[mqtt]", f'host = "{host}"', f"port = {broker_port}", 'node = "measured"']
        (folder / "link.toml").write_text("\n".join(lines) + "\n")
        with edge(folder, "run", "--camera", "demo", "--loop", "--speech", "log"):
            wait_for(lambda: bool(ask([folder / "edge" / "control.sock"], {"command": "status"}).get("model")))
            with edge(folder, "link", "--config", str(folder / "link.toml")) as link:
                wait_for(lambda: b"\nedge_model_info{" in scrape(port))
                return measure(link, port, options.seconds)


def measure(link: "subprocess.Popen[bytes]", port: int, seconds: float) -> int:
    """Measure, print the result, and return the exit code."""
    begun_s, scraped_s = time.monotonic(), 0.0
    before_s, frames = used_s(link.pid), frames_in(scrape(port))
    largest_mib = 0.0
    while (now_s := time.monotonic()) < begun_s + seconds:
        if now_s - scraped_s >= SCRAPE_S:
            scraped_s = now_s
            scrape(port)
        largest_mib = max(largest_mib, pss_mib(link.pid))
        time.sleep(1.0)
    passed_s = time.monotonic() - begun_s
    percent = 100 * (used_s(link.pid) - before_s) / passed_s
    rate = (frames_in(scrape(port)) - frames) / passed_s
    threads = len(list(Path(f"/proc/{link.pid}/task").iterdir()))
    print(
        f"edge link: {largest_mib:.1f} MiB (at most {MOST_MIB:.0f}), {percent:.2f} % of a core (at most "
        f"{MOST_PERCENT:.0f}), {threads} threads, in {passed_s:.0f} s beside {rate:.1f} frames a second"
    )
    return int(largest_mib > MOST_MIB or percent > MOST_PERCENT)


@contextlib.contextmanager
def edge(folder: Path, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a command of this edge in the block, with its runtime folder there."""
    environment_ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-P", "-m", "edge", *arguments]
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        child = subprocess.Popen(command, env=environment_, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(10)


def used_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scrape(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: bytes = answer.read()
    return text


def frames_in(text: bytes) -> float:
    (line,) = (line for line in text.splitlines() if line.startswith(b"edge_frames_total "))
    return float(line.split()[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(condition: object) -> None:
    """Return when the condition is true; what does not answer yet counts as false."""
    assert callable(condition)
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError, ControlError):
            if condition():
                return
        time.sleep(0.1)
    raise SystemExit("edge, or its link, does not answer")


if __name__ == "__main__":
    sys.exit(main())
