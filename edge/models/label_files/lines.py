"""Labels in lines: with ids or numbers, or names alone."""

import itertools
import re
from collections.abc import Iterator, Sequence

from edge.models.label_files.entry import (
    MACHINE_ID,
    WORDNET,
    Entry,
    FormatError,
    are_numbers,
    are_ranks,
    id_of,
    ordered,
    short,
)

LINES = "lines 'id label'"
_NUMBERED_ID = re.compile(r"([^\W\d]+[_-]?)\d+")  # class_12, c12
_DEVKIT = re.compile(r"(n\d{8})\s+([0-9]{1,9})\s+(\S.*)")
_WORDNET_FIRST = re.compile(r"(n\d{8})\s?[,;:=|_-]\s?(\S.*)")
_NUMBER_FIRST = re.compile(r"[(\[]?([0-9]{1,9})(?: ?(?:[-=]>|[:=])\s?|[.)\]] )(\S.*)")
_NUMBER_DOT = re.compile(r"[0-9]{1,9}\.(\S.*)")
_NUMBER_LAST = re.compile(r"(\S.*?) ?[:=]\s?([0-9]{1,9})")


def lines_of(lines: list[str]) -> tuple[str, list[Entry]]:
    for number, line in enumerate(lines, start=1):
        if not line:
            raise FormatError("is empty: each line is one label", number)
        if line == "#" or line.startswith(("# ", "//")):
            raise FormatError(f"{short(line)} is a comment: delete it, each line is one label", number)
    if all(WORDNET.fullmatch(line) for line in lines) and len(lines) > 1:
        raise FormatError("has WordNet ids, but the labels themselves are missing", 1)
    numbered = list(enumerate(lines, start=1))
    if devkit := _all_match(_DEVKIT, lines):
        entries = [Entry(one[1], one[3].replace("_", " "), number) for number, one in enumerate(devkit, start=1)]
        return "a map of ImageNet's devkit", ordered([int(one[2]) for one in devkit], entries)
    if joined := _all_match(_WORDNET_FIRST, lines):
        # the folders of ImageNet's subsets have names such as n02085782-Japanese_spaniel
        entries = [Entry(one[1], one[2].replace("_", " "), number) for number, one in enumerate(joined, start=1)]
        return "lines of id and label", entries
    for pattern, number_at, name_at in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        if found := _all_match(pattern, lines):
            entries = [Entry("", one[name_at], number) for number, one in enumerate(found, start=1)]
            return "numbers with labels", ordered([int(one[number_at]) for one in found], entries)
    parts = [line.split(None, 1) for line in lines]
    if sum(bool(WORDNET.fullmatch(part[0])) for part in parts) * 2 > len(parts):
        return LINES, list(with_ids(numbered, by_tab=False))
    if all("\t" in line for line in lines):
        return "lines of id, tab and label", list(with_ids(numbered, by_tab=True))
    if all(len(part) == 2 for part in parts):
        firsts, rests = [part[0] for part in parts], [part[1] for part in parts]
        # 1 euro, 2 euro are names; 0 person, 1 bicycle are numbers
        counts = are_numbers(firsts) and len(set(rests)) * 2 > len(rests)
        if counts and (are_ranks(numbers := [int(first) for first in firsts]) or _count_up(numbers)):
            rests = _without_numbers(rests)
            entries = [Entry(first, rest, at) for at, (first, rest) in enumerate(zip(firsts, rests, strict=True), 1)]
            # with gaps they are ids: the lines are in the order of the outputs
            return "numbers with labels", ordered(numbers, entries) if are_ranks(numbers) else entries
        if are_ids(firsts, rests):
            return LINES, list(with_ids(numbered, by_tab=False))
    bulleted = all(line.startswith(("- ", "* ")) for line in lines)
    return "names without ids", [
        Entry("", _unquoted(line[2:] if bulleted else line), number) for number, line in numbered
    ]


def _count_up(numbers: Sequence[int]) -> bool:
    return numbers[0] in (0, 1) and len(numbers) > 2 and all(a < b for a, b in itertools.pairwise(numbers))


def _without_numbers(names: Sequence[str]) -> list[str]:
    """Return the names without the number that each begins with: 001.Black_footed_Albatross."""
    found = _all_match(_NUMBER_DOT, names)
    return [one[1].replace("_", " ") for one in found] or list(names)


def _all_match(pattern: re.Pattern[str], lines: Sequence[str]) -> list[re.Match[str]]:
    """Return a match for each line; empty if a line does not match."""
    found = []
    for line in lines:
        match = pattern.fullmatch(line)
        if match is None:
            return []
        found.append(match)
    return found


def begin_with_ids(lines: Sequence[str]) -> bool:
    """Return True if each line begins with an id of WordNet and a mark, such as 'n01440764, tench'."""
    return bool(_all_match(_WORDNET_FIRST, lines))


def are_ids(firsts: Sequence[str], rests: Sequence[str]) -> bool:
    """Return True if the texts before labels are ids, for certain: 'red' of 'red panda' is none."""
    if sum(bool(WORDNET.fullmatch(first)) for first in firsts) * 2 > len(firsts):
        return True
    if len(set(firsts)) < len(firsts):
        return False
    if all(MACHINE_ID.fullmatch(first) for first in firsts):
        return True
    # cat cat; hot_dog hot dog, frankfurter; crane_2 crane: this is also how `id_of` makes them
    if all(_repeats(first, rest) for first, rest in zip(firsts, rests, strict=True)):
        return True
    prefixes = {match[1] for first in firsts if (match := _NUMBERED_ID.fullmatch(first))}
    numbered = all(_NUMBERED_ID.fullmatch(first) for first in firsts) and len(prefixes) == 1
    return numbered and len(set(rests)) * 2 > len(rests)


def _repeats(first: str, rest: str) -> bool:
    identity = id_of(rest.partition(",")[0]).casefold()
    left = first.casefold().removeprefix(identity)
    return len(left) < len(first) and bool(re.fullmatch(r"(?:_\d+)?", left))


def with_ids(numbered: Sequence[tuple[int, str]], *, by_tab: bool) -> Iterator[Entry]:
    """Yield the labels of numbered lines whose first word, or text before the tab, is an id. Raises FormatError."""
    for number, line in numbered:
        identity, _, names = line.partition("\t") if by_tab else _halves(line)
        if not names.strip(" ,\t") or not identity.strip():
            raise FormatError(f"{line!r} is not 'id label, synonym'", number)
        if re.fullmatch(r"\d+", names.strip()):
            raise FormatError(f"{short(line)} is an id and a number: the labels themselves are missing", number)
        yield Entry("_".join(identity.split()), " ".join(names.split()), number)


def _halves(line: str) -> tuple[str, str, str]:
    first, *rest = line.split(None, 1)
    return first, " ", rest[0] if rest else ""


def _unquoted(line: str) -> str:
    """Return a label without the quotes around it, and the comma after it, that a list in a program has."""
    match = re.fullmatch(r"(['\"])((?:(?!\1).)*)\1,?", line)
    return match[2].strip() if match else line
