"""Translation files: the sentences and words of another language, with the forms that its sentences need.

The file is TOML (docs/translating.md):

    [language]
    name = "German"
    code = "de"
    forms = ["nominative", "accusative"]
    [kinds]                                       # how the forms of a kind of word begin
    m = ["ein", "einen"]
    f = ["eine", "eine"]
    [sentences]                                   # the English one, and what is said instead
    "I see {label}" = "Ich sehe {label:accusative}"
    [words]                                       # blocks of lines: id, kind, forms; behind # the English
    things = '''
    n03126707 m ein Baukran | einen Baukran       # a construction crane
    '''
    [labels]                                      # for labels without an id of ImageNet: the label, and what is said
    "garden gnome" = "ein Gartenzwerg | einen Gartenzwerg"

[language], [kinds] and [words] may be missing: then each text is said unchanged.
"""

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from edge.announce.english import plain
from edge.errors import ConfigError

LARGEST = 2**20
"""Largest translation file, in bytes; a thousand words take a tenth of it."""
ONE_FORM = ("",)
_REWORDED = {
    "I don't look any more.": "I've stopped looking.",
    "I'm too hot, so I slow down.": "I'm too hot, so I'm slowing down.",
}
"""English sentences of 0.1.0 and their present wording: translation files may have either."""


class Forms(dict[str, str]):
    """The words for one thing by the form's name, for use in a sentence: '{label:accusative}'."""

    def __format__(self, form: str) -> str:
        """Return the words in this form; the first form if this one is missing."""
        return self.get(form) or next(iter(self.values()))


@dataclass(frozen=True)
class Translation:
    """The contents of a translation file."""

    path: Path
    name: str = ""
    """English name of the language."""
    code: str = ""
    forms: tuple[str, ...] = ONE_FORM
    kinds: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """For each kind of word and each form, the articles it may begin with; '' means no article."""
    sentences: Mapping[str, str] = field(default_factory=dict)
    """Sentences, by the English one."""
    words: Mapping[str, Forms] = field(default_factory=dict)
    """Words, by id."""
    labels: Mapping[str, Forms] = field(default_factory=dict)
    """Words, by the plain English label."""
    kind_of: Mapping[str, str] = field(default_factory=dict)
    """Kind of each id's words."""
    line_of: Mapping[str, int] = field(default_factory=dict)
    """Line number of each id, so that a person can find it."""

    @property
    def articles(self) -> tuple[str, ...]:
        """Return all articles, as people write them before a word."""
        return tuple({one.casefold() for kind in self.kinds.values() for form in kind for one in form if one})

    def form_of(self, sentence: str, place: str) -> str:
        """Return the form that the translation of an English sentence uses for a field ('label', 'other'), or ''."""
        for _, name, form, _ in string.Formatter().parse(self.sentences.get(sentence, "")):
            if name == place and form:
                return form
        return ""


def our_translation(language: str) -> Path | None:
    """Return edge's own translation file for a language such as 'de', 'de-AT' or 'DE_de', or None."""
    code = language.replace("_", "-").partition("-")[0].lower()
    if not code.isalpha():
        return None
    ours = Path(str(resources.files("edge") / "data" / f"translation-{code}.toml"))
    return ours if ours.exists() else None


