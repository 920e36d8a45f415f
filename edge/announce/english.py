"""The English words for the labels that edge knows: data/words-en.txt, by id."""

import functools
import unicodedata
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

ARTICLES = ("a", "an")


_FORMS = {ord("_"): " ", 0x200C: None, 0x200D: None}


class Entry(NamedTuple):
    """A line of the list."""

    label: str
    """Name in the model's labels, or the group's name."""
    said: str
    """Spoken words, with the article if there is one: 'a crane, the bird', 'clogs'."""


@functools.cache
def load_english() -> Mapping[str, Entry]:
    """Return the entries by id. The file is read once, in about 2 ms."""
    text = (resources.files("edge") / "data" / "words-en.txt").read_text(encoding="utf-8")
    entries = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            identity, _, rest = line.partition(" ")
            label, _, said = rest.partition(" = ")
            entries[identity] = Entry(label, said)
    return entries


@functools.cache
def said_by_name() -> Mapping[str, str]:
    """Return the spoken words by their plain form without the article: what such a word means to a listener."""
    return {plain(bare(entry.said)): entry.said for entry in load_english().values()}


def plain(text: str) -> str:
    """Return words in a form for comparison: 'Web_site' and 'web site' are equal.

    The way accents are written and the invisible joiners of some scripts do not matter either.
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(_FORMS).casefold().split())


def bare(said: str, articles: tuple[str, ...] = ARTICLES) -> str:
    """Return the words without their article: 'crane, the bird'."""
    first, _, rest = said.partition(" ")
    return rest if rest and first.casefold() in articles else said
