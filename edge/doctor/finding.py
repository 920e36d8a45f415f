"""The finding of a check."""

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any


class Grade(enum.Enum):
    """The grade of a finding."""

    GOOD = "good"
    WARNING = "warning"
    """edge works, but not as you might expect."""
    FAULT = "fault"
    """edge does not work, or will fail soon."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    """The thing that was checked, such as 'camera'."""
    grade: Grade
    text: str
    """The result, in one line."""
    advice: str = ""
    """What to do about it, with commands in `...`; empty if there is nothing to do."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**dataclasses.asdict(self), "grade": self.grade.value}


def good(check: str, text: str) -> Finding:
    return Finding(check, Grade.GOOD, text)


def warning(check: str, text: str, advice: str = "") -> Finding:
    return Finding(check, Grade.WARNING, text, advice)


def fault(check: str, text: str, advice: str = "") -> Finding:
    return Finding(check, Grade.FAULT, text, advice)
