"""The sentences that answer a person's request. Pure."""

from collections.abc import Callable, Iterable

STARTING = "I'm starting."
LOADING = "I'm loading a model."
CLOSED = "I can't see: the camera is closed."
SNOOZING = "I'll be quiet for half an hour."
AWAKE = "I'm listening again."
LOUDER, LOUDEST = "Louder.", "That is as loud as I go."
QUIETER, QUIETEST = "Quieter.", "That is as quiet as I go."
FASTER, FASTEST = "Faster.", "That is as fast as I go."
SLOWER, SLOWEST = "Slower.", "That is as slow as I go."
MISSED, NOTHING_MISSED = "You missed this:", "You missed nothing."
SAID, NOTHING_SAID = "In the last hour I said this:", "I said nothing in the last hour."
NO_MORE, NOTHING_TO_MUTE = "I won't say this again:", "There is nothing to mute."
FAILED = "That did not work."
AIMING, AIMED = "I'll help you aim.", "Aiming has ended."
SHARPER, LESS_SHARP, BEST = "sharper", "less sharp", "best"
TOO_DARK, TOO_BRIGHT, LIGHT_GOOD = "too dark", "too bright", "the light is good"
HOLD_STILL = "hold still"
SENTENCES = (
    STARTING,
    LOADING,
    CLOSED,
    SNOOZING,
    AWAKE,
    LOUDER,
    LOUDEST,
    QUIETER,
    QUIETEST,
    FASTER,
    FASTEST,
    SLOWER,
    SLOWEST,
    MISSED,
    NOTHING_MISSED,
    SAID,
    NOTHING_SAID,
    NO_MORE,
    NOTHING_TO_MUTE,
    FAILED,
    AIMING,
    AIMED,
    SHARPER,
    LESS_SHARP,
    BEST,
    TOO_DARK,
    TOO_BRIGHT,
    LIGHT_GOOD,
    HOLD_STILL,
)
MOST_TOLD = 5
"""How many sentences of a list it says: a listener remembers no more."""

Translate = Callable[[str], str]


def list_of(sentences: Iterable[str], intro: str, none: str, translate: Translate) -> str:
    """Return the first few different sentences (they are in the spoken language) after an intro; `none` if empty."""
    few = list(dict.fromkeys(one.strip().rstrip(".") for one in sentences if one.strip()))[:MOST_TOLD]
    return " ".join([translate(intro), *(f"{one}." for one in few)]) if few else translate(none)
