"""Does the network still say what it said when it was installed? One bundled picture, asked before any word is spoken.

It catches what no checksum can: MXNet with a bad BLAS computes nonsense on some ARM boards, without any error.
"""

import math
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from edge.engines import Network
from edge.errors import ModelError
from edge.importer.quantised import FLOAT32, INT8
from edge.models.checkpoint import InputSpec
from edge.models.manifest import Answer
from edge.stages import Frame, Pixels
from edge.vision.images import read_image

TOLERANCES = {FLOAT32: 0.02, INT8: 0.1}
"""How far the probability may be off, by precision. Float kernels of other machines differ by 1e-6; the wrong mean or
BLAS by far more. Engines and CPUs round int8 at other places, a step of 1/256 in each layer, and some saturate."""


def known_picture() -> Frame:
    """Return the bundled picture that every model is asked about: a guitar before a bookshelf, 224 x 224."""
    path = Path(str(resources.files("edge") / "data" / "known.png"))
    return Frame(read_image(path), sequence=0, captured_s=time.monotonic())


def probes(spec: InputSpec) -> Iterator[Pixels]:
    """Yield the pictures that all engines are asked about: the known one, noise, and the known one once more.

    The noise is as large as the network sees it, so that nothing is averaged away: of single pixels, and of patches.
    Always the same; the picture that comes again shows whether a forward leaves anything behind.
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
    """Return what a network says of the known picture, before calibration: that may be done anew, and is no fault."""
    best = network.classify_uncalibrated(known_picture())[0]
    return Answer(id=best.id, label=best.label, probability=best.probability, engine=network.engine)


def check_answer(network: Network, expected: Answer, tolerance: float = TOLERANCES[FLOAT32]) -> None:
    """Raise ModelError when the network no longer gives the expected answer to the known picture."""
    predictions = network.classify_uncalibrated(known_picture())
    # of two labels that are as good as equal either may come first
    found = {prediction.id: prediction.probability for prediction in predictions}
    best = predictions[0]
    its = found.get(expected.id, -1.0)
    near = abs(its - expected.probability) <= tolerance and best.probability - its <= tolerance
    # no comparison with nan is true
    if not near or not all(map(math.isfinite, found.values())):
        done, file, again = "installed", "manifest.json", "install it again: edge models add"
        if tolerance == TOLERANCES[INT8]:
            done, file, again = "quantised", "about.json", f"edge models quantize {network.name}"
        raise ModelError(
            f"model {network.name}: the known picture is {best.label!r} ({best.probability:.3f}) to it, and was "
            f"{expected.label!r} ({expected.probability:.3f}) when it was {done}. Either its model.toml or {file} was "
            f"changed ({again}), or {network.engine} computes wrongly here, as with a broken BLAS library (run "
            "./scripts/run, which mends it)"
        )
