"""What is worth saying now? Pure: no clock, no I/O; time comes as an argument, so a test can live through a day.

Four questions between a frame's predictions and words:
1. Is it really there? Probabilities are smoothed over frames; the best label must be above a floor, ahead of the second
   by a margin, and stay so for a while and for at least two frames. It must also be the newest frame's best: what has
   just left is not described.
2. Is it news? A label that was said is not said again until it has left the view or the cooldown has passed.
3. Has it left? Only when it was below `hold`, which is lower than the floor, for `leave_s` and two frames (hysteresis).
4. Was it heard? Only that counts as said. What nobody could hear is tried again after `retry_s`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.settings import AnnounceSettings
from edge.stages import Announcement, Outcome, Prediction


@dataclass
class _Candidate:
    """The label that may become an announcement."""

    id: str
    since_s: float


@dataclass
class _Spoken:
    """A label that was handed to the speaker."""

    at_s: float
    last_in_view_s: float
    frames_out_of_view: int = 0
    delivered: bool | None = None
    """None until the outcome is known."""


class Announcer:
    """Turns the predictions of frame after frame into announcements."""

    def __init__(
        self, settings: AnnounceSettings, phrase: Callable[[str], str], background: frozenset[str] = frozenset()
    ) -> None:
        """`phrase` makes the words of a label; `background` are ids that say nothing but hold the others off."""
        self._settings = settings
        self._phrase = phrase
        self.background = background
        self._smoothed: dict[str, float] = {}
        self._labels: dict[str, str] = {}
        """The label of each id in _smoothed."""
        self._last_s = -math.inf
        self._candidate: _Candidate | None = None
        self._spoken: dict[str, _Spoken] = {}

    def update(self, predictions: Sequence[Prediction], now_s: float) -> Announcement | None:
        """Take the predictions (best first) of the frame of time `now_s`; return what is worth saying now, if anything.

        The same is returned with the next frame too until `taken` is called: a busy speaker loses nothing.
        """
        if not predictions:
            return None
        self._smooth(predictions, now_s)
        self._forget_what_left(now_s)
        best = self._best()
        if best is None:
            self._candidate = None
            return None
        if self._candidate is None or self._candidate.id != best:
            # the first of at least two frames
            self._candidate = _Candidate(best, since_s=now_s)
            return None
        persists = now_s - self._candidate.since_s >= self._settings.persistence_s
        if not persists or not self._is_news(best, now_s) or predictions[0].id != best:
            return None
        label = self._labels[best]
        return Announcement(best, label, self._smoothed[best], self._phrase(label))

    def taken(self, announcement: Announcement, now_s: float) -> None:
        """The speaker has begun to say it."""
        self._spoken[announcement.id] = _Spoken(at_s=now_s, last_in_view_s=now_s)

    def finished(self, outcome: Outcome) -> None:
        """It is known whether it reached anybody."""
        if spoken := self._spoken.get(outcome.announcement.id):
            spoken.delivered = outcome.delivered

    def _smooth(self, predictions: Sequence[Prediction], now_s: float) -> None:
        """An exponential moving average whose time constant is in seconds, whatever the frame rate."""
        elapsed_s = now_s - self._last_s
        self._last_s = now_s
        if elapsed_s < 0:
            # a clip that begins again: nothing before it counts
            self._smoothed, self._candidate, self._spoken = {}, None, {}
        self._labels |= {prediction.id: prediction.label for prediction in predictions}
        new = {prediction.id: prediction.probability for prediction in predictions}
        if elapsed_s < 0 or self._settings.smoothing_s == 0:
            share = 1.0
        else:
            share = 1.0 - math.exp(-elapsed_s / self._settings.smoothing_s)
        smoothed = {
            identity: (1.0 - share) * self._smoothed.get(identity, 0.0) + share * new.get(identity, 0.0)
            for identity in {*self._smoothed, *new}
        }
        # what has faded is dropped, or a network of a thousand labels would be carried along for months
        self._smoothed = {identity: value for identity, value in smoothed.items() if value > 1e-4}
        self._labels = {identity: self._labels[identity] for identity in self._smoothed}

    def _best(self) -> str | None:
        """The id of the label that is clearly there, or None."""
        ranked = sorted(self._smoothed, key=self._smoothed.__getitem__, reverse=True)
        if not ranked or ranked[0] in self.background:
            return None
        first = self._smoothed[ranked[0]]
        second = self._smoothed[ranked[1]] if len(ranked) > 1 else 0.0
        clear = first >= self._settings.floor and first - second >= self._settings.margin
        return ranked[0] if clear else None

    def _forget_what_left(self, now_s: float) -> None:
        for identity, spoken in list(self._spoken.items()):
            if self._smoothed.get(identity, 0.0) >= self._settings.hold:
                spoken.last_in_view_s, spoken.frames_out_of_view = now_s, 0
                continue
            spoken.frames_out_of_view += 1
            # one bad frame is no departure, however long it stands for
            left = spoken.frames_out_of_view >= 2 and now_s - spoken.last_in_view_s >= self._settings.leave_s
            unheard = spoken.delivered is False and now_s - spoken.at_s < self._settings.retry_s
            if left and not unheard:
                del self._spoken[identity]

    def _is_news(self, identity: str, now_s: float) -> bool:
        spoken = self._spoken.get(identity)
        if spoken is None:
            return True
        if spoken.delivered is None:
            return False
        age_s = now_s - spoken.at_s
        if not spoken.delivered:
            return age_s >= self._settings.retry_s
        return 0 < self._settings.cooldown_s <= age_s
