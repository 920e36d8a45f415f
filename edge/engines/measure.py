"""What a network takes on this machine: measured in a throw-away child, through the daemon's own code, and kept.

Memory is the child's high-water mark of resident memory (VmHWM): interpreter, OpenCV, engine, weights and work space,
while it classifies. The kernel keeps it, so no peak is missed between two samples; and unlike a share of common pages
(PSS) it does not shrink because another process has the same library loaded at the moment.
"""

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from edge.engines.backend import Backend
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.host.memory import rss_mib
from edge.models.checkpoint import Checkpoint, to_json
from edge.models.manifest import Answer, Examined
from edge.models.measurements import Measurement
from edge.worker import Worker

FRAMES = 30
"""Enough for a 95th percentile that is not just the slowest frame."""
START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 600.0
"""VGG-16 from a slow SD card."""
FRAME_TIMEOUT_S = 60.0
LEAST_AVAILABLE_MIB = 40.0
"""The child is ended when the machine has less left than this: beyond it a Pi would swap its SD card to death."""
LEAST_HEADROOM_MIB = 4.0
"""The same for what a cgroup's limit leaves."""
_POLL_S = 0.02
_REAP_S = 10.0
"""The kernel frees a network's memory before its process is gone, and on a busy machine that takes a while."""
# who died of these had no memory: they are the kernel's way, and C++'s (an uncaught bad_alloc)
_DEATHS_OF_MEMORY = ("SIGKILL", "SIGABRT")


