"""How edge is taught a thing: which frames count, what it asks for, and when it has seen enough.

Pure: time comes as an argument, and no frame. First the empty place is shown, then the thing. A frame does not count if
nothing can be seen in it, if it is like the empty place, or like a view that counted before. Then edge says what to do.
Some of these complaints may be wrong: a ball looks the same from all sides, and one thing may look like two. After a
while such a frame counts all the same.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.announce import answers, notices, teaching
from edge.models.taught.recogniser import unit
from edge.stages import Condition
from edge.vision.place import EmptyPlace

EMPTY_VIEWS, VIEWS = 4, 10
"""Views of the empty place and of the thing that are enough."""
FEW_VIEWS = 6
"""Views of the thing that do if more do not come in time: with fewer, nothing is learnt."""
LEAD_S = 1.0
"""Time that a person has after edge has asked, before the first frame counts."""
EMPTY_EVERY_S, VIEW_EVERY_S = 0.25, 0.4
"""Least time between two frames that count."""
EMPTY_S, SHOW_S, SHORT_S = 20.0, 45.0, 25.0
"""How long it looks at the empty place and at the thing; after the last of these times, FEW_VIEWS do."""
LASTS_S, TURNS_S, REPEAT_S = 1.0, 2.5, 4.0
"""How long frames must be of no use before edge says why; the same before it asks to turn the thing, because turning
takes time; and the least time between two complaints."""
GIVES_IN_S = 4.0
"""After this time without a view, a frame counts in spite of a complaint that may be wrong."""
SMALL, NEAR, LIKE_EMPTY = 0.08, 0.25, 0.06
"""A thing is too small if so little of the picture has changed and the features differ less than NEAR from those of the
empty place; if less than LIKE_EMPTY, nothing is there. Drawn bodies that fill 60 % of the height change 0.11 to 0.30 of
the cells, and those that fill 35 % 0.03 to 0.11."""
NOISY = 1.5
"""The empty place's views differ among each other too: what differs less than this times as much is like it."""
NEW = 0.1
"""A view is new if it differs from all before by this share of its difference from the empty place. Most drawn bodies
that were turned by 15 degrees do."""


class Phase(enum.StrEnum):
    """What edge is waiting for."""

    EMPTY = "empty"
    THING = "thing"
    LEARNING = "learning"
    DONE = "done"


@dataclass(frozen=True, eq=False)
class Sight:
    """What one frame tells."""

    grey: NDArray[np.float32]
    """The cells of its thumbnail, 0..255."""
    fault: Condition | None
    """Why nothing can be seen in it."""
    blurred: bool
    features: Callable[[], NDArray[np.float32]]
    """Returns its features; that takes a forward, so it is called only if nothing else excludes the frame."""


class Advice(NamedTuple):
    """What to do now."""

    say: str = ""
    """A sentence of announce/teaching.py; empty: none."""
    counts: bool = False
    """True if the frame is to be learnt, as a view of the place or of the thing, by the phase before this call."""
    failed: bool = False
    """True if too little was seen in time."""


_FAULTS = {
    Condition.DARK: answers.TOO_DARK,
    Condition.BRIGHT: answers.TOO_BRIGHT,
    Condition.COVERED: notices.COVERED,
}
_DOUBTFUL = (teaching.CLOSER, teaching.TURN, teaching.TWO_THINGS)
"""Complaints that may be wrong."""


