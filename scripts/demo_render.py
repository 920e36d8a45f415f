"""Scenes with everyday things in them: backdrops, phones held up, and what cameras do to a picture.

`train_demo.py` and `make_demo_clip.py` share this file. Pictures are uint8, H x W x 3, red green blue, as everywhere in
edge; sprites are uint8, H x W x 4 with the colours already multiplied by alpha, so that they can be resized and warped
without dark fringes. Lengths are in pixels, angles in degrees. All random numbers come from the generator passed in.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo_things import FONT, THINGS, Pixels, load_sprite
from numpy.typing import NDArray

Points = NDArray[np.float32]
Canvas = NDArray[np.float32]
"""Pixels that are still being worked on."""


def corners(sprite: Pixels, centre: tuple[float, float], longest: float, angle: float) -> Points:
    """Return where the corners of a sprite come to lie (4 x 2, clockwise from its top left), drawn so at `centre`."""
    height, width = sprite.shape[:2]
    x, y = np.array((width, height)) * (longest / max(height, width) / 2)
    turn = np.deg2rad(angle)
    box = np.array([(-x, -y), (x, -y), (x, y), (-x, y)])
    rotation = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    placed: Points = (box @ rotation + centre).astype(np.float32)
    return placed


def outline(picture: Pixels) -> Points:
    """Return the corners of a picture itself (4 x 2, clockwise from the top left)."""
    height, width = picture.shape[:2]
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)


def visible_share(quad: Points, scene: Pixels) -> float:
    """Return how much of a convex quad's area lies within a scene, 0..1."""
    return float(cv2.intersectConvexConvex(quad, outline(scene))[0]) / cv2.contourArea(quad)


