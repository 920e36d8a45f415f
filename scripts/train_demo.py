#!/usr/bin/env python3
"""Train the bundled demo network on pictures drawn from an emoji font, and write its checkpoint and labels.

    scripts/train_demo.py [--seed N] [--rounds N] [--out FOLDER]
    scripts/train_demo.py --calibrate-only

The bundled network is seed 1: 93 % right on scenes it never saw, drawn as hard as those it learnt from.

Children draw scenes while this process trains. Each round draws DRAWN new scenes and learns from the newest LEARNED,
so from each scene twice: drawing one takes nearly as long as learning from it. Then the written files are calibrated
(edge/models/temperature_scaling.py) and tested, through the daemon's own engine, on scenes of two more random streams.
The same seed gives the same scenes in the same order; the weights are the same too on the same CPU with the same
libraries, for all sums are made in one thread.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# One thread for sums, before MXNet reads it: the other core draws, and the order of additions is always the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from demo_render import Studio
from demo_things import BACKGROUND, CALIBRATING, DISTRACTORS, FONT, HELD_OUT, TESTING, THINGS, TRAINING, FontError
from numpy.typing import NDArray

from edge.engines.backend import Backend
from edge.engines.measure import examine
from edge.engines.mxnet import MxnetClassifier
from edge.engines.mxnet_compat import import_mxnet
from edge.engines.preprocess import to_input
from edge.models.calibration import fitted_to, note_calibration
from edge.models.calibration_file import Calibration
from edge.models.checkpoint import InputSpec, find_checkpoint
from edge.models.confidence import log_of
from edge.models.manifest import write_manifest
from edge.models.temperature_scaling import confidences, ece, fit

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Inputs (N x 3 x size x size, 0..255) and labels (N, indices of THINGS or len(THINGS) for the background)."""