def read_translation(path: Path) -> Translation:
    """Return the translation in a file. Raises ConfigError that lists every fault, one line each."""
    text, table = _read(path)
    reader = _Reader(path, text)
    found = reader.read(table)
    if reader.faults:
        raise ConfigError(*reader.faults)
    return found


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(
                f"{path}: {path.stat().st_size} bytes are too many for a translation file; at most {LARGEST}"
            )
        text = path.read_text(encoding="utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; [speech] translations must name a translation file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


class _Reader:
    """Parses a file and collects its faults."""

    TABLES = ("language", "kinds", "sentences", "words", "labels")

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self.faults: list[str] = []
        self._forms = ONE_FORM
        self._kinds: dict[str, tuple[tuple[str, ...], ...]] = {}
        self._kind_of: dict[str, str] = {}
        self._lines: dict[str, int] = {}

    def read(self, table: Mapping[str, Any]) -> Translation:
        parts: dict[str, Mapping[str, Any]] = {name: {} for name in self.TABLES}
        for name, part in table.items():
            if name in parts and isinstance(part, dict):
                parts[name] = part
            else:
                *others, last = (f"[{one}]" for one in self.TABLES)
                self._fault(f"unknown table or key {name}; known: {', '.join(others)} and {last}")
        language, code = self._language(parts["language"])
        for kind, begins in parts["kinds"].items():
            self._kind(kind, begins)
        sentences = dict(self._sentences(parts["sentences"]))
        words = dict(self._words(parts["words"]))
        labels = dict(self._labels(parts["labels"]))
        return Translation(
            *(self._path, language, code, self._forms, self._kinds, sentences, words, labels),
            kind_of=self._kind_of,
            line_of=self._lines,
        )

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self._path}: {text}")

    def _language(self, part: Mapping[str, Any]) -> tuple[str, str]:
        for key in part.keys() - {"name", "code", "forms"}:
            self._fault(f"[language] has no key {key}; known: name, code and forms")
        forms = part.get("forms", list(ONE_FORM))
        if not isinstance(forms, list) or not forms or not all(isinstance(one, str) for one in forms):
            self._fault(f'[language] forms = {forms!r} must be a list of names, as in ["nominative", "accusative"]')
        elif len(set(forms)) < len(forms) or (forms != list(ONE_FORM) and not all(map(str.isidentifier, forms))):
            self._fault(f"[language] forms = {forms!r} must be different names, each one word")
        else:
            self._forms = tuple(forms)
        names = []
        for key in ("name", "code"):
            value = part.get(key, "")
            if not isinstance(value, str):
                self._fault(f"[language] {key} = {value!r} must be a text in quotes")
            names.append(str(value))
        return names[0], names[1]

    def _kind(self, kind: str, begins: Any) -> None:
        if not isinstance(begins, list) or not all(isinstance(one, str) for one in begins):
            self._fault(f'[kinds] {kind} = {begins!r} must be a list of articles, as in ["ein", "einen"]')
        elif len(begins) != len(self._forms):
            self._fault(f"[kinds] {kind} = {begins!r} must have an article for each of the {len(self._forms)} forms")
        else:
            self._kinds[kind] = tuple(tuple(one.strip() for one in articles.split("/")) for articles in begins)

    def _sentences(self, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for english, text in part.items():
            where = f"[sentences] {english!r} = {text!r}"
            if not isinstance(text, str) or not text.strip():
                self._fault(f"{where} must be a text in quotes")
            elif fault := _sentence_fault(english, text, self._forms):
                self._fault(f"{where} {fault}")
            else:
                yield _REWORDED.get(english, english), text

    def _labels(self, part: Mapping[str, Any]) -> Iterator[tuple[str, Forms]]:
        for english, text in part.items():
            where = f"[labels] {english!r} = {text!r}"
            if not isinstance(text, str) or not text.strip():
                self._fault(f"{where} must be a text in quotes")
            elif (forms := forms_of(text, self._forms)) is None:
                self._fault(f"{where} has more forms than the language, which has {len(self._forms)}")
            else:
                yield plain(english), forms

    def _words(self, part: Mapping[str, Any]) -> Iterator[tuple[str, Forms]]:
        for name, block in part.items():
            if not isinstance(block, str):
                self._fault(f"[words] {name} must be lines between ''' and '''")
                continue
            # the number of its first line, so that a person can find it
            start = self._text.count("\n", 0, max(self._text.find(block.replace("\r\n", "\n")), 0))
            for number, line in enumerate(block.splitlines(), start + 1):
                if content := line.partition("#")[0].strip():
                    yield from self._word(number, content)

    def _word(self, number: int, content: str) -> Iterator[tuple[str, Forms]]:
        identity, *kind, text = [*content.split(None, 2 if self._kinds else 1), ""][: 3 if self._kinds else 2]
        forms = forms_of(text, self._forms)
        if forms is None:
            wanted = "an id, a kind and words" if self._kinds else "an id and words"
            several = f", with at most {len(self._forms)} forms ({', '.join(self._forms)}) between |"
            self._fault(f"line {number}: {content!r} is not {wanted}{several if len(self._forms) > 1 else ''}")
        elif kind and kind[0] not in self._kinds:
            self._fault(f"line {number}: {content!r}: unknown kind {kind[0]!r}; [kinds] has {', '.join(self._kinds)}")
        elif identity in self._lines:
            self._fault(f"line {number}: {content!r}: {identity} already has words, in line {self._lines[identity]}")
        else:
            self._lines[identity] = number
            if kind:
                self._kind_of[identity] = kind[0]
            yield identity, forms


def forms_of(text: str, names: tuple[str, ...]) -> Forms | None:
    """Return the forms in a text, separated by |. A single one stands for all. None if one is empty or too many."""
    texts = [one.strip() for one in text.split("|")]
    if len(texts) == 1:
        texts *= len(names)
    return Forms(zip(names, texts, strict=True)) if len(texts) == len(names) and all(texts) else None


def _sentence_fault(english: str, text: str, forms: tuple[str, ...]) -> str:
    try:
        wanted, found = _fields(english, ()), _fields(text, forms)
    except ValueError as error:
        return f"is not a template: {error}"
    if wanted != found:
        return f"must have {' and '.join(sorted(wanted)) or 'no field'}, like the English sentence"
    return ""


def _fields(template: str, forms: tuple[str, ...]) -> set[str]:
    fields = set()
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is not None:
            if conversion or name not in ("label", "other"):
                raise ValueError(f"only {{label}} and {{other}} are known, not {{{name}}}")
            if form and form not in forms:
                raise ValueError(f"{form!r} in {{{name}:{form}}} is not one of the language's forms")
            fields.add(f"{{{name}}}")
    return fields
