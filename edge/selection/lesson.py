"""A lesson: a thing is learnt from views of it, tested on those that were held back, and kept.

The work is divided into steps of one forward, so that a daemon's loop can go on meanwhile.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engines import Network
from edge.models.taught.pictures import MOST_PICTURES, KeptPictures, thinned
from edge.models.taught.recogniser import Recogniser
from edge.models.taught.record import MOST_EMPTY, Floats, TaughtThing, id_of
from edge.models.taught.store import MOST_OTHERS, TaughtStore
from edge.selection.copies import beside, place_copy
from edge.selection.taught import copies_of, drawn_others, features_of, joined, small, unlike, variants
from edge.stages import Pixels

_HELD_BACK = 4
"""Every fourth view is held back, to test what was learnt from the others."""
_KNOWN = 0.6
"""Share of the held-back views that must be recognised."""
_BESIDE = 4
"""So many views of the thing stand for the empty place, if there is no picture of it."""
_Row = NDArray[np.float32]


@dataclass(frozen=True)
class Learnt:
    """The result of a lesson."""

    thing: TaughtThing
    right: int
    """How many of the views that were held back are recognised."""
    held_back: int
    confused: str
    """The name of the taught thing that others of them were taken for; empty: for none."""
    pictures: KeptPictures | None = None
    """Its pictures, if they are to be kept."""

    @property
    def is_known(self) -> bool:
        """True if so many are recognised that the thing is worth keeping."""
        return self.right >= _KNOWN * self.held_back


class Lesson:
    """Learns one thing with one network: `add` its views, `work` until nothing is left, then take the `result`."""

    def __init__(
        self,
        network: Network,
        model: str,
        name: str,
        store: TaughtStore,
        *,
        pictures: int,
        others: Floats | None = None,
        keep_pictures: bool = False,
    ) -> None:
        """Start with an open network that gives its features, and its fingerprint `model`.

        `pictures` is how many views of the thing will come, about: with fewer, more altered copies are learnt. `others`
        are the features of pictures without a thing, if they are known. With `keep_pictures`, `keep` keeps small
        copies of the views.
        """
        self.name = name
        self._network, self._model, self._store = network, model, store
        self._pictures = pictures
        self._views: list[list[_Row]] = []
        """Features of each view, and then of its altered copies."""
        self._empty: list[list[_Row]] = []
        self._place: list[Pixels] = []
        """Small pictures of the empty place: the thing is cut out by what differs from them."""
        self._beside: list[Pixels] = []
        """What stands for the empty place if no picture of it comes."""
        self._due: deque[tuple[list[_Row], Iterator[Pixels]]] = deque()
        """Pictures whose features are missing, and where these belong."""
        self._drawn: list[_Row] = []
        self.others = store.others(model) if others is None else others
        """Features of pictures without a thing; None: not complete yet."""
        self._draws = self.others is None
        self._drawings = drawn_others(network)
        self._keeps_pictures = keep_pictures
        self._kept: list[bytes] = []
        self._kept_empty: list[bytes] = []

    @property
    def steps(self) -> tuple[int, int]:
        """Return the number of forwards that were made, and of those that are needed so far."""
        done = len(self._drawn) + sum(map(len, (*self._views, *self._empty)))
        views = len(self._views) * (1 + copies_of(self._pictures)) + (len(self._empty) or len(self._beside))
        return done, views + (MOST_OTHERS if self._draws else 0)

    @property
    def views(self) -> int:
        """Return how many views of the thing there are."""
        return len(self._views)

    def features_of(self, picture: Pixels) -> NDArray[np.float32]:
        """Return a picture's features, in one forward."""
        return features_of(self._network, picture)

    def add(self, picture: Pixels, features: NDArray[np.float32] | None = None) -> None:
        """Take a view of the thing, with its features if they are known. The picture must not change any more."""
        self._views.append(self._expect(variants(picture, len(self._views), self._pictures, self._place), features))
        if len(self._beside) < _BESIDE:
            self._beside.append(beside(picture))
        if self._keeps_pictures:
            self._kept.append(small(picture))

    def add_empty(self, picture: Pixels, features: NDArray[np.float32] | None = None) -> None:
        """Take a view of the place without the thing; more than MOST_EMPTY are not needed."""
        if len(self._empty) < MOST_EMPTY:
            self._empty.append(self._expect(iter([picture]), features))
            self._place.append(place_copy(picture))
            if self._keeps_pictures:
                self._kept_empty.append(small(picture))

    def add_all(self, views: Iterable[Pixels], empty: Iterable[Pixels]) -> None:
        """Take views of the thing, and of its place without it."""
        for picture in views:
            self.add(picture)
        for picture in empty:
            self.add_empty(picture)

    def forget_views(self) -> None:
        """Forget the views of the thing: it will be shown again."""
        forgotten = set(map(id, self._views))
        self._due = deque((rows, pictures) for rows, pictures in self._due if id(rows) not in forgotten)
        self._views, self._kept, self._beside = [], [], []

    def work(self) -> bool:
        """Make one forward, if one is due; return False if there was none."""
        while self._due or self._expect_stand_in():
            rows, pictures = self._due[0]
            for picture in pictures:
                rows.append(features_of(self._network, picture))
                return True
            self._due.popleft()
        if self.others is not None:
            return False
        for row in self._drawings:
            self._drawn.append(row)
            return True
        self.others = np.stack(self._drawn)
        self._store.keep_others(self._model, self._network.name, self.others)
        return False

    def result(self, *, more: bool = False) -> Learnt:
        """Return what was learnt; call it when no work is left. With `more`, earlier views count too."""
        assert self.others is not None
        things = [thing for thing in self._store.read(self._model) if thing.model == self._model]
        others = [thing for thing in things if thing.id != id_of(self.name)]
        most = [rows for number, rows in enumerate(self._views) if number % _HELD_BACK]
        trial = Recogniser([*others, self._thing(most)], self.others)
        whole = self.thing()
        found = [trial.recognise(rows[0]) for rows in self._views[::_HELD_BACK]]
        right = sum(one is not None and one.id == whole.id for one in found)
        confused = next((one.name for one in found if one is not None and one.id != whole.id), "")
        before = [thing for thing in things if thing.id == whole.id]
        joins = before[0] if more and before else None
        thing = joined(joins, whole) if joins else whole
        return Learnt(thing, right, len(found), confused, self._pictures_with(joins))

    def thing(self) -> TaughtThing:
        """Return what was learnt, without a test; call it when no work is left."""
        return self._thing(self._views)

    def keep(self, learnt: Learnt) -> None:
        """Keep what was learnt. Raises ModelError, and what was known before stays, if that is impossible."""
        self._store.add([learnt.thing], {learnt.thing.id: learnt.pictures} if learnt.pictures else {})

    def _pictures_with(self, before: TaughtThing | None) -> KeptPictures | None:
        """Return the pictures to keep: those of this lesson, and those of before; None: none."""
        if not self._keeps_pictures:
            return None
        old = (self._store.pictures(before) if before else None) or KeptPictures((), ())
        return KeptPictures(
            thinned((*old.views, *self._kept), MOST_PICTURES), thinned((*old.empty, *self._kept_empty), MOST_EMPTY)
        )

    def _expect_stand_in(self) -> bool:
        """Expect pictures that stand for the empty place if there is none of it; return False otherwise."""
        if self._empty or not self._beside:
            return False
        self._empty = [self._expect(iter([picture]), None) for picture in self._beside]
        return True

    def _expect(self, pictures: Iterator[Pixels], features: _Row | None) -> list[_Row]:
        """Return where the features of these pictures will be; `features` are those of the first."""
        rows = list[_Row]()
        if features is not None:
            next(pictures)
            rows.append(features)
        self._due.append((rows, pictures))
        return rows

    def _thing(self, views: Sequence[Sequence[_Row]]) -> TaughtThing:
        features = np.stack([row for rows in views for row in rows])
        empty = np.stack([rows[0] for rows in self._empty])
        if not self._place:
            empty = unlike(empty, np.stack([rows[0] for rows in views]))
        return TaughtThing(self.name, self._model, self._network.name, features, empty)
