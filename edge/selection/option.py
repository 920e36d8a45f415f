"""A model that could run here, with what is known of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from edge.engines.agreement import UNKNOWN, Agreement
from edge.engines.backend import Backend
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import Checkpoint
from edge.models.labels import read_labels
from edge.models.measurements import Measurement
from edge.models.store import Installed
from edge.selection.choice import Candidate, Limits


@dataclass(frozen=True)
class Option:
    """A model that could run here."""

    checkpoint: Checkpoint
    installed: Installed | None
    """None for a checkpoint outside the store."""
    candidate: Candidate
    engines: tuple[str, ...]
    """Those that may run it, one at least; of several the fastest that fits."""
    precision: str = FLOAT32
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    """What it takes, by engine, as far as it was measured."""
    unable: frozenset[str] = frozenset()
    """Engines that have turned out not to run it."""
    agreement: Agreement | None = None
    """What came of asking all engines about it; None where that was never done."""
    kills: int = 0
    """How often loading it has killed a daemon; 0 as well when it is tried again."""

    @property
    def name(self) -> str:
        """As in the table and on the command line."""
        return self.candidate.name

    @property
    def engine(self) -> str:
        """What runs it."""
        return self.candidate.engine

    @property
    def backend(self) -> Backend:
        """The engine that runs it, with the precision."""
        return Backend(self.engine, self.precision)

    @property
    def digests(self) -> Mapping[str, str] | None:
        """SHA-256 of its files by name, where they are known."""
        return self.installed.digests if self.installed else None

    @property
    def unmeasured(self) -> list[str]:
        """Where there is a choice of engines: those that it was not measured with."""
        if len(self.engines) == 1:
            return []
        return [engine for engine in self.engines if engine not in self.measured and engine not in self.unable]

    @property
    def background(self) -> frozenset[str]:
        """Ids of labels that say nothing."""
        return self.checkpoint.background

    @property
    def labels(self) -> dict[str, str]:
        """What it can say, by id."""
        labels = read_labels(self.checkpoint.synset)
        return {label.id: label.name for label in labels if label.id not in self.background}

    @property
    def description(self) -> str:
        """What it is and what runs it, for people."""
        weights = ", random weights: its labels mean nothing" if self.candidate.random_weights else ""
        return f"{self.name}, run by {self.backend}{weights}"

    def driver(self, engine: str) -> Backend:
        """Return what is opened for an engine. Raises ModelError for one that is not used."""
        if self.precision != FLOAT32:
            return Backend(engine, self.precision)
        return Backend((self.agreement or UNKNOWN).driver(engine))

    def with_best_engine(self, limits: Limits) -> "Option":
        """Return it with the fastest measured engine that fits; as it is while an unmeasured engine may yet fit."""
        if not self.measured:
            return self
        candidates = [
            replace(self.candidate, engine=engine, measurement=measurement, rejected="")
            for engine, measurement in self.measured.items()
        ]
        best, fits = limits.fastest(candidates)
        if not fits and self.unmeasured:
            return self
        return replace(self, candidate=replace(best, rejected=self.candidate.rejected))

    def rejected(self, why: str) -> "Option":
        """Return it as one that must not run, for a reason; '' lets it run again."""
        return replace(self, candidate=replace(self.candidate, rejected=why))


class Options:
    """The models of this machine: those that may be chosen, and those that only a step down may take."""

    def __init__(self, eligible: Iterable[Option], others: Iterable[Option] = ()) -> None:
        self.eligible = list(eligible)
        self._others = list(others)

    def __iter__(self) -> Iterator[Option]:
        """Yield all of them, those that may be chosen first."""
        return iter([*self.eligible, *self._others])

    def get(self, name: str) -> Option:
        """Return the one of that name."""
        return next(option for option in self if option.name == name)

    def replace(self, option: Option) -> None:
        """Put an option in the place of the one that `get` returns for its name."""
        for options in (self.eligible, self._others):
            for index, old in enumerate(options):
                if old.name == option.name:
                    options[index] = option
                    return

    def rebuild(self, build: Callable[[Checkpoint, Installed | None], Option]) -> None:
        """Put in the place of each option what `build` makes of its checkpoint and folder."""
        for options in (self.eligible, self._others):
            options[:] = [build(old.checkpoint, old.installed) for old in options]

    def reject(self, name: str, why: str) -> None:
        """Let the model of that name not run any more."""
        self.replace(self.get(name).rejected(why))

    def add(self, option: Option, *, instead_of: str) -> None:
        """Let one more be chosen, in the place of one of the same name and of the one named `instead_of`."""
        gone = (option.name, instead_of)
        self.eligible[:] = [*(old for old in self.eligible if old.name not in gone), option]


def tried_as(agreement: Agreement | None, engine: str) -> str:
    """Return what measurements of an engine are of: what is opened for it, also where it is not used by now."""
    return engine if agreement is None or engine in agreement.refused else agreement.driver(engine)
