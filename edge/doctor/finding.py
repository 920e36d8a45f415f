"""What a check finds."""

import enum
from dataclasses import dataclass


class Grade(enum.Enum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    """edge works, but not as one might expect."""
    FAULT = "fault"
    """edge does not work, or not for long."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What was looked at: 'camera'."""
    grade: Grade
    text: str
    """What was found, in a line."""
    advice: str = ""
    """What to do about it, its commands in `...`; empty where there is nothing to do."""


def good(check: str, text: str) -> Finding:
    return Finding(check, Grade.GOOD, text)


def warning(check: str, text: str, advice: str = "") -> Finding:
    return Finding(check, Grade.WARNING, text, advice)


def fault(check: str, text: str, advice: str = "") -> Finding:
    return Finding(check, Grade.FAULT, text, advice)
