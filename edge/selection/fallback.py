"""The reasons why a fallback model runs, for messages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from edge.models.catalogue import Entry
from edge.models.checkpoint import DEMO
from edge.selection.choice import Limits, Verdict, budget
from edge.selection.option import Option, Options
from edge.selection.options import whole_catalogue
from edge.settings import ModelSettings


class Fallback(Enum):
    """The kind of fallback model that runs instead of the preferred one."""

    ANOTHER = auto()
    """The preferred one cannot be used."""
    SMALLER = auto()
    """The preferred one needs more memory than there is, or has killed edge."""


def explain(verdicts: Sequence[Verdict], options: Options) -> tuple[list[str], Fallback | None]:
    """Return a line for each better model that must not run, and SMALLER if one of them killed edge, else None."""
    chosen = next(index for index, verdict in enumerate(verdicts) if verdict.chosen)
    passed = [options.get(verdict.candidate.name) for verdict in verdicts[:chosen]]
    lines = [f"{one.name} is not used: {one.candidate.rejected}." for one in passed if one.candidate.rejected]
    return lines, Fallback.SMALLER if any(option.kills for option in passed) else None


def explain_memory(
    running: Option,
    options: Options,
    limits: Limits,
    settings: ModelSettings,
    *,
    catalogue: Mapping[str, Entry],
    board: str,
) -> str:
    """Return a line on the better model that needs too much memory; empty if memory is not the reason."""
    ample = budget(settings.memory_budget_mib or None, None, None, named=False)
    if settings.name != "auto" or running.name == DEMO or limits.budget.mib >= ample.mib:
        return ""
    verdicts = replace(limits, budget=ample).choose(whole_catalogue(options, catalogue, board))
    wanted = next((verdict for verdict in verdicts if verdict.chosen), None)
    # a model that would fit is just not installed
    if wanted is None or wanted.need_mib is None or wanted.need_mib <= limits.budget.mib:
        return ""
    if (wanted.candidate.top1 or 0.0) <= (running.candidate.top1 or 0.0):
        return ""
    return (
        f"{wanted.candidate.name} would be better and needs {wanted.need_mib:.0f} MiB, but here edge may take "
        f"{limits.budget.mib:.0f} MiB ({limits.budget.source})."
    )
