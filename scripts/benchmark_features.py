#!/usr/bin/env python3
"""Measure what it costs that an engine gives the network's features with the scores.

    scripts/benchmark_features.py MODEL ... [--engines onnx,onnx:int8] [--frames N] [--rounds N]

Each engine, in float and, where the model has it, in int8, runs in two processes: without features and
with them. Both classify the same picture, a few times each in turn, so that other programs slow them alike. A round
counts its fastest frame of each, which other programs slowed least. The time is the median of the rounds' differences,
with its 95 % interval; the memory is the largest of each process (VmHWM), as the median of a few pairs of them.

The verdict is `within` if the whole interval is within the limit and `over` if all of it is over; otherwise the machine
was too busy to tell, and it is `unclear`. The exit code is 1 if one is over, and 2 if one is unclear.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from truth.intervals import bootstrap

from edge.engines import installed_engines, open_classifier
from edge.engines.backend import Backend
from edge.engines.selftest import known_picture
from edge.errors import EdgeError
from edge.host.memory import peak_rss_mib
from edge.importer.quantised import INT8, quantised_problem
from edge.models.checkpoint import find_checkpoint

MOST_MS, MOST_MIB = 0.5, 5.0
"""What features may cost in a frame."""
WITHIN, OVER, UNCLEAR = "within", "over", "unclear"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--frames", type=int, default=20, metavar="N", help="frames a round (default: 20)")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="rounds (default: 25)")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="processes for the memory (default: 3)")
    parser.add_argument("--engines", metavar="A,B", help="with their precision: onnx,onnx:int8 (default: all)")
    parser.add_argument("--child", nargs=2, metavar=("BACKEND", "FEATURES"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        return child(options.models[0], Backend.parse(options.child[0]), features=options.child[1] == "True")
    print(f"{'model':28}{'engine':16}{'frame':>10}{'features':>14}{'95 % interval':>18}{'memory':>11}{'features':>12}")
    verdicts = set()
    for model in options.models:
        for backend in backends(model, options.engines):
            ms, differences, mib, more_mib = measure(model, backend, options)
            more_ms = statistics.median(differences)
            low, high = bootstrap(differences, lambda some: float(np.median(some)))
            verdict = judge(low, high, more_mib)
            verdicts.add(verdict)
            print(
                f"{model[-27:]:28}{backend!s:16}{ms:7.2f} ms{more_ms:+11.2f} ms{low:+10.2f} to {high:+.2f}"
                f"{mib:7.0f} MiB{more_mib:+8.1f} MiB  {verdict}",
                flush=True,
            )
    return 1 if OVER in verdicts else 2 if UNCLEAR in verdicts else 0


def judge(low_ms: float, high_ms: float, more_mib: float) -> str:
    """Return the verdict on a frame's additional time, somewhere in an interval, and the memory."""
    if low_ms > MOST_MS or more_mib > MOST_MIB:
        return OVER
    return WITHIN if high_ms <= MOST_MS else UNCLEAR


def backends(model: str, wanted: str | None) -> list[Backend]:
    if wanted:
        return [Backend.parse(one.replace(":", " ")) for one in wanted.split(",")]
    checkpoint = find_checkpoint(model)
    here = installed_engines()
    found = [Backend(engine) for engine in here]
    if not quantised_problem(checkpoint, INT8):
        found += [Backend(engine, INT8) for engine in here if engine != "mxnet"]
    return found


def measure(model: str, backend: Backend, options: argparse.Namespace) -> tuple[float, list[float], float, float]:
    """Return ms a frame, ms more in each round, MiB, MiB more."""
    fastest: list[tuple[float, float]] = []
    peaks: list[tuple[float, float]] = []
    for pair in range(options.pairs):
        children = [start(model, backend, features=wanted) for wanted in (False, True)]
        try:
            for number in range(options.rounds if pair == 0 else 1):
                # the first of a pair is not always the same
                order = (0, 1) if number % 2 else (1, 0)
                found = {one: ask(children[one], options.frames) for one in order}
                if pair == 0:
                    fastest.append((found[0]["ms"], found[1]["ms"]))
            peaks.append((ask(children[0], 1)["mib"], ask(children[1], 1)["mib"]))
        finally:
            for one in children:
                one.communicate()
    return (
        min(without for without, _ in fastest),
        [with_them - without for without, with_them in fastest],
        statistics.median(without for without, _ in peaks),
        statistics.median(with_them - without for without, with_them in peaks),
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
        print(json.dumps({"ms": min(times_ms), "mib": peak_rss_mib()}), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeError as error:
        sys.exit(f"benchmark_features.py: {error}")
