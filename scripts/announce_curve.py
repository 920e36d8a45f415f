#!/usr/bin/env python3
"""Draw how often edge is right, how much it names and how soon, over the thresholds of [announce].

    scripts/announce_curve.py PHOTOS [--models NAME,NAME:int8,...] [--cache DIR] [--out docs]

PHOTOS has photos and a labels.csv (file, accepted ids joined with |). Thresholds are chosen on the photos whose names
begin with 0 to 7, and judged on those with 8 to f; then the other way round. The networks are asked once about each
frame. edge's announcer then runs over their answers with each setting, on a simulated clock. It writes
announce-curve.svg and announce-curve.md. --cache keeps the answers: then only the sweep is repeated.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import dataclasses
import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.cli.progress import Progress, bar
from edge.errors import ModelError
from truth.answers import HALVES, Answers, Model, Questions, ask
from truth.curve import UNKNOWN, Setting, make_cases, make_films, settings, sweep
from truth.curve_page import CHOOSE, About, chosen, page
from truth.curve_plot import plot
from truth.films import read_photos

MODELS = "efficientnet-lite0,efficientnet-lite0:int8,mobilenet_v2_1.0,mobilenet0.5,squeezenet_v1.0"


def main() -> int:
    """Measure and write. Returns an exit code."""
    options = parse(sys.argv[1:])
    started_s = time.monotonic()
    try:
        photos = {half: read_photos(options.folder, half) for half in HALVES}
        films = make_films(options.folder, photos, options.visits, options.seed)
        both = tuple(photo for half in HALVES for photo in photos[half])
        questions = Questions(options.models, options.engine, options.folder, both, films)
        with Progress() as progress:
            answers = answers_of(questions, options.cache, progress)
            progress.show(bar("Calibrating", 0, 1, "each model on each half"))
            cases = make_cases(answers, films)

            def tell(done: int, total: int) -> None:
                progress.show(bar("Sweeping", done, total, f"{done} of {total} settings"))

            points = sweep([case for case in cases if case.view.own], settings(), tell)
            picked = [one.setting for one in chosen(points).values() if one]
            unlike = {one.key: one for one in (Setting(True), Setting(False), *picked)}
            judged = sweep([case for case in cases if not case.view.own], unlike.values())
        visits = sum(shot.kind == "visit" for film in films.values() for shot in film.shots)
        shown = f"Two films show {visits} photos and {2 * UNKNOWN} unknown things, with gaps between them."
        about = About(command(options), time.monotonic() - started_s, datetime.date.today(), shown)
        written = options.out / "announce-curve.md", options.out / "announce-curve.svg"
        written[0].write_text(page(points, judged, about), encoding="utf-8")
        written[1].write_text(plot([point for point in points if point.view == CHOOSE]), encoding="utf-8")
    except (OSError, ValueError, ModelError) as error:
        sys.exit(f"announce_curve.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"Wrote {written[0]} and {written[1]}.")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="PHOTOS", help="photos and a labels.csv")
    parser.add_argument(
        "--models", type=_models, default=_models(MODELS), metavar="NAMES", help=f"installed models (default: {MODELS})"
    )
    parser.add_argument("--engine", choices=("onnx", "openvino"), default="onnx", help="default: onnx")
    parser.add_argument("--seed", type=_count, default=1, metavar="N", help="seed of everything drawn (default: 1)")
    parser.add_argument("--visits", type=_count, metavar="N", help="photos of each half in its film (default: all)")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep the answers there, and use those that are there"
    )
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="where to write (default: docs)")
    options = parser.parse_args(arguments)
    if not options.out.is_dir():
        parser.error(f"--out {options.out}: there is no such folder")
    return options


def _models(text: str) -> tuple[Model, ...]:
    try:
        return tuple(dict.fromkeys(Model.parse(one) for one in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError("must be 1 to 100000")
    return number


def command(options: argparse.Namespace) -> str:
    """Return the command as a user would repeat it, without folders of this machine."""
    words = ["scripts/announce_curve.py PHOTOS"]
    if options.models != _models(MODELS):
        words.append("--models " + ",".join(str(one).replace(" ", ":") for one in options.models))
    if options.engine != "onnx":
        words.append(f"--engine {options.engine}")
    if options.seed != 1:
        words.append(f"--seed {options.seed}")
    if options.visits is not None:
        words.append(f"--visits {options.visits}")
    return " ".join(words)


def answers_of(questions: Questions, cache: Path | None, progress: Progress) -> Mapping[Model, Answers]:
    """Return the answers of all models, from the folder `cache` where they are there. Raises ModelError, ValueError."""
    found: dict[Model, Answers] = {}
    paths: dict[Model, Path] = {}
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        paths = {one: cache / f"{one.name}-{questions.digest(one)}.npz" for one in questions.models}
        found = {one: Answers.load(path) for one, path in paths.items() if path.exists()}
    missing = dataclasses.replace(questions, models=tuple(one for one in questions.models if one not in found))
    if missing.models:
        total = missing.total
        asked = ask(missing, lambda done: progress.show(bar("Asking", done, total, f"{done} of {total} pictures")))
        for model, answers in asked.items():
            found[model] = answers
            if model in paths:
                answers.save(paths[model])
    return {model: found[model] for model in questions.models}


if __name__ == "__main__":
    sys.exit(main())