# The centre square of a camera's frame, undistorted whether the frame is 4:3 or 16:9.
SPEC = InputSpec(size=64, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), resize="crop", short_side=64)
PIXELS = replace(SPEC, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

MODEL_TOML = """\
# How a picture becomes this network's input, and what its outputs mean.
[input]
size = 64                       # pixels: the input is size x size
channels = "rgb"                # rgb | bgr
mean = [127.5, 127.5, 127.5]    # subtracted, in 0..255, per channel in that order
std = [127.5, 127.5, 127.5]     # then divided by
resize = "crop"                 # crop: scale short side to short_side, take the centre; squash: scale to size x size
short_side = 64                 # only for crop; default round(size / 0.875)

[output]
background = ["background"]     # ids that mean "nothing worth a word"
"""

LABELS = len(THINGS) + 1
FLOOR = 0.6
"""The probability below which the daemon says nothing, unless told otherwise."""
BACKGROUND_SHARE = 0.25
CALIBRATED = 2000
"""Scenes to fit the temperature to."""
BATCH = 64
DRAWN = 4096
LEARNED = 2 * DRAWN
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
SMOOTHING = 0.05
"""This much of each label's probability is shared out, so that the network does not learn to be sure of everything."""

# Filters, stride of the 3 x 3 convolution, whether a 2 x 2 maximum follows. 64 pixels become 32, 16, 8, 4.
LAYERS = (
    (16, 2, False),
    (32, 1, True),
    (48, 1, False),
    (64, 1, True),
    (96, 1, False),
    (96, 1, True),
    (160, 1, False),
    (LABELS, 1, False),
)


@dataclass(frozen=True)
class Share:
    """A part of the scenes of one purpose, which one call draws."""

    seed: int
    stream: int
    index: int
    count: int


_studio: Studio  # of the drawing child: made once there


def _open_studio(distractors: str, font: Path) -> None:
    global _studio  # noqa: PLW0603 - an executor's children have no other place for what they keep
    cv2.setNumThreads(1)  # there are as many children as cores
    _studio = Studio(distractors, font)


def _draw(share: Share) -> Batch:
    rng = np.random.default_rng((share.stream, share.seed, share.index))
    labels = rng.integers(0, len(THINGS), share.count)
    labels[rng.random(share.count) < BACKGROUND_SHARE] = len(THINGS)
    inputs = np.empty((share.count, 3, SPEC.size, SPEC.size), dtype=np.uint8)
    for row, label in enumerate(labels):
        inputs[row] = to_input(_studio.scene(rng, None if label == len(THINGS) else int(label)), PIXELS)[0]
    return inputs, labels


class Scenes:
    """Draws scenes in children, ahead of those who ask for them."""

    def __init__(self, seed: int, stream: int, distractors: str, font: Path) -> None:
        """Start the children. Scenes of two streams never have a random number in common."""
        self._seed, self._stream = seed, stream
        # Spawned, not forked: MXNet's threads do not survive a fork.
        self._children = ProcessPoolExecutor(2, get_context("spawn"), _open_studio, (distractors, font))

    def rounds(self, count: int, size: int) -> Iterator[Batch]:
        """Yield `count` batches of `size` scenes; while one is used, the next is drawn."""
        parts = 8
        ahead: list[list[Future[Batch]]] = []
        for turn in range(count + 1):
            if turn < count:
                shares = [Share(self._seed, self._stream, turn * parts + part, size // parts) for part in range(parts)]
                ahead.append([self._children.submit(_draw, share) for share in shares])
            if turn > 0:
                drawn = [part.result() for part in ahead.pop(0)]
                yield np.concatenate([inputs for inputs, _ in drawn]), np.concatenate([labels for _, labels in drawn])

    def close(self) -> None:
        """End the children."""
        self._children.shutdown(cancel_futures=True)


def normalised(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return inputs (N x 3 x size x size, 0..255) as the network wants them."""
    mean, std = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in (SPEC.mean, SPEC.std))
    scaled: NDArray[np.float32] = (inputs.astype(np.float32) - mean) / std
    return scaled


def network(mx: Any) -> Any:
    """Return the symbol of the network up to its scores (N x LABELS), before the softmax."""
    x = mx.sym.Variable("data")
    for number, (filters, stride, pool) in enumerate(LAYERS, start=1):
        last = number == len(LAYERS)
        shape = {"num_filter": filters, "kernel": (3, 3), "stride": (stride, stride), "pad": (1, 1)}
        x = mx.sym.Convolution(x, **shape, no_bias=not last, name=f"conv{number}")
        if not last:
            x = mx.sym.BatchNorm(x, fix_gamma=False, eps=1e-5, name=f"norm{number}")
            x = mx.sym.Activation(x, act_type="relu", name=f"relu{number}")
        if pool:
            x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"pool{number}")
    x = mx.sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg", name="mean")
    return mx.sym.Flatten(x, name="scores")


def train(seed: int, rounds: int, scenes: Scenes, prefix: Path) -> None:
    """Train the network and save it as `prefix`-symbol.json and `prefix`-0000.params."""
    mx = import_mxnet()
    mx.random.seed(seed)
    np.random.seed(seed)  # MXNet's initialisers draw from it
    scores = network(mx)
    module = mx.mod.Module(mx.sym.SoftmaxOutput(scores, smooth_alpha=SMOOTHING, name="softmax"))
    shape = (BATCH, 3, SPEC.size, SPEC.size)
    module.bind([("data", shape)], [("softmax_label", (BATCH,))])
    module.init_params(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
    steps = rounds * (LEARNED // BATCH)
    schedule = mx.lr_scheduler.CosineScheduler(steps, base_lr=LEARNING_RATE, warmup_steps=min(100, steps // 10))
    rates = {"learning_rate": LEARNING_RATE, "lr_scheduler": schedule, "wd": WEIGHT_DECAY}
    module.init_optimizer(optimizer="adam", optimizer_params=rates)

    rng = np.random.default_rng(seed)
    inputs, labels = np.empty((0, *shape[1:]), np.uint8), np.empty(0, np.int64)
    started = time.monotonic()
    for number, (new_inputs, new_labels) in enumerate(scenes.rounds(rounds, DRAWN), start=1):
        inputs = np.concatenate([inputs, new_inputs])[-LEARNED:]
        labels = np.concatenate([labels, new_labels])[-LEARNED:]
        order = rng.permutation(np.arange(LEARNED) % len(labels))  # the first round has half as many, each twice
        right = 0
        for chosen in order.reshape(-1, BATCH):
            batch = mx.io.DataBatch([mx.nd.array(normalised(inputs[chosen]))], [mx.nd.array(labels[chosen])])
            module.forward_backward(batch)
            right += int((module.get_outputs()[0].asnumpy().argmax(axis=1) == labels[chosen]).sum())
            module.update()
        spent = time.monotonic() - started
        print(
            f"round {number:3}/{rounds}  {right / LEARNED:6.1%} right while learning  "
            f"{number * LEARNED / spent:4.0f} scenes/s  {spent / 60:4.1f} min",
            flush=True,
        )
    weights, states = module.get_params()
    mx.model.save_checkpoint(str(prefix), 0, mx.sym.softmax(scores, name="probabilities"), weights, states)


def answers(prefix: Path, rounds: Iterator[Batch]) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
    """Return (log-probabilities, N x LABELS, uncalibrated; labels, N), as the daemon's own engine computes them."""
    classifier = MxnetClassifier(replace(find_checkpoint(str(prefix)), calibration=None), top=1)
    logs, truths = [], []
    for inputs, labels in rounds:
        logs += [log_of(classifier.probabilities(normalised(pixels[np.newaxis]))) for pixels in inputs]
        truths.append(labels)
    return np.stack(logs), np.concatenate(truths)


def calibrate(prefix: Path, scenes: Scenes) -> None:
    """Fit the written checkpoint's temperature to scenes it never saw, and note it beside its files."""
    logs, truth = answers(prefix, scenes.rounds(1, CALIBRATED))
    fitted = fit(logs, accepted(truth))
    before, after = fitted.before, fitted.after
    checkpoint = find_checkpoint(str(prefix))
    identity = fitted_to(checkpoint)
    noted = Calibration(
        round(fitted.temperature, 4), after.pictures, round(after.ece, 4), round(after.nll, 4), identity
    )
    note_calibration(checkpoint, noted)
    print(f"temperature {fitted.temperature:.3f} from {before.pictures} scenes; where it was not fitted to:")
    print(f"  calibration error {before.ece:.4f} before, {after.ece:.4f} after", end="")
    print(f"; NLL {before.nll:.4f} before, {after.nll:.4f} after")


def accepted(truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which outputs are right (N x LABELS)."""
    right: NDArray[np.bool_] = np.arange(LABELS) == truth[:, np.newaxis]
    return right


def test(prefix: Path, scenes: Scenes, count: int) -> None:
    """Print how often the written checkpoint is right on scenes it never saw, and how sure it is of that."""
    logs, truth = answers(prefix, scenes.rounds(count // 1024 + 1, 1024))
    calibration = find_checkpoint(str(prefix)).calibration
    temperature = calibration.temperature if calibration else 1.0
    guess = np.argmax(logs, axis=1)
    probability, _ = confidences(logs, accepted(truth), temperature)
    right, nothing = truth == guess, truth == len(THINGS)
    named = (guess != len(THINGS)) & (probability >= FLOOR)
    print(f"accuracy {right.mean():.1%} on {len(truth)} scenes never seen")
    print(f"  things {right[~nothing].mean():.1%}, background (with pictures never seen) {right[nothing].mean():.1%}")
    print(f"  p >= {FLOOR} and a thing: {named.mean():.1%} of all, of these {right[named].mean():.1%} right", end="")
    print(f" at a mean p of {probability[named].mean():.2f}")
    print(f"  calibration error {ece(probability, right):.4f}")
    names = [*(thing.names.split(",")[0] for thing in THINGS), BACKGROUND]
    by_label = sorted((right[truth == label].mean(), names[label]) for label in np.unique(truth))
    print("  worst: " + ", ".join(f"{name} {share:.0%}" for share, name in by_label[:6]))


def main() -> int:
    """Train, write, calibrate, test. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Train the bundled demo network on drawn scenes.")
    parser.add_argument("--seed", type=int, default=1, help="seed of scenes, weights and order (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=24, help=f"rounds of {LEARNED} scenes each (default %(default)s)")
    parser.add_argument("--tests", type=int, default=6000, help="number of test scenes (default %(default)s)")
    parser.add_argument(
        "--calibrate-only", action="store_true", help="do not train: calibrate and test the bundled network"
    )
    parser.add_argument("--font", type=Path, default=FONT, help="emoji font (default %(default)s)")
    out = Path(__file__).resolve().parent.parent / "edge" / "data" / "demo"
    parser.add_argument("--out", type=Path, default=out, help="folder of the checkpoint (default: edge/data/demo)")
    options = parser.parse_args()
    # an exit, so that the drawing children end too
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        Studio("", options.font)  # a missing font is reported here, not by a child
    except FontError as error:
        print(f"train_demo: {error}", file=sys.stderr)
        return 1
    prefix = options.out / "demo"
    if not options.calibrate_only:
        make(options, prefix)
    # the things as ever, but the background with pictures that the network never saw
    with closing(Scenes(options.seed, CALIBRATING, HELD_OUT, options.font)) as scenes:
        calibrate(prefix, scenes)
    with closing(Scenes(options.seed, TESTING, HELD_OUT, options.font)) as scenes:
        test(prefix, scenes, options.tests)
    return 0


def make(options: argparse.Namespace, prefix: Path) -> None:
    """Train, and write all files of the checkpoint."""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "model.toml").write_text(MODEL_TOML, encoding="utf-8")
    lines = [f"{thing.id} {thing.names}" for thing in THINGS] + [f"{BACKGROUND} {BACKGROUND}"]
    (options.out / "synset.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    seen = "".join(emoji for emoji in DISTRACTORS if emoji not in HELD_OUT)
    with closing(Scenes(options.seed, TRAINING, seen, options.font)) as scenes:
        train(options.seed, options.rounds, scenes, prefix)
    checkpoint = find_checkpoint(str(prefix))
    write_manifest(checkpoint, examine(checkpoint, Backend("mxnet"))[0], "scripts/train_demo.py")


if __name__ == "__main__":
    sys.exit(main())
