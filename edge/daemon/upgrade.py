"""Fetching and opening a better model while the current one keeps running.

It is fetched, converted and tried in its own child process. A thread opens it beside the running one, and the loop
takes it between two frames. A failure on the way is logged once, and the current model goes on.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from edge.errors import ModelError
from edge.models.store import default_store
from edge.selection.option import Option
from edge.selection.selector import ModelSelector
from edge.stages import Classifier
from edge.worker import Reply, Worker, WorkerError

_log = logging.getLogger(__name__)
START_TIMEOUT_S = 60.0
TIMEOUT_S = 86400.0
"""A day: on a slow line one model may take that long."""


class Job(Protocol):
    """The installation of a model in the background."""

    def poll(self) -> Reply | None:
        """Return its final reply; None until then."""

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield its messages since the last call: ("tell" or "show", line)."""

    def close(self) -> None:
        """End it at once. May be called twice, and from any thread."""


class FetchJob:
    """A child that fetches a model of the catalogue into the user's store (installer/install.py)."""

    def __init__(self, name: str, engine: str) -> None:
        """Start the child. Raises WorkerError."""
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._unread = b""
        try:
            self._worker = Worker(
                "edge.installer.install",
                {"lines": write},
                f"the download of {name}",
                START_TIMEOUT_S,
                wait=False,
                pass_fds=(write,),
            )
        finally:
            os.close(write)
        self._worker.ask({"name": name, "store": str(default_store()), "engine": engine}, TIMEOUT_S)

    def poll(self) -> Reply | None:
        """Return its final reply; None until then."""
        return self._worker.poll()

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield its messages since the last call: ("tell" or "show", line)."""
        with contextlib.suppress(OSError):  # nothing new, or closed
            while chunk := os.read(self._read, 65536):
                self._unread += chunk
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                yield from json.loads(line).items()

    def close(self) -> None:
        """End it at once; the next fetch continues from the bytes that have arrived."""
        self._worker.close()
        with contextlib.suppress(OSError):
            os.close(self._read)
            self._read = -1


class Upgrade:
    """Fetches the best model for this machine, once. Call `look` in each turn of the loop."""

    SHOW_EVERY_S = 10.0

    def __init__(
        self,
        selector: ModelSelector,
        engine: str,
        start: Callable[[str, str], Job] = FetchJob,
    ) -> None:
        """Prepare. `engine` is [model] engine; `start` begins to install the model with the given name."""
        self.selector = selector
        self._engine = engine
        self._start = start
        self._begun = self._closed = False
        self._name = ""
        self._job: Job | None = None
        self._thread: threading.Thread | None = None
        self._opened: tuple[Option, Classifier] | None = None
        self._fault = ""
        self._shown_s = 0.0

    @property
    def is_ready(self) -> bool:
        """True if `take` may be called."""
        return self._opened is not None and not self._closed

    def look(self, now_s: float) -> None:
        """Do the next step, without waiting."""
        if self._closed:
            return
        if not self._begun:
            self._begin(now_s)
        if self._job is not None:
            self._attend(self._job, now_s)
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            if self._fault:
                _log.info(f"{self._fault}. {self.selector.name} keeps running.")

    def take(self) -> None:
        """Switch to the model that is ready."""
        assert self._opened
        self.selector.take(*self._opened)
        self._opened = None

    def close(self) -> None:
        """Cancel the upgrade, and wait until it has ended. May be called twice."""
        self._closed = True
        self.end_child()
        # a vendor's call cannot be interrupted, and the process must not end in the middle of it
        if self._thread is not None:
            self._thread.join()
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def end_child(self) -> None:
        """End the child; may be called from any thread."""
        if self._job is not None:
            self._job.close()

    def _begin(self, now_s: float) -> None:
        self._begun = True
        self._name = self.selector.better()
        if not self._name:
            return
        _log.info(f"{self._name} is more accurate: edge fetches it in the background (--no-fetch prevents this).")
        self._shown_s = now_s
        try:
            self._job = self._start(self._name, self._engine)
        except (WorkerError, OSError) as error:
            _log.info(f"It cannot be fetched: {error}.")

    def _attend(self, job: Job, now_s: float) -> None:
        shown = ""
        reply = job.poll()
        for kind, line in job.lines():
            if kind == "tell":
                _log.info(line)
            else:
                shown = line
        if shown and now_s - self._shown_s >= self.SHOW_EVERY_S:
            self._shown_s = now_s
            _log.info(shown)
        if reply is None:
            return
        job.close()
        self._job = None
        if reply.error:
            _log.info(f"{reply.error.removesuffix('.')}. {self.selector.name} keeps running.")
            return
        _log.info(f"{self._name} is installed and is loading.")
        self._thread = threading.Thread(target=self._open, name="loading", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self._opened = self.selector.prepare(self._name)
        except ModelError as error:
            self._fault = str(error)
        except Exception as error:
            # a bug here must not stop the running model
            self._fault = f"a bug: {type(error).__name__}: {error}"
