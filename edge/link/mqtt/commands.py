"""Commands from the broker: what each topic means for the daemon's control socket. Pure."""

from collections.abc import Callable
from functools import partial
from typing import Any

LONGEST_COMMAND = 1200
"""Longest payload of a command in bytes. The daemon takes a sentence of 300 characters, of at most 4 bytes each."""
UNTIL_WOKEN_S = 7 * 86400
"""A snooze without a length: the longest that the daemon takes."""


class Refused(Exception):  # noqa: N818 - it is an answer
    """A command that means nothing; the text gives the reason."""


def request_of(name: str, payload: bytes) -> dict[str, Any]:
    """Return the request to the daemon for a command and its payload. Raises Refused."""
    make = COMMANDS.get(name)
    if make is None:
        raise Refused(f"there is no command {name[:40]!r}; there are: {', '.join(COMMANDS)}")
    if len(payload) > LONGEST_COMMAND:
        raise Refused(f"{name}: the payload has {len(payload)} bytes; at most {LONGEST_COMMAND} are read")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise Refused(f"{name}: the payload is not text in UTF-8") from None
    return make(text)


def _say(text: str) -> dict[str, Any]:
    if not text:
        raise Refused("say: there is no text")
    return {"command": "say", "text": text}


def _of_thing(command: str, name: str) -> dict[str, Any]:
    if not name:
        raise Refused(f"{command}: the payload must be the name of the thing")
    return {"command": command, "name": name}


def _pause(text: str) -> dict[str, Any]:
    return {"command": "pause" if _is_on("pause", text) else "resume"}


def _snooze(text: str) -> dict[str, Any]:
    try:
        seconds = float(text)
    except ValueError:
        seconds = UNTIL_WOKEN_S if _is_on("snooze", text, " or a number of seconds") else 0.0
    if not seconds:
        return {"command": "wake"}
    if not 1 <= seconds <= UNTIL_WOKEN_S:  # NaN is refused too
        raise Refused(f"snooze: {text[:40]!r} s; give 1 to {UNTIL_WOKEN_S}")
    return {"command": "snooze", "seconds": seconds}


def _is_on(name: str, text: str, more: str = "") -> bool:
    if text.upper() not in ("ON", "OFF"):
        raise Refused(f"{name}: {text[:40]!r} is neither ON nor OFF{more}")
    return text.upper() == "ON"


COMMANDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "look": lambda _text: {"command": "look"},
    "wake": lambda _text: {"command": "wake"},
    "pause": _pause,
    "snooze": _snooze,
    "say": _say,
    "teach": partial(_of_thing, "teach"),
    "cancel_teaching": lambda _text: {"command": "teach", "cancel": True},
    "forget": partial(_of_thing, "forget"),
}
"""What makes the request of each command out of its text."""
