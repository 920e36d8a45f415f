"""Examines a model before it is first loaded: whether the engines agree, and how much memory and time it takes."""

import dataclasses
from collections.abc import Callable

from edge.engines import engine_version
from edge.engines.agreement import agreement_of
from edge.engines.backend import Backend
from edge.engines.measure import measure
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.importer.quantised import identity_of
from edge.models.measurements import Measurement
from edge.models.store import verify
from edge.selection.choice import Limits, Verdict
from edge.selection.option import Option, tried_as
from edge.selection.records import Records

START_FRAMES = 5
"""Frames to measure a model before it is first loaded; few are enough, as its memory shows at once."""
COMPARED_FRAMES = 15
"""Frames to compare engines: more, because their times matter."""


class Measurer:
    """Compares all engines on a model and measures it, in child processes. Results are stored for the next start."""

    def __init__(
        self,
        machine: Machine,
        limits: Limits,
        records: Records,
        tell: Callable[[str], None],
        *,
        most_mib: float | None,
    ) -> None:
        """No child that compares engines may take more than `most_mib`; `tell` gets lines for the user."""
        self._machine = machine
        self._limits = limits
        self._records = records
        self._tell = tell
        self._most_mib = most_mib

    def examine(self, option: Option, verdict: Verdict) -> Option:
        """Return the option with the next missing result; the same object if nothing is missing.

        Raises ModelError if the model is damaged, or no engine can run it, or none computes it correctly.
        """
        asked = self._ask_engines(option)
        return asked if asked is not option else self.measure_if_needed(option, verdict)

    def measure_if_needed(self, option: Option, verdict: Verdict) -> Option:
        """Return the option measured if its memory or time matters and is unknown; otherwise the same object."""
        return self.measure(option) if option.unmeasured or self._is_a_guess(verdict) else option

    def measure(self, option: Option) -> Option:
        """Return the option measured with each engine that may run it. Raises ModelError if none can.

        The engines run one after the other: together they might not fit into memory.
        """
        found, problems = dict(option.measured), {}
        for engine in option.unmeasured or [option.engine]:
            try:
                found[engine] = self._measured(option, engine)
            except ModelError as error:
                problems[engine] = error
        if not found:
            raise next(iter(problems.values()))
        for problem in problems.values():
            self._tell(f"{problem}.")
        measured = dataclasses.replace(option, measured=found, unable=option.unable | set(problems))
        return measured.with_best_engine(self._limits)

    def _measured(self, option: Option, engine: str) -> Measurement:
        """Return the model's measurement with one engine, stored or new."""
        driver = option.driver(engine)
        identity = identity_of(option.checkpoint, option.precision, option.digests)
        measured = self._records.measurements.find(identity, engine_version(driver))
        if measured is None:
            choice = len(option.engines) > 1
            what = f" with {Backend(engine, option.precision)}" if choice else ""
            self._tell(f"Measuring {option.name} on this machine{what}; this is done once.")
            frames = COMPARED_FRAMES if choice else START_FRAMES
            measured = measure(option.checkpoint, driver, frames, machine=self._machine)
            self._records.measurements.keep(identity, engine_version(driver), measured)
        return measured

    def _is_a_guess(self, verdict: Verdict) -> bool:
        """Return whether the memory is only estimated, and more than half of the budget."""
        measured = verdict.candidate.measurement
        assert measured is not None
        assert verdict.need_mib is not None
        return measured.estimated and 2 * verdict.need_mib > self._limits.budget.mib

    def _ask_engines(self, option: Option) -> Option:
        """Return the option with the engines' agreement; the same object if that is known already."""
        known = option.agreement
        # `asked` is empty if the model needs no comparison
        if known is not None and (not known.asked or set(option.engines) & set(known.asked)):
            return option
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        found = agreement_of(
            option.checkpoint,
            self._records.agreements,
            option.engines,
            self._tell,
            digests=option.digests,
            most_mib=self._most_mib,
        )
        # engines that lacked memory count as asked too: this daemon does not try them again
        found = dataclasses.replace(found, asked=tuple({*found.asked, *option.engines}))
        engines = tuple(engine for engine in option.engines if engine not in found.refused) or option.engines
        candidate = option.candidate
        if candidate.engine not in engines:
            candidate = dataclasses.replace(candidate, engine=engines[0])
        # measurements of mxnet with fusion are not valid without it
        measured = {
            engine: measurement
            for engine, measurement in option.measured.items()
            if engine in engines and tried_as(found, engine) == tried_as(known, engine)
        }
        return dataclasses.replace(option, candidate=candidate, engines=engines, measured=measured, agreement=found)
