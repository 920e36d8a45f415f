"""What a camera shows when there is nothing to see: a wall, darkness, a view out of focus."""

from collections.abc import Callable, Iterator

import numpy as np

from truth.camera import HEIGHT, MARGIN, WIDTH, Pixels, handheld, noisy, scale_of
from truth.patterns import Field, as_pixels, clouds, colour, ink, uneven_light

SIZE = (round(HEIGHT * 1.1), round(WIDTH * 1.1))
"""Height and width of these pictures: a little more than the frame, for the motion of the hand."""
DEFOCUS = (24, 48)
"""Radius of the circle that a point becomes, in pixels of a frame 640 wide."""


def wall_frames(rng: np.random.Generator, frames: int) -> tuple[str, Iterator[Pixels]]:
    """Return the name of a surface that fills the view, and its frames: lit unevenly, with a sensor's noise."""
    name = str(rng.choice(list(_WALLS)))
    relief, saturation = _WALLS[name](rng), (0.0, 0.5)
    base = colour(rng, saturation, (70, 235))
    light = uneven_light(rng, SIZE, rng.uniform(0.05, 0.45))
    picture = as_pixels((base[None, None, :] + relief) * light[:, :, None])
    deviation = rng.uniform(2, 7)
    return name, (noisy(one, rng, deviation) for one in handheld(picture, frames, rng, endless=True))


def _plain(_rng: np.random.Generator) -> Field:
    return np.zeros((*SIZE, 1), np.float32)


def _plaster(rng: np.random.Generator) -> Field:
    return rng.uniform(2, 9) * clouds(rng, SIZE, int(rng.integers(20, 80)), 4)[:, :, None]


def _wallpaper(rng: np.random.Generator) -> Field:
    """Stripes, dots or small figures, which repeat."""
    down, across = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    period = rng.uniform(18, 80)
    form = rng.integers(3)
    if form == 0:
        print_ = np.sin(2 * np.pi * across / period) > rng.uniform(-0.6, 0.6)
    elif form == 1:
        print_ = np.cos(2 * np.pi * across / period) * np.cos(2 * np.pi * down / period) > rng.uniform(0.3, 0.8)
    else:
        wave = np.cos(2 * np.pi * across / period) + np.cos(2 * np.pi * (down + across / 2) / period)
        print_ = np.abs(wave) < rng.uniform(0.2, 0.6)
    tint = colour(rng, (0.0, 0.6), (5, 25)) * rng.choice([-1, 1])
    return np.asarray(print_[:, :, None] * tint, np.float32)


def _carpet(rng: np.random.Generator) -> Field:
    """Tufts: strong and fine, with worn places."""
    import cv2

    sharp = rng.standard_normal((*SIZE, 3), dtype=np.float32)
    grain = np.asarray(cv2.GaussianBlur(sharp, (0, 0), rng.uniform(0.8, 2.5)), np.float32)
    grain = 0.3 * grain + grain.mean(axis=2, keepdims=True)  # more light and shade than colour
    grain /= grain.std()
    worn = clouds(rng, SIZE, 4, 3)[:, :, None]
    return np.asarray(rng.uniform(8, 25) * grain + rng.uniform(2, 6) * worn, np.float32)


def _curtain(rng: np.random.Generator) -> Field:
    """Folds from top to bottom, not quite straight and not evenly wide."""
    down, across = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    sway = across + rng.uniform(5, 25) * np.sin(down / rng.uniform(120, 400) + rng.uniform(0, 6))
    total = np.zeros(SIZE, np.float32)
    for _ in range(3):
        total += rng.uniform(0.3, 1) * np.sin(2 * np.pi * sway / rng.uniform(35, 140) + rng.uniform(0, 6))
    return np.asarray(rng.uniform(8, 30) * (total + 0.1 * clouds(rng, SIZE, 60, 2)), np.float32)[:, :, None]


