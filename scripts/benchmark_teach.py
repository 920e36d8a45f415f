#!/usr/bin/env python3
"""Measure how well edge recognises things that it was taught from a few views.

    scripts/benchmark_teach.py FOLDER [--half judge] [--model NAME] [--backends onnx,onnx:int8] [--seed N] ...

FOLDER has photos and a labels.csv, as for scripts/score_truth.py. All views are synthetic: textured bodies that are
drawn from any side, photos cut out and held before other photos, and emoji on drawn phones. A thing is learnt in one
place and light, and recognised in others. Strangers are photos, empty places and drawings; look-alikes are things of
the same three families that it was not taught, which is harder than most of life.

First come edge's own answers, with its fixed threshold. Then ways to classify from a few views, side by side, each with
the threshold that lets 1 % of the strangers pass: class means with a shrunken covariance (edge's), nearest neighbours,
and a ridge regression. All of them see the same features.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from teach.views import Place, Rng, Thing, World, empty, view

from edge.cli.progress import Progress, bar
from edge.engines import Network, open_classifier
from edge.engines.backend import Backend
from edge.errors import EdgeError
from edge.models.checkpoint import find_checkpoint
from edge.models.taught.recogniser import Recogniser, unit
from edge.models.taught.record import TaughtThing
from edge.models.taught.store import MOST_OTHERS
from edge.selection.taught import features_of, learn
from edge.models.calibrator.drawings import other_pictures

Floats = NDArray[np.float32]
Way = Callable[[Floats], Floats]
"""Returns a value for each row and thing."""
_RIDGE = 0.1


@dataclass
class Seen:
    """All features of one network."""

    others: list[Floats] = field(default_factory=list)
    things: list[TaughtThing] = field(default_factory=list)
    views: list[Floats] = field(default_factory=list)
    """Of each thing, its new views."""
    strangers: list[Floats] = field(default_factory=list)
    lookalikes: list[Floats] = field(default_factory=list)
    learning_s: float = 0.0


def main() -> int:
    options = parse()
    try:
        world = World(options.folder, options.half, options.seed)
        checkpoint = find_checkpoint(options.model)
        networks = {
            name: open_classifier(checkpoint, Backend.parse(name.replace(":", " ")), features=True, square=True)
            for name in options.backends.split(",")
        }
        with Progress() as progress:
            found = look(world, networks, options, progress)
    except (OSError, ValueError, EdgeError) as error:
        sys.exit(f"benchmark_teach.py: {error}")
    print(
        f"{options.model}; half: {options.half}; seed {options.seed}; {options.things} things, {options.shots} views "
        f"to learn, {options.views} new views each; {options.strangers} strangers, {options.lookalikes} look-alikes\n"
    )
    families = [thing.family for thing in world.things(options.things)]
    for name, seen in found.items():
        print(f"{name}: {1000 * seen.learning_s / options.things:.0f} ms to learn a thing")
        report(seen, families)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photos and a labels.csv")
    parser.add_argument("--half", choices=("fit", "judge"), default="judge", help="photos 0 to 7, or 8 to f")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME")
    parser.add_argument("--backends", default="onnx,onnx:int8", metavar="A,B")
    for flag, default, what in (
        ("--things", 20, "things"),
        ("--shots", 10, "views to learn each"),
        ("--views", 50, "new views each"),
        ("--strangers", 1000, "views of none of them"),
        ("--lookalikes", 300, "views of other things of the same families"),
        ("--seed", 1, "seed of everything drawn"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    return parser.parse_args()


def look(
    world: World, networks: Mapping[str, Network], options: argparse.Namespace, progress: Progress
) -> dict[str, Seen]:
    """Show everything to all networks; each view is drawn once."""
    found = {name: Seen() for name in networks}
    rng = np.random.default_rng((7, options.seed))
    total = options.things * options.views + options.strangers + options.lookalikes
    done = 0

    def show(pixels: NDArray[np.uint8], where: Callable[[Seen], list[Floats]]) -> None:
        nonlocal done
        done += 1
        progress.show(bar("Measuring", min(done, total), total, f"{min(done, total)} of {total} views"))
        for name, network in networks.items():
            where(found[name]).append(features_of(network, pixels))

    for picture in other_pictures(MOST_OTHERS):
        for name, network in networks.items():
            found[name].others.append(features_of(network, picture))
    for number, thing in enumerate(world.things(options.things)):
        taught = list(lesson(rng, thing, world.place(rng), options.shots))
        for name, network in networks.items():
            start_s = time.process_time()
            found[name].things.append(learn(network, "", f"thing {number}", taught[:-4], taught[-4:]))
            found[name].learning_s += time.process_time() - start_s
            found[name].views.append(np.empty(0, np.float32))
        rows: dict[str, list[Floats]] = {name: [] for name in networks}
        for _ in range(options.views):
            done += 1
            progress.show(bar("Measuring", done, total, f"{done} of {total} views"))
            pixels = view(rng, thing, world.place(rng))
            for name, network in networks.items():
                rows[name].append(features_of(network, pixels))
        for name in networks:
            found[name].views[number] = np.stack(rows[name])
    for number in range(options.strangers):
        show(world.stranger(rng, number), lambda seen: seen.strangers)
    for number in range(options.lookalikes):
        show(world.lookalike(rng, number, options.things), lambda seen: seen.lookalikes)
    return found


def lesson(rng: Rng, thing: Thing, place: Place, shots: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the views that a thing is learnt from, then four of its place without it."""
    for _ in range(shots):
        yield view(rng, thing, place)
    for _ in range(4):
        yield empty(rng, place)


