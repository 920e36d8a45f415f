"""What edge says, word for word: in English, in the user's own words, or from a file of translations.

The file is TOML. [sentences] has the English sentence as key, templates as they stand in the settings; [labels] the
English label, and its translation with the article, said as it is:

    [sentences]
    "I see {label}" = "Ich sehe {label}"
    [labels]
    "electric guitar" = "eine E-Gitarre"
"""

import string
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from edge.errors import ConfigError
from edge.settings import AnnounceSettings, SpeechSettings
from edge.speech.phrases import with_article

LARGEST = 2**20
"""Bytes of a translation file: a thousand labels take a tenth of it."""
TOLD = 20
"""So many missing lines are told one by one."""


class Words:
    """Makes the sentences."""

    def __init__(
        self,
        announce: AnnounceSettings,
        speech: SpeechSettings | None = None,
        tell: Callable[[str], object] = lambda _line: None,
    ) -> None:
        """`tell` hears, once each, of lines that the translation lacks. Raises ConfigError for a file with faults."""
        self._announce = announce
        self._tell = tell
        # what the user has put into words needs no translation
        self._own_sentences = {
            getattr(announce, key)
            for key in ("template", "maybe_template", "maybe_or_template", "not_sure_text")
            if getattr(announce, key) != getattr(AnnounceSettings(), key)
        }
        self._rename = {_plain(label): name for label, name in announce.rename.items()}
        self._path = translation_file(speech) if speech else None
        self._sentences, self._labels = read_translation(self._path) if self._path else ({}, {})
        self._missing: set[str] = set()
        if speech and self._path is None and speech.language and not speech.language.lower().startswith("en"):
            tell(
                f"edge has no translation for {speech.language!r}: it speaks English; "
                "[speech] translations names a file of them."
            )

    # what is not `spoken`, but only would be, is no reason to tell of a missing line

    def sure(self, label: str, *, spoken: bool = True) -> str:
        """What is said of a label that is clearly there."""
        return self._sentence(self._announce.template, spoken).format(label=self._label(label, spoken))

    def maybe(self, label: str, other: str = "", *, spoken: bool = True) -> str:
        """What is said of one that is likely, or of two of which it is one."""
        if other:
            template = self._sentence(self._announce.maybe_or_template, spoken)
            return template.format(label=self._label(label, spoken), other=self._label(other, spoken))
        return self._sentence(self._announce.maybe_template, spoken).format(label=self._label(label, spoken))

    def not_sure(self, *, spoken: bool = True) -> str:
        """What is said when something is there."""
        return self._sentence(self._announce.not_sure_text, spoken)

    def notice(self, text: str, *, spoken: bool = True) -> str:
        """A sentence that edge says of itself."""
        return self._sentence(text, spoken)

    def _label(self, label: str, spoken: bool) -> str:
        own = self._rename.get(_plain(label))
        for name in (own, label):
            if name is not None and (translated := self._labels.get(_plain(name))):
                return translated
        if own is not None:
            return own if self._path else with_article(own)  # articles of other languages are the user's
        if spoken:
            self._lacks(label)
        return with_article(label)

    def _sentence(self, english: str, spoken: bool) -> str:
        translated = self._sentences.get(english)
        if translated is not None:
            return translated
        if spoken and english not in self._own_sentences:
            self._lacks(english)
        return english

    def _lacks(self, line: str) -> None:
        if self._path is None or line in self._missing or len(self._missing) > TOLD:
            return
        self._missing.add(line)
        if len(self._missing) <= TOLD:
            self._tell(f"{self._path.name} has no line for {line!r}: it is said in English.")
        else:
            self._tell(f"{self._path.name} lacks more lines: they are said in English.")


def translation_file(speech: SpeechSettings) -> Path | None:
    """The file that the settings name, or the one that edge has for the language; None: English."""
    if speech.translations:
        return Path(speech.translations)
    if not speech.language:
        return None
    language = speech.language.replace("_", "-").partition("-")[0].lower()
    ours = Path(str(resources.files("edge") / "data" / f"translation-{language}.toml"))
    return ours if ours.exists() else None


def read_translation(path: Path) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return (sentences by the English one, labels by the plain English one). Raises ConfigError with every fault."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes are too many for translations; at most {LARGEST}")
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; [speech] translations names a file of translations") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    faults = []
    for name, part in table.items():
        if name not in ("sentences", "labels") or not isinstance(part, dict):
            faults.append(f"{path}: unknown table or key {name}; known: [sentences] and [labels]")
            continue
        for english, text in part.items():
            if not isinstance(text, str) or not text.strip():
                faults.append(f"{path}: [{name}] {english!r} = {text!r} must be a text in quotes")
            elif name == "sentences" and (fault := _sentence_fault(english, text)):
                faults.append(f"{path}: [{name}] {english!r} = {text!r} {fault}")
    if faults:
        raise ConfigError(*faults)
    labels = {_plain(english): text for english, text in table.get("labels", {}).items()}
    return table.get("sentences", {}), labels


def _sentence_fault(english: str, text: str) -> str:
    try:
        wanted, found = _fields(english), _fields(text)
    except ValueError as error:
        return f"is no template: {error}"
    if wanted != found:
        return f"must have {' and '.join(sorted(wanted)) or 'no field'}, as the English has"
    return ""


def _fields(template: str) -> set[str]:
    fields = set()
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is not None:
            if form or conversion or name not in ("label", "other"):
                raise ValueError(f"only {{label}} and {{other}} are known, not {{{name}}}")
            fields.add(f"{{{name}}}")
    return fields


def _plain(label: str) -> str:
    """A label as people compare it: 'Web_site' and 'web site' are one."""
    return " ".join(label.replace("_", " ").casefold().split())
