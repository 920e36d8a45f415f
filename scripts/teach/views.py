"""Views of things before backgrounds, and views of none of them, as a camera takes them.

Nothing here is a photo of an object that a person turned: bodies are drawn, some with a photo printed on them, photos
are cut out as flat pictures, and emoji are on drawn phones. What a view shows is chosen by the random generator that is
passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from demo_render import backdrop, corners, on_a_phone, paste, tilt
from demo_things import DISTRACTORS, FONT, THINGS, load_sprite
from numpy.typing import NDArray
from truth.films import read_photos
from truth.unknown import unknown_picture

from edge.vision.images import read_image
from teach.bodies import Body

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 640, 480
MOST_THINGS = 20
"""Things that can be taught; all others are look-alikes."""
Rng = np.random.Generator
Pose = Callable[[Rng], Pixels]
"""Draws a thing in another pose: H x W x 4, colours multiplied by alpha."""
EMOJI = "".join(thing.emoji for thing in THINGS) + DISTRACTORS


@dataclass(frozen=True)
class Thing:
    """Something that can be taught."""

    family: str
    pose: Pose


@dataclass(frozen=True)
class Place:
    """A background and a light."""

    background: Pixels
    """HEIGHT x WIDTH x 3."""
    light: NDArray[np.float32]
    """Factor of each colour."""
    side: float
    """How much lighter it is on one side, -0.4 to 0.4."""
    noise: float


class World:
    """All that can be drawn, from the photos of one half."""

    def __init__(self, folder: Path, half: str, seed: int, digits: str = "0123456789abcdef") -> None:
        """Divide the photos: some to cut things out, some as backgrounds, some as strangers. Raises ValueError.

        Only photos whose names begin with one of the `digits` are used.
        """
        self._rng = np.random.default_rng((29, seed))
        files = [photo.file for photo in read_photos(folder, half) if photo.file[0].lower() in digits]
        photos = [read_image(folder / file) for file in files]
        order = self._rng.permutation(len(photos))
        shuffled = [photos[number] for number in order]
        third = len(shuffled) // 3
        self._cut, self._behind, self._strange = shuffled[:third], shuffled[third : 2 * third], shuffled[2 * third :]
        self.seed, self.name = seed, f"{half} {seed} " + " ".join(sorted(files))
        """The name is another one if anything else is drawn."""
        self._lookalikes: list[Thing] = []
        self._emoji = [EMOJI[number] for number in self._rng.permutation(len(EMOJI))]

    def things(self, count: int) -> list[Thing]:
        """Return things of the four families in turn; at most 100, so that none comes twice."""
        makers = (self._body, self._cutout, self._phone, self._printed)
        return [makers[number % 4](number // 4) for number in range(count)]

    def place(self, rng: Rng, kind: int | None = None) -> Place:
        """Return a background (a photo, or a drawn room or wall) in a light."""
        if rng.random() < 0.5 if kind is None else kind == 0:
            behind = cv2.resize(self._behind[int(rng.integers(len(self._behind)))], (WIDTH, WIDTH))[80:560]
            behind = cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.5, 5))
        else:
            behind = cv2.resize(backdrop(rng, 240, 320), (WIDTH, HEIGHT))
        light = np.exp(rng.normal(0, 0.22) + rng.normal(0, 0.06, 3)).astype(np.float32)
        return Place(np.asarray(behind, np.uint8), light, float(rng.uniform(-0.4, 0.4)), float(rng.uniform(2, 8)))

    def stranger(self, rng: Rng, number: int) -> Pixels:
        """Return a view of none of the things: of a photo, of an empty place or of a drawing, in turn."""
        place = self.place(rng)
        scene = (self.photo(rng), place.background, self.drawing(number))[number % 3]
        return seen(rng, scene, place)

    def lookalike(self, rng: Rng, number: int) -> Pixels:
        """Return a view of a thing of the same families that is none of the first MOST_THINGS."""
        if not self._lookalikes:
            self._lookalikes = self.things(100)[MOST_THINGS:]
        return view(rng, self._lookalikes[number % len(self._lookalikes)], self.place(rng))

    def photo(self, rng: Rng) -> Pixels:
        """Return a view of a photo that is neither a thing nor a background."""
        picture = self._strange[int(rng.integers(len(self._strange)))]
        large = cv2.resize(picture, (WIDTH, WIDTH))
        top = int(rng.integers(0, WIDTH - HEIGHT + 1))
        return np.asarray(large[top : top + HEIGHT], np.uint8)

    def drawing(self, number: int) -> Pixels:
        """Return a drawing that shows no label's thing."""
        return np.asarray(cv2.resize(unknown_picture(number, self.seed)[1], (WIDTH, HEIGHT)), np.uint8)

    def _body(self, number: int) -> Thing:
        return self._turned("body", Body(1000 * self.seed + number))

    def _printed(self, number: int) -> Thing:
        # the last photos: the first are cut out
        return self._turned("printed", Body(1000 * self.seed + 500 + number, self._cut[-1 - number]))

    def _turned(self, family: str, body: Body) -> Thing:
        def pose(rng: Rng) -> Pixels:
            light = np.array((rng.normal(0, 0.5), rng.normal(-0.6, 0.4), 1.0))
            return body.draw(_rotation(rng), light / np.linalg.norm(light))

        return Thing(family, pose)

    def _cutout(self, number: int) -> Thing:
        photo = self._cut[number % len(self._cut)]
        side = min(photo.shape[:2])
        rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        # a rounded square: most photos have their thing in the middle
        alpha = np.where(np.abs(rows) ** 4 + np.abs(columns) ** 4 <= 0.85, 255, 0)[..., None]
        sprite = np.concatenate([photo[:side, :side] * (alpha // 255), alpha], -1).astype(np.uint8)
        return Thing("cut-out", lambda _rng: sprite)

    def _phone(self, number: int) -> Thing:
        phone, _ = on_a_phone(np.random.default_rng((self.seed, number)), load_sprite(self._emoji[number], FONT))
        return Thing("phone", lambda _rng: phone)


def view(rng: Rng, thing: Thing, place: Place) -> Pixels:
    """Return a view of a thing in a place (HEIGHT x WIDTH x 3)."""
    scene = _shifted(rng, place.background)
    sprite = thing.pose(rng)
    # a body does not reach the borders of its drawing
    reach = 1.45 if thing.family in ("body", "printed") else 1.0
    size = HEIGHT * rng.uniform(0.55, 1.0) * reach * max(sprite.shape[:2]) / sprite.shape[0]
    centre = (WIDTH / 2 + rng.normal(0, 0.06) * WIDTH, HEIGHT / 2 + rng.normal(0, 0.06) * HEIGHT)
    paste(scene, sprite, tilt(rng, corners(sprite, centre, size, rng.normal(0, 15)), rng.uniform(0, 0.15)))
    return seen(rng, scene, place)


def empty(rng: Rng, place: Place) -> Pixels:
    """Return a view of a place without anything."""
    return seen(rng, _shifted(rng, place.background), place)


def seen(rng: Rng, scene: Pixels, place: Place) -> Pixels:
    """Return what a camera makes of a scene in the light of a place."""
    across = 1 + place.side * np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :, None]
    light = place.light * np.float32(np.exp(rng.normal(0, 0.05)))
    lit = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 1.6)).astype(np.float32) * across * light
    lit += rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(place.noise)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _shifted(rng: Rng, background: Pixels) -> Pixels:
    scale, (across, down) = rng.uniform(1.05, 1.15), rng.normal(0, 8, 2)
    matrix = np.array([[scale, 0, WIDTH * (1 - scale) / 2 + across], [0, scale, HEIGHT * (1 - scale) / 2 + down]])
    moved = cv2.warpAffine(background, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _rotation(rng: Rng) -> NDArray[np.float64]:
    """Return a turn by any angle about the upright axis, and a tilt of up to about 30 degrees."""
    turn, nod, roll = rng.uniform(0, 2 * np.pi), rng.normal(0.3, 0.25), rng.normal(0, 0.15)
    around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    forward = np.array([[1, 0, 0], [0, np.cos(nod), -np.sin(nod)], [0, np.sin(nod), np.cos(nod)]])
    aside = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    # rows times this: from the world into the body
    return np.asarray(np.linalg.inv(aside @ forward @ around).T)
