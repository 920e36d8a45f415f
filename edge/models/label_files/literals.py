"""A reader of Python's literals: dicts, lists, tuples, texts and whole numbers.

Python's own (ast.literal_eval) would take 100 times the memory, and may crash on a file that was made for that.
"""

import re
from typing import Any

from edge.models.label_files.entry import MOST_LABELS, FormatError

_CLOSING = {"{": "}", "[": "]", "(": ")"}


class Pairs(list[tuple[Any, Any]]):
    """The items of a map, in their order, with repeated keys still in it."""


class Literal:
    """A text with one literal in it."""

    _TOKEN = re.compile(
        r"\s*(?:#[^\n]*\n\s*)*(?:(?P<mark>[{}\[\](),:])|(?P<number>-?\d{1,9})(?![\w.])|(?P<none>None\b)"
        r"|[uU]?(?P<text>'[^'\\\n]*(?:\\.[^'\\\n]*)*'|\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\")|(?P<end>\Z))"
    )
    _ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
    _DEEPEST = 4

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind, self._value = "", ""
        self._next()

    def value(self) -> Any:
        """Return the only value in the text; a dict as Pairs. Raises FormatError."""
        value = self._read(0)
        if self._kind != "end":
            raise self._unreadable()
        return value

    def _next(self) -> None:
        match = self._TOKEN.match(self._text, self._at)
        if match is None:
            raise self._unreadable()
        self._at = match.end()
        self._kind = match.lastgroup or "end"
        self._value = match[self._kind]

    def _read(self, depth: int) -> Any:
        if self._kind == "mark" and self._value in _CLOSING and depth < self._DEEPEST:
            opening = self._value
            self._next()
            return self._members(opening, depth + 1)
        kind, value = self._kind, self._value
        if kind == "number":
            self._next()
            return int(value)
        if kind == "none":
            self._next()
            return None
        if kind != "text":
            raise self._unreadable()
        parts: list[str] = []
        while self._kind == "text":
            # Python joins adjacent texts, as pprint writes long ones; without a blank they are several labels
            if parts and not (parts[-1].endswith(" ") or self._value[1:2] == " "):
                raise self._unreadable()
            parts.append(self._unescaped(self._value[1:-1]))
            self._next()
        return "".join(parts)

    def _members(self, opening: str, depth: int) -> Any:
        found: list[Any] = Pairs() if opening == "{" else []
        while not self._is(_CLOSING[opening]):
            if len(found) > MOST_LABELS:
                raise FormatError(f"has more than {MOST_LABELS} labels")
            member = self._read(depth)
            if opening == "{":
                if not self._is(":"):
                    raise self._unreadable()
                self._next()
                member = (member, self._read(depth))
            found.append(member)
            if self._is(","):
                self._next()
            elif not self._is(_CLOSING[opening]):
                raise self._unreadable()
        self._next()
        return found

    def _is(self, mark: str) -> bool:
        return self._kind == "mark" and self._value == mark

    def _unescaped(self, text: str) -> str:
        return self._ESCAPE.sub(self._character, text) if "\\" in text else text

    def _character(self, match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code is None:
            return {"n": "\n", "t": "\t", "r": "\r"}.get(match[4], match[4])
        if (number := int(code, 16)) > 0x10FFFF:
            raise self._unreadable()
        return chr(number)

    def _unreadable(self) -> FormatError:
        line = self._text.count("\n", 0, self._at) + 1
        return FormatError("begins like JSON or a Python dict, but cannot be read as either", line)