class Trial:
    """A child that loads and runs one network, watched so that it cannot take the machine's last memory."""

    def __init__(
        self, checkpoint: Checkpoint, backend: Backend, machine: Machine | None = None, *, most_mib: float | None = None
    ) -> None:
        """Start the child, and do not wait for it: what becomes of it, the first answer tells.

        One that takes more than `most_mib` is ended, as when there is no more memory.
        """
        self._machine = machine or Machine()
        self._name = checkpoint.name
        self._most_mib = math.inf if most_mib is None else most_mib
        self.peak_mib = 0.0
        self.died = self.aborted = False
        """Whether it has ended by itself, or was ended because it never answered; whether by SIGABRT."""
        self._worker = Worker(
            "edge.engines.trial",
            {"checkpoint": to_json(checkpoint), "engine": str(backend)},
            f"the trial of {self._name}",
            START_TIMEOUT_S,
            wait=False,
            reap_s=_REAP_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.close()

    def ask(self, step: str, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Have the child do one step (edge/engines/trial.py).

        Raises OutOfMemoryError when it needs more than there is, ModelError for whatever else it says or does.
        """
        start_s = time.monotonic()
        self._worker.ask({"do": step, **fields}, timeout_s)
        while (reply := self._worker.poll()) is None:
            if pid := self._worker.pid:
                self.peak_mib = max(self.peak_mib, rss_mib(pid))
            if self._no_room() or self.peak_mib > self._most_mib:
                self._worker.close()
                raise OutOfMemoryError(self._name, self.peak_mib)
            time.sleep(_POLL_S)
        self.died = bool(reply.died_of) or bool(reply.error and time.monotonic() - start_s > timeout_s)
        self.aborted = reply.died_of == "SIGABRT"
        if reply.died_of in _DEATHS_OF_MEMORY:
            raise OutOfMemoryError(self._name, self.peak_mib)
        if reply.error:
            raise ModelError(reply.error)
        answer: dict[str, Any] = reply.value
        self.peak_mib = max(self.peak_mib, answer.get("peak_mib", 0.0))
        return answer

    def _no_room(self) -> bool:
        reading = self._machine.memory_reading()
        limits = ((reading.available_mib, LEAST_AVAILABLE_MIB), (reading.cgroup_headroom_mib, LEAST_HEADROOM_MIB))
        return any(left is not None and left < least for left, least in limits)


class OutOfMemoryError(ModelError):
    """A network on trial needed more memory than there is."""

    def __init__(self, name: str, peak_mib: float) -> None:
        super().__init__(f"model {name}: needs more than {peak_mib:.0f} MiB, which is all there was; use a smaller one")
        self.peak_mib = peak_mib


class _Run:
    """One network's way through a measurement: load, warm up, classify the picture again and again."""

    WARM_UP = 3
    """The first frames are slower, and are not counted."""
    BLOCK = 2
    """Frames in a row: engines that are compared take turns after so many."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._times_ms: list[float] = []
        self.left = 0

    def start(self) -> None:
        """Wait until its child is there, and imports nothing any more beside others that are timed."""
        self._trial.ask("start", START_TIMEOUT_S)

    def load(self, frames: int) -> None:
        self._loaded = self._trial.ask("load", LOAD_TIMEOUT_S)
        self._trial.ask("classify", self.WARM_UP * FRAME_TIMEOUT_S, frames=self.WARM_UP)
        self.left = frames

    def classify(self) -> None:
        block = min(self.BLOCK, self.left)
        self._times_ms += self._trial.ask("classify", block * FRAME_TIMEOUT_S, frames=block)["times_ms"]
        self.left -= block
        if not self.left:
            self._ran = self._trial.ask("finish", 2 * FRAME_TIMEOUT_S)

    @property
    def result(self) -> tuple[Measurement, Answer]:
        measurement = Measurement(
            peak_mib=self._trial.peak_mib,
            load_s=self._loaded["load_s"],
            first_ms=self._loaded["first_ms"],
            median_ms=statistics.median(self._times_ms),
            p95_ms=percentile(self._times_ms, 0.95),
            frames=len(self._times_ms),
            enqueue_ms=self._ran["enqueue_ms"],
            parameters=self._loaded["parameters"],
        )
        return measurement, Answer(**self._ran["answer"])


def measure(
    checkpoint: Checkpoint,
    backend: Backend,
    frames: int = FRAMES,
    tell: Callable[[str], None] = lambda _step: None,
    machine: Machine | None = None,
) -> Measurement:
    """Load and run a network in a throw-away child; `tell` hears of each step.

    Running out of memory is a result (`killed`). Raises ModelError for a checkpoint or an engine that cannot be used.
    """
    result = measure_side_by_side(checkpoint, [backend], frames, tell, machine)[backend]
    if isinstance(result, ModelError):
        raise result
    return result


def measure_side_by_side(
    checkpoint: Checkpoint,
    backends: Sequence[Backend],
    frames: int = FRAMES,
    tell: Callable[[str], None] = lambda _step: None,
    machine: Machine | None = None,
) -> dict[Backend, Measurement | ModelError]:
    """Measure one network with several backends, each in a child, taking turns every few frames.

    So whatever else the machine does slows all of them alike, and their ratio is true. A backend that cannot run the
    network has its error as result.
    """
    results: dict[Backend, Measurement | ModelError] = {}
    with ExitStack() as children:
        runs = {backend: _Run(children.enter_context(Trial(checkpoint, backend, machine))) for backend in backends}

        def attempt(backend: Backend, step: Callable[[], None]) -> None:
            try:
                step()
            except OutOfMemoryError as error:
                results[backend] = Measurement(error.peak_mib, 0.0, 0.0, 0.0, 0.0, 0, killed=True)
            except ModelError as error:
                results[backend] = error

        for backend, run in runs.items():
            attempt(backend, run.start)
        for backend, run in runs.items():
            if backend not in results:
                tell(f"{backend}: loading")
                attempt(backend, functools.partial(run.load, frames))
        turns = list(runs)
        while ahead := {one: runs[one] for one in turns if one not in results and runs[one].left}:
            turns.reverse()  # each is as often the first after the other as the last before it
            for backend, run in ahead.items():
                attempt(backend, run.classify)
                tell(f"{backend}: {frames - run.left} of {frames} frames")
        return {backend: results.get(backend) or run.result[0] for backend, run in runs.items()}


def examine(
    checkpoint: Checkpoint, backend: Backend, tell: Callable[[str], None] = lambda _step: None
) -> tuple[Examined, Measurement]:
    """Check in a child that a network can be used at all, and measure it on the way.

    Every parameter must be finite and of the shape that the structure infers, the labels must match the outputs, and
    the known picture must get an answer. Raises ModelError for what is wrong, OutOfMemoryError included.
    """
    with Trial(checkpoint, backend) as trial:
        tell("reading every parameter")
        trial.ask("finite", LOAD_TIMEOUT_S)
    with Trial(checkpoint, backend) as trial:
        run = _Run(trial)
        tell("loading")
        run.load(FRAMES)
        while run.left:
            run.classify()
            tell(f"{FRAMES - run.left} of {FRAMES} frames")
        measurement, answer = run.result
    return Examined(measurement.parameters, answer), measurement


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of them do not exceed (the nearest-rank percentile)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