def paste(scene: Pixels, sprite: Pixels, quad: Points, opacity: float = 1.0) -> None:
    """Draw a sprite into the scene, its corners on `quad`; what lies outside is cut off."""
    # warpPerspective takes single pixels, so a sprite that shrinks must be made smaller (and thus smoother) before.
    side = max(float(np.linalg.norm(quad[a] - quad[b])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)))
    scale = side / max(sprite.shape[:2])
    if scale < 1:
        sprite = cv2.resize(sprite, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    left, top, w, h = cv2.boundingRect(quad)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + w, scene.shape[1]), min(top + h, scene.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    transform = cv2.getPerspectiveTransform(outline(sprite), quad - np.array((x0, y0), dtype=np.float32))
    drawn = cv2.warpPerspective(sprite, transform, (x1 - x0, y1 - y0)).astype(np.float32) * opacity
    below = scene[y0:y1, x0:x1]
    below[:] = np.clip(below * (1 - drawn[..., 3:] / 255) + drawn[..., :3], 0, 255)


# Backdrops: what is behind things. Each takes (rng, height, width) and returns float32 pixels, 0..255.

Backdrop = Callable[[np.random.Generator, int, int], Canvas]


def colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a colour, rather greyish, as those of rooms are; now and then a vivid one."""
    vivid = rng.uniform(0, 255, 3)
    grey = rng.uniform(15, 245)
    mix = rng.beta(1, 2.5)
    return (mix * vivid + (1 - mix) * grey).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int, channels: int = 1) -> Canvas:
    coarse = rng.random((cells, cells, channels), dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth.reshape(height, width, channels).astype(np.float32)


def _ramp(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Return H x W x 1 from about -1 to 1 along any direction."""
    turn = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ramp: Canvas = (np.cos(turn) * x + np.sin(turn) * y).astype(np.float32)
    return ramp[..., None]


def gradient(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """A wall in uneven light, or one colour only."""
    first = colour(rng)
    second = first if rng.random() < 0.25 else colour(rng)
    share = np.clip(_ramp(rng, height, width) * rng.uniform(0.3, 1) + 0.5, 0, 1)
    scene: Canvas = first * share + second * (1 - share)
    return scene


def stripes(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Stripes or checks: curtains, boards, tiles."""
    wave = np.sin(_ramp(rng, height, width) * rng.uniform(4, 50) + rng.uniform(0, 6))
    if rng.random() < 0.4:
        wave = wave * np.sin(_ramp(rng, height, width) * rng.uniform(4, 50))
    share = np.clip(wave * rng.choice((0.5, 5)) + 0.5, 0, 1)
    scene: Canvas = colour(rng) * share + colour(rng) * (1 - share)
    return scene


def clouds(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Soft blots in two colours, coarse and fine: cloth, leaves, things out of focus."""
    share = _smooth_noise(rng, height, width, int(rng.integers(2, 7)))
    share = share + rng.uniform(0, 0.6) * (_smooth_noise(rng, height, width, int(rng.integers(8, 30))) - 0.5)
    tint = rng.uniform(0, 80) * (_smooth_noise(rng, height, width, int(rng.integers(2, 9)), 3) - 0.5)
    scene: Canvas = colour(rng) * share + colour(rng) * (1 - share) + tint
    return scene


def shapes(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Coloured ellipses, boxes, lines and triangles in disorder."""
    scene = gradient(rng, height, width)
    size = max(height, width)
    for _ in range(int(rng.integers(1, 12))):
        fill = colour(rng).tolist()
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        a, b = (int(side) for side in rng.uniform(0.04, 0.45, 2) * size)
        thickness = -1 if rng.random() < 0.6 else int(rng.integers(1, max(2, size // 20)))
        match rng.integers(4):
            case 0:
                cv2.ellipse(scene, (x, y), (a, b), rng.uniform(0, 180), 0, 360, fill, thickness, cv2.LINE_AA)
            case 1:
                cv2.rectangle(scene, (x - a // 2, y - b // 2), (x + a // 2, y + b // 2), fill, thickness)
            case 2:
                cv2.line(scene, (x, y), (x + a - b, y + 2 * b - a), fill, max(1, thickness), cv2.LINE_AA)
            case _:
                triangle = np.array([(x, y), (x + a, y + b // 2), (x - b // 2, y + a)], dtype=np.int32)
                cv2.fillPoly(scene, [triangle], fill, cv2.LINE_AA)
    return scene


def room(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """A wall and a floor or table, with boxes that stand and hang there."""
    scene = gradient(rng, height, width)
    floor = int(height * rng.uniform(0.5, 1.0))
    scene[floor:] = clouds(rng, height, width)[floor:] * 0.4 + colour(rng) * 0.6
    for _ in range(int(rng.integers(0, 6))):
        w, h = (int(side) for side in rng.uniform(0.08, 0.6, 2) * width)
        x = int(rng.integers(-w // 2, width))
        y = floor - h if rng.random() < 0.6 else int(rng.integers(0, height))
        cv2.rectangle(scene, (x, y), (x + w, y + h), colour(rng).tolist(), -1)
        if rng.random() < 0.5:
            rim = int(rng.integers(1, 4))
            cv2.rectangle(scene, (x, y), (x + w, y + h), colour(rng).tolist(), rim)
            cv2.line(scene, (x + w // 2, y), (x + w // 2, y + h), colour(rng).tolist(), 1)
    return scene


def person(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Head and shoulders of somebody in a room, who may hold something up to the camera."""
    scene = room(rng, height, width)
    skin = _skin(rng).tolist()
    size = rng.uniform(0.12, 0.35) * height
    x, y = rng.uniform(0, 1) * width, rng.uniform(0.2, 0.6) * height
    head, face = (int(x), int(y)), (int(0.75 * size), int(size))
    _oval(scene, (int(x), int(y + 2.9 * size)), (int(1.7 * size), int(1.7 * size)), colour(rng).tolist())
    _oval(scene, (int(x), int(y - 0.25 * size)), (int(0.85 * size), int(size)), (colour(rng) * 0.6).tolist())
    cv2.rectangle(scene, (int(x - 0.3 * size), head[1]), (int(x + 0.3 * size), int(y + 1.5 * size)), skin, -1)
    _oval(scene, head, face, skin)
    for eye in (-0.3, 0.3):
        _oval(
            scene, (int(x + eye * size), int(y - 0.1 * size)), (int(0.12 * size), int(0.07 * size)), (40.0, 30.0, 30.0)
        )
    _oval(scene, (int(x), int(y + 0.5 * size)), (int(0.28 * size), int(0.07 * size)), (150.0, 70.0, 70.0))
    return scene


def _oval(scene: Canvas, centre: tuple[int, int], radii: tuple[int, int], fill: Sequence[float]) -> None:
    cv2.ellipse(scene, centre, radii, 0, 0, 360, fill, -1, cv2.LINE_AA)


def _skin(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.clip(np.array((224, 172, 140)) * rng.uniform(0.3, 1.1) + rng.uniform(-10, 10, 3), 0, 255)


def motifs(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Something small again and again: cloth, wallpaper, keys, lines of print."""
    scene = gradient(rng, height, width)
    ink = colour(rng).tolist()
    across, down = (int(step) for step in rng.uniform(0.04, 0.2, 2) * width)
    across, down = max(across, 4), max(down, 4)
    w, h = (int(side) for side in rng.uniform(0.3, 0.9, 2) * (across, down))
    thickness = int(rng.choice((-1, 1, 2)))
    kind, shift = rng.integers(3), rng.integers(2) * across // 2
    for row, y in enumerate(range(0, height, down)):
        for x in range(0, width + across, across):
            left = x - int(shift) * (row % 2)
            match kind:
                case 0:
                    cv2.ellipse(scene, (left, y), (w // 2, h // 2), 0, 0, 360, ink, thickness, cv2.LINE_AA)
                case 1:
                    cv2.rectangle(scene, (left, y), (left + w, y + h), ink, thickness)
                case _:  # print: words of any length
                    cv2.line(scene, (left, y), (left + int(rng.integers(1, across)), y), ink, max(thickness, 1))
    return scene


def grain(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Carpet, plaster, gravel: noise of some coarseness over a gradient."""
    cell = int(rng.integers(1, 5))
    rough = rng.standard_normal((height // cell + 1, width // cell + 1), dtype=np.float32) * rng.uniform(5, 45)
    return gradient(rng, height, width) + cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


BACKDROPS: tuple[Backdrop, ...] = (gradient, stripes, clouds, shapes, room, person, motifs, grain)


def backdrop(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Return one of the backdrops, or one laid over another."""
    scene = BACKDROPS[rng.integers(len(BACKDROPS))](rng, height, width)
    if rng.random() < 0.3:
        scene = scene * 0.6 + 0.4 * BACKDROPS[rng.integers(len(BACKDROPS))](rng, height, width)
    return np.clip(scene, 0, 255).astype(np.uint8)


# Scenes: a thing, held by something, somewhere in front of a backdrop, seen by a cheap camera.


def on_a_phone(rng: np.random.Generator, sprite: Pixels | None) -> tuple[Pixels, Points]:
    """Return a sprite of a phone, held or not, that shows a sprite (or nothing), and the corners of its screen."""
    long, short = 200, int(rng.integers(95, 125))
    width, height = (short, long) if rng.random() < 0.75 else (long, short)
    margin = 30  # around the phone, for the fingers
    canvas = np.zeros((height + 2 * margin, width + 2 * margin, 4), dtype=np.uint8)
    bezel, radius = int(rng.integers(3, 10)), int(rng.integers(4, 18))
    dark = rng.uniform(5, 70) if rng.random() < 0.8 else rng.uniform(150, 240)
    _rounded_box(canvas, (margin, margin, width, height), radius, np.full(3, dark))

    style = rng.random()
    screen = np.full(3, 255.0) if style < 0.4 else np.full(3, rng.uniform(0, 40)) if style < 0.7 else colour(rng)
    inside = (margin + bezel, margin + bezel, width - 2 * bezel, height - 2 * bezel)
    _rounded_box(canvas, inside, max(radius - bezel, 1), screen)
    x, y, w, h = inside
    if rng.random() < 0.5:  # the status line, and lines of text above or below the picture
        ink = np.clip(screen + rng.choice((-1, 1)) * rng.uniform(40, 150), 0, 255)
        for row in (5, h - 8, h - 16, 16)[: rng.integers(1, 5)]:
            cv2.rectangle(canvas, (x + 8, y + row), (x + int(rng.integers(20, w - 8)), y + row + 2), _ink(ink), -1)

    middle = (x + w / 2 + rng.uniform(-0.05, 0.05) * w, y + h / 2 + rng.uniform(-0.1, 0.1) * h)
    content = canvas if sprite is None else sprite
    quad = corners(content, middle, rng.uniform(0.55, 1.0) * min(w, h), 0)
    if sprite is not None:
        shown = canvas[..., :3].copy()
        paste(shown, sprite, quad)
        canvas[..., :3] = shown
    if rng.random() < 0.6:
        _fingers(rng, canvas, margin)
    return canvas, quad


def _ink(rgb: NDArray[Any]) -> tuple[float, ...]:
    """Return an opaque colour as OpenCV's drawing functions want it."""
    return (*np.clip(rgb, 0, 255).tolist(), 255.0)


def _rounded_box(canvas: Pixels, box: tuple[int, int, int, int], radius: int, fill: NDArray[Any]) -> None:
    x, y, w, h = box
    cv2.rectangle(canvas, (x + radius, y), (x + w - radius, y + h), _ink(fill), -1)
    cv2.rectangle(canvas, (x, y + radius), (x + w, y + h - radius), _ink(fill), -1)
    for across in (x + radius, x + w - radius):
        for down in (y + radius, y + h - radius):
            cv2.circle(canvas, (across, down), radius, _ink(fill), -1, cv2.LINE_AA)


def _fingers(rng: np.random.Generator, canvas: Pixels, margin: int) -> None:
    """Draw fingertips over both long sides of the phone."""
    height, width = canvas.shape[:2]
    ink = _ink(_skin(rng))
    start = rng.uniform(0.35, 0.6) * height
    for finger in range(int(rng.integers(1, 5))):
        tip = (width - margin + int(rng.integers(-4, 6)), int(start + finger * 22))
        cv2.ellipse(canvas, tip, (int(rng.integers(14, 24)), 10), rng.uniform(-15, 15), 0, 360, ink, -1, cv2.LINE_AA)
    thumb = (margin + int(rng.integers(-8, 2)), int(start + rng.uniform(0, 40)))
    cv2.ellipse(canvas, thumb, (int(rng.integers(14, 26)), 12), rng.uniform(-60, 20), 0, 360, ink, -1, cv2.LINE_AA)


def tilt(rng: np.random.Generator, quad: Points, amount: float) -> Points:
    """Move each corner by up to `amount` of the quad's size, as if it were turned towards or away from the camera."""
    size = float(np.linalg.norm(quad[2] - quad[0]))
    return (quad + rng.uniform(-amount, amount, (4, 2)) * size / 2).astype(np.float32)


def spoil(rng: np.random.Generator, scene: Pixels) -> Pixels:
    """Do to a picture what light, a cheap lens, a small sensor and compression do to it."""
    height, width = scene.shape[:2]
    seen: NDArray[np.floating[Any]] = scene.astype(np.float32)
    if rng.random() < 0.3:  # something moved, or the lens was not focused
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 0.018 * height)).astype(np.float32)
    elif rng.random() < 0.2:
        length = int(rng.integers(2, max(3, height // 16)))
        kernel = np.zeros((length, length), dtype=np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), (1.0,))
        seen = cv2.filter2D(seen, -1, kernel / kernel.sum()).astype(np.float32)
    if rng.random() < 0.8:
        light = rng.uniform(0.5, 1.35) * rng.uniform(0.85, 1.15, 3)
        haze = rng.uniform(0, 40) if rng.random() < 0.3 else 0.0
        seen = seen * (light * (1 - haze / 255)).astype(np.float32) + haze
    if rng.random() < 0.3:  # light from one side
        seen = seen * (1 + rng.uniform(0, 0.45) * _ramp(rng, height, width))
    if rng.random() < 0.2:  # a reflection
        glare = np.clip(1 - np.abs(_ramp(rng, height, width) - rng.uniform(-0.8, 0.8)) / rng.uniform(0.05, 0.4), 0, 1)
        seen = seen + glare * rng.uniform(20, 130)
    if rng.random() < 0.6:
        seen = seen + rng.standard_normal(seen.shape, dtype=np.float32) * rng.uniform(1, 14)
    spoiled: Pixels = np.clip(seen, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", spoiled, quality)[1], cv2.IMREAD_COLOR)
        assert decoded is not None
        spoiled = decoded.astype(np.uint8)
    return spoiled


class Studio:
    """Draws labelled scenes. Makes its sprites once."""

    def __init__(self, distractors: str, font_file: Path = FONT) -> None:
        """Load the sprites of all things and of these distractors. Raises FontError."""
        self._things = [[load_sprite(emoji, font_file) for emoji in thing.emoji] for thing in THINGS]
        self._distractors = [load_sprite(emoji, font_file) for emoji in distractors]

    def scene(self, rng: np.random.Generator, label: int | None) -> Pixels:
        """Return a square picture that shows THINGS[label], or, for None, nothing worth a word.

        Its side is between 64 and 128 pixels: a camera's picture is larger, but the network sees no more of it.
        """
        side = int(rng.integers(64, 129))
        scene = backdrop(rng, side, side)
        if label is not None:
            self._put(rng, scene, self._pick(rng, label), visible=True)
        else:
            match rng.choice(("nothing", "distractor", "leaving", "empty phone"), p=(0.3, 0.45, 0.18, 0.07)):
                case "distractor":
                    self._put(rng, scene, self._distractors[rng.integers(len(self._distractors))], visible=True)
                case "leaving":
                    self._put(rng, scene, self._pick(rng, int(rng.integers(len(THINGS)))), visible=False)
                case "empty phone":
                    self._put(rng, scene, None, visible=True)
        return spoil(rng, scene)

    def _pick(self, rng: np.random.Generator, label: int) -> Pixels:
        pictures = self._things[label]
        return pictures[rng.integers(len(pictures))]

    def _put(self, rng: np.random.Generator, scene: Pixels, sprite: Pixels | None, *, visible: bool) -> None:
        """Draw the sprite (None: an empty screen), so that most of it can be seen, or hardly anything."""
        side = scene.shape[0]
        if sprite is not None and rng.random() < 0.5:
            sprite = np.ascontiguousarray(sprite[:, ::-1])
        on_phone = sprite is None or rng.random() < 0.25
        if sprite is None or on_phone:
            sprite, content = on_a_phone(rng, sprite)
        else:
            content = outline(sprite)
        smallest, largest = (0.9, 2.3) if on_phone else (0.3, 1.1)
        lowest, highest = (0.6, 1.0) if visible else (0.02, 0.25)
        while True:
            longest = side * rng.uniform(smallest, largest)
            reach = 0.3 if visible else 0.9
            centre = (side * (0.5 + rng.uniform(-reach, reach)), side * (0.5 + rng.uniform(-reach, reach)))
            angle = rng.normal(0, 14)
            quad = tilt(rng, corners(sprite, centre, longest, angle), rng.uniform(0, 0.12))
            seen = cv2.perspectiveTransform(content[None], cv2.getPerspectiveTransform(outline(sprite), quad))[0]
            if lowest <= visible_share(seen.astype(np.float32), scene) <= highest:
                break
        if not on_phone and rng.random() < 0.3:
            beside = (quad + rng.uniform(0, 0.06, 2) * side).astype(np.float32)
            paste(scene, shadow(sprite), beside, rng.uniform(0.2, 0.6))
        paste(scene, sprite, quad, rng.uniform(0.6, 1) if rng.random() < 0.15 else 1.0)


def shadow(sprite: Pixels) -> Pixels:
    """Return the sprite's shadow: black, of the same shape."""
    dark = sprite.copy()
    dark[..., :3] = 0
    return dark
