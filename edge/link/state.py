"""What the link knows about the daemon, from its events and its status. Pure: nothing is asked here."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LinkState:
    """The state of the daemon. None: not known, as most of it is while the daemon starts."""

    up: bool = False
    """True while the daemon answers."""
    version: str = ""
    model: str | None = None
    """Name of the model that runs; None while the daemon starts."""
    engine: str | None = None
    precision: str | None = None
    in_view: str | None = None
    """Label that is in view; None if nothing is."""
    in_view_text: str | None = None
    """What edge says about it."""
    probability: float | None = None
    """Probability of that label, 0 to 1."""
    last_words: str | None = None
    sight: str | None = None
    """Why the camera sees nothing; None if it sees."""
    sound: str | None = None
    """Why there is no sound; None if there is."""
    camera: str | None = None
    """Description of the camera."""
    camera_up: bool | None = None
    paused: bool = False
    snoozed_until: str | None = None
    """End of a snooze, as ISO 8601; None if there is none."""
    inference_ms: float | None = None
    memory_mib: float | None = None
    """Memory of the daemon and its processes."""
    memory_budget_mib: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    teaching: str | None = None
    """Name of the thing that is being taught; None if none is."""
    taught: tuple[str, ...] = ()
    """Names of the taught things that the model knows."""

    @property
    def ready(self) -> bool:
        """True if the daemon runs and its model is loaded."""
        return self.up and self.model is not None


DOWN = LinkState()
_OF_STATUS = {one.name for one in dataclasses.fields(LinkState)} - {"up", "teaching", "taught"}


def after(state: LinkState, event: Mapping[str, Any]) -> LinkState:
    """Return the state after an event of the daemon; `status` is an event with the whole status."""
    if event.get("event") == "status":
        return LinkState(
            up=True,
            teaching=(event.get("teaching") or {}).get("name"),
            taught=tuple(event.get("taught") or ()),
            **{key: value for key, value in event.items() if key in _OF_STATUS},
        )
    change = _CHANGES.get(str(event.get("event")))
    return dataclasses.replace(state, up=True, **(change(event) if change else {}))


_NOTHING_IN_VIEW = {"in_view": None, "in_view_text": None, "probability": None}


def _view(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "in_view": event.get("label"),
        "in_view_text": event.get("text"),
        "probability": event.get("probability"),
    }


def _sight(event: Mapping[str, Any]) -> dict[str, Any]:
    problem = event.get("problem")
    return {"sight": problem, **(_NOTHING_IN_VIEW if problem else {})}


_CHANGES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    # not `ready`: with it comes the first whole status, and before that the camera would count as lost
    "model_changed": lambda event: {"model": event.get("model"), "engine": event.get("engine")},
    "in_view": _view,
    # at once: `in_view` comes at most once a second
    "announced": lambda event: {**_view(event), "last_words": event.get("text")},
    "notice": lambda event: {"last_words": event.get("text")},
    "sight": _sight,
    "sound": lambda event: {"sound": event.get("problem")},
    "camera_lost": lambda _event: {"camera_up": False, **_NOTHING_IN_VIEW},
    "camera_back": lambda event: {"camera_up": True, "camera": event.get("camera")},
    "paused": lambda _event: {"paused": True, **_NOTHING_IN_VIEW},
    "resumed": lambda _event: {"paused": False},
    "snoozed": lambda event: {"snoozed_until": event.get("until")},
    "awake": lambda _event: {"snoozed_until": None},
    "teaching": lambda event: {"teaching": event.get("name")},
    "teaching_ended": lambda _event: {"teaching": None},
    "taught": lambda event: {"taught": tuple(sorted(event.get("things") or ()))},
}
