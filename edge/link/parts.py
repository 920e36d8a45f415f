"""The parts of the link: each tells one part of the network about the daemon, or asks the daemon for it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge.link.state import LinkState

Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Sends a request to the daemon's control socket and returns the answer. It may take 2 s. Raises ControlError."""


class Part(Protocol):
    """One part. `start` and `stop` are called by the program's thread, the others by the subscription's thread.

    Those must be quick, and may not raise: slow work belongs in a thread of the part.
    """

    wants_frames: bool
    """True if the part needs the event `frame`, one for each frame."""

    def start(self, ask: Ask) -> None:
        """Begin. Raises EdgeError for what a person must change, such as a port that is taken."""

    def changed(self, state: LinkState) -> None:
        """Take the new state; called once at the start, and after each change."""

    def happened(self, event: Mapping[str, Any]) -> None:
        """Take an event of the daemon; `status` is the whole status, every STATUS_S."""

    def alive(self) -> bool:
        """Return False if the part has died and the link should be started again."""

    def describe(self) -> str:
        """Return in a few words how it is, for `systemctl status`."""

    def stop(self) -> None:
        """End within a second."""
