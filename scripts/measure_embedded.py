#!/usr/bin/env python3
"""Measure the networks that come as Python packages, and write edge/data/embedded/.

    scripts/measure_embedded.py PHOTOS [NAME...]

PHOTOS has photos and a labels.csv (file,accepted ids joined with |). Those whose names begin with 0 to 7 are for
fitting, the others judge. Of each network (default: all of the catalogue whose package is installed) it finds

    the answer to the known picture, with mxnet, the temperature and the open-set score, on the fitting photos as a
    camera sees them, and the calibration error that remains on the judging ones, the ranges of the outputs of its
    layers, on the first half of the fitting photos, by the method that does best on the second half; and how the int8
    version made with them compares with float on views of the judging photos.

It needs mxnet and the extra [quantize]. The same photos give the same file.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import csv
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.vision.images import read_image
from edge.engines.backend import Backend
from edge.engines import INT8_ENGINES, open_classifier
from edge.engines.preprocess import to_input, whole_square
from edge.engines.selftest import answer_of
from edge.errors import ModelError
from edge.importer.cache import graph_of, key_of
from edge.importer.quantised import FLOAT32, INT8
from edge.models import temperature_scaling
from edge.models.calibrator.answers import frames_of, others_of
from edge.models.calibrator.fit import fit_calibration
from edge.models.catalogue import Entry, load_catalogue
from edge.models.checkpoint import Checkpoint
from edge.models.labels import read_labels
from edge.models.packages import find_member, is_here
from edge.models.manifest import Answer
from edge.installer.measured import Int8, means_from_text, means_to_text
from edge.installer.packaged import make_checkpoint, make_int8
from edge.quantizer.judge import compare, divergence, passes
from edge.quantizer.tools import MIN_MAX, Ranges, Tools
from edge.quantizer.views import views_each, views_of
from edge.stages import Pixels

Floats = NDArray[np.float32]
OUT = Path(__file__).resolve().parents[1] / "edge" / "data" / "embedded"
FITTING = "01234567"


class Photos:
    """Photos, and which ids are right for each."""

    def __init__(self, folder: Path) -> None:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = sorted((row[0], row[1].split("|")) for row in list(csv.reader(file))[1:])
        self.pictures = [partial(read_image, folder / name) for name, _ in rows]
        self.accepted = [frozenset(ids) for _, ids in rows]
        self.fitting = np.array([name[0] in FITTING for name, _ in rows])

    def some(self, which: Iterable[int]) -> list[partial[Pixels]]:
        """Return the pictures of these numbers."""
        return [self.pictures[number] for number in which]


def main() -> int:
    """Measure and write. Returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    catalogue = load_catalogue()
    names = options.names or [name for name, entry in catalogue.items() if is_here(entry)]
    try:
        photos = Photos(options.photos)
        for name in names:
            with tempfile.TemporaryDirectory(prefix="edge-") as folder:
                table = measure(catalogue[name], photos, Path(folder))
            OUT.mkdir(exist_ok=True)
            (OUT / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    except (ModelError, OSError, LookupError) as error:
        print(f"measure_embedded: {error}", file=sys.stderr)
        return 1
    return 0


def measure(entry: Entry, photos: Photos, folder: Path) -> dict[str, Any]:
    """Return what data/embedded/NAME.json has of a network, and print what a person wants to know of it."""
    assert entry.package
    member = find_member(entry.package)
    if member is None:
        raise ModelError(f"the package {entry.package.name} is not installed")
    checkpoint = make_checkpoint(entry, member, folder)
    network = open_classifier(checkpoint, backend=Backend("mxnet"))
    answer = answer_of(network)
    network.close()
    probabilities = _run(checkpoint, "mxnet", FLOAT32, (picture() for picture in photos.pictures))
    table = {
        "answer": dataclasses.asdict(answer),
        "calibration": calibrate(entry.name, checkpoint, photos),
        "int8": quantize(entry.name, checkpoint, photos, folder),
    }
    right = correct(checkpoint, photos, probabilities)
    print(f"{entry.name}: float {right.sum()} of {len(right)} photos right")
    right = correct(checkpoint, photos, _run(checkpoint, "onnx", INT8, (picture() for picture in photos.pictures)))
    print(f"{entry.name}: int8 {right.sum()} of {len(right)} photos right")
    return table


def correct(checkpoint: Checkpoint, photos: Photos, probabilities: Floats) -> NDArray[np.bool_]:
    """Return for each photo whether the first label is right."""
    ids = [label.id for label in read_labels(checkpoint.synset)]
    firsts = zip(np.argmax(probabilities, axis=1), photos.accepted, strict=True)
    return np.array([ids[first] in accepted for first, accepted in firsts])


def calibrate(name: str, checkpoint: Checkpoint, photos: Photos) -> dict[str, Any]:
    """Fit temperature and open-set score on one part of the photos, and judge them on the other."""
    ids = [label.id for label in read_labels(checkpoint.synset)]
    network = open_classifier(checkpoint, backend=Backend("onnx"))

    def model(pixels: Pixels) -> Floats:
        return network.probabilities(to_input(pixels, whole_square(network.input)))

    answers = [frames_of(picture(), model, number) for number, picture in enumerate(photos.pictures)]
    others = np.stack([one for one in others_of(model) if one is not None])
    network.close()
    seen = [number for number, one in enumerate(answers) if one is not None]
    frames = np.stack([one for one in answers if one is not None])
    accepted = np.array([[one in photos.accepted[number] for one in ids] for number in seen])
    fitting = photos.fitting[seen]
    fitted = fit_calibration(frames[fitting], accepted[fitting], others).calibration("")
    before = temperature_scaling.judge(frames[~fitting], accepted[~fitting])
    after = temperature_scaling.judge(frames[~fitting], accepted[~fitting], fitted.temperature)
    assert fitted.open_set
    print(
        f"{name}: temperature {fitted.temperature}, fitted on {fitting.sum()} photos; of the {after.pictures} others "
        f"ECE {before.ece:.3f} before, {after.ece:.3f} after (by chance up to {after.ece_by_chance:.3f}), "
        f"NLL {before.nll:.3f}, {after.nll:.3f}; open-set score: keeps {fitted.open_set.kept:.1%} of the photos, "
        f"rejects {fitted.open_set.rejected:.1%} of {fitted.open_set.others} others"
    )
    return {
        "temperature": fitted.temperature,
        "pictures": fitted.pictures,
        "ece": round(after.ece, 4),
        "nll": round(after.nll, 4),
        "open_set": dataclasses.asdict(fitted.open_set),
    }


def quantize(name: str, checkpoint: Checkpoint, photos: Photos, folder: Path) -> dict[str, Any]:
    """Find the ranges on the fitting photos, and judge the int8 version on views of the others."""
    fitting = np.flatnonzero(photos.fitting)
    ranging, choosing = fitting[::2], fitting[1::2]
    # made beside the checkpoint, where engines look for it
    attempts = []
    with graph_of(checkpoint, [folder / "graphs"]) as graph:
        scratch = folder / "scratch"
        scratch.mkdir()
        tools = Tools(graph, scratch)

        def inputs(which: Iterable[int]) -> Iterator[Floats]:
            return (to_input(picture(), tools.input) for picture in photos.some(which))

        methods = {MIN_MAX: tools.min_max(inputs(ranging)), **tools.histograms(inputs(ranging))}
        tools.learn_means(inputs(ranging))
        floats = _run(checkpoint, "onnx", FLOAT32, (one() for one in photos.some(choosing)))
        for method, ranges in methods.items():
            kept = _write(checkpoint, method, ranges, tools.means)
            found = _run(checkpoint, "onnx", INT8, (one() for one in photos.some(choosing)))
            attempts.append((divergence(floats, found), method, *kept))
            print(f"{name}: {method}: {attempts[-1][0]:.4f} nats from float on {len(choosing)} photos")
        _, method, used, means = min(attempts, key=lambda attempt: attempt[0])
        judging = photos.some(np.flatnonzero(~photos.fitting))
        count = views_each(judging)
        _write(checkpoint, method, used, tools.means)
        figures = {}
        for engine in INT8_ENGINES:
            both = []
            for precision in (FLOAT32, INT8):
                both.append(_run(checkpoint, engine, precision, views_of(judging, count, 2)))
            figures[engine] = compare(both[0], both[1], len(judging))
            print(f"{name}: int8 with {engine}: {figures[engine]}")
    if not passes(figures.values()):
        raise ModelError(f"{name}: its int8 version is too far from float")
    network = open_classifier(checkpoint, backend=Backend("onnx", INT8))
    answer = answer_of(network)
    network.close()
    return {
        "made_of": key_of(checkpoint),
        "method": f"{method}, measured on {len(ranging)} photos",
        "ranges": used,
        "means": means,
        "figures": {engine: dataclasses.asdict(one) for engine, one in figures.items()},
        "answer": dataclasses.asdict(answer),
    }


class _Used(dict[str, tuple[float, float]]):
    """Ranges that note which of them are asked for."""

    def __init__(self, ranges: Ranges) -> None:
        super().__init__({name: (_short(low), _short(high)) for name, (low, high) in ranges.items()})
        self.asked: dict[str, tuple[float, float]] = {}

    def __getitem__(self, name: str) -> tuple[float, float]:
        self.asked[name] = super().__getitem__(name)
        return self.asked[name]


def _short(number: float) -> float:
    """Four digits are enough for an end of a range."""
    return float(f"{number:.4g}")


def _write(
    checkpoint: Checkpoint, method: str, ranges: Ranges, means: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Make the int8 version in the place of the one before; return the ranges and the means that it takes."""
    used = _Used(ranges)
    # what a flattened value gives, the value itself has given
    texts = {name: means_to_text(mean, used[name]) for name, mean in means.items()}
    read = {name: means_from_text(text, used[name]) for name, text in texts.items()}
    shutil.rmtree(checkpoint.params.with_suffix(f".{INT8}"), ignore_errors=True)
    make_int8(checkpoint, Int8(key_of(checkpoint), method, used, read, {}, Answer("", "", 0.0, "")))
    return used.asked, texts


def _run(checkpoint: Checkpoint, engine: str, precision: str, pictures: Iterable[Pixels]) -> Floats:
    network = open_classifier(checkpoint, backend=Backend(engine, precision))
    try:
        return np.array([network.probabilities(to_input(one, network.input)) for one in pictures])
    finally:
        network.close()


if __name__ == "__main__":
    sys.exit(main())
