"""Recognises the formats in which people keep labels, and reads them: text lines, CSV, JSON, a Python dict.

No file is believed to be a list of names only because it has lines: what looks like another format, and cannot be read
as that, is rejected. A label with half of a word, a quote or a bracket in it would be announced.
"""

import re

from edge.models.label_files.entry import MOST_LABELS, Entry, FormatError, id_of
from edge.models.label_files.lines import LINES, lines_of, with_ids
from edge.models.label_files.tables import table
from edge.models.label_files.values import structured

__all__ = ["LINES", "Entry", "FormatError", "id_of", "parse"]

_LONGEST_LINE = 4096
_IMAGENET = re.compile(r"n\d{8}\b")
_OTHER_FORMATS = (
    (re.compile(r"item\s*\{"), "a label map of TensorFlow (pbtxt)"),
    (re.compile(r"---\s*$|[\w-]+:\s*$|(?:[\w-]+:.*\n+)*names:", re.MULTILINE), "YAML"),
    (re.compile(r"\|.*\|\s*$", re.MULTILINE), "a table of Markdown"),
    (re.compile(r"<\?xml|<\w+[ >]"), "XML or a web page"),
    (re.compile(r"\[[\w. -]+\]\s*$", re.MULTILINE), "an INI or TOML file"),
)


def parse(text: str, suffix: str = "", *, installed: bool = False) -> tuple[str, list[Entry]]:
    """Return the name of the format, and the labels in the order of the network's outputs.

    `suffix` is that of the file's name, such as '.csv'. The file of an `installed` model has lines 'id label', with any
    ids. Raises FormatError.
    """
    text = text.strip()
    if not text:
        raise FormatError("the file has no labels")
    if text.count("\n") + text.count("\r") > MOST_LABELS:
        raise FormatError(f"has more than {MOST_LABELS} lines")
    if found := structured(text):
        return _checked(*found)
    for pattern, what in _OTHER_FORMATS:
        if pattern.match(text):
            raise FormatError(f"this is {what}, which edge does not read")
    lines = [re.sub(r"[^\S\t]+", " ", line).strip() for line in re.split(r"\r\n|\n|\r", text)]
    if longest := next((number for number, line in enumerate(lines, start=1) if len(line) > _LONGEST_LINE), 0):
        raise FormatError(f"is longer than {_LONGEST_LINE} characters: this is no label", longest)
    if installed and not any("\t" in line for line in lines):
        return LINES, list(with_ids(list(enumerate(lines, start=1)), by_tab=False))
    return _checked(*(table(lines, suffix.lower()) or lines_of(lines)))


def _checked(kind: str, entries: list[Entry]) -> tuple[str, list[Entry]]:
    """Return both. Raises FormatError if the file has ids and no names."""
    names = [entry.text for entry in entries]
    if sum(bool(_IMAGENET.match(name)) for name in names) * 2 > len(names):
        raise FormatError("has WordNet ids, but the labels themselves are missing", entries[0].line)
    return kind, entries
