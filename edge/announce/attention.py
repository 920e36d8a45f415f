"""How much of a person's attention edge may take: what was named often lately is news more and more rarely. Pure.

The budget is a token bucket: it holds half of `per_hour` tokens and is refilled with `per_hour` in an hour. A sentence
takes one token, and twice as many for each time that the same was said in the last hour. So a room in which little is
new costs more and more, and a television cannot speak without end: there are at most 1.5 * `per_hour` sentences in any
hour.
"""

import math
from collections import deque

HOUR_S = 3600.0


class Attention:
    """Counts what was said in the last hour, and grants what may be said now."""

    def __init__(self, per_hour: int) -> None:
        self.per_hour = per_hour
        """0: no limit."""
        self._tokens = self._most
        self._at_s = -math.inf
        self._said: deque[tuple[float, str]] = deque()
        """(time, id) of each announcement in the last hour, oldest first."""

    @property
    def _most(self) -> float:
        """Return how many tokens the bucket holds."""
        return max(1.0, self.per_hour / 2)

    def configure(self, per_hour: int) -> None:
        """Use another limit; what was said still counts."""
        before, self.per_hour = self.per_hour, per_hour
        self._tokens = min(self._tokens, self._most) if before else self._most

    def free_again_s(self, identity: str, now_s: float) -> float:
        """Return when this may be said, on the clock of `now_s`: at `now_s` or before, if it may be said now."""
        if not self.per_hour:
            return -math.inf
        self._advance(now_s)
        missing = self._cost(identity) - self._tokens
        return now_s + missing * HOUR_S / self.per_hour

    def spend(self, identity: str, now_s: float) -> None:
        """Record that this is being said."""
        if not self.per_hour:
            return
        self._advance(now_s)
        self._tokens = max(0.0, self._tokens - self._cost(identity))
        self._said.append((now_s, identity))

    def _cost(self, identity: str) -> float:
        # never more than the bucket holds, or it would never be said again
        times = sum(said == identity for _, said in self._said)
        return min(2.0 ** min(times, 20), self._most)

    def _advance(self, now_s: float) -> None:
        """Refill the bucket, and forget what is over an hour old."""
        if now_s < self._at_s:
            self._said.clear()  # a clip has begun again, and its clock with it
        else:
            elapsed_s = min(now_s - self._at_s, HOUR_S)
            self._tokens = min(self._most, self._tokens + elapsed_s * self.per_hour / HOUR_S)
        self._at_s = now_s
        while self._said and now_s - self._said[0][0] >= HOUR_S:
            self._said.popleft()
