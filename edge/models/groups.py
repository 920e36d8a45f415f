"""Groups of labels that people have one word for: data/groups.toml, made from WordNet by scripts/make_groups.py."""

import tomllib
from collections.abc import Collection
from importlib import resources

from edge.stages import Group

LEAST = 2
"""A group of one says less than its member."""


def load_groups(ids: Collection[str]) -> tuple[Group, ...]:
    """Return the groups that have at least two of these label ids as members, the smallest first.

    A network whose ids are not WordNet's has none.
    """
    table = tomllib.loads((resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8"))
    known = frozenset(ids)
    groups = [Group(identity, one["name"], known.intersection(one["members"])) for identity, one in table.items()]
    return tuple(sorted((group for group in groups if len(group.members) >= LEAST), key=lambda one: len(one.members)))
