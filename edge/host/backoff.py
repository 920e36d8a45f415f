"""Waiting times between tries of something that fails."""


class Backoff:
    """Waiting time that doubles with each try, from a first to a longest value."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.wait_s = first_s
        """Time to wait before the next try."""

    def double(self) -> float:
        """Return the time to wait now; double the next."""
        wait_s = self.wait_s
        self.wait_s = min(2 * wait_s, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """Go back to the first waiting time, after a success."""
        self.wait_s = self._first_s
