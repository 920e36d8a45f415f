"""What the readers of all formats share: a label as the file has it, ids, and the order by numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_LABELS = 2**16
"""More than any image classifier has; ImageNet's largest list has 21,841."""
WORDNET = re.compile(r"n\d+")
MACHINE_ID = re.compile(r"/[mg]/\w+")  # Open Images: /m/01g317
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One label as the file has it."""

    id: str
    """Empty if the file has none."""
    text: str
    """The name, or several with commas between."""
    line: int = 0
    """Line of the file, from 1; 0 if the format has no lines."""


class FormatError(ValueError):
    """The file cannot be read as labels; the text says why, `line` where (0: unknown)."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.line = line


def id_of(name: str) -> str:
    """Return the id of a label whose file has none: its name, with _ for blanks."""
    return "_".join(name.split())


def is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return type(value) is int and 0 <= value < 10**9


def are_numbers(cells: Sequence[str]) -> bool:
    return all(is_number(cell) for cell in cells) and len(set(cells)) == len(cells)


def are_ranks(numbers: Sequence[int]) -> bool:
    """Return True if the numbers are 0 to N - 1 or 1 to N, in any order."""
    return sorted(numbers) in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def ordered(numbers: Sequence[int], entries: Sequence[Entry]) -> list[Entry]:
    """Return the labels in the order of their numbers, which begin with 0 or 1. Raises FormatError for a gap."""
    if not are_ranks(numbers):
        counted = set(numbers)
        if len(counted) < len(numbers):
            raise FormatError(f"has the number {Counter(numbers).most_common(1)[0][0]} twice")
        start = 0 if 0 in counted else 1
        gap = next(number for number in range(start, len(numbers) + start) if number not in counted)
        raise FormatError(
            f"has {len(numbers)} labels, but none with the number {gap}: each output of a network needs one"
        )
    return [entry for _, entry in sorted(zip(numbers, entries, strict=True), key=lambda pair: pair[0])]


def short(value: Any) -> str:
    text = "a list or map" if isinstance(value, list) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