def _corner(rng: np.random.Generator) -> Field:
    """Where two walls meet, or a wall and the ceiling: one is a little darker."""
    down, across = np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j]
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.15)
    side = np.cos(angle) * across + np.sin(angle) * down > rng.uniform(-0.5, 0.5)
    step = rng.uniform(6, 30) * side + 1.5 * clouds(rng, SIZE, 40, 3)
    return np.asarray(step, np.float32)[:, :, None]


_WALLS: dict[str, Callable[[np.random.Generator], Field]] = {
    "plain": _plain,
    "plaster": _plaster,
    "wallpaper": _wallpaper,
    "carpet": _carpet,
    "curtain": _curtain,
    "corner": _corner,
}


def dark_frames(rng: np.random.Generator, frames: int) -> tuple[str, Iterator[Pixels]]:
    """Return the name of a darkness, and its frames, with the noise of a sensor at a high gain."""
    import cv2

    name = str(rng.choice(["black", "faint light", "faint room"]))
    field = np.full((*SIZE, 3), rng.uniform(0, 8), np.float32)
    if name == "faint light":  # a gap under a door, the lamp of a device
        centre = (int(rng.integers(SIZE[1])), int(rng.integers(SIZE[0])))
        spot = np.zeros((*SIZE, 3), np.float32)
        cv2.circle(spot, centre, int(rng.integers(2, 30)), rng.uniform(6, 25, 3).tolist(), -1)
        field += cv2.GaussianBlur(spot, (0, 0), rng.uniform(8, 40))
    elif name == "faint room":
        field += cv2.GaussianBlur(_room(rng).astype(np.float32), (0, 0), 3) * rng.uniform(0.01, 0.05)
    hot = rng.integers(0, SIZE, (int(rng.integers(0, 30)), 2))
    field[hot[:, 0], hot[:, 1]] += rng.uniform(30, 160, (len(hot), 3))
    gain = rng.uniform(4, 18)
    # a little softened, as by the camera's own noise filter
    return name, (
        np.asarray(cv2.GaussianBlur(noisy(one, rng, 1.6 * gain), (3, 3), 0), np.uint8)
        for one in handheld(as_pixels(field), frames, rng, endless=True)
    )


def blurred_frames(rng: np.random.Generator, frames: int, photo: Pixels | None) -> tuple[str, Iterator[Pixels]]:
    """Return the frames of a photo (None: a room) that is out of focus, and what they show."""
    import cv2

    sharp = _room(rng) if photo is None else photo
    scale = scale_of(sharp) / MARGIN * 1.1
    sharp = np.asarray(cv2.resize(sharp, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8)
    radius = int(rng.integers(*DEFOCUS))
    down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (down**2 + across**2 <= radius**2).astype(np.float32)
    soft = np.asarray(cv2.filter2D(sharp, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT), np.uint8)
    name = f"{'room' if photo is None else 'photo'}, radius {radius}"
    return name, (noisy(one, rng, 3) for one in handheld(soft, frames, rng, endless=True))


def _room(rng: np.random.Generator) -> Pixels:
    """A bare room: a wall, a floor, a window, a few boxes."""
    import cv2

    height, width = SIZE
    room = np.zeros((*SIZE, 3), np.uint8)
    room[:] = ink(rng, (0, 0.3), (120, 230))
    floor = int(height * rng.uniform(0.55, 0.85))
    cv2.rectangle(room, (0, floor), (width, height), ink(rng, (0.1, 0.6), (60, 160)), -1)
    if rng.uniform() < 0.7:
        left, top = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 4))
        cv2.rectangle(room, (left, top), (left + width // 4, top + height // 3), (250, 250, 245), -1)
    for _ in range(rng.integers(1, 6)):
        left, wide, high = (int(one) for one in rng.integers((0, 30, 30), (width, 220, 260)))
        cv2.rectangle(room, (left, floor - high // 2), (left + wide, floor + high // 2), ink(rng, (0, 0.8)), -1)
    return as_pixels(room * uneven_light(rng, SIZE, 0.3)[:, :, None])
