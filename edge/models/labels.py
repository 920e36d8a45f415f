"""The labels of a model: one line of synset.txt for each of its outputs."""

import re
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class Label:
    """The meaning of one output of a model."""

    id: str
    """The first word of the line, in ImageNet a WordNet id: 'n03467517'."""
    synonyms: tuple[str, ...]
    """At least one; the first is the common name."""

    @property
    def name(self) -> str:
        """The first synonym."""
        return self.synonyms[0]


def read_labels(path: Path) -> list[Label]:
    """Return the labels in a file of lines 'id label, synonym'; empty lines at the end do not count.

    Raises ModelError, naming the file and the line.
    """
    try:
        # editors on other systems begin a file with a byte order mark
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; give the model's labels with --synset FILE") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not a text file in UTF-8; labels are lines 'id label, synonym'") from error
    labels: dict[str, Label] = {}
    for number, line in enumerate(lines, start=1):
        identity, _, names = line.strip().partition(" ")
        # a terminal would act on control characters
        names = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", names)
        synonyms = tuple(name.strip() for name in names.split(",") if name.strip())
        if not synonyms:
            raise ModelError(f"{path}:{number}: {line!r} is not 'id label, synonym'")
        if identity in labels:
            raise ModelError(f"{path}:{number}: the id {identity} already has another label")
        labels[identity] = Label(identity, synonyms)
    return list(labels.values())
