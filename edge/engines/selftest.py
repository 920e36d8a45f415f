"""Self-test of a model: checks, before anything is announced, that its answer to one bundled picture is unchanged.

It finds faults that no checksum can: with a bad BLAS, MXNet computes wrong numbers on some ARM boards without an error.
"""

import math
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from edge.engines import Network
from edge.errors import ModelError
from edge.importer.quantised import FLOAT16, FLOAT32, INT8
from edge.models.checkpoint import InputSpec
from edge.models.manifest import Answer
from edge.stages import Frame, Pixels
from edge.vision.images import read_image

TOLERANCES = {FLOAT32: 0.02, FLOAT16: 0.02, INT8: 0.1}
"""Largest allowed error of the probability, by precision. Float kernels of different machines differ by 1e-6, a wrong
mean or BLAS by far more. Engines and CPUs round int8 at different places, by 1/256 in each layer; some saturate."""


def known_picture() -> Frame:
    """Return the bundled picture for the self-test: a guitar in front of a bookshelf, 224 x 224."""
    path = Path(str(resources.files("edge") / "data" / "known.png"))
    return Frame(read_image(path), sequence=0, captured_s=time.monotonic())


def probes(spec: InputSpec) -> Iterator[Pixels]:
    """Yield the pictures for comparing engines: the known one, noise, and the known one again.

    The noise consists of single pixels, then of patches. It has the size of the network's input, so that scaling does
    not average it away. It is the same each time. The repeated picture shows whether a forward pass keeps any state.
    """
    known = known_picture().pixels
    random = np.random.default_rng(18)
    side = max(spec.size, spec.size if spec.resize == "squash" else spec.scaled_short_side)
    yield known
    for patches in (side, max(1, side // 8)):
        few = random.integers(0, 256, (patches, patches, 3), dtype=np.uint8)
        times = -(-side // patches)
        yield np.ascontiguousarray(few.repeat(times, 0).repeat(times, 1)[:side, :side])
    yield known


def answer_of(network: Network) -> Answer:
    """Return a model's answer to the known picture, before calibration: a new calibration is no fault."""
    best = network.classify_uncalibrated(known_picture())[0]
    return Answer(id=best.id, label=best.label, probability=best.probability, engine=network.engine)


def check_answer(network: Network, expected: Answer, tolerance: float = TOLERANCES[FLOAT32]) -> None:
    """Raise ModelError if the model no longer gives the expected answer to the known picture."""
    predictions = network.classify_uncalibrated(known_picture())
    # of two nearly equal labels, either may come first
    found = {prediction.id: prediction.probability for prediction in predictions}
    best = predictions[0]
    its = found.get(expected.id, -1.0)
    near = abs(its - expected.probability) <= tolerance and best.probability - its <= tolerance
    # comparisons with nan are always false
    if not near or not all(map(math.isfinite, found.values())):
        done, file, again = "installed", "manifest.json", "install it again: edge models add"
        if tolerance == TOLERANCES[INT8]:
            done, file, again = "quantised", "about.json", f"edge models quantize {network.name}"
        raise ModelError(
            f"model {network.name}: its self-test fails: the test image gives {best.label!r} ({best.probability:.3f}), "
            f"but gave {expected.label!r} ({expected.probability:.3f}) when it was {done}. Either its model.toml or "
            f"{file} was changed ({again}), or {network.engine} computes wrongly here, for instance with a broken BLAS "
            "library (run ./scripts/run, which repairs it)"
        )
