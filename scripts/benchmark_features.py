#!/usr/bin/env python3
"""Measure what it costs that an engine gives the network's features with the scores.

    scripts/benchmark_features.py MODEL ... [--frames N] [--rounds N]

Each engine, in float and, where the model has it, in int8, runs in two processes: without features and
with them. Both classify the same picture, a few times each in turn, so that other programs slow them alike. The time is
the median of the differences, with half the interquartile range; the memory the largest of each process (VmHWM).
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from edge.engines import installed_engines, open_classifier
from edge.engines.backend import Backend
from edge.engines.selftest import known_picture
from edge.errors import EdgeError
from edge.host.memory import peak_rss_mib
from edge.importer.quantised import INT8, quantised_problem
from edge.models.checkpoint import find_checkpoint

MOST_MS, MOST_MIB = 0.5, 5.0
"""What features may cost in a frame."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--frames", type=int, default=20, metavar="N", help="frames a round (default: 20)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds (default: 15)")
    parser.add_argument("--child", nargs=2, metavar=("BACKEND", "FEATURES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.models[0], Backend.parse(options.child[0]), features=options.child[1] == "True")
    print(f"{'model':28}{'engine':16}{'frame':>10}{'features':>16}{'memory':>11}{'features':>12}")
    worst = 0
    for model in options.models:
        for backend in backends(model):
            ms, more_ms, spread_ms, mib, more_mib = measure(model, backend, options.rounds, options.frames)
            # what the machine's other work hides is not counted
            over = more_ms - spread_ms > MOST_MS or more_mib > MOST_MIB
            worst |= over
            print(
                f"{model[-27:]:28}{backend!s:16}{ms:7.2f} ms{more_ms:+8.2f} ± {spread_ms:.2f} ms{mib:7.0f} MiB"
                f"{more_mib:+8.1f} MiB{'  over' if over else ''}",
                flush=True,
            )
    return worst


def backends(model: str) -> list[Backend]:
    checkpoint = find_checkpoint(model)
    here = installed_engines()
    found = [Backend(engine) for engine in here]
    if not quantised_problem(checkpoint, INT8):
        found += [Backend(engine, INT8) for engine in here if engine != "mxnet"]
    return found


def measure(model: str, backend: Backend, rounds: int, frames: int) -> tuple[float, float, float, float, float]:
    """Return ms a frame, ms more, their spread, MiB, MiB more."""
    children = [start(model, backend, features=wanted) for wanted in (False, True)]
    medians: list[tuple[float, float]] = []
    try:
        for number in range(rounds):
            # the first of a pair is not always the same
            order = (0, 1) if number % 2 else (1, 0)
            found = {one: ask(children[one], frames) for one in order}
            medians.append((found[0]["ms"], found[1]["ms"]))
        peaks = [ask(one, 1)["mib"] for one in children]
    finally:
        for one in children:
            one.communicate()
    differences = [with_them - without for without, with_them in medians]
    quarters = statistics.quantiles(differences, n=4)
    return (
        statistics.median(without for without, _ in medians),
        statistics.median(differences),
        (quarters[2] - quarters[0]) / 2,
        peaks[0],
        peaks[1] - peaks[0],
    )


def start(model: str, backend: Backend, *, features: bool) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, model, "--child", str(backend), str(features)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ask(process, 3)
    return process


def ask(process: "subprocess.Popen[str]", frames: int) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{frames}\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def child(model: str, backend: Backend, *, features: bool) -> int:
    classifier = open_classifier(find_checkpoint(model), backend, features=features)
    frame = known_picture()
    for line in sys.stdin:
        times_ms = []
        for _ in range(int(line)):
            start_s = time.perf_counter()
            classifier.classify(frame)
            times_ms.append(1000 * (time.perf_counter() - start_s))
        print(json.dumps({"ms": statistics.median(times_ms), "mib": peak_rss_mib()}), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeError as error:
        sys.exit(f"benchmark_features.py: {error}")
