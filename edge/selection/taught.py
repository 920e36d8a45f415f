"""How a network is taught from pictures."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.engines import Network
from edge.models.taught.pictures import MOST_JPEG, MOST_SIDE
from edge.models.taught.recogniser import unit
from edge.models.taught.record import MOST_EMPTY, MOST_VIEWS, Floats, TaughtThing
from edge.models.taught.store import MOST_OTHERS
from edge.selection.copies import cut_out, elsewhere, nearer
from edge.stages import Condition, Frame, Pixels
from edge.vision.images import decode_frame, fitted, jpeg
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import fault

_MOST_COPIES = 6
"""Altered copies of a picture, if there are few pictures: two of three show the thing elsewhere."""

_USELESS = {
    Condition.DARK: "it is too dark",
    Condition.BRIGHT: "it is too bright",
    Condition.COVERED: "it shows one colour only",
}


def drawn_others(network: Network) -> Iterator[NDArray[np.float32]]:
    """Yield the features of MOST_OTHERS drawings without a thing, one forward each."""
    # imported here: most daemons find them in the store
    from edge.models.calibrator.drawings import other_pictures

    for picture in other_pictures(MOST_OTHERS):
        yield features_of(network, picture)


def unlike(rows: Floats, views: Floats) -> Floats:
    """Return those of the rows that are less like the mean of the views than all views are.

    What is beside a thing stands for its place only if it is not the thing: that may fill the picture.
    """
    views, mean = unit(views), unit(unit(views).mean(axis=0))
    found: Floats = rows[unit(rows) @ mean < (views @ mean).min()]
    return found


def variants(picture: Pixels, number: int, pictures: int, empty: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield picture `number` of `pictures`, and the altered copies that are learnt too.

    `empty` are pictures of the place without the thing, in any size. The copies are always the same for the same
    pictures and number.
    """
    rng = np.random.default_rng((29, number))
    yield picture
    mask = cut_out(picture, empty)
    for copy in range(copies_of(pictures)):
        yield nearer(rng, picture) if copy % 3 == 2 else elsewhere(rng, picture, mask)


def copies_of(pictures: int) -> int:
    """Return how many altered copies of each of so many pictures are learnt."""
    return min(_MOST_COPIES, max(MOST_VIEWS // pictures - 1, 0))


def small(picture: Pixels) -> bytes:
    """Return a picture as it is kept: a JPEG file of at most MOST_SIDE pixels on the longer side."""
    copy = fitted(picture, MOST_SIDE)
    # a picture of noise needs more bytes
    return next(data for quality in (85, 50, 10) if len(data := jpeg(copy, quality)) <= MOST_JPEG or quality == 10)


def shown(pictures: Iterable[bytes]) -> list[Pixels]:
    """Return kept pictures as a camera gives them; damaged ones are left out."""
    found = (decode_frame(data) for data in pictures)
    return [np.ascontiguousarray(one[..., ::-1]) for one in found if one is not None]


def useless(picture: Pixels) -> str:
    """Return why nothing can be learnt from a picture, in a few words; empty if something can."""
    condition = fault(make_thumbnail(picture))
    return _USELESS.get(condition, "nothing can be seen in it") if condition else ""


def joined(before: TaughtThing, new: TaughtThing) -> TaughtThing:
    """Return a thing with the views of both, thinned out evenly to the number that is kept."""
    views = _thinned(np.concatenate([before.views, new.views]), MOST_VIEWS)
    empty = _thinned(np.concatenate([before.empty, new.empty]), MOST_EMPTY)
    return dataclasses.replace(new, views=views, empty=empty)


def _thinned(rows: Floats, most: int) -> Floats:
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]


def features_of(network: Network, picture: Pixels) -> NDArray[np.float32]:
    """Return a picture's features, looked at as the daemon looks at a frame."""
    network.classify(Frame(picture, 0, 0.0))
    assert network.features is not None
    return network.features
