#!/usr/bin/env python3
"""Draw a clip of about 30 s in which everyday things come and go, and its truth beside it.

    scripts/make_demo_clip.py --seed N --out CLIP.mp4

The truth, CLIP.json, is {"seed", "duration_s", "things": [{"from_s", "to_s", "id"}, ...]}. A thing is in view from the
first to the last frame in which at least half of its picture lies within the frame, at half its size and half its
opacity or more. One thing at a time; some stretches stay empty for two seconds. No scene was ever trained on: the
random stream is another than any of `train_demo.py`, and the backdrops are drawn by other functions. Same seed, same
clip, with the same opencv-python.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo_render import Canvas, corners, paste, shadow, visible_share
from demo_things import CLIP, FONT, THINGS, FontError, Pixels, load_sprite
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 320, 240, 12
VISITS = 10
MARGIN = 40
"""Pixels by which a backdrop is larger than the frame on each side, so that the view can wander over it."""
PASSAGE_S = 0.35
"""How long a thing takes to come, and to go."""
FADE_S = 0.6
"""How long one backdrop takes to become another."""


def hills(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Hills behind hills under a sky."""
    sky = np.linspace(_pastel(rng), _pastel(rng), height)[:, None].astype(np.float32)
    scene = np.broadcast_to(sky, (height, width, 3)).copy()
    green = np.array((rng.uniform(60, 120), rng.uniform(120, 170), rng.uniform(60, 120)))
    x = np.arange(width)
    for depth in range(4):
        top = height * (0.45 + 0.14 * depth) + 16 * np.sin(x / rng.uniform(25, 60) + rng.uniform(0, 6))
        edge = np.clip(np.arange(height)[:, None] - top[None, :], 0, 1)[..., None].astype(np.float32)
        scene = scene * (1 - edge) + edge * (green * (1.15 - 0.16 * depth)).astype(np.float32)
    return scene


