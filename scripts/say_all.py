#!/usr/bin/env python3
"""Print everything that edge can name, in all sentence forms, for a person who reads it through.

    scripts/say_all.py [--language de] [--translations FILE] [--from 0] [--to 1000] [--groups]

One line for each of ImageNet's thousand labels: its number, the label, and each sentence; a - if the language has no
words for it. With --groups also the groups, and the sentences that edge says about itself.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import tomllib
from importlib import resources
from pathlib import Path

from edge.announce.sentences import SENTENCES
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings, SpeechSettings
from edge.announce.wording import Words
from edge.stages import Term

DATA = Path(str(resources.files("edge") / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--language", default="", metavar="CODE", help="default: English")
    parser.add_argument("--translations", default="", metavar="FILE")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="N")
    parser.add_argument(
        "--to", dest="last", type=int, default=1000, metavar="N", help="the first number that is not printed"
    )
    parser.add_argument("--groups", action="store_true", help="also the groups and the sentences about itself")
    options = parser.parse_args()
    words = Words(AnnounceSettings(), SpeechSettings(language=options.language, translations=options.translations))
    labels = read_labels(DATA / "imagenet.txt")
    for number in range(max(options.first, 0), min(options.last, len(labels))):
        # the second place of "maybe" is the next label's
        here, after = (Term(one.name, one.id) for one in (labels[number], labels[(number + 1) % len(labels)]))
        print(f"{number:3} {here.label}: {in_all_sentences(words, here, after)}")
    if options.groups:
        table = tomllib.loads((DATA / "groups.toml").read_text(encoding="utf-8"))
        groups = [Term(one["name"], identity) for identity, one in table.items()]
        for here, after in zip(groups, groups[1:] + groups[:1], strict=True):
            print(f"group {here.label}: {in_all_sentences(words, here, after)}")
        print(words.not_sure())
        print(*(words.notice(sentence) for sentence in SENTENCES), sep="\n")


def in_all_sentences(words: Words, term: Term, other: Term) -> str:
    """Return what is said of a thing that is sure, that is likely, and that is one of two."""
    said = [words.sayable([one], spoken=False) for one in (term, other)]
    if said[0] is None:
        return "-"
    sentences = [words.sure(term), words.maybe(term)]
    if said[1] is not None:
        sentences.append(words.maybe(term, other))
    return "; ".join(sentences)


if __name__ == "__main__":
    main()
