#!/usr/bin/env python3
"""Show real photos to `edge run` as a camera would see them, and score what it says.

    scripts/score_photos.py FOLDER [--fps 10] [--seed 1] -- --model PREFIX ...

FOLDER has photos and a labels.csv (file,accepted ids joined with |). Each photo is shown for four seconds with the
noise of a sensor and the small motion of a hand, after a grey gap of three seconds. Arguments after -- go to `edge
run`. It prints the share of right announcements, the number of repetitions in the same visit, the median time (and
number of frames) from the first sight to the announcement, and the number of announcements in the gaps.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

SHOWN_S, GAP_S = 4.0, 3.0
WIDTH, HEIGHT = 640, 480
NOISE = 4.0
"""The sensor's standard deviation, of 255."""
MOTION = 0.02
"""How far the picture wanders, as a share of its width."""
AFTERGLOW_S = 0.3
"""What is said so soon after a photo has gone was begun while it was there."""


@dataclass(frozen=True)
class Visit:
    """One photo's stay in view, in seconds of the film."""

    file: str
    ids: frozenset[str]
    from_s: float
    to_s: float


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        usage="%(prog)s FOLDER [--fps N] [--seed N] [--json] [--details] -- FLAGS of edge run",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--fps", type=float, default=10.0, metavar="N", help="frames a second (default: 10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of order, noise and motion (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--details", action="store_true", help="list each wrong announcement and each missed photo too")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, flags = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    photos = read_labels(options.folder)
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        film, events = Path(folder) / "film.avi", Path(folder) / "events"
        visits = make_film(film, options.folder, photos, options.fps, options.seed)
        command = [sys.executable, "-P", "-m", "edge", "run", "--camera", str(film), "--every-frame"]
        command += ["--speech", "log", "--events", str(events), *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        said = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    found = score(visits, [event for event in said if event["event"] == "announced"], options.fps)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"right            {found['right']} of {found['said']} ({found['precision']:.1%})")
    print(f"said again       {found['again']}")
    print(f"to the words     {found['median_s']:.2f} s, {found['median_frames']:.0f} frames (median)")
    print(f"said in the gaps {found['in_gaps']}")
    print(f"photos named     {found['named']} of {len(visits)}")
    if options.details:
        print(*found["details"], sep="\n")
    return 0


def read_labels(folder: Path) -> list[tuple[str, frozenset[str]]]:
    """Return (file, ids that are right) of each photo."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(row[0], frozenset(row[1].replace("|", " ").replace(";", " ").split())) for row in rows]


def make_film(path: Path, folder: Path, photos: list[tuple[str, frozenset[str]]], fps: float, seed: int) -> list[Visit]:
    """Write the film, in an order drawn at random; return who is in view when."""
    import cv2

    rng = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    visits, frame = [], 0
    gap, shown = round(GAP_S * fps), round(SHOWN_S * fps)
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for index in rng.permutation(len(photos)):
        file, ids = photos[index]
        for _ in range(max(gap, 1)):
            writer.write(_noisy(grey, rng))
        frame += max(gap, 1)
        picture = cv2.imread(str(folder / file))
        if picture is None:
            raise SystemExit(f"{folder / file}: no picture")
        for scene in _wandering(picture, shown, rng):
            writer.write(_noisy(scene, rng))
        visits.append(Visit(file, ids, frame / fps, (frame + shown) / fps))
        frame += shown
    for _ in range(max(gap, 2)):
        writer.write(_noisy(grey, rng))
    writer.release()
    return visits


def _wandering(picture: Any, frames: int, rng: np.random.Generator) -> Iterator[Any]:
    """The picture, filling the frame's height, as a hand that is not quite still would show it."""
    import cv2

    height, width = picture.shape[:2]
    scale = 1.06 * max(WIDTH / width, HEIGHT / height) if width >= height else 1.06 * HEIGHT / height
    at = np.zeros(2)
    for _ in range(frames):
        at = 0.9 * at + rng.normal(0, MOTION * WIDTH / 3, 2)
        matrix = np.array(
            [[scale, 0, WIDTH / 2 - scale * width / 2 + at[0]], [0, scale, HEIGHT / 2 - scale * height / 2 + at[1]]],
            np.float32,
        )
        yield cv2.warpAffine(
            picture,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(128, 128, 128),
        )


def _noisy(picture: Any, rng: np.random.Generator) -> Any:
    noise = rng.normal(0, NOISE, picture.shape).astype(np.float32)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def score(visits: list[Visit], announced: list[dict[str, Any]], fps: float) -> dict[str, Any]:
    """Compare; an announcement belongs to the visit in which its frame was taken."""
    groups = read_groups()
    right, again, in_gaps, waits, named, details = 0, 0, 0, [], set(), []
    said_in: dict[Visit, set[str]] = {}
    for event in announced:
        visit = next((v for v in visits if v.from_s <= event["frame_s"] <= v.to_s + AFTERGLOW_S), None)
        if visit is None:
            in_gaps += 1
            details.append(f"in a gap: {event['text']} at {event['frame_s']:.1f} s")
            continue
        ids = groups.get(event["id"], frozenset(event["id"].removeprefix("maybe ").split(" or ")))
        if ids & visit.ids:
            right += 1
            named.add(visit)
        else:
            details.append(f"wrong: {event['text']} ({event['probability']:.0%}) of {visit.file}")
        before = said_in.setdefault(visit, set())
        again += event["id"] in before
        if not before:
            waits.append(event["frame_s"] - visit.from_s)
        before.add(event["id"])
    details += [f"not named: {visit.file}" for visit in visits if visit not in named]
    median_s = statistics.median(waits or [0.0])
    return {
        "said": len(announced), "right": right, "precision": right / max(len(announced), 1), "again": again,
        "median_s": round(median_s, 3), "median_frames": round(median_s * fps) + 1, "in_gaps": in_gaps,
        "named": len(named), "texts": [event["text"] for event in announced], "details": details,
    }  # fmt: skip


def read_groups() -> dict[str, frozenset[str]]:
    """Return the members of each group of labels."""
    text = (resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8")
    return {identity: frozenset(one["members"]) for identity, one in tomllib.loads(text).items()}


if __name__ == "__main__":
    sys.exit(main())
