"""Labelled pictures: a CSV says which label of a model is right for each picture of a folder."""

import csv
import difflib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ModelError, one_line
from edge.models.labels import Label

_HEADER = ("file", "filename", "image", "path", "picture")
_MOST_FAULTS = 20
"""Number of faults that are reported; a list of labels for another model has a fault in each line."""


@dataclass(frozen=True)
class Labelled:
    """A picture, with the line of the CSV that is about it."""

    path: Path
    accepted: tuple[int, ...] = ()
    """The outputs of the model that are right; empty if that is not known."""
    where: str = ""
    """Place of the line: FILE:LINE; empty if there is none."""


def read_labelled(path: Path, folder: Path, labels: Sequence[Label]) -> list[Labelled]:
    """Return the lines of a CSV: a file in `folder`, and its label as text or id, or several separated by |.

    Further columns and a header are ignored. Raises ModelError with a line for each fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; give a CSV with lines file,label") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not a text file in UTF-8; give a CSV with lines file,label") from error
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; give the folder of the images with --images")
    names = _Names(labels)
    found: dict[Path, Labelled] = {}
    faults: list[str] = []
    for line, cells in _rows(path, text):
        where = f"{path}:{line}"
        if len(cells) < 2 or not cells[0] or not cells[1]:
            faults.append(f"{where}: {','.join(cells)[:60]!r} is not file,label")
            continue
        accepted = set()
        for name in cells[1].split("|"):
            index, fault = names.find(name.strip())
            if index is None:
                faults.append(f"{where}: {fault}")
            else:
                accepted.add(index)
        picture = folder / cells[0]
        if picture in found:
            faults.append(f"{where}: {cells[0]} is already in {found[picture].where}")
            continue
        found[picture] = Labelled(picture, tuple(sorted(accepted)), where)
    if len(faults) > _MOST_FAULTS:
        faults[_MOST_FAULTS:] = [f"{path}: and {len(faults) - _MOST_FAULTS} more faults"]
    if faults:
        raise ModelError("\n".join(faults))
    return list(found.values())


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells), without empty lines and the header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (first and cells[0].casefold() in _HEADER):
                yield reader.line_num, cells
            first = first and not any(cells)
    except csv.Error as error:
        raise ModelError(f"{path}:{reader.line_num}: not CSV: {one_line(error)}") from error


class _Names:
    """The outputs of a model by the names of their labels."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._ids = {label.id: index for index, label in enumerate(labels)}
        self._first: dict[str, list[int]] = {}
        self._any: dict[str, list[int]] = {}
        for index, label in enumerate(labels):
            self._first.setdefault(label.name.casefold(), []).append(index)
            for synonym in dict.fromkeys(name.casefold() for name in label.synonyms):
                self._any.setdefault(synonym, []).append(index)
        self._labels = labels

    def find(self, name: str) -> tuple[int | None, str]:
        """Return (output, ''), or (None, fault of the name)."""
        if name in self._ids:
            return self._ids[name], ""
        for known in (self._first, self._any):
            indices = known.get(name.casefold(), [])
            if len(indices) == 1:
                return indices[0], ""
            if indices:
                ids = " or ".join(self._labels[index].id for index in indices)
                return None, f"{name!r} is the name of several labels; give the id: {ids}"
        near = difflib.get_close_matches(name.casefold(), self._any, n=1)
        near = near or difflib.get_close_matches(name, self._ids, n=1)
        hint = f"did you mean {near[0]}?" if near else "give a label or an id of its synset.txt"
        return None, f"the model has no label {name[:60]!r} ({hint})"
