"""What has to be known of a model before it is loaded for the first time: do the engines agree, what does it take?"""

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
"""A model that nobody has measured here is measured before it is first loaded; its memory shows at once."""
COMPARED_FRAMES = 15
"""Engines that are compared are measured for longer: it is their times that count."""


class Measurer:
    """Asks all engines about a model, and measures it, in children. What is found is kept for the next start."""

    def __init__(
        self,
        machine: Machine,
        limits: Limits,
        records: Records,
        tell: Callable[[str], None],
        *,
        most_mib: float | None,
    ) -> None:
        """No child that asks may take more than `most_mib`; `tell` is for people."""
        self._machine = machine
        self._limits = limits
        self._records = records
        self._tell = tell
        self._most_mib = most_mib

    def examine(self, option: Option, verdict: Verdict) -> Option:
        """Return the option with the next thing known that has to be; the same object where nothing is missing.

        Raises ModelError for a model that is damaged, that no engine can run, or that none is right about.
        """
        asked = self._ask_engines(option)
        return asked if asked is not option else self.measure_if_needed(option, verdict)

    def measure_if_needed(self, option: Option, verdict: Verdict) -> Option:
        """Return the option measured, where it matters what it takes and nobody knows; else the same object."""
        return self.measure(option) if option.unmeasured or self._is_a_guess(verdict) else option

    def measure(self, option: Option) -> Option:
        """Return the option as measured with each engine that may run it. Raises ModelError where none can.

        It is one engine after the other: together they might not fit.
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
        """Return what the model takes with one engine, as kept or as measured now."""
        driver = option.driver(engine)
        identity = identity_of(option.checkpoint, option.precision, option.digests)
        measured = self._records.measurements.find(identity, engine_version(driver))
        if measured is None:
            choice = len(option.engines) > 1
            what = f" with {Backend(engine, option.precision)}" if choice else ""
            self._tell(f"Measuring what {option.name} takes on this machine{what}, once.")
            frames = COMPARED_FRAMES if choice else START_FRAMES
            measured = measure(option.checkpoint, driver, frames, machine=self._machine)
            self._records.measurements.keep(identity, engine_version(driver), measured)
        return measured

    def _is_a_guess(self, verdict: Verdict) -> bool:
        """Return whether the memory is only estimated, and the budget not so large that it does not matter."""
        measured = verdict.candidate.measurement
        assert measured is not None
        assert verdict.need_mib is not None
        return measured.estimated and 2 * verdict.need_mib > self._limits.budget.mib

    def _ask_engines(self, option: Option) -> Option:
        """Return the option with what all engines say of it; the same object where that is known already."""
        known = option.agreement
        # of what needs no asking nobody was asked
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
        # whatever was not answered for lack of memory: it is not asked again by this daemon
        found = dataclasses.replace(found, asked=tuple({*found.asked, *option.engines}))
        engines = tuple(engine for engine in option.engines if engine not in found.refused) or option.engines
        candidate = option.candidate
        if candidate.engine not in engines:
            candidate = dataclasses.replace(candidate, engine=engines[0])
        # what mxnet was measured to take with its fusion says nothing of it without
        measured = {
            engine: measurement
            for engine, measurement in option.measured.items()
            if engine in engines and tried_as(found, engine) == tried_as(known, engine)
        }
        return dataclasses.replace(option, candidate=candidate, engines=engines, measured=measured, agreement=found)
