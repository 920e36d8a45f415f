"""What can still be tried where no model fits, or the one that was chosen cannot be opened."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from edge.engines import ENGINES, import_problem, installed_engines, precision_problem, stands_in
from edge.engines.backend import Backend
from edge.errors import ModelError
from edge.selection.choice import Verdict, lacks_memory
from edge.selection.inventory import Inventory
from edge.selection.measuring import Measurer
from edge.selection.option import Option, Options
from edge.selection.options import OptionBuilder

DEFAULT = ENGINES[0]
MOST_KILLS = 3
"""What has killed edge while it was loaded is tried again where there is nothing else, but not for ever."""
LEANER_MIB = 60
"""By so much at most ONNX Runtime takes less than MXNet, of a model that is small enough to need it (x86_64)."""


class Recovery:
    """Changes the options, so that another one can be chosen. Each way is taken once, and told."""

    def __init__(
        self,
        options: Options,
        builder: OptionBuilder,
        inventory: Inventory,
        measurer: Measurer,
        tell: Callable[[str], None],
    ) -> None:
        """`tell` is for people."""
        self._options = options
        self._builder = builder
        self._inventory = inventory
        self._measurer = measurer
        self._limits = builder.limits
        self._tell = tell

    def when_none_fits(self, verdicts: Sequence[Verdict]) -> bool:
        """Return whether there is something to choose now; `verdicts` are those of which none was chosen."""
        return self._forgive_one() or self._take_leaner_engine(verdicts)

    def when_unusable(self, option: Option, error: ModelError) -> bool:
        """Return whether it may be tried again: another engine serves, or the model was installed anew."""
        return self._take_working_engine() or self._install_again(option, error)

    def _forgive_one(self) -> bool:
        """Let a model that has killed edge try again: nothing else is left, and whatever killed it may be over."""
        for option in self._options.eligible:
            if 0 < option.kills < MOST_KILLS:
                self._tell(
                    f"Loading {option.name} has killed edge before; there is no other model, so it is tried again."
                )
                self._options.replace(dataclasses.replace(option, kills=0).rejected(""))
                return True
        return False

    def _take_leaner_engine(self, verdicts: Sequence[Verdict]) -> bool:
        """Let another engine serve where no model fits with the default one: with ONNX Runtime each takes less."""
        precision, budget_mib = self._builder.precision, self._limits.budget.mib
        others = [engine for engine in self._others() if not precision_problem(Backend(engine, precision))]
        if not others or not lacks_memory(verdicts, self._limits.budget):
            return False
        allowed = [one for one in verdicts if not one.candidate.rejected]
        needs = [(one.need_mib, one.candidate.name) for one in allowed if one.need_mib is not None]
        need_mib, name = min(needs, key=lambda pair: pair[0])
        if need_mib - budget_mib > LEANER_MIB:
            return False
        self._use(others[0])
        if not self._fits_measured(name):
            self._use(DEFAULT)
            return False
        self._tell(stands_in(others[0], f"with {DEFAULT} {name} needs {need_mib:.0f} of {budget_mib:.0f} MiB"))
        return True

    def _fits_measured(self, name: str) -> bool:
        """Return whether any model fits, once the one of that name is measured."""
        option = self._options.get(name)
        if not option.measured:
            with contextlib.suppress(ModelError):
                self._options.replace(self._measurer.measure(option))
        candidates = [option.candidate for option in self._options.eligible]
        return any(verdict.fits for verdict in self._limits.choose(candidates))

    def _take_working_engine(self) -> bool:
        """Let another engine serve where the default one is installed and cannot be imported."""
        others = self._others()
        if not others or DEFAULT not in installed_engines() or not (problem := import_problem(DEFAULT)):
            return False
        self._use(others[0])
        self._tell(stands_in(others[0], problem))
        return True

    def _others(self) -> list[str]:
        """Return the engines that may stand in for the default one; none where another was asked for."""
        if self._builder.engines != (DEFAULT,):
            return []
        return [engine for engine in installed_engines() if engine != DEFAULT]

    def _use(self, engine: str) -> None:
        self._builder.engines = (engine,)
        self._options.rebuild(self._builder.build)

    def _install_again(self, option: Option, error: ModelError) -> bool:
        """Make a model anew that is damaged and came with edge: nobody need be there for it."""
        if not option.candidate.came_along or option.installed is None:
            return False
        again = self._inventory.reinstall(option.name, option.installed, f"{error}.")
        if again is None:
            return False
        self._options.replace(self._builder.build(self._inventory.find(option.name), again))
        return True
