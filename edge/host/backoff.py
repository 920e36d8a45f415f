"""How long to wait between tries of something that fails."""


class Backoff:
    """A wait that doubles with each try, from a first up to a longest."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.wait_s = first_s
        """How long to wait before the next try."""

    def double(self) -> float:
        """Return how long to wait now; the next wait is twice as long."""
        wait_s = self.wait_s
        self.wait_s = min(2 * wait_s, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """Make the next wait the first again: it has worked."""
        self.wait_s = self._first_s
