"""Labels in a table: CSV, with commas or semicolons, and columns with tabs between."""

import csv
from collections.abc import Sequence

from edge.models.label_files.entry import (
    MACHINE_ID,
    WORDNET,
    Entry,
    FormatError,
    are_numbers,
    are_ranks,
    is_number,
    ordered,
)
from edge.models.label_files.lines import are_ids, begin_with_ids, lines_of

ID_KEYS = ("id", "wnid", "synset", "synset_id", "wordnet_id", "mid", "uid", "code", "labelname")
NUMBER_KEYS = ("index", "idx", "number", "class_id", "class_index", "classid", "label_id", "target", "id", "class")
NAME_KEYS = (
    "name", "label", "class_name", "display_name", "displayname", "classname", "label_name", "title", "words", "class",
    "names", "labels", "classes", "class_label", "category", "category_name", "synonyms", "text", "description",
)  # fmt: skip
_SUFFIXES = (".csv", ".tsv")
_MOST_COLUMNS = 32


def table(lines: list[str], suffix: str) -> tuple[str, list[Entry]] | None:
    """Return the labels of a CSV file; None if it is none. It is one by its suffix, its header, or quoted columns."""
    delimiter = next((mark for mark in ("\t", ";", ",") if 1 < _columns(lines[0], mark) <= _MOST_COLUMNS), None)
    if delimiter is None:
        if suffix == ".csv" and len(lines) > 1 and lines[0].strip("\"'").lower() in NAME_KEYS:
            return "CSV", lines_of(lines[1:])[1]
        return None
    try:
        rows = _rows(lines, delimiter)
    except csv.Error as error:
        if suffix == ".csv":
            raise FormatError(f"cannot be read as CSV: {error}") from error
        return None
    if begin_with_ids(lines) and len({len(row) for row in rows}) > 1:
        return None  # id, label, synonym
    has_header = _is_header(rows[0], suffix) or _differs(rows)
    is_table = suffix in _SUFFIXES or has_header
    if not is_table and len({len(row) for row in rows}) == 1 and len(rows) == len(lines):
        # in a list of names with synonyms the number of commas differs, and no column has numbers or ids
        is_table = delimiter == "\t" or any(_is_id_column(column) for column in zip(*rows, strict=True))
    if not is_table:
        return None
    header = [cell.lower().replace(" ", "_") for cell in rows[0]] if has_header else []
    first = 1 if has_header else 0
    rows = rows[first:]
    if not rows:
        raise FormatError("this is CSV with a header and no labels")
    width = len(header) or max(len(row) for row in rows)
    for number, row in enumerate(rows, start=1 + first):
        if len(row) != width:
            raise FormatError(
                f"has {len(row)} columns of CSV, other lines have {width}; quote a label with a comma", number
            )
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    header = [cell for cell, column in zip(header, zip(*rows, strict=True), strict=False) if any(column)]
    kind = "CSV" if delimiter != "\t" else "a table with tabs"
    return kind, _entries_of(columns, header, first + 1, by_tab=delimiter == "\t")


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of each line that is not empty. Raises csv.Error."""
    rows = []
    for row in csv.reader(lines, delimiter=delimiter, strict=True):
        if len(row) > _MOST_COLUMNS:
            raise csv.Error(f"a line has {len(row)} columns")
        if row:
            rows.append([cell.strip() for cell in row])
    return rows


def _columns(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0


def _is_header(cells: Sequence[str], suffix: str) -> bool:
    lowered = [cell.lower().replace(" ", "_") for cell in cells]
    known = {*ID_KEYS, *NUMBER_KEYS, *NAME_KEYS, ""}
    has_name = any(cell in NAME_KEYS for cell in lowered)
    return has_name and (suffix in _SUFFIXES or all(cell in known for cell in lowered))


def _differs(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row alone has no id or number in a column of them."""
    if len(rows) < 3 or len({len(row) for row in rows}) > 1:
        return False
    return any(
        not _is_id_column((first,)) and _is_id_column(column)
        for first, column in zip(rows[0], zip(*rows[1:], strict=True), strict=True)
    )


def _is_id_column(cells: Sequence[str]) -> bool:
    return are_numbers(cells) or all(WORDNET.fullmatch(cell) or MACHINE_ID.fullmatch(cell) for cell in cells)


def _entries_of(columns: list[tuple[str, ...]], header: list[str], first_line: int, *, by_tab: bool) -> list[Entry]:
    may_count = [
        column for at, column in enumerate(columns) if are_numbers(column) and (not header or header[at] in NUMBER_KEYS)
    ]
    numbers = next((column for column in may_count if are_ranks([int(cell) for cell in column])), None)
    numbers = numbers or (may_count[0] if may_count else None)
    others = [at for at, column in enumerate(columns) if not all(is_number(cell) for cell in column)]
    ids = next((at for at in others if _is_id_column(columns[at])), None)
    if ids is None and header:
        ids = next((at for at in others if header[at] in ID_KEYS and len(others) > 1), None)
    names = [at for at in others if at != ids]
    if header:
        names = [at for key in NAME_KEYS for at in names if header[at] == key][:1] or names
    elif (
        ids is None
        and len(names) == 2
        and (
            are_ids(columns[names[0]], columns[names[1]])
            or (by_tab and not any(" " in cell for cell in columns[names[0]]))
        )
    ):
        ids, names = names[0], names[1:]  # without a header: an id, then the label
    if not names:
        raise FormatError("this is CSV without a column of labels")
    if len(names) > 1:
        raise FormatError(
            f"this is CSV with {len(names)} columns that may be the labels; give one, or a header with name"
        )
    entries = []
    for row, text in enumerate(columns[names[0]]):
        if not text:
            raise FormatError("has no label", first_line + row)
        identity = columns[ids][row] if ids is not None else ""
        entries.append(Entry("_".join(identity.split()), text, first_line + row))
    return entries if numbers is None else ordered([int(cell) for cell in numbers], entries)
