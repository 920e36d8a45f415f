"""Check of the taught things: how many there are, which of them the model knows, and are their files intact?"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from edge.doctor.finding import Finding, good, warning
from edge.host.installation import edge_command
from edge.models.taught.store import TaughtStore

_NAMED = 5
"""How many names a line has."""


def check_taught(
    model: str, known: Collection[str], unknown: Collection[str], learnable: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield the findings about taught things; none if there are none.

    `known` has the names of those that the model with the name `model` recognises, `unknown` of those that it has to be
    shown again, `learnable` of those that it can learn from kept pictures.
    """
    if learnable:
        yield good("taught", f"model {model} will learn {_listed(learnable)} from kept pictures as soon as edge runs")
    if unknown:
        yield warning(
            "taught",
            f"model {model} has to be shown again: {_listed(unknown)}",
            f"`{edge_command()} taught` tells with which model they were taught; teach them again, or set [model] name "
            "to that model; [teach] keep_pictures avoids this",
        )
    if known:
        yield good("taught", f"model {model} knows {_listed(sorted(known))}")
    store = TaughtStore()
    if damaged := store.damaged():
        yield warning(
            "taught",
            f"{len(damaged)} damaged file{'s' * (len(damaged) > 1)} in {store.folder}, such as {damaged[0].name}",
            f"`{edge_command()} taught` lists the intact things; teach the others again, and delete the damaged files",
        )


def taught_in_use(running: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the findings about the taught things of a running edge, by its status."""
    yield from check_taught(str(running.get("model")), running.get("taught") or (), running.get("untaught") or ())


def _listed(names: Collection[str]) -> str:
    few = ", ".join(list(names)[:_NAMED])
    count = "1 thing" if len(names) == 1 else f"{len(names)} things"
    return f"{count}: {few}{', ...' if len(names) > _NAMED else ''}"
