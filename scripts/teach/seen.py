"""The features of all views that edge is tested on, kept on the disk: they take minutes, and all else seconds."""

import hashlib
import inspect
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demo_render import backdrop, on_a_phone
from numpy.typing import NDArray
from truth.unknown import unknown_picture

from edge.engines import Network
from edge.host.atomic import write_bytes
from edge.selection.taught import features_of
from teach import bodies, views
from teach.views import Pixels, Rng, World, view

Floats = NDArray[np.float32]
PIECE = 50
"""Views in one file."""
_THING, _STRANGER, _LOOKALIKE = range(3)


@dataclass(frozen=True)
class Piece:
    """Some views, always the same ones for the same world."""

    kind: int
    number: int
    draw: Callable[[Rng, int], Pixels]
    """Draws view number N of the piece."""


@dataclass(frozen=True)
class Seen:
    """What one network makes of the views that it is tested on."""

    things: list[Floats]
    """Of each thing, its new views, N x M."""
    strangers: Floats
    lookalikes: Floats


class Cache:
    """A folder with one file for each piece and network."""

    def __init__(self, folder: Path, world: World, name: str) -> None:
        """`name` is the network's, with its precision and the photos. Other drawings or photos have other files."""
        sources = "".join(inspect.getsource(one) for one in (bodies, views, backdrop, on_a_phone, unknown_picture))
        self._folder = folder / hashlib.sha256((sources + name + world.name).encode()).hexdigest()[:20]

    def read(self, piece: Piece) -> Floats | None:
        """Return the features of a piece (PIECE x M); None if they are not there."""
        try:
            return np.asarray(np.load(self._path(piece)), np.float32)
        except (OSError, ValueError):
            return None

    def write(self, piece: Piece, features: Floats) -> None:
        """Keep the features of a piece."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        np.save(data, features)
        write_bytes(self._path(piece), data.getvalue())

    def _path(self, piece: Piece) -> Path:
        return self._folder / f"{piece.kind}-{piece.number}.npy"


def pieces(world: World, things: int, count: int, strangers: int, lookalikes: int) -> Iterator[Piece]:
    """Yield all pieces, views of each thing, strangers and look-alikes; the last piece may be too large."""

    def of_thing(number: int) -> Callable[[Rng, int], Pixels]:
        thing = world.things(number + 1)[number]
        return lambda rng, _view: view(rng, thing, world.place(rng))

    def of_none(draw: Callable[[Rng, int], Pixels], part: int) -> Callable[[Rng, int], Pixels]:
        return lambda rng, number: draw(rng, PIECE * part + number)

    for number in range(things):
        for part in range(-(-count // PIECE)):
            yield Piece(_THING, 1000 * part + number, of_thing(number))
    for kind, draw, most in ((_STRANGER, world.stranger, strangers), (_LOOKALIKE, world.lookalike, lookalikes)):
        for part in range(-(-most // PIECE)):
            yield Piece(kind, part, of_none(draw, part))


def look(
    some: Sequence[Piece],
    networks: Mapping[str, Network],
    caches: Mapping[str, Cache],
    world: World,
    progress: Callable[[int, int], object],
) -> dict[str, dict[Piece, Floats]]:
    """Return each network's features of all pieces; a view is drawn once, and only if a network has not seen it."""
    found: dict[str, dict[Piece, Floats]] = {name: {} for name in networks}
    for done, piece in enumerate(some, 1):
        progress(done, len(some))
        for name in networks:
            if (kept := caches[name].read(piece)) is not None:
                found[name][piece] = kept
        missing = [name for name in networks if piece not in found[name]]
        if not missing:
            continue
        rng = np.random.default_rng((7, world.seed, piece.kind, piece.number))
        pictures = [piece.draw(rng, number) for number in range(PIECE)]
        for name in missing:
            found[name][piece] = np.stack([features_of(networks[name], picture) for picture in pictures])
            caches[name].write(piece, found[name][piece])
    return found


def arranged(found: Mapping[Piece, Floats], things: int, count: int, strangers: int, lookalikes: int) -> Seen:
    """Return the features of pieces by what they show."""

    def of(kind: int, most: int, number: int | None = None) -> Floats:
        rows = [
            rows
            for piece, rows in found.items()
            if piece.kind == kind and (number is None or piece.number % 1000 == number)
        ]
        return np.concatenate(rows)[:most] if rows else np.empty((0, 0), np.float32)

    return Seen(
        [of(_THING, count, number) for number in range(things)], of(_STRANGER, strangers), of(_LOOKALIKE, lookalikes)
    )
