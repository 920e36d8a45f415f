#!/usr/bin/env python3
"""Measure how well edge recognises things that it was taught from a few views.

    scripts/benchmark_teach.py FOLDER [--things 20,2] [--shots 10] [--engines onnx,onnx:int8] [--half judge] ...

FOLDER has photos and a labels.csv, as for scripts/score_truth.py. All views are synthetic: textured bodies and bodies
with a photo printed on them that are drawn from any side, photos cut out and held before other photos, and emoji on
drawn phones. A thing is learnt in one place and light, and recognised in others. Strangers are photos, empty places and
drawings; look-alikes are things of the same four families that it was not taught, which is harder than most of life.

Each row is edge's own answers, with its fixed threshold; for fewer things than all, the mean over as many groups as
there are. With --ways, other ways to classify follow, each with the threshold that lets 1 % of the strangers pass.
All of them see the same features.

The features of the views are kept in a folder (--cache), so a run that was ended goes on where it was, and the next is
quick. Learning is always measured again.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from teach.lessons import Lessons, learn
from teach.seen import Cache, Seen, arranged, look, pieces
from teach.views import MOST_THINGS, World

from edge.cli.progress import Progress, bar
from edge.engines import Network, open_classifier
from edge.engines.backend import Backend
from edge.errors import EdgeError
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.taught.recogniser import Recogniser, unit
from edge.models.taught.record import Floats, TaughtThing
from edge.selection.taught import drawn_others

Way = Callable[[Floats], Floats]
"""Returns a value for each row and thing."""
_RIDGE = 0.03
_HEADS = {"right": 8, "other name": 12, "strangers": 11, "photos": 9, "places": 9, "drawings": 10, "look-alikes": 13}


def main() -> int:
    options = parse()
    try:
        world = World(options.folder, options.half, options.seed)
        checkpoint = find_checkpoint(options.model)
        networks = {
            name: open_classifier(checkpoint, Backend.parse(name.replace(":", " ")), features=True, square=True)
            for name in options.engines.split(",")
        }
        sizes = [options.views, options.strangers, options.lookalikes]
        caches = {name: Cache(options.cache, world, f"{fingerprint(checkpoint)} {name}") for name in networks}
        with Progress() as progress:
            found = look(
                list(pieces(world, max(options.things), *sizes)),
                networks,
                caches,
                world,
                lambda done, total: progress.show(bar("Looking", done, total, f"{done} of {total} groups of views")),
            )
            print(
                f"{options.model}; half: {options.half}; seed {options.seed}; {options.views} new views each; "
                f"{options.strangers} strangers, {options.lookalikes} look-alikes\n"
            )
            for name, network in networks.items():
                progress.line(f"{name:38}" + "".join(f"{head:>{width}}" for head, width in _HEADS.items()))
                seen = arranged(found[name], max(options.things), *sizes)
                measure(network, seen, world, options, progress)
    except (OSError, ValueError, EdgeError) as error:
        sys.exit(f"benchmark_teach.py: {error}")
    return 0


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        found = sorted({int(one) for one in text.split(",")}, reverse=True)
        if found[-1] < 1:
            raise ValueError
        return found

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photos and a labels.csv")
    parser.add_argument("--half", choices=("fit", "judge"), default="judge", help="photos 0 to 7, or 8 to f")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME")
    parser.add_argument("--engines", default="onnx,onnx:int8", metavar="A,B", help="with their precision")
    parser.add_argument("--things", type=numbers, default=[20, 2], metavar="N,...", help="at most 20 (default: 20,2)")
    parser.add_argument("--shots", type=numbers, default=[10], metavar="N,...", help="views to learn (default: 10)")
    parser.add_argument("--ways", action="store_true", help="compare other ways to classify")
    parser.add_argument("--without-place", action="store_true", help="learn without views of the empty place")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-benchmark"
    parser.add_argument("--cache", type=Path, default=cache, metavar="DIR", help=f"(default: {cache})")
    for flag, default, what in (
        ("--views", 50, "new views each"),
        ("--strangers", 1000, "views of none of them"),
        ("--lookalikes", 300, "views of other things of the same families"),
        ("--seed", 1, "seed of everything drawn"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    options = parser.parse_args()
    if max(options.things) > MOST_THINGS or min(options.views, options.strangers, options.lookalikes) < 1:
        parser.error(f"--things takes 1 to {MOST_THINGS}, and the numbers of views at least 1")
    return options


def measure(network: Network, seen: Seen, world: World, options: argparse.Namespace, progress: Progress) -> None:
    """Teach the things and print a row for each number of shots and things."""
    model = fingerprint(find_checkpoint(options.model))
    most = max(options.things)
    others = np.stack(list(drawn_others(network)))
    for shots in options.shots:
        things, seconds, cpu_s, lessons = [], 0.0, 0.0, Lessons(world, shots)
        for number in range(most):
            progress.show(bar("Learning", number, most, f"{number} of {most} things"))
            pictures, place = lessons.of(number)
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            things.append(
                learn(network, model, number, pictures, [] if options.without_place else place, others=others)
            )
            seconds += time.perf_counter() - start_s
            cpu_s += time.process_time() - start_cpu_s
        forwards = len(things[0].views) + len(things[0].empty)
        progress.line(
            f"  {shots} views, learnt in {1000 * seconds / most:.0f} ms ({1000 * cpu_s / most:.0f} ms of a core, "
            f"{forwards} forwards) each"
        )
        for size in options.things:
            groups = [slice(start, start + size) for start in range(0, most - size + 1, size)]
            rows = [edge_row(Recogniser(things[chosen], others), seen, chosen) for chosen in groups]
            progress.line(line(f"    {size} things ({len(rows)} x)", np.mean(rows, axis=0)))
        for family, right in by_family(Recogniser(things, others), seen, world).items():
            progress.line(f"      {family:32}{100 * right:7.1f}%")
        if options.ways:
            compare(things, others, seen, progress)
    progress.line("")


def by_family(known: Recogniser, seen: Seen, world: World) -> dict[str, float]:
    """Return the share of the views named right, of each family."""
    hits: dict[str, list[bool]] = {}
    for number, thing in enumerate(world.things(len(seen.things))):
        hits.setdefault(thing.family, []).extend(named(known, row) == number for row in seen.things[number])
    return {family: float(np.mean(some)) for family, some in hits.items()}


def edge_row(known: Recogniser, seen: Seen, chosen: slice) -> Floats:
    found = [[named(known, row) for row in rows] for rows in seen.things[chosen]]
    right = np.mean([one == number for number, row in enumerate(found) for one in row])
    other = np.mean([one not in (number, None) for number, row in enumerate(found) for one in row])
    strangers = np.array([named(known, row) is not None for row in seen.strangers])
    alike = np.mean([named(known, row) is not None for row in seen.lookalikes])
    kinds = [np.mean(strangers[kind::3]) for kind in range(3)]
    return np.array([right, other, np.mean(strangers), *kinds, alike], np.float32)


def named(known: Recogniser, features: Floats) -> int | None:
    """Return the place of the thing among those known that is named; None if none is."""
    found = known.recognise(features)
    return known.names.index(found.name) if found else None


def line(name: str, figures: Floats) -> str:
    return f"{name:38}" + "".join(
        f"{f'{100 * one:.1f}%':>{width}}" for one, width in zip(figures, _HEADS.values(), strict=True)
    )


def compare(things: Sequence[TaughtThing], others: Floats, seen: Seen, progress: Progress) -> None:
    """Print what other ways to classify make of the same features."""
    for name, way in ways(things, others).items():
        strangers = way(seen.strangers).max(axis=1)
        threshold = np.quantile(strangers, 0.99)
        values = [way(views) for views in seen.things]
        sure = [one.max(axis=1) > threshold for one in values]
        hits = [one.argmax(axis=1) == number for number, one in enumerate(values)]
        right = np.mean([np.mean(one & hit) for one, hit in zip(sure, hits, strict=True)])
        other = np.mean([np.mean(one & ~hit) for one, hit in zip(sure, hits, strict=True)])
        kinds = [np.mean(strangers[kind::3] > threshold) for kind in range(3)]
        alike = np.mean(way(seen.lookalikes).max(axis=1) > threshold)
        figures = np.array([right, other, np.mean(strangers > threshold), *kinds, alike], np.float32)
        progress.line(line(f"    {name}, at 1 %", figures))


def ways(things: Sequence[TaughtThing], others: Floats) -> dict[str, Way]:
    """Return other ways to classify, and edge's, by name."""
    views = [unit(thing.views) for thing in things]
    nothing = np.concatenate([unit(others), *(unit(thing.empty) for thing in things)])
    known = Recogniser(things, others)
    drawn = Recogniser([dataclasses.replace(thing, model="") for thing in things], others)
    return {
        "means, shrunken covariance": lambda rows: np.stack([known.values(row) for row in rows]),
        "the same, without photos": lambda rows: np.stack([drawn.values(row) for row in rows]),
        "ridge regression": ridge(views, nothing),
        "nearest neighbours": lambda rows: np.stack([(unit(rows) @ one.T).max(axis=1) for one in views], axis=1),
        "class means, cosine": lambda rows: unit(rows) @ unit(np.stack([one.mean(axis=0) for one in views])).T,
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
