"""The speaker for a board without a sound card: it prints the words."""

from collections.abc import Callable

from edge.stages import Announcement, Outcome


class LogSpeaker:
    """Passes each announcement's text to a function; it is never busy."""

    description = "print (no sound)"
    problem = ""

    def __init__(self, printed: Callable[[str], object]) -> None:
        self._printed = printed
        self._outcomes: list[Outcome] = []

    def say(self, announcement: Announcement) -> bool:
        self._printed(announcement.text)
        self._outcomes.append(Outcome(announcement, heard=False, reason="printed", printed=True))
        return True

    def poll(self) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def interrupt(self) -> None:
        """Do nothing: a text is printed at once."""

    def adjust(self, volume: float, rate_wpm: int) -> None:
        """Do nothing: a text has neither."""

    def close(self) -> None:
        """Do nothing: no device is open."""
