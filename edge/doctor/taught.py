"""Check of the taught things: how many there are, which of them the model knows, and are their files intact?"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from edge.doctor.finding import Finding, good, warning
from edge.host.installation import edge_command
from edge.models.taught.store import TaughtStore

_NAMED = 5
"""How many names a line has."""


def check_taught(
    model: str,
    known: Collection[str],
    not_known: Collection[str],
    learning_again: Collection[str],
    *,
    runs: bool,
) -> Iterator[Finding]:
    """Yield the findings about taught things; none if there are none.

    `known` has the names of those that the model with the name `model` recognises, `not_known` of those that must be
    taught again, `learning_again` of those that it learns from kept pictures while edge `runs`.
    """
    if learning_again:
        learns = f"model {model} learns from kept pictures: {_listed(learning_again)}"
        yield good("taught", learns if runs else f"as soon as edge runs, {learns}")
    if not_known:
        yield warning(
            "taught",
            f"model {model} does not know {_counted(not_known)}: {_listed(not_known)}",
            f"teach them again, or set [model] name to the model that they were taught with (`{edge_command()} taught` "
            "tells it); with [teach] keep_pictures edge learns them again by itself next time",
        )
    if known:
        yield good("taught", f"model {model} knows {_counted(known)}: {_listed(sorted(known))}")
    store = TaughtStore()
    if damaged := store.damaged():
        yield warning(
            "taught",
            f"{len(damaged)} damaged file{'s' * (len(damaged) > 1)} in {store.folder}, such as {damaged[0].name}",
            f"`{edge_command()} taught` lists the intact things; teach the others again, and delete the damaged files",
        )


def taught_in_use(running: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the findings about the taught things of a running edge, by its status."""
    known, not_known, again = (running.get(key) or () for key in ("taught", "not_known", "learning_again"))
    yield from check_taught(str(running.get("model")), known, not_known, again, runs=True)


def _listed(names: Collection[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(list(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(names: Collection[str]) -> str:
    return "1 taught thing" if len(names) == 1 else f"{len(names)} taught things"
