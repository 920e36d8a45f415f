#!/usr/bin/env python3
"""Ask all engines about random networks (random_networks.py): each must agree with plain MXNet within 1e-4.

    scripts/check_engines.py [--runs N] [--seed N]

For each network the engines' answers are judged as when a model is added (engines/agreement.py): mxnet then runs with
its fusion of layers, or without. An engine may reject a network and name the unsupported operator; at most 5 % of all
answers may be such. The fusion runs in a child, which may crash.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines.backend import Backend
from edge.engines import UNFUSED, installed_engines, open_classifier
from edge.engines.agreement import MXNET, Failed, Said, judge
from edge.errors import ModelError
from edge.importer.symbol import UnsupportedError
from edge.models.checkpoint import Checkpoint, from_json, to_json
from edge.models.labels import read_labels
from asked_child import AskedChild
from random_networks import Made, make

Floats = NDArray[np.float32]
MOST_APART = 1e-4
MOST_REFUSED = 0.05


def ask(checkpoint: Checkpoint, driver: str, inputs: Floats) -> Floats:
    """Return the probabilities: inputs x labels. Raises ModelError."""
    network = open_classifier(checkpoint, backend=Backend(driver))
    try:
        planes = network.input.planes
        mean, std = (
            np.array(three[:planes], np.float32)[:, np.newaxis, np.newaxis]
            for three in (network.input.mean, network.input.std)
        )
        return np.array([network.probabilities(((one - mean) / std)[np.newaxis]) for one in inputs])
    finally:
        network.close()


def serve() -> None:
    """The child (asked_child.py): it is asked about checkpoints."""
    for line in sys.stdin:
        checkpoint, inputs, out = json.loads(line)
        try:
            np.save(out, ask(from_json(checkpoint), MXNET, np.load(inputs)))
            print("ok", flush=True)
        except ModelError as error:
            print(error, flush=True)


def check(made: Made, fused: AskedChild, counts: Counter[str]) -> list[str]:
    """Return what is wrong with the engines' answers to one network, a line each."""
    answers: dict[str, Said | Failed] = {}
    engines = installed_engines()
    for driver in (UNFUSED, *engines):
        counts["asked"] += driver != UNFUSED
        found: Floats | str
        try:
            if driver == MXNET:
                found = fused.ask(to_json(made.checkpoint), made.inputs)
            else:
                found = ask(made.checkpoint, driver, made.inputs)
        except UnsupportedError as error:
            counts["refused"] += 1
            counts[f"refused: {str(error).partition(': ')[2]}"] += 1
            answers[driver] = Failed(str(error))
            continue
        except ModelError as error:
            return [f"{driver}: {error}"]
        if isinstance(found, str):
            counts["the fusion fails"] += 1
            answers[driver] = Failed(found or "died", died=not found)
        else:
            answers[driver] = Said(found, made.independent, driver)
    agreed = judge("net", answers, read_labels(made.checkpoint.synset))
    if agreed.unfused:
        counts["without fusion"] += 1
    faults = [f"{engine} is refused: {why}" for engine, why in agreed.refused.items()]
    for engine in engines:
        if engine in agreed.refused or isinstance(answers[agreed.driver(engine)], Failed):
            continue
        said = answers[agreed.driver(engine)]
        assert isinstance(said, Said)
        apart = float(np.abs(said.probabilities - made.right).max())
        counts["answers"] += 1
        if not apart <= MOST_APART:
            faults.append(f"{engine} is off by {apart:.1e}")
    return faults


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the first network; the others follow")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    counts: Counter[str] = Counter()
    wrong = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edge-check-") as place:
        fused = AskedChild([sys.executable, __file__, "--serve"], Path(place))
        try:
            for seed in range(options.seed, options.seed + options.runs):
                folder = Path(place) / "net"
                folder.mkdir(exist_ok=True)
                made = make(seed, folder)
                for fault in check(made, fused, counts):
                    wrong += 1
                    print(f"seed {seed} ({made.what}): {fault}", file=sys.stderr)
        finally:
            fused.close()
    refused = counts["refused"] / max(1, counts["asked"])
    print(f"{options.runs} networks from seed {options.seed} in {time.monotonic() - start:.0f} s:")
    for what, count in counts.most_common():
        print(f"{count:8}  {what}")
    if refused > MOST_REFUSED:
        print(f"{refused:.1%} of the answers are refusals, more than {MOST_REFUSED:.0%}", file=sys.stderr)
    return 1 if wrong or refused > MOST_REFUSED else 0


if __name__ == "__main__":
    sys.exit(main())
