"""Writes what `edge keys --learn` has found out into a settings file, and leaves everything else in it alone."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, os_reason
from edge.host.atomic import write_text

_TABLE = "input"
_BOM = "\ufeff"


def input_lines(values: Mapping[str, Any]) -> list[str]:
    """Return the lines of TOML that set these keys of [input]: lists of texts, and tables of texts."""
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def write_input(file: Path, values: Mapping[str, Any]) -> None:
    """Set these keys of [input] in a settings file, as a whole or not at all. A missing file is created.

    Comments, order and all other settings stay. Raises ConfigError, with the lines to write by hand, if the file cannot
    be changed like that, or not at all.
    """
    by_hand = f"write this into it yourself: [{_TABLE}] {'; '.join(input_lines(values))}"
    file = file.resolve()  # a link stays a link
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{file}: {reason}; {by_hand}") from error
    try:
        changed = set_in_table(text, _TABLE, values)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}; {by_hand}") from error
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, changed)
    except OSError as error:
        advice = "run it with sudo, or " if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{file}: {os_reason(error)}; {advice}{by_hand}") from error


def set_in_table(text: str, table: str, values: Mapping[str, Any]) -> str:
    """Return TOML text in which these keys of a table have these values, and all else is as it was.

    The result is read again and compared. Raises ValueError if the text is not TOML, or is written in a way that this
    cannot change.
    """
    wished = _read(text)
    for key, value in values.items():
        if not isinstance(wished.setdefault(table, {}), dict):
            raise ValueError(f"{table} is no table")  # noqa: TRY004 - of the text, not of an argument
        wished[table][key] = value
        text = _set(text, table, key, f"{key} = {_toml(value)}", wished)
    return text


def _set(text: str, table: str, key: str, line: str, wished: Mapping[str, Any]) -> str:
    """Return the text with the line in it, so that it reads as wished. Raises ValueError."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += newline
    header = re.compile(rf"{_BOM}?\s*\[\s*{table}\s*\]\s*(#.*)?$")
    start = next((number for number, one in enumerate(lines) if header.match(one)), None)
    if start is None:
        blank = [newline] if lines and lines[-1].strip() else []
        candidates = [[*lines, *blank, f"[{table}]{newline}", line + newline]]
    else:
        rest = range(start + 1, len(lines))
        end = next((number for number in rest if lines[number].lstrip().startswith("[")), len(lines))
        present = [number for number in rest if re.match(rf"\s*{key}\s*=", lines[number])]
        # the value that is there may go on for some lines
        candidates = [
            [*lines[:number], line + newline, *lines[last + 1 :]]
            for number in present
            for last in range(number, len(lines))
        ]
        # after its commented default, else at the top of the table
        default = [number for number in range(start, end) if re.match(rf"#\s*{key}\s*=", lines[number])]
        place = (default[-1] if default else start) + 1
        candidates.append([*lines[:place], line + newline, *lines[place:]])
    for candidate in candidates:
        changed = "".join(candidate)
        try:
            if _read(changed) == wished:
                return changed
        except ValueError:
            continue
    raise ValueError(f"its [{table}] is written in a way that edge cannot change")


def _read(text: str) -> dict[str, Any]:
    """Return what TOML text says. Raises ValueError."""
    try:
        # editors on other systems put a byte order mark first
        return tomllib.loads(text.removeprefix(_BOM))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from error


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # texts are the same in JSON and TOML, except for one character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
