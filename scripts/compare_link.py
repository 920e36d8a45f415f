#!/usr/bin/env python3
"""Compare the intervals between edge's frames with and without `edge link`.

    scripts/compare_link.py [--seconds 20] [--rounds 6] [--config link.toml]

One daemon plays the demo, and meanwhile the link is started and stopped again and again, so that both kinds of time see
the same machine. Without --config the link serves its metrics, which need an event for each frame. Prints both medians,
at the demo's own pace and as fast as the model runs. scripts/measure_link.py measures what the link itself needs.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMES = "EDGE_COMPARE_TIMES"
PACES = {"the demo's pace": [], "as fast as it can": ["--every-frame"]}
SETTLE_S = 2.0
"""After each start and end of the link, not counted."""


def child(arguments: list[str]) -> None:
    """Be `edge`, and write down when each frame was done."""
    from edge.__main__ import entry
    from edge.daemon.reporter import Reporter

    classified = Reporter.classified
    with Path(os.environ[TIMES]).open("w", buffering=1) as times:

        def timed(*positional: object, **named: object) -> None:
            classified(*positional, **named)  # type: ignore[arg-type]
            times.write(f"{time.monotonic()}\n")

        Reporter.classified = timed  # type: ignore[method-assign]
        sys.argv[1:] = arguments
        entry()


@contextmanager
def running(command: list[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command with a separate runtime folder, and end it."""
    its_own = {**os.environ, "XDG_RUNTIME_DIR": str(folder), TIMES: str(folder / "times")}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=its_own, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)} has ended: {(folder / 'log').read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def compare(pace: str, config: Path | None, seconds: float, rounds: int) -> None:
    """Measure and print one pace."""
    with tempfile.TemporaryDirectory(prefix="edge-compare-") as name:
        folder = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        if config is None:
            config = folder / "link.toml"
            config.write_text(f'[metrics]\nlisten = "{listen}"\n')
        run = ["run", "--camera", "demo", "--loop", "--speech", "log", *PACES[pace]]
        link = [sys.executable, "-m", "edge", "link", "--config", str(config)]
        spans: list[tuple[bool, float, float]] = []
        with running([sys.executable, __file__, "--child", *run], folder):
            while not (folder / "times").exists() or not (folder / "times").stat().st_size:
                time.sleep(0.1)

            for _ in range(rounds):
                time.sleep(SETTLE_S)
                spans.append((False, time.monotonic(), time.monotonic() + seconds))
                time.sleep(seconds)
                with running(link, folder):
                    time.sleep(SETTLE_S)
                    spans.append((True, time.monotonic(), time.monotonic() + seconds))
                    time.sleep(seconds)
        times = [float(line) for line in (folder / "times").read_text().splitlines()]
        intervals: dict[bool, list[float]] = {False: [], True: []}
        for linked, start_s, end_s in spans:
            inside = [at_s for at_s in times if start_s <= at_s < end_s]
            intervals[linked] += [b - a for a, b in itertools.pairwise(inside)]
        without, with_it = (1000 * statistics.median(intervals[linked]) for linked in (False, True))
        print(
            f"{pace}: median interval {without:.3f} ms without the link, {with_it:.3f} ms with it "
            f"({100 * (with_it / without - 1):+.2f} %), of {len(intervals[False])} and {len(intervals[True])} frames",
            flush=True,
        )


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each span (default: 20)")
    parser.add_argument("--rounds", type=int, default=6, help="spans of each kind (default: 6)")
    parser.add_argument("--config", type=Path, help="a link.toml, for example with a broker")
    options = parser.parse_args()
    for pace in PACES:
        compare(pace, options.config, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
