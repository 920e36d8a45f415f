"""The requests that the page may send to the daemon. All others are refused here."""

import json
from typing import Any

_WORDS = (str,)
_NUMBER = (int, float)
REQUESTS: dict[str, dict[str, tuple[type, ...]]] = {
    "look": {},
    "missed": {},
    "history": {},
    "why": {"last": (int,)},
    "snooze": {"seconds": _NUMBER},
    "wake": {},
    "mute": {"label": _WORDS},
    "unmute": {"label": _WORDS},
    "pause": {},
    "resume": {},
    "louder": {},
    "quieter": {},
    "faster": {},
    "slower": {},
    "volume": {"percent": _NUMBER},
    "say": {"text": _WORDS, "urgent": (bool,)},
    "aim": {"on": (bool,)},
    "teach": {"name": _WORDS, "more": (bool,), "replace": (bool,), "cancel": (bool,)},
    "forget": {"name": _WORDS},
    "labels": {},
    "doctor": {},
}
"""The arguments of each request, and their types. Not among them: snapshot, picture and subscribe, which the page has
in other ways, and press, which has no answer."""


class MalformedError(ValueError):
    """A request that the page never sends."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the request in the body of a POST. Raises MalformedError if it is none that the page may send."""
    request = read_object(body)
    command = request.get("command")
    arguments = REQUESTS.get(command) if isinstance(command, str) else None
    if arguments is None:
        raise MalformedError("unknown command")
    for name, value in request.items():
        if name != "command" and (name not in arguments or type(value) not in arguments[name]):
            raise MalformedError(f"{command}: wrong argument")
    return request


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises MalformedError."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError("no JSON") from error
    if not isinstance(found, dict):
        raise MalformedError("no JSON object")
    return found
