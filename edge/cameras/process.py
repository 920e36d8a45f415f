"""A live camera whose driver runs in a child process (child.py), so that a crash spares the daemon.

A vendor's library may hold Python's lock, hang, crash or leak with each try; only ending its process helps. So a child
that does not answer in time is killed with all its processes, without an orderly close, which might hang too. Another
child is started after 0.5 s; while that fails, the delay grows up to [camera] retry_s.
"""

import contextlib
import dataclasses
import fcntl
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edge.errors import CameraError, hide_secrets
from edge.host.backoff import Backoff
from edge.settings import CameraSettings
from edge.stages import Frame, Pixels
from edge.worker import Worker, WorkerError

SLOTS = 2
"""Number of slots. A frame is overwritten only after the next one and then the next but one were requested."""
HEARTBEAT_S = 3.0
"""How long the child may take to answer a request; within this time it must also report that no frame came."""
START_S = 30.0
"""How long the child may take to load its libraries; a Pi Zero 2 takes ten seconds for OpenCV."""
REOPEN_FACTOR, WHOLE_EVERY = 4.0, 4
"""A camera that has worked may take this many times as long to open again as before, and at least HEARTBEAT_S. With a
longer limit, edge would wait for a hanging try long after the fault has ended. Every fourth try in a row gets the full
time."""
FIND_S = 10.0
"""How long looking for cameras may take."""
FIRST_PAUSE_S = 0.5
"""First pause between two tries; it doubles up to [camera] retry_s."""
GOOD_S = 10.0
"""How long a camera must have worked before the pause is reset to the first one."""
FRESH_S = 0.1
"""A frame that waited longer than this for the daemon is stale, and another is requested."""


_WHAT = "the camera"


def ignore(_text: str) -> None:
    """Do nothing: the default callback."""


