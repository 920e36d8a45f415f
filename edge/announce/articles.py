"""A label with its English article, which depends on the sound: an hour, a unicorn.

Labels are nouns as data sets write them: 'electric_guitar', 'European fire salamander', 'sunglasses', 'X-ray'.
"""

import re
import unicodedata


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMPLETE = _words("a an the my your some")
"""First words of a label that needs no article."""

_OWN = _COMPLETE | _words("our his her their this that these those one two three")
"""First words of the user's names that need no article either."""

_RENAMED = {"jean": "jeans", "pajama": "pajamas", "sunglass": "sunglasses"}
"""Singulars that data sets use but people do not say."""

_UNCOUNTED = _words(
    "bread broccoli butter carbonara cheese chocolate clothing consomme corn cutlery dough eggnog fire flour food "
    "furniture fog garlic glue grass gravel guacamole hair hay honey jewellery jewelry juice lava lightning lotion "
    "luggage mail meat milk money mud paint pasta perfume popcorn powder rain rapeseed rice salt sand sauce smoke "
    "snow soup spaghetti spray sugar sunscreen tea thatch tissue traffic velvet water wine wood wool"
) | {"mashed potato"}
"""Nouns and whole labels without a plural; they take no article."""

_PLURAL = _words("bikinis cattle children emus feet geese men menus mice people police skis taxis teeth women")
"""Plurals that do not look like plurals."""

_SINGULAR = _words(
    "atlas biceps canvas flandres gas lens pancreas patas pyrenees rhinoceros series species thermos triceratops"
)
"""Singular nouns that look like plurals."""

_LOOKS_PLURAL = re.compile(r"[^isu']s$")

# These two are tried in this order at the beginning of the noun. If neither matches, its first letter decides.
# Capitals are abbreviations, spoken letter by letter: an F is 'eff' and a U is 'you'.
_WITH_AN = re.compile(
    r"[FHLMNRSX][B-DF-HJ-NP-TV-XZ]*(?![A-Za-z])|[HLMNX][B-DF-HJ-NP-TV-XZ]|R[B-DF-GJ-NP-TV-XZ]"
    r"|F[B-DF-HJKMNPQS-TVWXZ]|S[BDFGRSVXZ]|(?:EU|HIV|LED|SUV)\b"
    r"|(?i:hour|heir|honou?r|honest|hors\b|x-?ray|yttr|8|1[18]\b|(?:fm|hdmi|lcd|led|lp|mp3|mri|rv|ssd|suv)\b)"
)
_WITH_A = re.compile(
    r"U[A-Z]{0,2}(?![A-Za-z])"
    r"|(?i:eu|ewe|ouija|one(?:sie)?\b|once\b|uni(?!n|m|dent)|u[bcfhjkrstv][aeiou]|ukr|usb\b)"
)


def with_article(label: str) -> str:
    """Return the label as a person says it: 'an electric guitar', 'scissors', 'red wine'."""
    words = label.replace("_", " ").split() or ["something"]
    words[-1] = _RENAMED.get(words[-1].lower(), words[-1])
    noun = " ".join(words)
    # the head noun decides: a hen of the woods is a hen
    head = (re.split(r"[ -](?:of|with|in|on|for)[ -]", noun.lower())[0].split() or words)[-1]
    looks_plural = _LOOKS_PLURAL.search(head) and head not in _SINGULAR
    if words[0].lower() in _COMPLETE or looks_plural or head in _PLURAL or {head, noun.lower()} & _UNCOUNTED:
        return noun
    return f"{_article(noun)} {noun}"


def as_taught(name: str) -> str:
    """Return a name that a user gave to a thing as a person says it: 'my keys', 'Rex', 'a blue cup'.

    A name with its own article, a proper noun (upper case) and a name in another script stay as they are.
    """
    return name if _is_whole(name) else with_article(name)


def as_certain(name: str) -> str:
    """Return such a name for this one thing: 'my keys', 'Rex', 'the blue cup'."""
    return name if _is_whole(name) else f"the {name}"


def _is_whole(name: str) -> bool:
    """Return True if a name takes no article."""
    first = name.split(maxsplit=1)[0]
    return (
        first.casefold() in _OWN or first.endswith(("'s", "\u2019s")) or not name[0].isascii() or not name[0].islower()
    )


def _article(noun: str) -> str:
    if _WITH_AN.match(noun):
        return "an"
    if _WITH_A.match(noun):
        return "a"
    return "an" if unicodedata.normalize("NFD", noun)[0].lower() in "aeiou" else "a"  # without its accent
