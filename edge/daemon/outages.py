"""Decides which losses of the camera get a line in the log. Pure: the time comes as an argument.

A camera with a weak Wi-Fi is lost and back every few seconds, all day. Each loss is an event, but the log has each
reason once. Then edge only counts, until the camera has worked for a while.
"""

STEADY_S = 600.0
"""How long a camera must work until its next loss is news again."""
_MINUTES = f"{STEADY_S / 60:.0f} minutes"
_MOST_REASONS = 50
"""Reasons that are remembered; edge has fewer, but a driver's error may have a number in it."""


class Outages:
    """Tracks when the camera was lost, why, and what the log has said about it."""

    def __init__(self) -> None:
        self.count = 0
        """Number of losses since the camera was steady."""
        self._reasons: set[str] = set()
        """Reasons that the log has said since then."""
        self._repeated = False
        """True if the log has said since then that the camera is lost again and again."""
        self._is_lost = self._is_told = False
        """True if it is lost now; if the log has a line about this loss, or about the last one."""
        self._back_s = 0.0

    @property
    def is_quiet(self) -> bool:
        """True if the last loss, or the one that goes on, has no line."""
        return self.count > 0 and not self._is_told

    def lost(self, why: str) -> str:
        """Record a loss, or another reason for the one that goes on; return the line for the log, '' for none."""
        begins = not self._is_lost
        if begins:
            self._is_lost, self._is_told = True, False
            self.count += 1
        line = ""
        if why not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.add(why)
            line = f"{why} (edge keeps trying to open it)"
        elif begins and not self._repeated:
            self._repeated = True
            line = f"{why} (lost again; until the camera has worked for {_MINUTES}, edge only counts this)"
        self._is_told = self._is_told or line != ""
        return line

    def back(self, now_s: float) -> bool:
        """Record the end of a loss; return True if the log should say it."""
        self._is_lost, self._back_s = False, now_s
        return self._is_told

    def steady(self, now_s: float) -> str:
        """Return the line for the log if the camera was lost again and again and is steady now; '' for none."""
        if not self.count or self._is_lost or now_s - self._back_s < STEADY_S:
            return ""
        line = f"The camera has worked for {_MINUTES}; it was lost {self.count} times before." if self._repeated else ""
        self.count, self._repeated = 0, False
        self._reasons.clear()
        return line
