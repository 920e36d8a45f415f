"""How a network is taught from pictures."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.engines import Network
from edge.models.taught.pictures import MOST_JPEG, MOST_SIDE
from edge.models.taught.record import MOST_EMPTY, MOST_VIEWS, Floats, TaughtThing
from edge.models.taught.store import MOST_OTHERS, TaughtStore
from edge.stages import Condition, Frame, Pixels
from edge.vision.images import decode_frame, fitted, jpeg
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import fault

_ALTERED = 3
"""Altered copies of each picture that a thing is learnt from."""
_CROPS = (0.65, 0.95)
"""Sides of an altered copy, as a share of the picture's."""
_BRIGHTNESS, _TINT = 0.25, 0.06
"""Standard deviations of the logarithms of an altered copy's brightness, and of each colour's."""

_USELESS = {
    Condition.DARK: "it is too dark",
    Condition.BRIGHT: "it is too bright",
    Condition.COVERED: "it shows one colour only",
}


def others_of(
    network: Network, model: str, store: TaughtStore, progress: Callable[[int, int], object] = lambda _n, _of: None
) -> Floats:
    """Return the features of pictures without a thing (N x M), from the store or made now, and keep them.

    They are drawings that edge makes itself. `progress` is called with the number of the picture and of all.
    """
    if (kept := store.others(model)) is not None:
        return kept
    rows = []
    for number, row in enumerate(drawn_others(network), 1):
        progress(number, MOST_OTHERS)
        rows.append(row)
    features = np.stack(rows)
    store.keep_others(model, network.name, features)
    return features


def drawn_others(network: Network) -> Iterator[NDArray[np.float32]]:
    """Yield the features of MOST_OTHERS drawings without a thing, one forward each."""
    # imported here: most daemons find them in the store
    from edge.models.calibrator.drawings import other_pictures

    for picture in other_pictures(MOST_OTHERS):
        yield features_of(network, picture)


def learn(network: Network, model: str, name: str, pictures: Sequence[Pixels], empty: Sequence[Pixels]) -> TaughtThing:
    """Return a thing as the network sees it in `pictures`, and its place without it in `empty`. Nothing is tested."""
    rows = [
        features_of(network, one)
        for number, picture in enumerate(pictures)
        for one in variants(picture, number, len(pictures))
    ]
    nothing = [features_of(network, picture) for picture in empty[:MOST_EMPTY]]
    views = np.stack(rows)
    return TaughtThing(name, model, network.name, views, np.stack(nothing) if nothing else views[:0])


def variants(picture: Pixels, number: int, pictures: int) -> Iterator[Pixels]:
    """Yield picture `number` of `pictures`, and the altered copies that are learnt too.

    These are nearer, lighter or darker, mirrored; for the same picture and number always the same.
    """
    rng = np.random.default_rng((29, number))
    yield picture
    for _ in range(copies_of(pictures)):
        yield _altered(rng, picture)


def copies_of(pictures: int) -> int:
    """Return how many altered copies of each of so many pictures are learnt."""
    return min(_ALTERED, max(MOST_VIEWS // pictures - 1, 0))


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


def _altered(rng: np.random.Generator, picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    share = rng.uniform(*_CROPS)
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top = int((height - rows) * rng.uniform(0.2, 0.8))
    left = int((width - columns) * rng.uniform(0.2, 0.8))
    crop = picture[top : top + rows, left : left + columns]
    light = np.exp(rng.normal(0, _BRIGHTNESS) + rng.normal(0, _TINT, 3)).astype(np.float32)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(np.clip(crop * light, 0, 255).astype(np.uint8))
