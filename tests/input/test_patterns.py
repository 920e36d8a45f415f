"""Which pattern a key was pressed in, against a reference model that sees the whole series of presses at once."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence

import pytest
from rigs.presses import Interval, meaning

from edge.input.patterns import Pattern, PatternRecogniser, Times
from edge.settings import InputSettings

_DEFAULT = InputSettings()
TIMES = Times(_DEFAULT.bounce_s, _DEFAULT.double_s, _DEFAULT.long_s, _DEFAULT.hold_s)
ALL = frozenset(Pattern)
SUBSETS = [
    frozenset(some) for count in range(1, len(Pattern) + 1) for some in itertools.combinations(list(Pattern), count)
]


def recognised(
    contacts: Sequence[Interval], wanted: frozenset[Pattern] = ALL, times: Times = TIMES, turn_s: float = math.inf
) -> list[tuple[float, Pattern]]:
    """The patterns, each with the time at which the reader got it; it looks every `turn_s` and at each change."""
    recogniser = PatternRecogniser(wanted, times)
    found: list[tuple[float, Pattern]] = []
    edges = list(itertools.chain(*contacts))
    assert edges == sorted(edges)
    changes = [(at_s, index % 2 == 0) for index, at_s in enumerate(edges)]
    end_s = changes[-1][0] + times.hold_s + times.double_s
    looks = [] if turn_s == math.inf else [turn_s * turn for turn in range(math.ceil(end_s / turn_s))]
    for at_s, down in sorted([*changes, *((look_s, None) for look_s in looks)], key=lambda one: one[0]):
        found += [(at_s, pattern) for pattern in recogniser.advance(at_s)]
        if down is not None:
            found += [(at_s, pattern) for pattern in recogniser.change(at_s, down=down)]
    found += [(end_s, pattern) for pattern in recogniser.advance(end_s)]
    assert recogniser.due_s == math.inf
    return found


def expected(contacts: Sequence[Interval], wanted: frozenset[Pattern] = ALL, times: Times = TIMES) -> list[str]:
    return meaning(
        contacts,
        wanted,
        bounce_s=times.bounce_s,
        double_s=times.double_s,
        long_s=times.long_s,
        hold_s=times.hold_s,
    )


def bouncing(contacts: Sequence[Interval], chance: random.Random, bounce_s: float) -> list[Interval]:
    """The same presses by a contact that opens for a moment, at their beginning, in their middle and at their end."""
    found: list[Interval] = []
    for number, (down_s, up_s) in enumerate(contacts):
        longest_s = min(0.9 * bounce_s, (up_s - down_s) / 10)
        edges = [down_s]
        for _ in range(chance.randrange(4)):
            opened_s = edges[-1] + chance.uniform(0.0001, longest_s)
            edges += [opened_s, opened_s + chance.uniform(0.0001, longest_s)]
        if up_s - edges[-1] > 0.2:
            opened_s = chance.uniform(edges[-1] + 0.05, up_s - 0.05)
            edges += [opened_s, opened_s + chance.uniform(0.0001, longest_s)]
        edges.append(up_s)
        gap_s = contacts[number + 1][0] - up_s if number + 1 < len(contacts) else 1.0
        longest_s = min(0.9 * bounce_s, gap_s / 10)
        for _ in range(chance.randrange(4)):
            closed_s = edges[-1] + chance.uniform(0.0001, longest_s)
            edges += [closed_s, closed_s + chance.uniform(0.0001, longest_s)]
        found += zip(edges[::2], edges[1::2], strict=True)
    return found


def speeds(long: bool) -> Iterator[float]:
    """Shares of the range of a duration."""
    count = 50 if long else 7
    return (index / (count - 1) for index in range(count))


def examples(share: float, times: Times) -> Iterator[tuple[Pattern, list[Interval]]]:
    """Each pattern, at a speed: 0 is the quickest that a person, or the settings, allow."""

    def between(low: float, high: float) -> float:
        return low + share * (high - low)

    short_s = between(times.bounce_s + 0.005, times.long_s - 0.01)
    gap_s = between(3 * times.bounce_s, times.double_s - 0.12)
    yield Pattern.PRESS, [(1.0, 1.0 + short_s)]
    yield Pattern.DOUBLE, [(1.0, 1.0 + short_s), (1.0 + short_s + gap_s, 1.0 + 2 * short_s + gap_s)]
    yield Pattern.LONG, [(1.0, 1.0 + between(times.long_s + 0.01, times.hold_s - 0.2))]
    yield Pattern.HOLD, [(1.0, 1.0 + between(times.hold_s + 0.01, 10 * times.hold_s))]


def test_every_pattern_at_every_speed_with_and_without_bounce(long: bool) -> None:
    chance = random.Random(26)
    for share in speeds(long):
        for pattern, contacts in examples(share, TIMES):
            assert [one for _, one in recognised(contacts)] == [pattern], (pattern, contacts)
            # its end may come late by its bounces: a press that lasts almost as long as a long one becomes one
            if share < 0.9:
                shaken = bouncing(contacts, chance, TIMES.bounce_s)
                assert [one for _, one in recognised(shaken)] == [pattern], (pattern, shaken)


def random_contacts(chance: random.Random) -> list[Interval]:
    """A series of presses of all lengths, with gaps of all lengths; some bounce."""
    bounces = chance.random() < 0.3
    contacts: list[Interval] = []
    at_s = 1.0
    for _ in range(chance.randrange(1, 12)):
        tight_s = chance.uniform(0.1, 0.2) if bounces else chance.uniform(0.0001, 0.06)
        at_s += chance.choice([tight_s, chance.uniform(0.1, 0.5), chance.uniform(0.3, 3)])
        lasts_s = chance.choice([chance.uniform(0.0005, 0.05), chance.uniform(0.05, 1.2), chance.uniform(0.9, 7)])
        contacts.append((at_s, at_s + lasts_s))
        at_s += lasts_s
    return bouncing(contacts, chance, TIMES.bounce_s) if bounces else contacts


def test_random_series_mean_what_the_model_says(long: bool) -> None:
    for seed in range(1000 if long else 100):
        chance = random.Random(seed)
        contacts = random_contacts(chance)
        wanted = ALL if seed % 2 else chance.choice(SUBSETS)
        # a reader that looks often, or only when the key changes, or was busy for seconds
        for turn_s in (0.05, 1.7, math.inf):
            found = [pattern for _, pattern in recognised(contacts, wanted, turn_s=turn_s)]
            assert found == expected(contacts, wanted), (seed, contacts, sorted(wanted))


def test_no_press_leads_to_two_patterns_and_none_to_nothing() -> None:
    """Where all patterns are wanted: a double has two presses, any other pattern one."""
    for seed in range(100):
        contacts = random_contacts(random.Random(seed))
        found = [pattern for _, pattern in recognised(contacts)]
        counted = sum(2 if pattern is Pattern.DOUBLE else 1 for pattern in found)
        separate = recognised(contacts, frozenset({Pattern.PRESS}))
        assert counted == len(separate)


# ---- when a pattern is known


@pytest.mark.parametrize(
    ("wanted", "contacts", "pattern", "at_s"),
    [
        # nothing else can come of it
        ({Pattern.PRESS}, [(1.0, 3.0)], Pattern.PRESS, 1.0),
        # at the release, as soon as that is no bounce
        ({Pattern.PRESS, Pattern.LONG}, [(1.0, 1.2)], Pattern.PRESS, 1.2 + TIMES.bounce_s),
        ({Pattern.PRESS, Pattern.LONG}, [(1.0, 3.0)], Pattern.LONG, 3.0 + TIMES.bounce_s),
        # when no second press has come
        (ALL, [(1.0, 1.2)], Pattern.PRESS, 1.2 + TIMES.double_s),
        (ALL, [(1.0, 1.1), (1.3, 1.4)], Pattern.DOUBLE, 1.4 + TIMES.bounce_s),
        # while the key is still down
        (ALL, [(1.0, 30.0)], Pattern.HOLD, 1.0 + TIMES.hold_s),
    ],
)
def test_a_pattern_is_told_as_soon_as_it_is_certain(
    wanted: set[Pattern], contacts: list[Interval], pattern: Pattern, at_s: float
) -> None:
    ((told_s, told),) = recognised(contacts, frozenset(wanted), turn_s=0.001)
    assert told is pattern
    assert at_s - 1e-6 <= told_s <= at_s + 0.0011


def test_a_short_press_before_a_long_one_counts_by_itself() -> None:
    contacts = [(1.0, 1.1), (1.3, 3.0), (10.0, 10.1), (10.3, 17.0)]
    found = recognised(contacts, turn_s=0.001)
    assert [pattern for _, pattern in found] == [Pattern.PRESS, Pattern.LONG, Pattern.PRESS, Pattern.HOLD]
    assert found[0][0] < 1.3 + TIMES.long_s + 0.0021


# ---- a key that was down before


def test_a_key_that_was_down_before_means_nothing_until_it_is_released() -> None:
    recogniser = PatternRecogniser(ALL, TIMES)
    recogniser.hold_already(1.0)
    assert recogniser.held
    assert recogniser.advance(20.0) == []
    recogniser.change(20.0, down=False)
    recogniser.change(20.01, down=True)  # it bounces
    recogniser.change(20.012, down=False)
    assert recogniser.advance(30.0) == []
    recogniser.change(30.0, down=True)
    recogniser.change(30.1, down=False)
    assert recogniser.advance(31.0) == [Pattern.PRESS]


def test_of_a_device_that_is_gone_a_complete_press_counts_and_an_open_one_does_not() -> None:
    recogniser = PatternRecogniser(ALL, TIMES)
    recogniser.change(1.0, down=True)
    recogniser.change(1.1, down=False)
    recogniser.advance(1.2)
    assert recogniser.forget() == [Pattern.PRESS]
    recogniser.change(2.0, down=True)
    assert recogniser.forget() == []
    assert recogniser.advance(20.0) == []


def test_auto_repeat_changes_nothing() -> None:
    recogniser = PatternRecogniser(ALL, TIMES)
    recogniser.change(1.0, down=True)
    told = []
    for tenth in range(3, 30):
        told += recogniser.change(1.0 + tenth / 10, down=True)
    recogniser.change(4.0, down=False)
    told += recogniser.advance(5.0)
    assert told == [Pattern.LONG]
