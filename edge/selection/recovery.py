"""Further attempts if no model fits, or the chosen one cannot be opened."""

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
"""A model that killed edge this often is not tried again, even if there is no other."""
LEANER_MIB = 60
"""How much less memory ONNX Runtime takes than MXNet at most, for models small enough to matter here (x86_64)."""


class Recovery:
    """Changes the options so that another one can be chosen. Each attempt is made once, and reported."""

    def __init__(
        self,
        options: Options,
        builder: OptionBuilder,
        inventory: Inventory,
        measurer: Measurer,
        tell: Callable[[str], None],
    ) -> None:
        """`tell` gets lines for the user."""
        self._options = options
        self._builder = builder
        self._inventory = inventory
        self._measurer = measurer
        self._limits = builder.limits
        self._tell = tell

    def when_none_fits(self, verdicts: Sequence[Verdict]) -> bool:
        """Change the options and return True if a model may fit now; `verdicts` are those without a chosen one."""
        return self._forgive_one() or self._take_leaner_engine(verdicts)

    def when_unusable(self, option: Option, error: ModelError) -> bool:
        """Return whether the model may be tried again: with another engine, or because it was installed again."""
        return self._take_working_engine() or self._install_again(option, error)

    def _forgive_one(self) -> bool:
        """Allow a model that killed edge again: no other is left, and the cause may be gone."""
        for option in self._options.eligible:
            if 0 < option.kills < MOST_KILLS:
                self._tell(
                    f"Loading {option.name} has killed edge before. There is no other model, so edge tries it again."
                )
                self._options.replace(dataclasses.replace(option, kills=0).rejected(""))
                return True
        return False

    def _take_leaner_engine(self, verdicts: Sequence[Verdict]) -> bool:
        """Switch to another engine if no model fits with the default one: ONNX Runtime takes less memory."""
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
        """Measure the model of that name, and return whether any model fits."""
        option = self._options.get(name)
        if not option.measured:
            with contextlib.suppress(ModelError):
                self._options.replace(self._measurer.measure(option))
        candidates = [option.candidate for option in self._options.eligible]
        return any(verdict.fits for verdict in self._limits.choose(candidates))

    def _take_working_engine(self) -> bool:
        """Switch to another engine if the default one is installed and cannot be imported."""
        others = self._others()
        if not others or DEFAULT not in installed_engines() or not (problem := import_problem(DEFAULT)):
            return False
        self._use(others[0])
        self._tell(stands_in(others[0], problem))
        return True

    def _others(self) -> list[str]:
        """Return the engines that may replace the default one; none if the settings name another."""
        if self._builder.engines != (DEFAULT,):
            return []
        return [engine for engine in installed_engines() if engine != DEFAULT]

    def _use(self, engine: str) -> None:
        self._builder.engines = (engine,)
        self._options.rebuild(self._builder.build)

    def _install_again(self, option: Option, error: ModelError) -> bool:
        """Install a damaged model again if it came with edge: that needs no user."""
        if not option.candidate.came_along or option.installed is None:
            return False
        again = self._inventory.reinstall(option.name, option.installed, f"{error}.")
        if again is None:
            return False
        self._options.replace(self._builder.build(self._inventory.find(option.name), again))
        return True
