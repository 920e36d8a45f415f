"""What is published: the state and the events, as JSON. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from edge.link.mqtt.names import Names
from edge.link.state import LinkState

LONGEST_TEXT = 255
"""Home Assistant takes no longer state than this."""
_STEADY: dict[str, tuple[float, float]] = {
    # what changes by less than (this, this part of it) is noise, and no news
    "confidence": (5, 0.0),
    "inference_ms": (1, 0.15),
    "temperature": (1.5, 0.0),
    "memory_mib": (4, 0.05),
}


def state_of(state: LinkState, names: Names) -> dict[str, Any]:
    """Return the published state of a daemon that is reached; null: unknown, or none."""
    return {
        "id": names.id,
        "version": state.version,
        "sees": _short(state.in_view),
        "text": _short(state.in_view_text),
        "confidence": None if state.probability is None else round(100 * state.probability),
        "last_said": _short(state.last_words),
        "sight": _short(state.sight),
        "sound": _short(state.sound),
        "camera": state.camera_up,
        "looking": not state.paused,
        "quiet": state.snoozed_until is not None,
        "teaching": state.teaching,
        "taught": _short(", ".join(state.taught)),
        "model": state.model,
        "engine": state.engine,
        "inference_ms": _rounded(state.inference_ms),
        "temperature": _rounded(state.temperature_c),
        "memory_mib": _rounded(state.memory_mib),
    }


def settled(before: Mapping[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Return the state, with those numbers of the published one that changed by no more than noise."""
    if before is None:
        return now
    kept = dict(now)
    for key, (least, part) in _STEADY.items():
        was, value = before.get(key), now[key]
        if was is None or value is None or (key == "confidence" and before.get("sees") != now["sees"]):
            continue
        if abs(value - was) < max(least, part * abs(was)):
            kept[key] = was
    return kept


def announcement_of(event: Mapping[str, Any]) -> bytes:
    """Return the payload for the daemon's event `announced`."""
    return encoded(
        {
            "event_type": "announced",
            "label": event.get("label"),
            "probability": event.get("probability"),
            "text": event.get("text"),
        }
    )


def encoded(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _short(text: str | None) -> str | None:
    if not text:
        return None
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}\N{HORIZONTAL ELLIPSIS}"


def _rounded(value: float | None) -> float | None:
    """Return a number without digits that are noise."""
    return None if value is None else round(value) if value >= 10 else round(value, 1)
