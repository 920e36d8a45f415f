#!/usr/bin/env python3
"""Show photos, gaps and unknown things to `edge run` as a camera would see them, and measure if what it says is true.

    scripts/score_truth.py FOLDER [--half judge] [--json FILE] [--sheet PNG] -- --model NAME ...

FOLDER has photos and a labels.csv (file, accepted ids joined with |). Each photo is shown for 4 s as a whole, with the
noise of a sensor and the small motion of a hand. Between them are gaps of 3 s: walls, darkness, views out of focus.
There are pans that never rest, pairs of photos side by side, and drawings that no label is right for. Arguments after
-- go to `edge run`, which classifies every frame, without pauses. A sentence belongs to the shot in which its frame
was taken.

Each figure comes with a 95 % interval (Wilson's for shares, bootstrap for medians and the calibration error) and n. A
group is right if one of its labels is. The calibration error (ECE) is that of the sentences' probabilities, and that of
the best smoothed label at the end of each visit, said or not. --sheet writes a contact sheet of everything that was
said wrongly: a photo often shows more than its label.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from edge.cli.progress import Progress, bar
from truth.films import GAPS, KINDS, Counts, Film, make_film, read_photos
from truth.report import MOST, report, sheet
from truth.scoring import FORMS, Listened, Sentence, listen, score


def main() -> int:
    options, flags = parse(sys.argv[1:])
    try:
        photos = read_photos(options.folder, options.half)
        counts = Counts(
            visits=len(photos) if options.photos is None else options.photos,
            gaps=options.gaps,
            pans=options.pans,
            pairs=options.pairs,
            unknown=options.unknown,
        )
        film = make_film(options.folder, photos, counts, fps=options.fps, seed=options.seed)
        parts = film.parts()
        with Progress() as progress:
            heard, ready = run(parts, flags, progress, options.keep)
            wrong = wrong_ones(parts, heard)
            progress.show("Drawing the contact sheet")
            if options.sheet:
                write_sheet(options.sheet, parts, wrong)
    except (OSError, ValueError) as error:
        sys.exit(f"score_truth.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    found = score(parts, heard)
    if options.json:
        text = json.dumps(about(options, flags, ready) | found | {"sentences": told(parts, heard)}, indent=1)
        if str(options.json) == "-":
            print(text)
            return 0
        options.json.write_text(text + "\n", encoding="utf-8")
    calibrated = "calibrated" if ready["calibrated"] else "uncalibrated"
    print(f"{ready['model']}, {ready['engine']}, {calibrated}; half: {options.half}; seed {options.seed}\n")
    print(report(found))
    if options.sheet and wrong:
        print(f"\n{options.sheet} shows {min(len(wrong), MOST)} of {len(wrong)} sentences that were wrong.")
    return 0


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the flags of `edge run`."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], usage="%(prog)s FOLDER [OPTIONS] -- FLAGS of edge run"
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photos and a labels.csv")
    parser.add_argument(
        "--half",
        choices=("all", "fit", "judge"),
        default="all",
        help="fit: names that begin with 0 to 7; judge: 8 to f (default: all)",
    )
    parser.add_argument("--photos", type=_count, metavar="N", help="number of visits (default: each photo once)")
    for flag, default, what in (
        ("--gaps", 200, "gaps of each kind"),
        ("--pans", 30, "pans"),
        ("--pairs", 30, "pairs of photos"),
        ("--unknown", 100, "unknown things"),
    ):
        parser.add_argument(
            flag, type=_count, default=default, metavar="N", help=f"number of {what} (default: {default})"
        )
    parser.add_argument("--fps", type=_rate, default=10.0, metavar="N", help="frames a second (default: 10)")
    parser.add_argument("--seed", type=_count, default=1, metavar="N", help="seed of everything drawn (default: 1)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures and sentences there; -: print them"
    )
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet of the wrong sentences there")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the films there, and use those that are there (3 GB)"
    )
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return parser.parse_args(arguments[:at]), list(arguments[at + 1 :])


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 100_000:
        raise argparse.ArgumentTypeError("must be 0 to 100000")
    return number


def _rate(text: str) -> float:
    rate = float(text)
    if not 0.25 <= rate <= 60:
        raise argparse.ArgumentTypeError("must be 0.25 to 60")
    return rate


def run(
    parts: Sequence[Film], flags: Sequence[str], progress: Progress, keep: Path | None = None
) -> tuple[list[Listened], dict[str, Any]]:
    """Return what edge says about each part, and its `ready` event. One part is drawn while edge sees another.

    The films are kept in a folder `keep`, and those that are there already are not drawn again.
    """
    heard = []
    total_s = sum(part.shots[-1].to_s for part in parts)
    done_s, ready = 0.0, {}
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="edge-") as name, ThreadPoolExecutor(1) as drawing, ExitStack() as ending:
        ending.callback(stop.set)  # before the wait for the thread
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        paths = [(keep or Path(name)) / f"{part.digest()}.avi" for part in parts]
        progress.show(bar("Measuring", 0, 1, f"drawing the first of {len(parts)} parts"))
        drawn = drawing.submit(draw, parts[0], paths[0], stop)
        for number, part in enumerate(parts):
            drawn.result()
            if number + 1 < len(parts):
                drawn = drawing.submit(draw, parts[number + 1], paths[number + 1], stop)
            what = f"part {number + 1} of {len(parts)}, {done_s:.0f} of {total_s:.0f} s of film"
            progress.show(bar("Measuring", number, len(parts), what))
            events = watch(paths[number], Path(name) / "events", part, flags)
            if not keep:
                paths[number].unlink()
            ready = next(event for event in events if event["event"] == "ready")
            heard.append(listen(events, part, number))
            done_s += part.shots[-1].to_s
    return heard, ready


def draw(part: Film, path: Path, stop: threading.Event) -> None:
    """Write a film unless it is there; one that is not complete has another name, and is removed."""
    if path.exists():
        return
    unfinished = path.with_suffix(f".{os.getpid()}.avi")
    try:
        part.write(unfinished, stop.is_set)
        if not stop.is_set():
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def watch(path: Path, events: Path, part: Film, flags: Sequence[str]) -> list[dict[str, Any]]:
    """Return the events of `edge run` on a film, through a file. Raises ValueError with edge's words if it fails."""
    events.unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "edge", "run", "--camera", str(path), "--every-frame", "--speech", "log"]
    command += ["--events", str(events), "--events-frames", *flags]
    # far more than a Raspberry Pi needs: it is for an edge that hangs
    patience_s = 300 + 5 * part.fps * part.shots[-1].to_s
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"edge run did not end within {patience_s:.0f} s") from error
    if done.returncode:
        raise ValueError(f"edge run ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    found = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    frames = sum(event["event"] == "frame" for event in found)
    if frames != round(part.shots[-1].to_s * part.fps):
        raise ValueError(f"edge run saw {frames} frames of {part.shots[-1].to_s * part.fps:.0f}; do not limit them")
    return found


def wrong_ones(parts: Sequence[Film], heard: Sequence[Listened]) -> list[Sentence]:
    """Return the sentences that are wrong, or that should not have been said (in gaps and pans), by kind and form."""
    silent = ("pan", *GAPS)
    wrong = []
    for one in (one for part in heard for one in part.sentences if one.form != FORMS[4]):
        kind = parts[one.part].shots[one.shot].kind
        if not one.right or kind in silent:
            wrong.append((KINDS.index(kind), FORMS.index(one.form), one))
    return [one for _, _, one in sorted(wrong, key=lambda place: place[:2])]


def write_sheet(path: Path, parts: Sequence[Film], wrong: Sequence[Sentence]) -> None:
    """Write the contact sheet; remove an old one if nothing is wrong."""
    import cv2

    text = (resources.files("edge") / "data" / "imagenet.txt").read_text(encoding="utf-8")
    labels = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    drawn = sheet(parts, wrong, labels)
    if drawn is None:
        path.unlink(missing_ok=True)
    elif not cv2.imwrite(str(path), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: cannot write a picture there")


def about(options: argparse.Namespace, flags: Sequence[str], ready: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured, and how."""
    return {
        "model": ready["model"],
        "engine": ready["engine"],
        "calibrated": ready["calibrated"],
        "flags": list(flags),
        "half": options.half,
        "seed": options.seed,
        "fps": options.fps,
    }


def told(parts: Sequence[Film], heard: Sequence[Listened]) -> list[dict[str, Any]]:
    """Return each sentence with the shot that it was said at."""
    lines = []
    for one in (one for part in heard for one in part.sentences):
        shot = parts[one.part].shots[one.shot]
        line = asdict(one) | {"kind": shot.kind, "number": shot.number, "truth": sorted(shot.ids)}
        line |= {"wait_s": round(one.at_s - shot.from_s, 3), "detail": parts[one.part].detail(one.shot)}
        del line["shot"]
        lines.append(line)
    return lines


if __name__ == "__main__":
    sys.exit(main())
