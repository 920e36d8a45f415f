"""Films with known truth: a camera looks at photos, with gaps between them, and each shot says which labels are right.

    photos = read_photos(folder, "judge")
    film = make_film(folder, photos, Counts(visits=125, gaps=200, pans=30, pairs=30, unknown=100), seed=1)
    for index, shot in enumerate(film.shots):
        for frame in film.frames_of(index):     # RGB, uint8, 480 x 640 x 3
            ...
    for number, part in enumerate(film.parts()):
        part.write(folder / f"{number}.avi")

Everything is drawn from `seed`: the same film again has the same frames. A shot's frames depend on the seed, its kind
and its number only, not on its place in the film.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from truth import gaps
from truth.camera import HEIGHT, MARGIN, WIDTH, Pixels, handheld, noisy
from truth.unknown import ACCEPTED, family_of, unknown_picture

GAPS = ("wall", "dark", "blur")
KINDS = ("visit", "pair", "pan", "unknown", *GAPS)
SHOWN_S, GAP_S = 4.0, 3.0
"""How long a thing is shown, and how long a gap lasts: long enough that edge could say something of it."""
PAN_S = 0.7
"""How long a pan takes from one photo to the next."""
_DRAW_NOTHING = (
    "answers",
    "curve",
    "curve_page",
    "curve_plot",
    "intervals",
    "processes",
    "replay",
    "report",
    "scoring",
)
"""Modules of this folder that do not change the frames."""
PART_S = 240.0
"""About how long a part of a film is: the frames of one take some 300 MB."""


@dataclass(frozen=True)
class Photo:
    """A photo, and what it shows."""

    file: str
    ids: frozenset[str]


@dataclass(frozen=True)
class Counts:
    """How many shots of each kind a film has."""

    visits: int = 0
    gaps: int = 0
    """Of each of the three kinds. There are more if that is needed to have one before each other shot."""
    pans: int = 0
    pairs: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Shot:
    """A stretch of a film."""

    kind: str
    """One of KINDS."""
    number: int
    """Its number among those of its kind, from 0."""
    files: tuple[str, ...]
    """The photos that it shows."""
    ids: frozenset[str]
    """Ids of the labels that are right; empty: every sentence is false. In a pan nothing should be said at all."""
    from_s: float = 0.0
    to_s: float = 0.0
    """When it is in view, in seconds of the film; `to_s` is the end of its last frame."""


@dataclass(frozen=True)
class Film:
    """Shots, one after the other."""

    folder: Path
    """Where the photos are."""
    seed: int
    fps: float
    shots: tuple[Shot, ...]

    def frames(self) -> Iterator[Pixels]:
        """Yield all frames: RGB, uint8, 480 x 640 x 3."""
        for index in range(len(self.shots)):
            yield from self.frames_of(index)

    def frames_of(self, index: int) -> Iterator[Pixels]:
        """Yield the frames of one shot; the same ones each time."""
        return self._open(index)[1]

    def detail(self, index: int) -> str:
        """Return what the shot shows in words, such as the name of a wall or a drawing, or the photos' files."""
        return self._open(index)[0]

    def shortened(self, frames: Mapping[str, int]) -> "Film":
        """Return the film with only the first frames of each shot: how many, by its kind; others are left out."""
        return replace(self, shots=_timed([shot for shot in self.shots if frames.get(shot.kind)], self.fps, frames))

    def parts(self, most_s: float = PART_S) -> list["Film"]:
        """Return the film in parts of about `most_s` seconds each, whose shots start at 0 again."""
        parts: list[Film] = []
        start = 0
        for index, shot in enumerate(self.shots):
            last = index == len(self.shots) - 1
            # a part ends with a gap, so that nothing is cut off that is still to be said
            if last or (shot.kind in GAPS and shot.to_s - self.shots[start].from_s >= most_s):
                parts.append(replace(self, shots=_timed(self.shots[start : index + 1], self.fps)))
                start = index + 1
        return parts

    def write(self, path: Path, stopping: Callable[[], bool] = lambda: False) -> None:
        """Write it as Motion JPEG in an AVI file; end early if `stopping()`. Raises OSError if that is not possible."""
        import cv2

        # FFMPEG's quality is so low that most of the noise is lost; OpenCV's own writer has whole rates only
        by = cv2.CAP_OPENCV_MJPEG if self.fps.is_integer() else cv2.CAP_FFMPEG
        writer = cv2.VideoWriter(str(path), by, cv2.VideoWriter.fourcc(*"MJPG"), self.fps, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise OSError(f"{path}: cannot write a film there")
        try:
            for frame in self.frames():
                if stopping():
                    return
                writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
        finally:
            writer.release()

    def digest(self) -> str:
        """Return a name for its frames: another film, or other code that draws them, has another."""
        code = hashlib.sha256()
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            code.update(b"" if path.stem in _DRAW_NOTHING else path.read_bytes())
        for file in sorted({file for shot in self.shots for file in shot.files}):
            code.update((self.folder / file).read_bytes())
        shots = [(shot.kind, shot.number, shot.files, shot.from_s, shot.to_s) for shot in self.shots]
        code.update(repr((self.seed, self.fps, shots)).encode())
        return code.hexdigest()[:16]

    def _open(self, index: int) -> tuple[str, Iterator[Pixels]]:
        """Return what a shot shows in words, and its frames."""
        shot = self.shots[index]
        rng = np.random.default_rng((self.seed, KINDS.index(shot.kind), shot.number))
        frames = round((shot.to_s - shot.from_s) * self.fps)
        photos = (read_rgb(self.folder / file) for file in shot.files)
        if shot.kind == "wall":
            return gaps.wall_frames(rng, frames)
        if shot.kind == "dark":
            return gaps.dark_frames(rng, frames)
        if shot.kind == "blur":
            name, blurred = gaps.blurred_frames(rng, frames, next(photos, None))
            return " ".join((name, *shot.files)), blurred
        if shot.kind == "pan":
            return " ".join(shot.files), pan_frames(list(photos), self.fps, frames, rng)
        name = " ".join(shot.files)
        if shot.kind == "unknown":
            name, picture = unknown_picture(shot.number, self.seed)
        else:
            picture = side_by_side(list(photos)) if shot.kind == "pair" else next(photos)
        return name, (noisy(one, rng) for one in handheld(picture, frames, rng))


def read_photos(folder: Path, half: str = "all") -> list[Photo]:
    """Return the photos of labels.csv (file, accepted ids joined with |; further columns are ignored).

    `half` is "fit" (names that begin with 0 to 7), "judge" (8 to f) or "all". Raises ValueError with the file and the
    line if there is a fault, or if nothing is left.
    """
    path = folder / "labels.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row][1:]
    photos = []
    for number, row in rows:
        if len(row) < 2 or not row[1].strip():
            raise ValueError(f"{path}:{number}: a line must have a file and its accepted ids, joined with |")
        if not (folder / row[0]).is_file():
            raise ValueError(f"{path}:{number}: {row[0]}: there is no such file")
        if half == "all" or half_of(row[0]) == half:
            photos.append(Photo(row[0], frozenset(row[1].replace("|", " ").replace(";", " ").split())))
    if not photos:
        raise ValueError(f"{path}: no photo{'' if half == 'all' else f' of the half {half!r}'}")
    return photos


def half_of(file: str) -> str:
    """Return "fit" or "judge"; raise ValueError if the name begins with no hexadecimal digit."""
    first = file[:1].lower()
    if not first or first not in "0123456789abcdef":
        raise ValueError(f"{file}: only names that begin with 0 to 9 or a to f are divided in halves")
    return "fit" if first in "01234567" else "judge"


def make_film(folder: Path, photos: Sequence[Photo], counts: Counts, *, fps: float = 10.0, seed: int = 1) -> Film:
    """Return a film of these counts, in an order drawn at random, with a gap before each shot and at the end."""
    rng = np.random.default_rng(seed)
    shown = [
        Shot("visit", number, (one.file,), one.ids) for number, one in enumerate(_drawn(photos, counts.visits, rng))
    ]
    for number in range(counts.pairs):
        two = [photos[one] for one in rng.choice(len(photos), 2, replace=len(photos) < 2)]
        shown.append(_of_photos("pair", number, two))
    for number in range(counts.pans):
        row = _drawn(photos, 2 + int(np.ceil(SHOWN_S / PAN_S)), rng)
        shown.append(_of_photos("pan", number, row))
    for number in range(counts.unknown):
        shown.append(Shot("unknown", number, (), ACCEPTED.get(family_of(number), frozenset())))
    order = [shown[index] for index in rng.permutation(len(shown))]
    each = max(counts.gaps, -(-(len(order) + 1) // len(GAPS)))
    empty = []
    for number in range(each):
        for kind in rng.permutation(GAPS):
            # every second one shows a photo out of focus, the others a room
            photo = photos[int(rng.integers(len(photos)))].file if kind == "blur" and number % 2 else None
            empty.append(Shot(str(kind), number, (photo,) if photo else (), frozenset()))
    shots: list[Shot] = []
    used = 0
    for index, shot in enumerate(order):
        upto = (index + 1) * len(empty) // (len(order) + 1)
        shots += [*empty[used:upto], shot]
        used = upto
    return Film(folder, seed, float(fps), _timed([*shots, *empty[used:]], fps))


def _of_photos(kind: str, number: int, photos: Sequence[Photo]) -> Shot:
    ids: frozenset[str] = frozenset().union(*(photo.ids for photo in photos))
    return Shot(kind, number, tuple(photo.file for photo in photos), ids)


def _timed(shots: Sequence[Shot], fps: float, frames_of: Mapping[str, int] | None = None) -> tuple[Shot, ...]:
    """Return the shots one after the other from 0 on, each of at least one frame; `frames_of` tells how many a kind."""
    timed, frame = [], 0
    for shot in shots:
        whole = round((GAP_S if shot.kind in GAPS else SHOWN_S) * fps)
        frames = max(1, frames_of[shot.kind] if frames_of else whole)
        timed.append(replace(shot, from_s=frame / fps, to_s=(frame + frames) / fps))
        frame += frames
    return tuple(timed)


def _drawn(photos: Sequence[Photo], count: int, rng: np.random.Generator) -> list[Photo]:
    """Return so many photos in a random order; all come once before one comes twice."""
    order: list[int] = []
    while len(order) < count:
        order += rng.permutation(len(photos)).tolist()
    return [photos[index] for index in order[:count]]


def side_by_side(photos: Sequence[Pixels]) -> Pixels:
    """Return the photos in equal columns of one frame, each cut to fit at its sides."""
    import cv2

    wide = WIDTH // len(photos)
    columns = []
    for photo in photos:
        scale = max(wide / photo.shape[1], HEIGHT / photo.shape[0])
        large = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale), np.uint8)
        top, left = max(0, (large.shape[0] - HEIGHT) // 2), max(0, (large.shape[1] - wide) // 2)
        columns.append(cv2.resize(large[top : top + HEIGHT, left : left + wide], (wide, HEIGHT)))
    return np.asarray(np.hstack(columns), np.uint8)


def pan_frames(photos: Sequence[Pixels], fps: float, frames: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """Yield frames of a camera that sweeps along a row of photos and never rests, with the blur of the motion."""
    import cv2

    high = round(HEIGHT * MARGIN)
    row = np.hstack([cv2.resize(one, (max(1, high * one.shape[1] // one.shape[0]), high)) for one in photos])
    # portraits may be narrow: there must be enough to sweep along
    row = np.tile(row, (1, -(-3 * WIDTH // row.shape[1]), 1))
    speed = row.shape[1] / len(photos) / (PAN_S * rng.uniform(0.8, 1.2) * fps)  # pixels a frame
    speed = min(speed, (row.shape[1] - WIDTH) / max(frames - 1, 1))
    smear = max(1, round(speed / 2))  # the shutter is open half of the time
    row = np.asarray(cv2.blur(row, (smear, 1)), np.uint8)
    backward = rng.uniform() < 0.5
    for number in range(frames):
        left = round(number * speed)
        left = row.shape[1] - WIDTH - left if backward else left
        top = int(np.clip((high - HEIGHT) / 2 + rng.normal(0, 3), 0, high - HEIGHT))
        yield noisy(np.asarray(row[top : top + HEIGHT, left : left + WIDTH], np.uint8), rng)


def read_rgb(path: Path) -> Pixels:
    """Return an image's pixels. Raises ValueError if it cannot be read."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: this is not an image")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
