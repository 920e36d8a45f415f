"""A network that also names what the user has taught, and learns things again that it does not know yet."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from edge.engines import Network
from edge.errors import ModelError
from edge.models.taught.recogniser import Recogniser
from edge.models.taught.record import Floats, TaughtThing
from edge.models.taught.store import TaughtStore
from edge.selection.lesson import Lesson
from edge.selection.taught import shown
from edge.stages import Frame, Prediction, Timing

_TOLD = 5
"""Names of things that are listed in a line."""


class TaughtClassifier:
    """The classifier of a network that gives its features, and a recogniser of the taught things in a store.

    A thing that another network was taught is learnt again if its pictures are kept: by `work`, one forward at a time,
    with this network. So it needs no more memory, and a loop goes on meanwhile. These things are recognised when all of
    them are learnt (after a restart, those that were ready before it): a part of them could be taken for the others.
    Things that the network knows already are recognised meanwhile.
    """

    def __init__(
        self,
        network: Network,
        model: str,
        store: TaughtStore,
        *,
        meanwhile: bool = False,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Take an open network that gives its features, its fingerprint `model`, and the store.

        `meanwhile`: what is missing is made by `work`; else the drawings are made now, and nothing is learnt again.
        `tell` gets lines about things that the network does not know.
        """
        self.network = network
        self._model, self._store = model, store
        self._meanwhile, self._tell = meanwhile, tell
        self.timing: Timing = network.timing
        self.name, self.engine = network.name, network.engine
        self.calibrated, self.independent = network.calibrated, network.independent
        self.taught: dict[str, str] = {}
        """Names of the things that it recognises, by id."""
        self.stored: dict[str, str] = {}
        """Names of all things in the store, by id."""
        self.unknown: list[str] = []
        """Names of the things that it does not know, and cannot learn by itself."""
        self.learning_again: list[str] = []
        """Names of the things that it learns again, or would with `meanwhile`."""
        self._news = False
        self._work: Iterator[bool] = iter(())
        self._recogniser: Recogniser | None = None
        self._others: Floats | None = None
        self._learnt: dict[tuple[str, str], TaughtThing] = {}
        """Things that were learnt again and could not be kept, by id and pictures: the disk may be full."""
        self.told: list[str] = []
        """The last lines about things that it does not know."""
        self.update()

    def classify(self, frame: Frame) -> list[Prediction]:
        """Return the network's predictions; if a taught thing is there for sure, it comes first.

        Then the network's labels share the rest of the probability.
        """
        predictions = self.network.classify(frame)
        self.timing = self.network.timing
        assert self.network.features is not None
        found = self._recogniser.recognise(self.network.features) if self._recogniser else None
        if found is None:
            return predictions
        left = 1 - found.probability
        others = [dataclasses.replace(one, probability=left * one.probability) for one in predictions[:-1]]
        return [Prediction(found.id, found.name, found.probability), *others]

    def close(self) -> None:
        """Free the network's memory."""
        self.network.close()

    # ---- what is taught and forgotten meanwhile

    def has_news(self) -> bool:
        """Return True if something was taught, forgotten or learnt again: then call `update`."""
        return self._news or self._store.version() != self._version

    def update(self) -> None:
        """Recognise from now on what the store has now."""
        self._news, self._version = False, self._store.version()
        try:
            stored = self._store.read(self._model)
        except ModelError as error:
            self._tell(f"{error}.")
            return
        things = [self._learnt.get((thing.id, thing.pictures), thing) for thing in stored]
        self.stored = {thing.id: thing.name for thing in things}
        known = [thing for thing in things if self._is_mine(thing)]
        strange = [thing for thing in things if not self._is_mine(thing)]
        again = [thing for thing in strange if thing.pictures]
        unknown = [thing for thing in strange if not thing.pictures]
        self.unknown = [thing.name for thing in unknown]
        self.learning_again = [thing.name for thing in again]
        if things and self._others is None:
            self._others = self._store.others(self._model)
        if known and self._others is None and not self._meanwhile:
            for _ in self._draw():
                pass
        fitted = known if self._others is not None else []
        self.taught = {thing.id: thing.name for thing in fitted}
        self._recogniser = Recogniser(fitted, self._others) if fitted and self._others is not None else None
        self._work = self._learn(again, known) if self._meanwhile else iter(())
        self._explain(unknown, again)

    def work(self) -> bool:
        """Make one forward for the next thing to be learnt; return False if there was nothing to do."""
        return next(self._work, False)

    def _is_mine(self, thing: TaughtThing) -> bool:
        # an archive may lie about its fingerprint
        features = self.network.features
        return thing.model == self._model and features is not None and thing.views.shape[1] == len(features)

    def _learn(self, things: Sequence[TaughtThing], known: Sequence[TaughtThing]) -> Iterator[bool]:
        """Yield True after each forward: for the drawings if they are missing, then for things to be learnt again."""
        if self._others is None and (things or known):
            for _ in self._draw():
                yield True
            self._news = bool(known)
        for thing in things:
            kept = self._store.pictures(thing)
            pictures = shown(kept.views) if kept else []
            if not kept or not pictures:
                self.unknown.append(thing.name)
                self._explain([thing], [])
                continue
            lesson = Lesson(
                self.network, self._model, thing.name, self._store, pictures=len(pictures), others=self._others
            )
            lesson.add_all(pictures, shown(kept.empty))
            while lesson.work():
                yield True
            learnt = dataclasses.replace(lesson.thing(), pictures=thing.pictures)
            if not self._store.keep_again(learnt):
                self._learnt[thing.id, thing.pictures] = learnt
        self._news = self._news or bool(things)

    def _draw(self) -> Iterator[None]:
        """Yield after each forward for the drawings; then they are known, and in the store."""
        lesson = Lesson(self.network, self._model, "", self._store, pictures=1)
        while lesson.work():
            yield
        self._others = lesson.others

    def _explain(self, unknown: Sequence[TaughtThing], again: Sequence[TaughtThing]) -> None:
        """Report the things that the network does not know, each line once."""
        lines = []
        if unknown:
            models = " or ".join(sorted({thing.model_name for thing in unknown}))
            one = len(unknown) == 1
            these, were = ("it", "it was") if one else ("them", "they were")
            lines.append(
                f"Model {self.name} does not know: {_listed(unknown)}. Teach {these} again, or run the model that "
                f"{were} taught with ({models})."
            )
        if again and self._meanwhile:
            lines.append(f"Model {self.name} learns again, from kept pictures: {_listed(again)}.")
        elif again:
            lines.append(
                f"Model {self.name} does not know yet: {_listed(again)}. A running edge learns that from kept pictures."
            )
        for line in lines:
            if line not in self.told:
                self._tell(line)
        self.told = lines


def _listed(things: Sequence[TaughtThing]) -> str:
    return ", ".join(thing.name for thing in things[:_TOLD]) + (
        f" and {len(things) - _TOLD} more" if len(things) > _TOLD else ""
    )
