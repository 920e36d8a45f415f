"""Lets the doctor look at the running edge on request, in a thread: a check may take seconds, and an answer may not."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edge.host.clock import local_time

_log = logging.getLogger(__name__)
FRESH_S = 5.0
"""Findings that are younger are not looked for again."""


class Checkup:
    """The findings of the last examination. Any thread may use it."""

    def __init__(self, examine: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """`examine` returns the findings as JSON objects."""
        self._examine = examine
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: dict[str, Any] = {"time": None, "findings": None}
        self._found_s = -FRESH_S

    def ask(self) -> dict[str, Any]:
        """Return the last findings and their time, and begin an examination if they are old: then `running` is true."""
        with self._lock:
            if self._thread is None and time.monotonic() - self._found_s > FRESH_S:
                self._thread = threading.Thread(target=self._run, name="doctor", daemon=True)
                self._thread.start()
            return {"running": self._thread is not None, **self._found}

    def _run(self) -> None:
        findings = None
        try:
            findings = list(self._examine())
        except Exception:
            _log.exception("The doctor could not examine the running edge. Please report this.")
        with self._lock:
            self._thread, self._found_s = None, time.monotonic()
            if findings is not None:
                self._found = {"time": local_time().isoformat(timespec="seconds"), "findings": findings}
