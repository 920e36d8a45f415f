#!/usr/bin/env python3
"""Score what was announced during clips against what was really in view.

    scripts/score_clip.py CLIP...                 runs `edge run` over each clip and scores it
    scripts/score_clip.py --events FILE CLIP      scores a run that is over

The truth lies beside each clip, with the suffix .json (make_demo_clip.py writes it). An announcement is right when its
id is in view in the frame it was made of, by the frame's own time. Recall is the share of things that were rightly
announced at least once, precision the share of announcements that were right.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Score:
    """How a run went: counts, which can be added up over clips."""

    things: int = 0
    found: int = 0
    """Things rightly announced at least once."""
    announced: int = 0
    right: int = 0
    while_empty: int = 0
    """Announcements while nothing at all was in view."""

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.things + other.things,
            self.found + other.found,
            self.announced + other.announced,
            self.right + other.right,
            self.while_empty + other.while_empty,
        )

    def __str__(self) -> str:
        recall, precision = _share(self.found, self.things), _share(self.right, self.announced)
        return (
            f"recall {recall} ({self.found} of {self.things}), "
            f"precision {precision} ({self.right} of {self.announced}), "
            f"{self.while_empty} in empty stretches"
        )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def score(things: Sequence[dict[str, Any]], announcements: Sequence[dict[str, Any]]) -> Score:
    """Compare the truth ({from_s, to_s, id} each) with announcements ({frame_s, id} each)."""
    found: set[int] = set()
    right = while_empty = 0
    for announcement in announcements:
        in_view = [i for i, thing in enumerate(things) if thing["from_s"] <= announcement["frame_s"] <= thing["to_s"]]
        # "maybe a bicycle" is right where there is a bicycle
        ids = str(announcement["id"]).removeprefix("maybe ").split(" or ")
        matched = {i for i in in_view if things[i]["id"] in ids}
        found |= matched
        right += bool(matched)
        while_empty += not in_view
    return Score(len(things), len(found), len(announcements), right, while_empty)


def announcements_in(events: Path) -> list[dict[str, Any]]:
    """Read the announcements out of a file of events."""
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    return [event for event in lines if event["event"] == "announced"]


def run(clip: Path, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Run the daemon over a clip and return its announcements. Raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        edge = [sys.executable, "-m", "edge", "run", "--camera", str(clip), "--speech", "log"]
        subprocess.run([*edge, "--events", str(events), *arguments], check=True, stdout=subprocess.DEVNULL)
        return announcements_in(events)


def main() -> int:
    """Score each clip and all together. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Score announcements against a clip's truth; see make_demo_clip.py.")
    parser.add_argument(
        "clips", nargs="+", type=Path, metavar="CLIP", help="a clip with its truth beside it (suffix .json)"
    )
    parser.add_argument("--events", type=Path, metavar="FILE", help="score the events of a finished run over one clip")
    parser.add_argument("--every-frame", action="store_true", help="run as fast as possible, and skip no frame")
    parser.add_argument("--model", default="demo", help="model for edge run (default: the demo)")
    parser.add_argument("--details", action="store_true", help="list each miss and each wrong announcement too")
    options = parser.parse_args()
    if options.events and len(options.clips) > 1:
        parser.error("--events goes with one clip")
    arguments = ["--every-frame"] * options.every_frame + ["--model", options.model]

    total = Score()
    for clip in options.clips:
        try:
            things = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["things"]
            announcements = announcements_in(options.events) if options.events else run(clip, arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"score_clip: {clip}: {error}", file=sys.stderr)
            return 1
        result = score(things, announcements)
        print(f"{clip}: {result}", flush=True)
        if options.details:
            _explain(things, announcements)
        total += result
    if len(options.clips) > 1:
        print(f"together: {total}")
    return 0


def _explain(things: Sequence[dict[str, Any]], announcements: Sequence[dict[str, Any]]) -> None:
    for thing in things:
        if not score([thing], announcements).found:
            print(f"  missed {thing['id']}, in view from {thing['from_s']} to {thing['to_s']} s")
    for announcement in announcements:
        if not score(things, [announcement]).right:
            print(f"  wrong: {announcement['id']} {announcement.get('label', '')} at {announcement['frame_s']} s")


if __name__ == "__main__":
    sys.exit(main())
