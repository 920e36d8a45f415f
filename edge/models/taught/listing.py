"""Lists of taught things, for people and programs, and what a network knows of them."""

import enum
from collections.abc import Collection, Mapping
from typing import Any

from edge.models.taught.record import id_of
from edge.models.taught.store import TaughtStore


class Knowledge(enum.StrEnum):
    """What a network knows of a thing."""

    KNOWN = "known"
    LEARNING_AGAIN = "learning_again"
    """It learns the thing again, from kept pictures."""
    NOT_KNOWN = "not_known"
    """The thing must be taught again."""


def knowledge_of(name: str, status: Mapping[str, Collection[str]]) -> Knowledge:
    """Return what a running network knows of a thing of this name, by edge's status.

    A thing that is in none of its lists was taught a moment ago.
    """
    for one in (Knowledge.NOT_KNOWN, Knowledge.LEARNING_AGAIN):
        if id_of(name) in map(id_of, status.get(one) or ()):
            return one
    return Knowledge.KNOWN


def listing(store: TaughtStore) -> list[dict[str, Any]]:
    """Return the things of a store as JSON objects, sorted by name. Raises ModelError if it cannot be read."""
    found = {
        thing.id: {
            "name": thing.name,
            "model": thing.model_name,
            "views": len(thing.views),
            "pictures": bool(thing.pictures),
        }
        for thing in store.each()
    }
    return [found[identity] for identity in sorted(found)]


def refusal(name: str, knowledge: Knowledge, *, more: bool, replace: bool) -> str:
    """Return why a thing that edge was taught cannot be taught like this; '' if it can."""
    if replace:
        return ""
    if knowledge is Knowledge.LEARNING_AGAIN:
        return (
            f"this model does not know {name!r} yet. A running edge learns it from the kept pictures: wait for that, "
            "or have it learnt from new views (--replace)"
        )
    if knowledge is Knowledge.NOT_KNOWN:
        return f"this model does not know {name!r}, so there is nothing to add views to (--more)" if more else ""
    if more:
        return ""
    return f"edge knows {name!r} already: add views (--more), or have it learnt from new views alone (--replace)"