def lights(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Lights out of focus at dusk."""
    dusk = np.linspace(rng.uniform(20, 70, 3), rng.uniform(50, 120, 3), height)[:, None].astype(np.float32)
    scene = np.broadcast_to(dusk, (height, width, 3)).copy()
    for _ in range(25):
        disc = np.zeros_like(scene)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(disc, centre, int(rng.integers(8, 30)), _pastel(rng).tolist(), -1, cv2.LINE_AA)
        scene += disc * rng.uniform(0.1, 0.3)
    return cv2.GaussianBlur(scene, (0, 0), 2).astype(np.float32)


def wallpaper(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Wallpaper with a pattern of rings over a table."""
    scene = np.full((height, width, 3), _pastel(rng), dtype=np.float32)
    ink, step = (_pastel(rng) * 0.8).tolist(), int(rng.integers(22, 44))
    for row in range(0, height // step + 2):
        for column in range(0, width // step + 2):
            centre = (column * step + row % 2 * step // 2, row * step)
            cv2.circle(scene, centre, step // 4, ink, int(rng.choice((2, 2, -1))), cv2.LINE_AA)
    wood = np.array((rng.uniform(120, 190), rng.uniform(85, 130), rng.uniform(55, 95)))
    table = int(height * rng.uniform(0.68, 0.8))
    for row in range(table, height):
        scene[row] = wood * (0.9 + 0.08 * np.sin(row / 3) + 0.1 * (row - table) / height)
    return cv2.GaussianBlur(scene, (0, 0), 1.5).astype(np.float32)


def shelf(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """A shelf of books in the background, out of focus."""
    scene = np.full((height, width, 3), rng.uniform(50, 90), dtype=np.float32)
    for floor in range(0, height, 90):
        x = 0
        while x < width:
            thick, tall = int(rng.integers(9, 22)), int(rng.integers(55, 80))
            spine = (_pastel(rng) * rng.uniform(0.4, 0.85)).tolist()
            cv2.rectangle(scene, (x, floor + 82 - tall), (x + thick - 2, floor + 82), spine, -1)
            x += thick
        cv2.rectangle(scene, (0, floor + 82), (width, floor + 90), (125.0, 90.0, 60.0), -1)
    return cv2.GaussianBlur(scene, (0, 0), 5).astype(np.float32)


BACKDROPS: tuple[Callable[[np.random.Generator, int, int], Canvas], ...] = (hills, lights, wallpaper, shelf)


def _pastel(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(130, 245, 3)


@dataclass(frozen=True)
class Visit:
    """One thing that comes, stays and goes."""

    id: str
    sprite: Pixels
    start_s: float
    stay_s: float
    """Fully in view, between coming and going."""
    ways: tuple[str, str]
    """How it comes and how it goes: left, right, above, below, size or opacity."""
    centre: tuple[float, float]
    longest: float
    """Pixels of its longer side."""
    angle: float
    sway: float
    """Where its slow to and fro begins, in radians."""

    @property
    def end_s(self) -> float:
        """When nothing of it is left."""
        return self.start_s + self.stay_s + 2 * PASSAGE_S

    def draw(self, scene: Pixels, now_s: float) -> bool:
        """Draw it into the scene as it is at that time, and tell whether it is in view."""
        coming, going = (now_s - self.start_s) / PASSAGE_S, (self.end_s - now_s) / PASSAGE_S
        if min(coming, going) <= 0:
            return False
        share = min(coming, going, 1.0)
        share = share * share * (3 - 2 * share)  # begins and ends softly
        way = self.ways[0 if coming < going else 1]
        beat = 2.5 * now_s + self.sway
        x, y = self.centre[0] + 5 * np.sin(beat), self.centre[1] + 3 * np.cos(1.3 * beat)
        away = (1 - share) * (max(WIDTH, HEIGHT) + self.longest) / 2
        x += {"left": -away, "right": away}.get(way, 0.0)
        y += {"above": -away, "below": away}.get(way, 0.0)
        size = max(share, 0.05) if way == "size" else 1.0
        opacity = share if way == "opacity" else 1.0
        longest = self.longest * size * (1 + 0.04 * np.sin(0.7 * beat))
        quad = corners(self.sprite, (x, y), longest, self.angle + 4 * np.sin(0.9 * beat))
        paste(scene, shadow(self.sprite), quad + np.float32(0.04 * longest), 0.25 * opacity)
        paste(scene, self.sprite, quad, opacity)
        return visible_share(quad, scene) >= 0.5 and size >= 0.5 and opacity >= 0.5


def plan(rng: np.random.Generator, font: Path) -> tuple[list[Visit], list[float], float]:
    """Return the visits, the times at which the backdrop changes, and the clip's length in seconds."""
    chosen = rng.choice(len(THINGS), VISITS, replace=False)
    long_gaps = {int(turn) for turn in rng.choice(np.arange(2, VISITS - 1, 2), 2, replace=False)}
    visits, changes, now_s = [], [], 0.4
    for turn, index in enumerate(chosen):
        if turn in long_gaps:
            gap_s = rng.uniform(2.1, 2.6)
            changes.append(now_s + gap_s / 2)
        else:
            gap_s = rng.uniform(0.2, 0.5)
        longest = rng.uniform(115, 180)
        emoji = THINGS[index].emoji
        visit = Visit(
            id=THINGS[index].id,
            sprite=load_sprite(emoji[rng.integers(len(emoji))], font),
            start_s=now_s + gap_s,
            stay_s=rng.uniform(1.3, 2.1),
            ways=(_way(rng), _way(rng)),
            centre=(WIDTH / 2 + rng.uniform(-30, 30), HEIGHT / 2 + rng.uniform(-20, 20)),
            longest=longest,
            angle=rng.uniform(-12, 12),
            sway=rng.uniform(0, 6),
        )
        visits.append(visit)
        now_s = visit.end_s
    return visits, changes, now_s + 0.6


def _way(rng: np.random.Generator) -> str:
    return str(rng.choice(("left", "right", "above", "below", "size", "opacity")))


def view(backdrops: list[Canvas], changes: list[float], now_s: float) -> Pixels:
    """Return the frame's backdrop: the view wanders, and one backdrop fades into the next."""
    scene = backdrops[0]
    for change_s, following in zip(changes, backdrops[1:], strict=True):
        share = float(np.clip((now_s - change_s) / FADE_S + 0.5, 0, 1))
        if share > 0:
            scene = following if share == 1 else scene * (1 - share) + following * share
    wander = (MARGIN - 2) * np.array((np.sin(0.27 * now_s), np.sin(0.19 * now_s + 1)))
    centre = (WIDTH / 2 + MARGIN + wander[0], HEIGHT / 2 + MARGIN + wander[1])
    return np.clip(cv2.getRectSubPix(scene, (WIDTH, HEIGHT), centre), 0, 255).astype(np.uint8)


def film(seed: int, clip: Path, font: Path) -> dict[str, Any]:
    """Write the clip and return its truth. Raises FontError, OSError."""
    rng = np.random.default_rng((CLIP, seed))
    visits, changes, duration_s = plan(rng, font)
    kinds = rng.permutation(len(BACKDROPS))[: len(changes) + 1]
    backdrops = [BACKDROPS[kind](rng, HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN) for kind in kinds]
    # MPEG-4 part 2: opencv-python's own FFMPEG writes and reads it on every platform
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OSError(f"cannot write {clip}")
    in_view: dict[str, list[float]] = {}
    frames = round(duration_s * FPS)
    for number in range(frames):
        scene = view(backdrops, changes, number / FPS)
        for visit in visits:
            if visit.draw(scene, number / FPS):
                in_view.setdefault(visit.id, []).append(number / FPS)
        writer.write(scene[..., ::-1])
    writer.release()
    things = [{"from_s": round(seen[0], 3), "to_s": round(seen[-1], 3), "id": wnid} for wnid, seen in in_view.items()]
    return {"seed": seed, "duration_s": round(frames / FPS, 3), "things": things}


def main() -> int:
    """Draw one clip. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Draw a clip of things that come and go, and its truth.")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s, the bundled clip")
    out = Path(__file__).resolve().parent.parent / "edge" / "data" / "demo" / "clip.mp4"
    parser.add_argument("--out", type=Path, default=out, help="CLIP.mp4 (default: edge/data/demo/clip.mp4)")
    parser.add_argument("--font", type=Path, default=FONT, help="default %(default)s")
    options = parser.parse_args()
    if options.out.suffix != ".mp4":
        parser.error(f"{options.out}: the ending must be .mp4")
    try:
        truth = film(options.seed, options.out, options.font)
    except (FontError, OSError) as error:
        print(f"make_demo_clip: {error}", file=sys.stderr)
        return 1
    options.out.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    size_kib = options.out.stat().st_size / 1024
    print(f"{options.out}: {truth['duration_s']} s, {len(truth['things'])} things, {size_kib:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
