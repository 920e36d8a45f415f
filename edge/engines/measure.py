"""Measures a model's memory and time on this machine, in a temporary child process that runs the daemon's code.

Memory is the child's high-water mark of resident memory (VmHWM): interpreter, OpenCV, engine, weights and work space
while it classifies. The kernel records it, so no peak between two samples is missed. Unlike PSS, which divides shared
pages, it does not shrink when another process has loaded the same library.
"""

import functools
import math
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
"""Enough that the 95th percentile is not just the slowest frame."""
START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 600.0
"""Enough for VGG-16 from a slow SD card."""
FRAME_TIMEOUT_S = 60.0
LEAST_AVAILABLE_MIB = 40.0
"""The child is ended if the machine has less memory left: a Pi would wear out its SD card by swapping."""
LEAST_HEADROOM_MIB = 4.0
"""The same for the memory left by a cgroup's limit."""
_POLL_S = 0.02
_REAP_S = 10.0
"""The kernel frees a model's memory before its process is gone; on a busy machine that takes a while."""
# signals of a child that ran out of memory: from the kernel, and from C++ (an uncaught bad_alloc)
_DEATHS_OF_MEMORY = ("SIGKILL", "SIGABRT")


class Trial:
    """A child process that loads and runs one model, ended before it takes the machine's last memory."""

    def __init__(
        self, checkpoint: Checkpoint, backend: Backend, machine: Machine | None = None, *, most_mib: float | None = None
    ) -> None:
        """Start the child without waiting for it: the first answer reports a failure.

        A child that takes more than `most_mib` is ended, as if there were no more memory.
        """
        self._machine = machine or Machine()
        self._name = checkpoint.name
        self._most_mib = math.inf if most_mib is None else most_mib
        self.peak_mib = 0.0
        self.died = self.aborted = False
        """`died`: whether it ended by itself, or was ended because it did not answer; `aborted`: by SIGABRT."""
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
        """Return the child's answer to one step (edge/engines/trial.py).

        Raises OutOfMemoryError if it needs more memory than there is, ModelError for any other failure.
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
    """A model in its trial run needed more memory than there is."""

    def __init__(self, name: str, peak_mib: float) -> None:
        super().__init__(
            f"model {name}: needs more than {peak_mib:.0f} MiB, which is all there was; use a smaller model"
        )
        self.peak_mib = peak_mib


class _Run:
    """The measurement of one model: load, warm up, classify the picture repeatedly."""

    WARM_UP = 3
    """Frames that are not counted, because the first are slower."""
    BLOCK = 2
    """Frames in a row before the next of the compared engines takes its turn."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._times_ms: list[float] = []
        self.left = 0

    def start(self) -> None:
        """Wait until the child has started, so that its imports do not disturb the timing of others."""
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
        import statistics  # late: the daemon imports this module, and hardly ever measures

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
    """Return the measurement of a model, run in a temporary child process; `tell` gets a line for each step.

    Running out of memory is a result (`killed`). Raises ModelError if the checkpoint or the engine cannot be used.
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
    """Return one model's measurements with several backends, each in a child, taking turns every few frames.

    So other load on the machine slows all of them alike, and their ratio is right. The result of a backend that cannot
    run the model is its error.
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
            turns.reverse()  # so that each runs first as often as last
            for backend, run in ahead.items():
                attempt(backend, run.classify)
                tell(f"{backend}: {frames - run.left} of {frames} frames")
        return {backend: results.get(backend) or run.result[0] for backend, run in runs.items()}


def examine(
    checkpoint: Checkpoint, backend: Backend, tell: Callable[[str], None] = lambda _step: None
) -> tuple[Examined, Measurement]:
    """Check in a child that a model can be used, and measure it at the same time.

    Every parameter must be finite and of the shape that the structure implies, the labels must match the outputs, and
    the known picture must get an answer. Raises ModelError, or its subclass OutOfMemoryError, if a check fails.
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
    """Return the smallest value that at least this share of the values do not exceed (nearest-rank percentile)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
