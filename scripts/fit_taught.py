#!/usr/bin/env python3
"""Show from which value on a taught thing should be named, on the photos 0 to 7 alone (docs/decisions/0038).

    scripts/fit_taught.py FOLDER [--seeds 1,2,4,5,6,7] [--engine onnx] [--things 20,5,2,1]

FOLDER has photos and a labels.csv, as for scripts/score_truth.py. Each seed is drawn twice: the photos 0 to 3 are what
edge compares with, and those from 4 to 7 show things, places and strangers; then the other way round. So no photo is
both. For each threshold a line has the mean over these worlds, and the worst world in brackets.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from make_scenes import scenes
from teach.lessons import Lessons, learn
from teach.seen import Cache, Seen, arranged, look, pieces
from teach.views import MOST_THINGS, World
from truth.films import read_photos

from edge.cli.progress import Progress, bar
from edge.engines import Network, open_classifier
from edge.engines.backend import Backend
from edge.errors import EdgeError
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.taught.recogniser import Recogniser
from edge.models.taught.record import Floats, TaughtThing
from edge.selection.taught import drawn_others

PARTS = ("0123", "4567")
SHOTS, VIEWS, STRANGERS = 10, 50, 300
THRESHOLDS = np.arange(0.40, 0.72, 0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photos and a labels.csv")
    parser.add_argument("--seeds", default="1,2,4,5,6,7", metavar="N,...", help="seeds of everything drawn")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME")
    parser.add_argument("--engine", default="onnx", metavar="NAME", help="with its precision, as onnx:int8")
    parser.add_argument("--things", default="20,5,2,1", metavar="N,...", help="how many things are known")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-benchmark"
    parser.add_argument("--cache", type=Path, default=cache, metavar="DIR", help=f"(default: {cache})")
    options = parser.parse_args()
    sizes = [int(size) for size in options.things.split(",")]
    try:
        network = open_classifier(
            find_checkpoint(options.model), Backend.parse(options.engine.replace(":", " ")), features=True, square=True
        )
        found: dict[tuple[bool, int], list[Floats]] = {}
        with Progress() as progress:
            others = np.stack(list(drawn_others(network)))
            photos = {digits: photos_of(network, options.folder, digits, progress) for digits in PARTS}
            for seed in options.seeds.split(","):
                for digits, strange in zip(PARTS, reversed(PARTS), strict=True):
                    world = World(options.folder, "fit", int(seed), strange)
                    progress.line(f"seed {seed}, compared with the photos {digits}")
                    seen, things = taught(network, world, others, options, progress)
                    for size in sizes:
                        for with_photos in (True, False):
                            rows = curve(things, others, photos[digits] if with_photos else None, seen, size)
                            found.setdefault((with_photos, size), []).append(rows)
        for (with_photos, size), some in found.items():
            show(f"{size} things, {'with photos' if with_photos else 'drawings alone'}", some)
    except (OSError, ValueError, EdgeError) as error:
        sys.exit(f"fit_taught.py: {error}")
    return 0


def photos_of(network: Network, folder: Path, digits: str, progress: Progress) -> Floats:
    """Return the features of the photos whose names begin with one of the digits (N x M)."""
    files = sorted(photo.file for photo in read_photos(folder, "fit") if photo.file[0] in digits)
    return scenes(network, [folder / file for file in files], progress)


def taught(
    network: Network, world: World, others: Floats, options: argparse.Namespace, progress: Progress
) -> tuple[Seen, list[TaughtThing]]:
    """Return what the network makes of all views of a world, and the things that it has learnt."""
    cache = Cache(options.cache, world, f"{fingerprint(find_checkpoint(options.model))} {options.engine}")
    views = look(
        list(pieces(world, MOST_THINGS, VIEWS, STRANGERS, 0)),
        {"": network},
        {"": cache},
        world,
        lambda done, total: progress.show(bar("Looking", done, total, f"{done} of {total} groups of views")),
    )[""]
    things, lessons = [], Lessons(world, SHOTS)
    for number in range(MOST_THINGS):
        progress.show(bar("Learning", number, MOST_THINGS, f"{number} of {MOST_THINGS} things"))
        # no model: edge has no photos for it
        things.append(learn(network, "", number, *lessons.of(number), others=others))
    return arranged(views, MOST_THINGS, VIEWS, STRANGERS, 0), things


def curve(things: Sequence[TaughtThing], others: Floats, photos: Floats | None, seen: Seen, size: int) -> Floats:
    """Return for each threshold the share of the views named right, and that of the strangers named (N x 2)."""
    right, strange = [], []
    for start in range(0, MOST_THINGS - size + 1, size):
        known = Recogniser(things[start : start + size], others, photos)
        own = [(known.best(row), number) for number in range(size) for row in seen.things[start + number]]
        values = np.array([value if best == number else -np.inf for (best, value), number in own])
        right.append((values >= THRESHOLDS[:, np.newaxis]).mean(axis=1))
        values = np.array([known.best(row)[1] for row in seen.strangers])
        strange.append((values >= THRESHOLDS[:, np.newaxis]).mean(axis=1))
    return np.stack([np.mean(right, axis=0), np.mean(strange, axis=0)], axis=1, dtype=np.float32, casting="same_kind")


def show(title: str, worlds: Sequence[Floats]) -> None:
    every = 100 * np.stack(worlds)
    print(f"\n{title}\n  from      named right     strangers named")
    for number, threshold in enumerate(THRESHOLDS):
        right, strange = every[:, number, 0], every[:, number, 1]
        named = f"{right.mean():5.1f} % ({right.min():5.1f})   {strange.mean():5.2f} % ({strange.max():5.2f})"
        print(f"  {threshold:.2f}  {named}")


if __name__ == "__main__":
    sys.exit(main())
