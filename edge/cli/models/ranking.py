"""After a model was installed: which model runs now, how the new one ranks, and how to use it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.table import wrapped
from edge.models.accuracy import best_published

if TYPE_CHECKING:
    from edge.selection.choice import Verdict

AUTO = "auto"


def what_runs(name: str, toml: Path, wanted: str, verdicts: Sequence["Verdict"]) -> list[str]:
    """Return lines that say which model runs now, why, and how to use the one called `name`.

    `toml` is its model.toml, `wanted` is [model] name, and `verdicts` are those of the models that may be chosen, best
    first.
    """
    if wanted != AUTO:
        if wanted == name:
            return [f'The settings name it ([model] name = "{name}"), so edge run uses it.']
        return [f'edge run uses {wanted}, which the settings name ([model] name = "{wanted}").', *_how_to_use(name)]
    chosen = next((one.candidate for one in verdicts if one.chosen), None)
    own = next((one for one in verdicts if one.candidate.name == name), None)
    if chosen is None or own is None:
        # another store, or nothing fits: edge run says why
        return _how_to_use(name if own else str(toml.parent))
    if own.chosen:
        return [f"edge run uses it from now on{_accuracy(own.candidate.top1, ' (top-1 {})')}."]
    instead = f"edge run uses {chosen.name}{_accuracy(chosen.top1, ' (top-1 {})')}"
    if not own.fits:
        return [wrapped(f"{instead}: {name} cannot run here: {own.reason}.")]
    if own.candidate.top1 is not None:
        return [wrapped(f"{instead}, which is stated to be more accurate than {name}."), *_how_to_use(name)]
    return [
        wrapped(f"{instead}. The model.toml of {name} states no top1, so it ranks last."),
        *_how_to_use(name),
        "Or state its accuracy, if you have measured it, in [about] top1 of",
        f"  {toml}",
    ]


def doubt(name: str, toml: Path, top1: float, parameters: int, verdicts: Sequence["Verdict"]) -> list[str]:
    """Return the warning about a stated top-1 that no published network of that size reaches, and what it does."""
    behind = [
        f"{one.candidate.name}{_accuracy(one.candidate.top1, ' ({})')}"
        for one in verdicts
        if one.candidate.name != name and one.candidate.top1 is not None and one.candidate.top1 < top1
    ]
    ranks = f"edge chooses by it: {name} ranks before {', '.join(behind)}" if behind else "edge chooses models by it"
    return [
        wrapped(
            f"Warning: top1 = {top1} is doubtful. The best published models with {parameters / 1e6:.1f} million "
            f"parameters reach {best_published(parameters):.2f}. {ranks}. If it is not the accuracy of this model, "
            "correct or delete the line [about] top1 in"
        ),
        f"  {toml}",
    ]


def _how_to_use(name: str) -> list[str]:
    return ["To use this one:", f"  edge run --model {name}", f'or in the settings: [model] name = "{name}"']


def _accuracy(top1: float | None, form: str) -> str:
    return "" if top1 is None else form.format(f"{top1:.1%}")