def report(seen: Seen, families: Sequence[str]) -> None:
    heads = {"right": 8, "other name": 12, "strangers": 11, "photos": 9, "places": 9, "drawings": 10, "look-alikes": 13}
    print(" " * 34 + "".join(f"{head:>{width}}" for head, width in heads.items()))
    count = len(seen.things)
    for size in (count, *((2,) if count > 2 else ())):
        rows = []
        for start in range(0, count - size + 1, size):
            chosen = slice(start, start + size)
            known = Recogniser(seen.things[chosen], np.stack(seen.others))
            rows.append(edge_row(known, seen, chosen))
        mean = np.mean(rows, axis=0)
        print(line(f"edge, {size} things" + (f", {len(rows)} times" if len(rows) > 1 else ""), mean))
    known = Recogniser(seen.things, np.stack(seen.others))
    for family in dict.fromkeys(families):
        numbers = [number for number, one in enumerate(families) if one == family]
        hits = [named(known, row) == number for number in numbers for row in seen.views[number]]
        print(f"  {family:32}{100 * float(np.mean(hits)):7.1f}%")
    for name, way in ways(seen).items():
        strangers = way(np.stack(seen.strangers)).max(axis=1)
        threshold = np.quantile(strangers, 0.99)
        right: list[float] = []
        other: list[float] = []
        for number, views in enumerate(seen.views):
            values = way(views)
            sure = values.max(axis=1) > threshold
            hit = values.argmax(axis=1) == number
            right.append(float(np.mean(sure & hit)))
            other.append(float(np.mean(sure & ~hit)))
        kinds = [np.mean(strangers[kind::3] > threshold) for kind in range(3)]
        alike = np.mean(way(np.stack(seen.lookalikes)).max(axis=1) > threshold)
        figures = np.array([np.mean(right), np.mean(other), np.mean(strangers > threshold), *kinds, alike])
        print(line(f"{name} at 1 %", figures))
    print()


def edge_row(known: Recogniser, seen: Seen, chosen: slice) -> Floats:
    views = seen.views[chosen]
    found = [[named(known, row) for row in rows] for rows in views]
    right = np.mean([one == number for number, row in enumerate(found) for one in row])
    other = np.mean([one not in (number, None) for number, row in enumerate(found) for one in row])
    strangers = np.array([named(known, row) is not None for row in seen.strangers])
    alike = np.mean([named(known, row) is not None for row in seen.lookalikes])
    kinds = [np.mean(strangers[kind::3]) for kind in range(3)]
    return np.array([right, other, np.mean(strangers), *kinds, alike], np.float32)


def named(known: Recogniser, features: Floats) -> int | None:
    """Return the number of the thing among those known that is named; None if none is."""
    found = known.recognise(features)
    return int(np.argmax(known.values(features))) if found else None  # all were taught with their places


def line(name: str, figures: Floats) -> str:
    right, other, strangers, photos, places, drawings, alike = (f"{100 * one:.1f}%" for one in figures)
    return f"{name:34}{right:>8}{other:>12}{strangers:>11}{photos:>9}{places:>9}{drawings:>10}{alike:>13}"


def ways(seen: Seen) -> dict[str, Way]:
    """Return other ways to classify, and edge's, by name."""
    views = [unit(thing.views) for thing in seen.things]
    nothing = np.concatenate([unit(np.stack(seen.others)), *(unit(thing.empty) for thing in seen.things)])
    known = Recogniser(seen.things, np.stack(seen.others))
    return {
        "means, shrunken covariance": lambda rows: np.stack([known.values(row) for row in rows]),
        "nearest neighbours": lambda rows: np.stack([(unit(rows) @ one.T).max(axis=1) for one in views], axis=1),
        "class means, cosine": lambda rows: unit(rows) @ unit(np.stack([one.mean(axis=0) for one in views])).T,
        "ridge regression": ridge(views, nothing),
    }


def ridge(views: Sequence[Floats], nothing: Floats) -> Way:
    """Return the values of a ridge regression to 1 for a thing's views, and 0 for all others."""
    rows = np.concatenate([*views, nothing])
    numbers = np.repeat(np.arange(len(views)), [len(one) for one in views])
    wanted = np.zeros((len(rows), len(views)), np.float32)
    wanted[np.arange(len(numbers)), numbers] = 1
    # each thing counts as ten views
    weights = np.ones(len(rows), np.float32)
    weights[: len(numbers)] = np.concatenate([np.full(len(one), 10 / len(one), np.float32) for one in views])
    middle = nothing.mean(axis=0)
    root = np.sqrt(weights)[:, np.newaxis]
    scaled = (rows - middle) * root
    inner = np.linalg.solve(scaled @ scaled.T + _RIDGE * np.eye(len(rows), dtype=np.float32), wanted * root)
    directions = scaled.T @ inner
    return lambda some: np.asarray((unit(some) - middle) @ directions, np.float32)


if __name__ == "__main__":
    sys.exit(main())
