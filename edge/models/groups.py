"""Groups of labels with a common word: data/groups.toml, made from WordNet by scripts/make_groups.py."""

import functools
import tomllib
from collections.abc import Collection
from importlib import resources

from edge.stages import Group

LEAST = 2
"""Least number of members: with a single member, the group's name is less specific than the member's."""


def load_groups(ids: Collection[str]) -> tuple[Group, ...]:
    """Return the groups that have at least two of these label ids as members, the smallest first.

    A model whose ids are not WordNet's has none.
    """
    known = frozenset(ids)
    # of two groups with the same members here, the one with fewer members in all is more specific
    ordered = sorted(load_all_groups(), key=lambda one: (len(known & one.members), len(one.members)))
    groups = (Group(one.id, one.name, known & one.members, one.collective) for one in ordered)
    return tuple(group for group in groups if len(group.members) >= LEAST)


@functools.cache
def load_all_groups() -> tuple[Group, ...]:
    """Return all groups with all their members, in the order of the file."""
    table = tomllib.loads((resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8"))
    return tuple(
        Group(identity, one["name"], frozenset(one["members"]), one.get("collective", False))
        for identity, one in table.items()
    )
