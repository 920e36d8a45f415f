"""Requests that a person makes with a key or a word, and the interface of their receiver."""

import enum
from typing import Protocol


class Action(enum.StrEnum):
    """A request by key or word; its value is its name in the settings and on the control socket."""

    LOOK = "look"
    """Say what is in view."""
    MISSED = "missed"
    """Tell what was missed while it was silent."""
    SNOOZE = "snooze"
    """Be quiet for half an hour; if it is quiet already, speak again."""
    PAUSE = "pause"
    """Close the camera; if it is closed, open it."""
    LOUDER = "louder"
    QUIETER = "quieter"
    FASTER = "faster"
    SLOWER = "slower"
    MUTE_LAST = "mute last"
    """Never again say the label that was said last."""
    AIM = "aim"
    """Tell for a minute how sharp, light and still the picture is; if it does so already, end."""
    HISTORY = "history"
    """Tell what was said in the last hour."""


class Receiver(Protocol):
    """Takes requests by key and word. Both methods may be called from any thread; they never wait and never raise."""

    def on_down(self) -> None:
        """Play the tone that a key went down: call it at that moment, before its pattern is known."""

    def on_action(self, action: Action) -> None:
        """Carry out an action and answer aloud: call it once the pattern is known."""
