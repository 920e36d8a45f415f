"""Check a translation file for missing or malformed lines, for its author (docs/translating.md)."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge.announce.english import load_english
from edge.announce.translation import Translation
from edge.settings import AnnounceSettings

TEMPLATES = ("template", "maybe_template", "maybe_or_template", "not_sure_text")
ESPEAK_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Report:
    """Result of a check."""

    faults: tuple[str, ...]
    """Faults, one line each."""
    wanted_sentences: int
    """Number of sentences that edge has."""
    missing_sentences: tuple[str, ...]
    """Missing sentences, in English."""
    missing_words: tuple[str, ...]
    """Missing ids, in the order of the English list."""
    unchecked: str
    """What could not be checked, and why; empty if everything was checked."""


def check(
    translation: Translation,
    sentences: Sequence[str],
    groups: Mapping[str, Collection[str]],
    voices: Collection[str] | None,
) -> Report:
    """Return a report on a translation.

    `sentences` are those that edge says about itself. `groups` maps the id of each group to its members. `voices` are
    the languages that the synthesiser speaks; None if it is not installed.
    """
    english = load_english()
    wanted = [*(getattr(AnnounceSettings(), key) for key in TEMPLATES), *sentences]
    faults = list(_wrong_articles(translation))
    faults += [
        f"[sentences] {one!r} is not one of edge's sentences" for one in translation.sentences if one not in wanted
    ]
    faults += [
        f"line {translation.line_of[identity]}: edge does not know the id {identity}"
        for identity in translation.words
        if identity not in english
    ]
    faults += _duplicates(translation, groups)
    unchecked = ""
    if not translation.code:
        unchecked = 'Not checked whether the voice can say the letters: [language] has no code, such as "de"'
    elif voices is None:
        unchecked = "Not checked whether the voice can say the letters: espeak-ng is not installed"
    elif translation.code not in voices:
        faults.append(f"[language] code = {translation.code!r}: espeak-ng has no such voice; edge voices lists them")
    else:
        faults += _unsayable(translation)
    return Report(
        tuple(faults),
        len(wanted),
        tuple(one for one in wanted if one not in translation.sentences),
        tuple(identity for identity in english if identity not in translation.words),
        unchecked,
    )


def _wrong_articles(translation: Translation) -> Iterator[str]:
    """Yield a fault for each word that does not begin as its kind does, or that lacks a form."""
    articles = {one for kind in translation.kinds.values() for form in kind for one in form if one}
    for identity, kind in translation.kind_of.items():
        forms, begins = translation.words[identity], translation.kinds[kind]
        where = f"line {translation.line_of[identity]}: {' | '.join(dict.fromkeys(forms.values()))!r}"
        if len(set(begins)) > 1 and len(set(forms.values())) == 1:
            yield f"{where}: a word of kind {kind} needs {len(begins)} forms: {', '.join(translation.forms)}"
            continue
        for (form, text), wanted in zip(forms.items(), begins, strict=True):
            found = max((one for one in articles if _begins(text, one)), key=len, default="")
            if found not in wanted:
                must = " or ".join(f"begin with {one!r}" if one else "have no article" for one in wanted)
                yield f"{where}: a word of kind {kind} must {must}{f' in the {form}' if form else ''}"
                break


def _begins(text: str, article: str) -> bool:
    return text.startswith(article if article.endswith("'") else f"{article} ")


def _duplicates(translation: Translation, groups: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield a fault for each pair of things with the same words that no group contains both of."""
    english = load_english()
    same: defaultdict[str, list[str]] = defaultdict(list)
    for identity, forms in translation.words.items():
        same[next(iter(forms.values()))].append(identity)
    for text, ids in same.items():
        for number, first in enumerate(ids):
            for second in ids[number + 1 :]:
                if first in english and second in english and not same_to_a_listener(first, second, groups):
                    lines = f"lines {translation.line_of[first]} and {translation.line_of[second]}"
                    what = f"{english[first].said!r} and {english[second].said!r}"
                    yield f"{lines}: {text!r} stands for {what}: a listener could not tell them apart"


def same_to_a_listener(first: str, second: str, groups: Mapping[str, Collection[str]]) -> bool:
    """Return True if two ids may share their words: they have the same English words, or one group contains both."""
    english = load_english()
    if english[first].said == english[second].said:
        return True
    return any({first, second} <= {group, *members} for group, members in groups.items())


def _unsayable(translation: Translation) -> Iterator[str]:
    """Yield a fault for each letter that the voice cannot pronounce: it spells the letter out instead."""
    places: dict[str, str] = {}
    for identity, forms in translation.words.items():
        for letter in {letter for text in forms.values() for letter in text}:
            places.setdefault(letter, f"line {translation.line_of[identity]}: {format(forms, '')!r}")
    for kind, texts in (("sentences", translation.sentences.values()), ("labels", _texts(translation))):
        for text in texts:
            for letter in re.sub(r"\{.*?\}", "", text):
                places.setdefault(letter, f"[{kind}] {text!r}")
    letters = sorted(letter for letter in places if not re.match(r"[a-zA-Z\s',.:;!?()-]", letter))
    sayable = _sayable([letter for letter in letters if letter.isalpha()], translation.code)
    yield from (f"{places[letter]}: the voice cannot say {letter!r}" for letter in letters if letter not in sayable)


def _texts(translation: Translation) -> Iterator[str]:
    for forms in translation.labels.values():
        yield from forms.values()


def _sayable(letters: Sequence[str], code: str) -> set[str]:
    """Return the letters that have a sound in a language: espeak-ng neither spells them out nor switches language."""
    espeak = shutil.which("espeak-ng")
    if espeak is None or not letters:
        return set(letters)
    # tried between vowels, between consonants, and doubled for other alphabets; a full stop ends the clause
    tried = [(letter, text) for letter in letters for text in (f"a{letter}a", f"l{letter}l", letter * 2)]
    done = subprocess.run(
        [espeak, "-q", "--ipa", "-v", code, "--stdin"],
        input="".join(f"{text.lower()}.\n" for _, text in tried),
        # espeak-ng opens libpulse needlessly; without a session, libpulse would create a folder in the user's home
        env={"PULSE_RUNTIME_PATH": os.devnull} | os.environ,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=ESPEAK_TIMEOUT_S,
        check=False,
    )
    sounds = done.stdout.splitlines()
    if len(sounds) != len(tried):
        return set(letters)  # the output does not match the lines: report no fault rather than a wrong one
    return {
        letter for (letter, _), sound in zip(tried, sounds, strict=True) if re.fullmatch(r"[^\s(]{1,9}", sound.strip())
    }
