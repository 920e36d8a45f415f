"""Options: models that could run here, each with its records."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from edge.engines.agreement import UNKNOWN, Agreement
from edge.engines.backend import Backend
from edge.importer.quantised import FLOAT32, INT8
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
    """The engines that may run it, at least one; of several, the fastest that fits does."""
    precision: str = FLOAT32
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    """Its measurements, by engine."""
    unable: frozenset[str] = frozenset()
    """Engines that failed to run it."""
    agreement: Agreement | None = None
    """The result of comparing all engines on it; None if that was never done."""
    kills: int = 0
    """How often loading it has killed a daemon; reset to 0 when it is tried again."""

    @property
    def name(self) -> str:
        """The model's name, as in the table and on the command line."""
        return self.candidate.name

    @property
    def engine(self) -> str:
        """The engine that runs it."""
        return self.candidate.engine

    @property
    def backend(self) -> Backend:
        """The engine that runs it, with the precision."""
        return Backend(self.engine, self.precision)

    @property
    def digests(self) -> Mapping[str, str] | None:
        """SHA-256 of its files by name, None if unknown."""
        return self.installed.digests if self.installed else None

    @property
    def unmeasured(self) -> list[str]:
        """The engines that it was not measured with; empty if there is only one engine."""
        if len(self.engines) == 1:
            return []
        return [engine for engine in self.engines if engine not in self.measured and engine not in self.unable]

    @property
    def background(self) -> frozenset[str]:
        """Ids of the labels that are not announced."""
        return self.checkpoint.background

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it can announce, by id."""
        labels = read_labels(self.checkpoint.synset)
        return {label.id: label.name for label in labels if label.id not in self.background}

    @property
    def description(self) -> str:
        """The model and its backend, for messages."""
        weights = ", random weights: its labels mean nothing" if self.candidate.random_weights else ""
        return f"{self.name}, run by {self.backend}{weights}"

    def driver(self, engine: str) -> Backend:
        """Return the backend to open for an engine. Raises ModelError if the engine is not used."""
        if self.precision == INT8:
            return Backend(engine, self.precision)
        return Backend((self.agreement or UNKNOWN).driver(engine), self.precision)

    def with_best_engine(self, limits: Limits) -> "Option":
        """Return it with the fastest measured engine that fits, or unchanged if only an unmeasured engine may fit."""
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
        """Return it marked as one that must not run, with the reason; '' allows it again."""
        return replace(self, candidate=replace(self.candidate, rejected=why))


class Options:
    """The models of this machine: those that may be chosen, and those that are only for stepping down."""

    def __init__(self, eligible: Iterable[Option], others: Iterable[Option] = ()) -> None:
        self.eligible = list(eligible)
        self._others = list(others)

    def __iter__(self) -> Iterator[Option]:
        """Yield all options, those that may be chosen first."""
        return iter([*self.eligible, *self._others])

    def get(self, name: str) -> Option:
        """Return the option of that name."""
        return next(option for option in self if option.name == name)

    def replace(self, option: Option) -> None:
        """Replace the option that `get` returns for its name."""
        for options in (self.eligible, self._others):
            for index, old in enumerate(options):
                if old.name == option.name:
                    options[index] = option
                    return

    def rebuild(self, build: Callable[[Checkpoint, Installed | None], Option]) -> None:
        """Replace each option by the one that `build` makes from its checkpoint and folder."""
        for options in (self.eligible, self._others):
            options[:] = [build(old.checkpoint, old.installed) for old in options]

    def reject(self, name: str, why: str) -> None:
        """Mark the model of that name as one that must not run."""
        self.replace(self.get(name).rejected(why))

    def add(self, option: Option, *, instead_of: str) -> None:
        """Add an option that may be chosen; it replaces one of the same name and the one named `instead_of`."""
        gone = (option.name, instead_of)
        self.eligible[:] = [*(old for old in self.eligible if old.name not in gone), option]


def tried_as(agreement: Agreement | None, engine: str) -> str:
    """Return the driver that an engine's measurements are of: the one opened for it, or itself if it is refused."""
    return engine if agreement is None or engine in agreement.refused else agreement.driver(engine)
