"""What was said in the last hour, in memory only: for a person who did not catch it."""

import threading
import time
from collections import deque
from typing import Any

from edge.host.clock import local_time
from edge.stages import Outcome

KEPT_S = 3600.0
MOST_KEPT = 500
"""Number of sentences that are kept at most; the highest `per_hour` allows more."""


class History:
    """The sentences, newest first. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: deque[tuple[float, dict[str, Any]]] = deque(maxlen=MOST_KEPT)

    def add(self, outcome: Outcome) -> None:
        """Keep the sentence if it was heard, or printed on purpose."""
        if not outcome.delivered:
            return
        announcement = outcome.announcement
        one = {
            "time": local_time().isoformat(timespec="seconds"),
            "text": announcement.text,
            "labels": list(announcement.labels),
            "heard": outcome.heard,
        }
        with self._lock:
            self._said.append((time.monotonic(), one))

    def recent(self) -> list[dict[str, Any]]:
        """Return what was said in the last hour, the newest first, as JSON objects."""
        with self._lock:
            since_s = time.monotonic() - KEPT_S
            while self._said and self._said[0][0] < since_s:
                self._said.popleft()
            return [one for _, one in reversed(self._said)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._said.clear()
