#!/usr/bin/env python3
"""Measure how long a thing is in view until the first sample of its announcement reaches the sound card.

    scripts/benchmark_first_word.py FOLDER [--photos 40] [--seed 1] -- --model NAME ...

FOLDER has photos and a labels.csv, as for scripts/score_truth.py. A film of them (each photo 4 s at 10 frames a second,
with gaps) is played at its own pace, and edge speaks on the recording card of the tests. The time is from the first
full view, the first frame of the photo, to the first sample that is not silent. Arguments after -- go to `edge run`.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from truth.films import Counts, Shot, make_film, read_photos
from truth.intervals import bootstrap

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from rigs.audio.card import RecordingCard  # noqa: E402 - the tests' folder is not a package of edge

FPS = 10.0


def main() -> int:
    """Print the medians; return an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--photos", type=int, default=40, metavar="N", help="number of photos (default: 40)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the film (default: 1)")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, flags = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    photos = read_photos(options.folder, "judge")
    film = make_film(options.folder, photos, Counts(visits=options.photos), fps=FPS, seed=options.seed)
    print(f"{options.photos} photos: drawing a film of {film.shots[-1].to_s:.0f} s, which is then played at its pace")
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        path = Path(folder) / "film.avi"
        film.write(path)
        (Path(folder) / "card").mkdir()
        card = RecordingCard(Path(folder) / "card")
        events = watch(path, Path(folder) / "events", card, flags)
        firsts = sorted(int(one.read_text()) / 1e9 for one in card.folder.glob("*.first"))
    waits = measure(film.shots, events, firsts)
    for form in ("I see", "maybe", ""):
        found = [wait for text, wait in waits if text.startswith(form)]
        if found:
            low, high = bootstrap(found, lambda values: float(np.median(values)))
            middle = float(np.median(found))
            print(f"{form or 'all':6} {middle:.2f} s ({low:.2f} to {high:.2f}), {len(found)} announcements")
    return 0


def watch(path: Path, events: Path, card: RecordingCard, flags: Sequence[str]) -> list[dict[str, object]]:
    """Play the film through `edge run` and return its events."""
    command = [sys.executable, "-P", "-m", "edge", "run", "--camera", str(path), "--speech", "pyttsx3"]
    command += ["--events", str(events), "--events-frames", *flags]
    subprocess.run(command, env={**os.environ, **card.environment}, check=True, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]


def measure(
    shots: Sequence[Shot], events: Sequence[dict[str, object]], firsts: Sequence[float]
) -> list[tuple[str, float]]:
    """Return (sentence, seconds from the first full view to the first sample) of the first sentence of each visit.

    `firsts` are the times of the first samples, by time.monotonic(), sorted.
    """
    to_monotonic = time.monotonic() - time.time()
    waits = []
    for shot in shots:
        if shot.kind != "visit":
            continue
        inside = [one for one in events if shot.from_s <= float(str(one.get("frame_s", -1))) < shot.to_s]
        frames = [one for one in inside if one["event"] == "frame"]
        said = [one for one in inside if one["event"] == "announced"]
        if not frames or not said:
            continue
        # the event is written when the frame was classified
        taken_s = sum(float(str(frames[0][key])) for key in ("preprocess_ms", "inference_ms")) / 1000
        late_s = float(str(frames[0]["frame_s"])) - shot.from_s
        seen_s = _wall(frames[0]) + to_monotonic - taken_s - late_s
        began_s = _wall(said[0]) + to_monotonic
        after = [one for one in firsts if one >= began_s - 0.05]
        if after and after[0] - seen_s < shot.to_s - shot.from_s + 1:
            waits.append((str(said[0]["text"]), after[0] - seen_s))
    return waits


def _wall(event: dict[str, object]) -> float:
    return datetime.fromisoformat(str(event["time"])).timestamp()


if __name__ == "__main__":
    sys.exit(main())
