"""Drives edge's announcer over recorded answers of a network, with a simulated clock, in the form of edge's events.

Each shot is seen after a long gap: the announcer starts with an empty view. Speaking takes no time, as with
`--speech log`.
"""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.announce.announcer import Announcer
from edge.announce.claims import Knowledge
from edge.announce.schedule import Moment, Schedule
from edge.announce.wording import Words
from edge.models.calibration_file import Calibration
from edge.models.confidence import calibrated
from edge.models.groups import load_groups
from edge.models.labels import Label
from edge.settings import AnnounceSettings, Settings
from edge.stages import Outcome, Prediction
from truth.answers import Seen
from truth.films import Film, Shot
from truth.scoring import Listened, listen

_NOON = datetime.datetime(2026, 1, 1, 12)
_EMPTY = 2
"""Frames before each shot that show nothing."""


@dataclass(frozen=True, eq=False)
class Replay:
    """A film with the answers of one network, as the announcer gets them."""

    film: Film
    best: NDArray[np.int32]
    """Indices of the best labels of each frame of the film: F x K."""
    probabilities: NDArray[np.float32]
    """Their probabilities: F x K; nan for a frame that shows nothing."""
    labels: tuple[Label, ...]
    """Of all outputs of the network."""
    knowledge: Knowledge

    def listen(self, settings: AnnounceSettings, part: int = 0) -> Listened:
        """Return everything that edge says with these settings; `part` is the film's number."""
        return listen(self.events(settings), self.film, part)

    def events(self, settings: AnnounceSettings) -> Iterator[dict[str, Any]]:
        """Yield the events `announced` of `edge run --events`."""
        words = Words(settings)
        first = 0
        for shot in self.film.shots:
            announcer = Announcer(settings, words, Schedule(settings), knowledge=self.knowledge)
            count = round((shot.to_s - shot.from_s) * self.film.fps)
            for number in range(-_EMPTY, count):
                seen_s = shot.from_s + number / self.film.fps
                now = Moment(seen_s, _NOON)
                seen = self._predictions(first + number) if number >= 0 else []
                said = announcer.update(seen, seen_s, now, something=bool(seen))
                if said is not None:
                    announcer.taken(said, seen_s, now)
                    announcer.finished(Outcome(said, heard=False, printed=True))
                    yield {
                        "event": "announced",
                        "frame_s": seen_s,
                        "id": said.id,
                        "text": said.text,
                        "probability": said.probability,
                    }
            first += count

    def _predictions(self, frame: int) -> list[Prediction]:
        if np.isnan(self.probabilities[frame, 0]):
            return []
        pairs = zip(self.best[frame].tolist(), self.probabilities[frame].tolist(), strict=True)
        return [Prediction(self.labels[one].id, self.labels[one].name, probability) for one, probability in pairs]


def make_replay(
    film: Film,
    seen: Seen,
    labels: tuple[Label, ...],
    background: frozenset[str],
    calibration_of: Callable[[Shot], Calibration] | None = None,
) -> Replay:
    """Return the replay of a film; `seen` has the network's answers for its frames.

    `calibration_of` returns the calibration with which a shot is seen; None: the model is not calibrated.
    """
    top = min(Settings().model.top, seen.logs.shape[1])
    best = np.zeros((len(seen.visible), top), np.int32)
    probabilities = np.full((len(seen.visible), top), np.nan, np.float32)
    shots = [shot for shot in film.shots for _ in range(round((shot.to_s - shot.from_s) * film.fps))]
    for frame, row in zip(np.flatnonzero(seen.visible).tolist(), seen.logs, strict=True):
        own = np.exp(row)
        best[frame] = np.argsort(-own, kind="stable")[:top]
        known = calibrated(own, calibration_of(shots[frame])) if calibration_of else own
        probabilities[frame] = known[best[frame]]
    knowledge = Knowledge(
        background, load_groups([label.id for label in labels]), calibrated=calibration_of is not None
    )
    return Replay(film, best, probabilities, labels, knowledge)