class Dialogue:
    """One dialogue, from the first question until enough was seen."""

    def __init__(self, now_s: float) -> None:
        self.phase = Phase.EMPTY
        self._greys: list[NDArray[np.float32]] = []
        self._empty: list[NDArray[np.float32]] = []
        """Features of the empty place, of length 1."""
        self._views: list[NDArray[np.float32]] = []
        """The same of the views of the thing."""
        self._place: EmptyPlace | None = None
        self._noise = 0.0
        """How much the views of the empty place differ."""
        self._from_s = math.inf
        """From when on frames count; that is known when the question has been heard."""
        self._counted_s = self._useful_s = now_s
        """When a frame counted last, and when one was last of use."""
        self._said_s = -math.inf
        """When a complaint was said last."""

    @property
    def views(self) -> int:
        """Return how many views counted in this phase."""
        return len(self._empty) if self.phase is Phase.EMPTY else len(self._views)

    @property
    def wanted(self) -> int:
        """Return how many views are enough in this phase."""
        return EMPTY_VIEWS if self.phase is Phase.EMPTY else VIEWS

    def is_looking(self, now_s: float) -> bool:
        """Return True while frames may count: the question has been heard, and the person had time to act."""
        return self.phase in (Phase.EMPTY, Phase.THING) and now_s >= self._from_s

    def again(self, now_s: float) -> None:
        """Ask for the thing once more: what was seen of it did not do. The empty place is known."""
        self._views = []
        self.phase = Phase.THING
        self._begin(now_s)

    def update(self, sight: Sight | None, now_s: float, *, free: bool) -> Advice:
        """Return what to do after a frame, or without one. `free` is False while edge speaks.

        No frame counts while the person hears what to do.
        """
        if self.phase not in (Phase.EMPTY, Phase.THING):
            return Advice()
        if not math.isfinite(self._from_s):
            if free:
                self._from_s = self._counted_s = self._useful_s = now_s + LEAD_S
            return Advice()
        if not self.is_looking(now_s):
            return Advice()
        late_s = now_s - self._from_s
        if self.phase is Phase.THING and late_s > SHORT_S and len(self._views) >= FEW_VIEWS:
            self.phase = Phase.LEARNING
            return Advice()
        if late_s > (EMPTY_S if self.phase is Phase.EMPTY else SHOW_S):
            return Advice(failed=True)
        if sight is None:
            return Advice()
        return self._empty_place(sight, now_s, free) if self.phase is Phase.EMPTY else self._thing(sight, now_s, free)

    def _begin(self, now_s: float) -> None:
        """Ask, and wait until that has been heard."""
        self._from_s, self._said_s = math.inf, -math.inf
        self._counted_s = self._useful_s = now_s

    def _empty_place(self, sight: Sight, now_s: float, free: bool) -> Advice:
        if sight.fault is not None:
            return self._complain(_FAULTS[sight.fault], now_s, free)
        self._useful_s = now_s
        if now_s - self._counted_s < EMPTY_EVERY_S and self._empty:
            return Advice()
        self._counted_s = now_s
        self._greys.append(sight.grey)
        self._empty.append(unit(sight.features()))
        if len(self._empty) < EMPTY_VIEWS:
            return Advice(counts=True)
        self._place = EmptyPlace([one for one in self._greys if one.shape == sight.grey.shape])
        self._noise = max(
            1 - float(one @ other) for number, one in enumerate(self._empty) for other in self._empty[:number]
        )
        self.phase = Phase.THING
        self._begin(now_s)
        return Advice(teaching.SHOW, counts=True)

    def _thing(self, sight: Sight, now_s: float, free: bool) -> Advice:
        if now_s - self._counted_s < VIEW_EVERY_S and self._views:
            return Advice()
        complaint, features = self._judged(sight)
        waits_s = now_s - self._counted_s
        if complaint and not (complaint in _DOUBTFUL and waits_s >= GIVES_IN_S):
            return self._complain(complaint, now_s, free)
        assert features is not None
        self._counted_s = self._useful_s = now_s
        self._views.append(features)
        if len(self._views) >= VIEWS:
            self.phase = Phase.LEARNING
        return Advice(counts=True)

    def _judged(self, sight: Sight) -> tuple[str, NDArray[np.float32] | None]:
        """Return why a frame does not count, '' if it does; and its features if they were needed."""
        if sight.fault is not None:
            # held before the camera, a thing of one colour may fill the picture: then a little further away would do,
            # but nothing tells it from a hand on the lens
            return _FAULTS[sight.fault], None
        if sight.blurred:
            return answers.HOLD_STILL, None
        assert self._place is not None
        share, things = self._place.change(sight.grey)
        features = unit(sight.features())
        far = min(1 - float(one @ features) for one in self._empty)
        if share < SMALL and far < max(LIKE_EMPTY, NOISY * self._noise):
            return teaching.ONLY_EMPTY, None
        if share < SMALL and far < NEAR:
            return teaching.CLOSER, features
        if things > 1:
            return teaching.TWO_THINGS, features
        if self._views and min(1 - float(one @ features) for one in self._views) < NEW * far:
            return teaching.TURN, features
        return "", features

    def _complain(self, sentence: str, now_s: float, free: bool) -> Advice:
        """Return the complaint if it is due: it must last, and must not come too often."""
        lasts_s = TURNS_S if sentence == teaching.TURN else LASTS_S
        if not free or now_s - self._useful_s < lasts_s or now_s - self._said_s < REPEAT_S:
            return Advice()
        self._said_s = now_s
        return Advice(sentence)
