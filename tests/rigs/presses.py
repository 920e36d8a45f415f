"""What a series of presses of one key means, told from the whole series at once."""

from collections.abc import Collection, Sequence

Interval = tuple[float, float]
"""When the contact closed and when it opened."""


def presses(contacts: Sequence[Interval], bounce_s: float) -> list[Interval]:
    """The presses behind the contacts: those with a shorter gap than `bounce_s` between them are one."""
    merged: list[Interval] = []
    for closed_s, opened_s in contacts:
        if merged and closed_s - merged[-1][1] < bounce_s:
            merged[-1] = (merged[-1][0], opened_s)
        else:
            merged.append((closed_s, opened_s))
    return merged


def meaning(
    contacts: Sequence[Interval],
    wanted: Collection[str],
    *,
    bounce_s: float,
    double_s: float,
    long_s: float,
    hold_s: float,
) -> list[str]:
    """The patterns of a key of which these patterns are wanted, in the order in which they are complete."""
    kinds = []
    whole = presses(contacts, bounce_s)
    for down_s, up_s in whole:
        if "hold" in wanted and up_s - down_s >= hold_s:
            kinds.append("hold")
        elif "long" in wanted and up_s - down_s >= long_s:
            kinds.append("long")
        else:
            kinds.append("press")
    told = []
    while kinds:
        kind, (_, up_s) = kinds.pop(0), whole.pop(0)
        if kind == "press" and "double" in wanted and kinds[:1] == ["press"] and whole[0][0] - up_s < double_s:
            kinds.pop(0)
            whole.pop(0)
            kind = "double"
        told.append(kind)
    return [kind for kind in told if kind in wanted]
