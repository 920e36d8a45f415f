"""Turns the models on this machine into options, each with all information that needs no opening."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

from edge.engines import engine_version
from edge.engines.agreement import Agreement, is_bundled
from edge.engines.backend import Backend
from edge.errors import ModelError
from edge.importer.quantised import FLOAT32, INT8, about_quantised, identity_of, quantised_problem, weights_mib
from edge.models.catalogue import Entry
from edge.models.checkpoint import DEMO, Checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.measurements import Measurement, estimate
from edge.models.store import Installed
from edge.selection.choice import Candidate, Limits
from edge.selection.inventory import Inventory
from edge.selection.option import Option, Options, tried_as
from edge.selection.records import Records


class OptionBuilder:
    """Makes options from checkpoints and the records of earlier runs."""

    def __init__(
        self,
        engines: Sequence[str],
        precision: str,
        limits: Limits,
        *,
        board: str,
        catalogue: Mapping[str, Entry],
        records: Records,
    ) -> None:
        """`board` is Machine.kind."""
        self.engines = tuple(engines)
        """The engines that may be used; of several, the fastest that fits is."""
        self.precision = precision
        self.limits = limits
        self._board = board
        self._catalogue = catalogue
        self._records = records

    def build(self, checkpoint: Checkpoint, one: Installed | None) -> Option:
        """Return the option for a checkpoint; `one` is its folder in a store, or None. Raises ModelError."""
        # the demo comes with edge, and is small enough without int8
        precision = FLOAT32 if checkpoint.name == DEMO and self.precision == INT8 else self.precision
        problem = quantised_problem(checkpoint, precision, one.digests if one else None)
        agreement = self._known_agreement(checkpoint, precision, one)
        engines, measured = self.engines, {}
        if not problem:
            engines = self._able(checkpoint, precision, one, agreement)
            measured = self._measured(checkpoint, precision, one, {name: tried_as(agreement, name) for name in engines})
        kills = 0 if problem else self._records.kills.get(str(checkpoint.params), 0)
        if kills:
            problem = (
                f"loading it has killed edge before; edge models measure {checkpoint.name} tries it in a child process"
            )
        file_mib = 0.0
        with contextlib.suppress(OSError):  # opening it reports the error
            file_mib = weights_mib(checkpoint, precision)
        candidate = Candidate(
            name=checkpoint.name,
            top1=checkpoint.about.top1,
            measurement=self._published(checkpoint, precision, one) or estimate(file_mib),
            file_mib=file_mib,
            rejected=problem,
            random_weights=checkpoint.about.random_weights,
            engine=engines[0],
            came_along=_is_packaged(one),
        )
        option = Option(checkpoint, one, candidate, engines, precision, measured, agreement=agreement, kills=kills)
        return option.with_best_engine(self.limits)

    def _known_agreement(self, checkpoint: Checkpoint, precision: str, one: Installed | None) -> Agreement | None:
        """Return the result of comparing all engines, if that is known at no cost."""
        digests = one.digests if one is not None else None
        # edge's tests have compared the models that come with it, bundled or in a package
        if precision == INT8 or _is_packaged(one) or is_bundled(checkpoint, digests):
            return Agreement()
        if one is None or digests is None:
            return None
        return self._records.agreements.find(fingerprint(checkpoint, digests))

    def _able(
        self, checkpoint: Checkpoint, precision: str, one: Installed | None, agreement: Agreement | None
    ) -> tuple[str, ...]:
        """Return the engines that may run it: those that judged its int8 version, and that were not refused."""
        engines = self.engines
        if precision == INT8 and len(engines) > 1:
            # other engines may be unable to run it here
            info = about_quantised(checkpoint, precision, one.digests if one else None)
            engines = tuple(engine for engine in engines if info and engine in info.figures) or engines
        if agreement is not None:
            # an engine that is set by name stays: opening it reports why it is not used
            engines = tuple(engine for engine in engines if engine not in agreement.refused) or engines
        return engines

    def _measured(
        self, checkpoint: Checkpoint, precision: str, one: Installed | None, drivers: Mapping[str, str]
    ) -> dict[str, Measurement]:
        """Return the measurements by engine; `drivers` has the driver that is opened for each."""
        if one is None:
            return {}
        identity = identity_of(checkpoint, precision, one.digests)
        found = {
            engine: self._records.measurements.find(identity, engine_version(Backend(driver, precision)))
            for engine, driver in drivers.items()
        }
        return {engine: measurement for engine, measurement in found.items() if measurement is not None}

    def _published(self, checkpoint: Checkpoint, precision: str, one: Installed | None) -> Measurement | None:
        """Return the catalogue's estimate, which is for float32; None if there is none."""
        entry = self._catalogue.get(checkpoint.name)
        return entry.estimate(self._board) if one is not None and entry is not None and precision == FLOAT32 else None


def find_options(
    inventory: Inventory, builder: OptionBuilder, name: str, tell: Callable[[str], None], *, clip: bool
) -> Options:
    """Return the models that can run here: the named one, or with `auto` all installed ones, or else the demo.

    `clip`: the input is the demo clip, which is drawn for the demo model, so that is used unless the user installed a
    model. `tell` gets a line for each unusable model. Raises ModelError if that is the named one.
    """
    if name == "auto":
        stored = _stored_options(inventory, builder, tell)
        if stored and not (clip and all(option.candidate.came_along for option in stored)):
            return Options(stored)
        return Options([builder.build(*inventory.find_demo())])
    # first, so that its fault is reported only once, as the error
    named = inventory.find(name)
    stored = _stored_options(inventory, builder, tell)
    if name == DEMO:
        return Options([builder.build(*inventory.find_demo())], stored)
    chosen = next((option for option in stored if option.checkpoint == named), None) or builder.build(named, None)
    return Options([chosen], [option for option in stored if option is not chosen])


def _stored_options(inventory: Inventory, builder: OptionBuilder, tell: Callable[[str], None]) -> list[Option]:
    found = []
    for one in inventory.installed():
        try:
            found.append(builder.build(inventory.find(one.name), one))
        except ModelError as error:
            tell(f"{error}.")
    return found


def whole_catalogue(options: Options, catalogue: Mapping[str, Entry], board: str) -> list[Candidate]:
    """Return the candidates as if the whole catalogue were installed; `board` is Machine.kind."""
    here = {option.name: option.candidate for option in options.eligible if option.name != DEMO}
    others = [
        Candidate(name, entry.top1, entry.estimate(board), entry.download_mib)
        for name, entry in catalogue.items()
        if name not in here
    ]
    return [*here.values(), *others]


def _is_packaged(one: Installed | None) -> bool:
    """Return whether the model was made from a Python package that comes with edge."""
    return bool(one is not None and one.manifest is not None and one.manifest.package)
