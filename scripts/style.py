#!/usr/bin/env python3
"""Find words and forms that the house style avoids, in the prose of the docs, the command help and the code.

    scripts/style.py             check everything in CHECKED
    scripts/style.py PATH...     check these files

Prose is the text of Markdown without its code, comments and strings of Python, and comments of shell, TOML, YAML and
unit files. If a hit is right as it is, scripts/style-allowed.txt has a line for it: path | text | reason. A line that
matches nothing is a fault too. Exits with 1 if anything was found.
"""

import argparse
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = Path(__file__).with_name("style-allowed.txt")

AVOIDED = {
    "nobody": "name who does not, or use the passive",
    "anew": "again",
    "of what": "name the thing",
    "of (?:which|whom|whose)": "make two sentences",
    "(?:by|with|in|for|from|to) what (?:it|is|was|there|one|of|edge)": "name the thing",
    "what (?:there is|there are|is there|is to|was to|are to)": "name the thing",
    "what (?:comes|came|becomes|became) of": "the result",
    "that there (?:is|are|was|were) (?:not|none|no)": "that does not exist",
    "(?:who|what|where)ever": "name who or what",
    "(?:^|[.;:(] )who (?:has|wants|asks|may|knows|sets|installs)": "if you ..., or: users who ...",
    "ever (?:more|less|later|rarer|slower)": "more and more, or: with growing delays",
    "seldom": "rarely",
    "for ever": "forever",
    "so long (?:an?|the|it|after|may)": "give the time first: for 8 s",
    "(?:is|are|was|were|be|gets?) told": "say who reports it: the log says",
    "tells? aloud": "says",
    "(?:is|are|was|were|be) (?:to be )?other": "differ",
    "all that (?:it|there|is|was|are|edge|belongs)": "everything that",
    "of (?:its|their|his|our|your) own": "its own ..., or: separate",
    "one (?:sees|may|would|hears|knows|says|might)": "you, or the subject's name",
    "lest|shall|thereof|therein|thereby|whence|wherefrom|hitherto": "a word of today",
    "in its stead": "instead",
    "at its largest": "peak",
    "makes? (?:it )?ready": "prepares",
    "as it likes": "decides",
    "gives? back": "returns, or: releases",
    "takes? (?:it|this|that) back": "removes, undoes",
    "mend(?:s|ed|ing)?(?!-)": "repair, fix",
    "glance": "check of a frame",
    "clerk|stopper|etiquette|the desk": "the module's present name",
}
"""Form (a regular expression, in which a space is any white space) -> what to write instead."""

CHECKED = ("*.md", "docs", ".github", "edge", "systemd", "scripts", "deploy")
LEFT_OUT = ("docs/decisions", "docs/benchmark.md", "CHANGELOG.md", "scripts/style.py")
"""Decision records keep the form that they were written in; benchmark.md is written by a script."""

_SUFFIXES = {".md", ".py", ".toml", ".yml", ".service", ".conf", ".sysusers", ".tmpfiles", ".cfg", ""}


@dataclass(frozen=True)
class Hit:
    """One place where an avoided form stands."""

    path: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: {self.advice}"


def prose(path: Path, text: str) -> str:
    """Return the text with everything that is not prose blanked out; lines stay where they are."""
    if path.suffix == ".py":
        return _python_prose(text)
    if path.suffix == ".md":
        text = re.sub(r"(?ms)^```.*?^```", _blank, text)
        text = re.sub(r"(?m)^(?: {4}|\t).*$", _blank, text)  # code: in our lists text has three spaces at most
        return re.sub(r"`[^`\n]+`|\]\([^)\s]*\)|<!--.*?-->", _blank, text)
    # comments of shell, TOML, YAML and units, without the marker
    lines = (re.sub(r"^.*?(?:^|\s)#", _blank, line) if "#" in line else "" for line in text.split("\n"))
    return "\n".join(lines)


def _blank(found: "re.Match[str]") -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _python_prose(text: str) -> str:
    lines = text.split("\n")
    kept = [" " * len(line) for line in lines]
    strings = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in strings:
            continue
        (first, begin), (last, end) = token.start, token.end
        for number in range(first - 1, last):
            line = lines[number]
            left, right = (begin if number == first - 1 else 0), (end if number == last - 1 else len(line))
            part = line[left:right]
            if token.type == tokenize.COMMENT:
                part = f" {part[1:]}"
            kept[number] = kept[number][:left] + part + kept[number][left + len(part) :]
    return "\n".join(kept)


_SPACE = r"(?:[^\\S\\n]+|[^\\S\\n]*\\n[^\\S\\n]*)"
_FORMS = {
    re.compile(rf"(?im)(?<![\w-])(?:{re.sub(' ', _SPACE, form)})(?![\w])"): advice for form, advice in AVOIDED.items()
}


def hits(path: Path, root: Path = ROOT) -> list[Hit]:
    """Return the avoided forms in a file, in their order."""
    text = prose(path, path.read_text(encoding="utf-8"))
    name = str(path.relative_to(root))
    found = []
    for form, advice in _FORMS.items():
        for one in form.finditer(text):
            words = " ".join(one[0].split()).lstrip(".;:( ").lower()
            found.append(Hit(name, text.count("\n", 0, one.start()) + 1, words, advice))
    return sorted(found, key=lambda hit: hit.line)


def files(places: Iterable[str]) -> Iterator[Path]:
    """Yield the files with prose in these places (files, folders, or patterns in the top folder)."""
    for place in places:
        for path in sorted(ROOT.glob(place)):
            for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
                name = str(one.relative_to(ROOT))
                if one.is_file() and one.suffix in _SUFFIXES and not _left_out(name):
                    yield one


def _left_out(name: str) -> bool:
    hidden = any(part in ("__pycache__", ".venv", ".cache", "requirements") for part in Path(name).parts)
    return hidden or any(name == one or name.startswith(f"{one}/") for one in LEFT_OUT)


def allowed() -> dict[tuple[str, str], str]:
    """Return the reason of each allowed form, by (path, text)."""
    reasons = {}
    for line in ALLOWED.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            path, text, reason = (part.strip() for part in line.split("|"))
            reasons[path, text] = reason
    return reasons


def faults(checked: Iterable[Path]) -> tuple[list[Hit], list[tuple[str, str]]]:
    """Return (hits without a reason, lines of the allow list that match nothing in these files)."""
    reasons = allowed()
    found = [hit for path in checked for hit in hits(path)]
    used = {(hit.path, hit.text) for hit in found}
    return [hit for hit in found if not reasons.get((hit.path, hit.text))], sorted(set(reasons) - used)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files to check (default: see above)")
    options = parser.parse_args()
    if options.paths:
        found, unused = faults([path.resolve() for path in options.paths])
        unused = []  # other files are not looked at
    else:
        found, unused = faults(files(CHECKED))
    print("\n".join(map(str, found)), end="\n" if found else "")
    for path, text in unused:
        print(f"{ALLOWED.name}: {path} | {text}: this is nowhere; remove the line")
    return 1 if found or unused else 0


if __name__ == "__main__":
    sys.exit(main())
