"""Textured bodies: one to three ellipsoids, boxes or cylinders, seen from any side in any light."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SIDE = 150
"""Width and height of a drawn body, in pixels."""
_HALF = 1.0
"""Half the width of the drawing; a body rarely reaches further from its middle."""


class Body:
    """A thing with a shape and a solid texture: the colour is a function of the place in the body."""

    def __init__(self, seed: int, picture: Pixels | None = None) -> None:
        """Make body number `seed`; the same number gives the same body. `picture` is printed on its front and back."""
        rng = np.random.default_rng((71, seed))
        self._parts = []
        for number in range(int(rng.integers(1, 4))):
            kind = ("ellipsoid", "box", "cylinder")[int(rng.integers(3))]
            size = rng.uniform(0.3, 0.75, 3) * (1.0 if number == 0 else 0.6)
            middle = np.zeros(3) if number == 0 else rng.uniform(-0.5, 0.5, 3)
            self._parts.append((kind, size, middle))
        base = rng.uniform(20, 235, 3)
        self._colors = np.stack([base, *(rng.uniform(10, 245, 3) for _ in range(int(rng.integers(1, 4))))])
        self._kind = ("stripes", "spots", "clouds", "checks", "bands")[int(rng.integers(5))]
        self._scale = float(rng.uniform(4, 14))
        self._axis = rng.normal(0, 1, 3)
        self._axis /= np.linalg.norm(self._axis)
        self._waves = rng.normal(0, 1, (8, 3)) * self._scale * 0.6
        self._phases = rng.uniform(0, 2 * np.pi, 8)
        self._picture = picture
        self._gloss = float(rng.uniform(0, 0.6))

    def draw(self, rotation: NDArray[np.float64], light: NDArray[np.float64]) -> Pixels:
        """Return SIDE x SIDE x 4, colours multiplied by alpha. `rotation` is 3 x 3, `light` points to the lamp."""
        line = (np.arange(SIDE) + 0.5) / SIDE * 2 * _HALF - _HALF
        x, y = np.meshgrid(line, line)
        start = np.stack([x, y, np.full_like(x, 3.0)], -1).reshape(-1, 3) @ rotation
        ray = np.array([0.0, 0.0, -1.0]) @ rotation
        depth = np.full(len(start), np.inf)
        normal = np.zeros_like(start)
        for kind, size, middle in self._parts:
            far, turned = _hit(kind, size, start - middle, ray)
            nearer = far < depth
            depth[nearer], normal[nearer] = far[nearer], turned[nearer]
        hit = np.isfinite(depth)
        place = start[hit] + depth[hit, None] * ray
        lamp = light @ rotation
        turned = normal[hit]
        shade = 0.35 + 0.75 * np.clip(turned @ lamp, 0, None)
        half = lamp - ray
        shine = np.clip(turned @ (half / np.linalg.norm(half)), 0, None) ** 24
        colors = self._texture(place) * shade[:, None] + 255 * self._gloss * shine[:, None]
        picture = np.zeros((SIDE * SIDE, 4), np.float64)
        picture[hit, :3] = np.clip(colors, 0, 255)
        picture[hit, 3] = 255
        return picture.reshape(SIDE, SIDE, 4).astype(np.uint8)

    def _texture(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        value: NDArray[np.floating[Any]]
        if self._picture is not None:
            down, across = self._picture.shape[:2]
            at = np.clip((place[:, [1, 0]] + 0.75) / 1.5, 0, 0.999) * (down, across)
            return np.asarray(self._picture[at[:, 0].astype(int), at[:, 1].astype(int)], np.float64)
        match self._kind:
            case "stripes":
                value = np.sin(place @ self._axis * self._scale) * 0.5 + 0.5
            case "bands":
                value = (place @ self._axis * self._scale * 0.4) % 1.0
            case "checks":
                value = (np.floor(place * self._scale * 0.35).sum(1) % 2) * 0.6 + 0.2
            case "spots":
                cell = place * self._scale * 0.35
                value = (np.linalg.norm(cell - np.round(cell), axis=1) < 0.33) * 0.9
            case _:
                value = np.sin(place @ self._waves.T + self._phases).mean(1) * 1.2 + 0.5
        steps = len(self._colors)
        index = np.clip((value * steps).astype(int), 0, steps - 1)
        return np.asarray(self._colors[index])


def _hit(
    kind: str, size: NDArray[np.float64], start: NDArray[np.float64], ray: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far along the ray each start meets the part (inf: never), and the normals there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "ellipsoid":
            far = _quadratic(start / size, ray / size)
            normal = (start + far[:, None] * ray) / size**2
        elif kind == "box":
            both = np.stack([(-size - start) / ray, (size - start) / ray])
            near, away = both.min(0), both.max(0)
            far = np.where(near.max(1) <= away.min(1), near.max(1), np.inf)
            normal = -np.sign(ray) * (near == near.max(1)[:, None])
        else:
            flat = np.array([size[0], size[0], 1.0])
            far = _quadratic(start[:, :2] / size[0], ray[:2] / size[0])
            side = start + far[:, None] * ray
            far = np.where(np.abs(side[:, 2]) <= size[2], far, np.inf)
            normal = side / flat**2 * (1.0, 1.0, 0.0)
            lid = (np.sign(-ray[2]) * size[2] - start[:, 2]) / ray[2]
            top = start + lid[:, None] * ray
            on_lid = (np.hypot(top[:, 0], top[:, 1]) <= size[0]) & (lid < far)
            far = np.where(on_lid, lid, far)
            normal[on_lid] = (0.0, 0.0, np.sign(-ray[2]))
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return far, np.nan_to_num(normal / length)


def _quadratic(start: NDArray[np.float64], ray: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller solution of |start + t ray| = 1; inf where there is none."""
    a, b, c = float(ray @ ray), start @ ray, (start * start).sum(1) - 1
    root = b * b - a * c
    return np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
