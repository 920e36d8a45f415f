"""The labels of a model: one for each of its outputs, in that order, from synset.txt or a file that is given."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ModelError
from edge.models import label_files
from edge.models.foreign import foreign
from edge.models.manifest import MANIFEST

_PIECE = 2**16
LARGEST = 2**21
"""Bytes. ImageNet's list of 21,841 labels has 1.3 MB."""
# what a terminal would act on: sequences that set a colour, control characters, changes of the writing direction
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
# no label has these; they are left of another format
_CODE = re.compile(r"[\"{}\[\]]|^'.*',?$|\\")


@dataclass(frozen=True, slots=True)
class Label:
    """The meaning of one output of a model."""

    id: str
    """In ImageNet a WordNet id, 'n03467517'; if the file has no ids, the name with _ for blanks."""
    synonyms: tuple[str, ...]
    """At least one; the first is the common name."""

    @property
    def name(self) -> str:
        """The first synonym."""
        return self.synonyms[0]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The labels in a file, and how it was read."""

    labels: list[Label]
    kind: str
    """Name of the format, such as 'a Python dict of numbers to labels'."""

    @property
    def is_usual(self) -> bool:
        """True if it has the lines 'id label, synonym' of a synset.txt."""
        return self.kind == label_files.LINES

    @property
    def counted(self) -> str:
        """The number of labels, and the format if it is not the usual one."""
        return f"{len(self.labels)} labels" if self.is_usual else f"{len(self.labels)} labels (read as {self.kind})"


def read_labels(path: Path) -> list[Label]:
    """Return the labels in a file of any format that `read_label_file` knows. Raises ModelError."""
    return read_label_file(path).labels


def read_label_file(path: Path) -> LabelFile:
    """Return the labels in a file of lines 'id label, synonym', or in another of label_files.py's formats.

    Raises ModelError, naming the file and, where there is one, the line.
    """
    try:
        kind, entries = label_files.parse(
            _text(path), path.suffix, installed=os.access(path.parent / MANIFEST, os.F_OK)
        )
        return LabelFile(list(_labels(entries)), kind)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; give the model's labels with --synset FILE") from error
    except label_files.FormatError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ModelError(f"{where}: {error}") from error


def how_read(path: Path, *, named: bool) -> str:
    """Return a sentence that says how a file was read; '' for a usual one that the user has not named."""
    read = read_label_file(path)
    if read.is_usual and not named:
        return ""
    return f"{path}: {len(read.labels)} labels, read as {read.kind}; the first is {read.labels[0].name!r}."


def to_text(labels: Sequence[Label]) -> str:
    """Return a synset.txt with the labels: lines 'id label, synonym', which every release reads."""
    return "".join(f"{label.id} {', '.join(label.synonyms)}\n" for label in labels)


def _is_installed(path: Path) -> bool:
    return os.access(path.with_name(MANIFEST), os.F_OK)


def _text(path: Path) -> str:
    content = b""
    with path.open("rb") as file:
        # in pieces: a buffer for the largest file would be asked for at once, though memory may be short
        while len(content) <= LARGEST and (piece := file.read(_PIECE)):
            content += piece
    if len(content) > LARGEST:
        raise label_files.FormatError(f"is larger than {LARGEST >> 20} MiB; a file of labels is a small text file")
    if what := foreign(path):
        raise label_files.FormatError(what)
    # editors on other systems begin a file with a byte order mark
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise label_files.FormatError("not a text file in UTF-8; labels are lines 'id label, synonym'") from error
    if text[:1024].count("\x00") * 8 > len(text[:1024]):
        raise label_files.FormatError("not a text file; labels are lines 'id label, synonym'")
    return text


def _labels(entries: Sequence[label_files.Entry]) -> Iterator[Label]:
    names = [_names(entry) for entry in entries]
    times = Counter(label_files.id_of(one[0]) for one in names)
    known: dict[str, int] = {}
    for number, (entry, synonyms) in enumerate(zip(entries, names, strict=True)):
        identity = _TERMINAL.sub("", _whole(entry.id)) or label_files.id_of(synonyms[0])
        if not entry.id and times[identity] > 1:
            identity = f"{identity}_{number}"  # ImageNet has two cranes
        if identity in known:
            raise label_files.FormatError(f"the id {identity} already has another label", entry.line)
        known[identity] = number
        yield Label(identity, synonyms)


def _names(entry: label_files.Entry) -> tuple[str, ...]:
    text = " ".join(_TERMINAL.sub(" ", _whole(entry.text)).split())
    synonyms = tuple(name.strip() for name in text.split(",") if name.strip())
    if not synonyms:
        raise label_files.FormatError(f"{entry.text!r} is no label", entry.line)
    if _CODE.search(text.strip()) or _CODE.search(entry.id):
        raise label_files.FormatError(
            f"{text.strip()[:60]!r} is no label: it has quotes or brackets, so this is another format; "
            "labels are lines 'id label, synonym'",
            entry.line,
        )
    return synonyms


def _whole(text: str) -> str:
    """Return a text with pairs of surrogates joined, and single ones, which no file can have, replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
