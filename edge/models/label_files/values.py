"""Labels in JSON, or in a dict or list of Python."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from edge.models.label_files.entry import MOST_LABELS, Entry, FormatError, is_number, ordered, short
from edge.models.label_files.literals import Literal, Pairs
from edge.models.label_files.tables import ID_KEYS, NAME_KEYS, NUMBER_KEYS

_CONTAINERS = (
    "id2label", "names", "labels", "classes", "class_names", "categories", "idx_to_class", "label2id", "class_to_idx",
)  # fmt: skip
_ASSIGNED = re.compile(
    r"\A(?:export\s+default\s+|(?:export\s+)?(?:(?:const|let|var)\s+)?[\w.]+(?:\s*:\s*[\w<>\[\], ]+)?\s*=\s*)(?=[\[{(])"
)
"""What stands before a list in a program."""
_BARE = re.compile(r"\A(?:[0-9]{1,9}|'[^'\n]*'|\"[^\"\n]*\")\s*:\s*['\"\[(]")
_INDEXED = re.compile(r"\A[\[(][0-9]{1,9}[\])]")


def structured(text: str) -> tuple[str, list[Entry]] | None:
    """Return the labels of JSON or of a Python literal; None if it is neither."""
    bare = _ASSIGNED.sub("", text).rstrip(";")
    if _BARE.match(bare):
        bare = f"{{{bare}}}"  # the inside of a dict
    if not bare.startswith(("{", "[", "(")) or _INDEXED.match(bare):
        return None
    try:
        language, value = "JSON", json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError):
        language, value = "Python", Literal(bare).value()
    return _shape(language, value)


def _pairs(items: list[tuple[str, Any]]) -> Pairs:
    return Pairs(items)


def _shape(language: str, value: Any) -> tuple[str, list[Entry]]:
    items = value
    if isinstance(value, Pairs):
        inner = {key: inside for key, inside in value if isinstance(key, str) and isinstance(inside, list)}
        key = next((key for key in _CONTAINERS if key in inner), None)
        items = inner[key] if key and not all(is_number(one) for one, _ in value) else value
    if not isinstance(items, list) or not items:
        raise FormatError(f"this is {language}, but no list or map of labels")
    if len(items) > MOST_LABELS:
        raise FormatError(f"has more than {MOST_LABELS} labels")
    if not isinstance(items, Pairs):
        return _list_shape(language, items)
    if all(is_number(key) for key, _ in items):
        entries = [_member(inside, number) for number, (_, inside) in enumerate(items)]
        is_keras = language == "JSON" and all(isinstance(inside, list) and len(inside) == 2 for _, inside in items)
        kind = "the class index of Keras" if is_keras else f"a {language} {_map_word(language)} of numbers to labels"
        return kind, ordered([int(key) for key, _ in items], [_plain(one) for one in entries] if is_keras else entries)
    if all(isinstance(key, str) for key, _ in items):
        if all(is_number(inside) for _, inside in items):
            entries = [_named(key, "", number) for number, (key, _) in enumerate(items)]
            kind = f"a {language} {_map_word(language)} of labels to numbers"
            return kind, ordered([int(inside) for _, inside in items], entries)
        entries = [_member(inside, number, key) for number, (key, inside) in enumerate(items)]
        return f"a {language} {_map_word(language)} of ids to labels", entries
    raise FormatError(f"this is a {language} {_map_word(language)} whose keys are not all numbers, or all texts")


def _list_shape(language: str, items: list[Any]) -> tuple[str, list[Entry]]:
    entries = [_member(item, number) for number, item in enumerate(items)]
    if all(isinstance(item, Pairs) for item in items):
        numbers = [_lookup(item, NUMBER_KEYS, is_number) for item in items]
        if all(number is not None for number in numbers):
            return f"a {language} list of maps", ordered([int(number) for number in numbers], entries)
    return f"a {language} list", entries


def _map_word(language: str) -> str:
    return "map" if language == "JSON" else "dict"


def _member(item: Any, number: int, identity: str = "") -> Entry:
    """Return the label of one member of a list or map."""
    if isinstance(item, str):
        return _named(item, identity, number)
    if isinstance(item, Pairs):
        name = _lookup(item, NAME_KEYS, lambda value: isinstance(value, str) and not is_number(value))
        found = _lookup(item, ID_KEYS, lambda value: isinstance(value, str) and not is_number(value))
        if isinstance(name, str):
            return _named(name, identity or str(found or ""), number)
    elif isinstance(item, list) and item and all(isinstance(part, str) for part in item):
        if identity:
            return _named(", ".join(item), identity, number)
        if len(item) == 2:
            return _named(item[1], item[0], number)
        if len(item) == 1:
            return _named(item[0], "", number)
    raise FormatError(f"its label {number} is {short(item)}, not a text, an [id, label] or a map with a name")


def _named(text: str, identity: str, number: int) -> Entry:
    if not text.strip():
        raise FormatError(f"its label {number} is empty")
    return Entry("_".join(identity.split()), text.strip())


def _plain(entry: Entry) -> Entry:
    """Return a label whose format writes _ for a blank."""
    return Entry(entry.id, entry.text.replace("_", " "), entry.line)


def _lookup(pairs: Pairs, keys: Sequence[str], fits: Callable[[Any], bool]) -> Any:
    lowered = {key.lower(): value for key, value in reversed(pairs) if isinstance(key, str)}
    return next((lowered[key] for key in keys if key in lowered and fits(lowered[key])), None)