class ProcessCamera:
    """Gives the newest frames of a live camera, and none while it is lost or paused.

    A frame's pixels are in the shared memory; they are valid until the next but one is read.
    """

    live = True

    def __init__(
        self,
        settings: CameraSettings,
        lost: Callable[[str], object] = ignore,
        back: Callable[[str], object] = ignore,
        driver: str = "edge.cameras.sources:open_camera",
        *,
        paused: bool = False,
        wait: bool = True,
    ) -> None:
        """Open the camera and wait until it is open, unless `paused`. Without `wait`, call `wait_until_open` later.

        `lost` is called with the reason each time, and again if it cannot be reopened for another reason; `back` is
        called with the camera. `driver` is the 'module:function' that opens it in the child. Raises CameraError if
        opening fails: edge waits only for a camera that has worked, unless `settings.wait` is set. Create and read it
        in the main thread: the child dies with the thread that starts it.
        """
        self._settings, self._driver = settings, driver
        self._tell_lost, self._tell_back = lost, back
        self.description = f"camera {hide_secrets(settings.source)}"
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._worker: Worker | None = None
        self._opened = self._asked = self._closed = False
        self.paused = paused
        self.missing = False
        """True if it is lost and `lost` has been called."""
        self._why = ""
        """The reason that `lost` was called with last, while it is lost."""
        self._retry_s = 0.0
        self._backoff = Backoff(min(FIRST_PAUSE_S, settings.retry_s), settings.retry_s)
        self._took_s: float | None = None
        """How long the last successful opening took."""
        self._tries = 0
        """How often it was opened since its last frame."""
        self._good_since_s: float | None = None
        self._empty_since_s = math.inf
        self._next_sequence = self._first_sequence = 0
        if paused:
            return
        with self._opening():
            self._start()
        if wait:
            self.wait_until_open()

    @property
    def opening(self) -> bool:
        """Return True while it is being opened, which has its own deadline."""
        return self._worker is not None and not self._opened

    def wait_until_open(self) -> None:
        """Wait until it is open, unless it is paused or lost already. Raises CameraError as the constructor does."""
        with self._opening():
            while self._worker is not None and not self._opened:
                if fault := self._look(1.0)[1]:
                    raise CameraError(fault)

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """Treat a failure in the block as a loss if the settings say that edge waits for a camera; else close this."""
        try:
            yield
        except CameraError as error:
            if not self._settings.wait:
                self.close()
                raise
            self._lose(str(error))
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, waiting at most `timeout_s`; None if there is none, also while it is lost."""
        until_s = time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            if self._closed:
                raise CameraError(f"{self.description}: it is closed, open it again")
            if self._worker is None:
                ready_s = until_s if self.paused else min(until_s, self._retry_s)
                time.sleep(max(0.0, ready_s - now_s))
                if self.paused or time.monotonic() < self._retry_s:
                    return None
                self._start()
            frame, fault = self._look(until_s - time.monotonic())
            if fault:
                self._lose(fault)
            if frame is not None or time.monotonic() >= until_s:
                return frame

    def pause(self) -> None:
        """Close the camera itself until `resume`."""
        self.paused = True
        self._drop()

    def resume(self) -> None:
        """Open it again with the next `read`."""
        self.paused = False
        self._retry_s = 0.0

    def reopen(self, why: str) -> None:
        """Treat it as lost for the reason `why`, such as a frozen picture."""
        if self._worker is not None:
            self._lose(f"{self.description}: {why}")

    def close(self) -> None:
        """End the child at once. May be called twice, and from any thread."""
        self._closed = True
        worker = self._worker
        if worker is not None:
            worker.close()
        for slot in self._slots:
            slot.close()

    def _start(self) -> None:
        options = {
            "settings": dataclasses.asdict(self._settings),
            "slots": [slot.fd for slot in self._slots],
            "driver": self._driver,
            "daemon": os.getpid(),
        }
        self._opened = self._asked = False
        try:
            self._worker = Worker(
                "edge.cameras.child",
                options,
                _WHAT,
                START_S,
                wait=False,
                private_folder=False,
                pass_fds=options["slots"],  # type: ignore[arg-type]
            )
        except WorkerError as error:
            raise CameraError(f"{self.description}: {error}") from error
        self._tries += 1
        self._worker.ask({"open": True}, patience_s(self._settings.open_timeout_s, self._took_s, self._tries))

    def _look(self, timeout_s: float) -> tuple[Frame | None, str]:
        """Wait for the child's reply; return a frame, or the fault, or neither."""
        worker = self._worker
        assert worker
        if self._opened and not self._asked:
            self._asked = worker.ask({"read": max(0.0, min(timeout_s, HEARTBEAT_S / 3))}, HEARTBEAT_S)
        worker.wait(max(0.0, timeout_s))
        reply = worker.poll()
        if reply is None:
            return None, ""
        self._asked = False
        if reply.error:
            return None, self._named(reply.error)
        if not self._opened:
            self._opened = True
            self.description, self._took_s = reply.value["description"], reply.value["took_s"]
            return None, ""
        if reply.value is None:
            return None, self._emptiness()
        if time.monotonic() - reply.value["written_s"] > FRESH_S:
            return None, ""
        return self._frame(reply.value), ""

    def _emptiness(self) -> str:
        """Return the fault if no frame has come for too long; the driver should report that first."""
        now_s = time.monotonic()
        self._empty_since_s = min(self._empty_since_s, now_s)
        longest_s = self._settings.read_timeout_s + FIRST_PAUSE_S
        empty = now_s - self._empty_since_s > longest_s
        return f"{self.description}: lost, no frame came for {longest_s:g} s" if empty else ""

    def _frame(self, told: dict[str, Any]) -> Frame:
        now_s = time.monotonic()
        self._empty_since_s = math.inf
        self._tries = 0
        if self._good_since_s is None:
            self._good_since_s = now_s
            self._first_sequence = self._next_sequence - told["sequence"]
            if self.missing:
                self.missing = False
                self._tell_back(self.description)
        elif now_s - self._good_since_s >= GOOD_S:
            self._backoff.reset()
        sequence = self._first_sequence + told["sequence"]
        self._next_sequence = sequence + 1
        return Frame(self._slots[told["slot"]].pixels(tuple(told["shape"])), sequence, told["captured_s"])

    def _named(self, error: str) -> str:
        """Return the error with the camera's name; a driver's own error has it already."""
        ours = error.startswith(f"{_WHAT} ")
        return f"{self.description}: {error.removeprefix(f'{_WHAT} ')}" if ours else error

    def _lose(self, why: str) -> None:
        self._drop()
        self._retry_s = time.monotonic() + self._backoff.double()
        if not self.missing or why != self._why:
            self.missing, self._why = True, why
            self._tell_lost(why)

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        self._good_since_s, self._empty_since_s = None, math.inf
        self._opened = self._asked = False
        if worker is not None:
            worker.close()


def patience_s(open_timeout_s: float, took_s: float | None, tries: int) -> float:
    """Return how long a camera may take to open at this try in a row; it took `took_s` before (None: never opened)."""
    # longer than the driver's own deadline, whose error says more
    whole_s = open_timeout_s + 2 * FIRST_PAUSE_S
    if took_s is None or tries % WHOLE_EVERY == 0:
        return whole_s
    return min(whole_s, max(HEARTBEAT_S, REOPEN_FACTOR * took_s))


def find_in_child() -> str:
    """Return the source that `auto` stands for, as a child finds it. Raises CameraError if it does not answer."""
    options = {
        "settings": {"source": "csi"},
        "slots": [],
        "driver": "edge.cameras.sources:open_camera",
        "daemon": os.getpid(),
    }
    worker = Worker("edge.cameras.child", options, "the search for a camera", START_S, wait=False, private_folder=False)
    try:
        worker.ask({"find": True}, FIND_S)
        while (reply := worker.poll()) is None:
            worker.wait(1.0)
        if reply.error:
            raise CameraError(reply.error)
        return str(reply.value)
    finally:
        worker.close()


class _Slot:
    """Memory for one frame that the child writes and we read. It has no file name, so it leaves nothing behind."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("edge-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # the child cannot shrink the memory that we have mapped
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._map: mmap.mmap | None = None

    def pixels(self, shape: tuple[int, ...]) -> Pixels:
        size = int(np.prod(shape))
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.fd, os.fstat(self.fd).st_size, prot=mmap.PROT_READ)
        return np.frombuffer(self._map, np.uint8, size).reshape(shape)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self._map = -1, None
