"""Runs jobs in processes, one for each processor, and counts what they have done."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

_done: Any = None
"""In a process of the pool: how much all of them have done."""


def run_all(jobs: Sequence[tuple[Any, ...]], tell: Callable[[int], object]) -> list[Any]:
    """Return the results of all jobs (a function and its arguments), in their order.

    `tell` is called about once a second with how often the jobs have called `count`. The first exception of a job ends
    the others, and is raised. No process outlives this one.
    """
    spawn = multiprocessing.get_context("spawn")  # the threads of an engine do not survive a fork
    done, started = spawn.Value("i", 0), spawn.Value("i", 0)
    processors = sorted(os.sched_getaffinity(0))
    with ProcessPoolExecutor(
        min(len(processors), len(jobs)), mp_context=spawn, initializer=_begin, initargs=(done, started, processors)
    ) as pool:
        futures = [pool.submit(*job) for job in jobs]
        waiting: set[Future[Any]] = set(futures)
        try:
            while waiting:
                over, waiting = wait(waiting, timeout=1.0)
                for future in over:
                    future.result()
                tell(done.value)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return [future.result() for future in futures]


def count() -> None:
    """Record in a job that one more thing is done."""
    if _done is not None:  # a test may call a job directly
        with _done.get_lock():
            _done.value += 1


def _begin(done: Any, started: Any, processors: Sequence[int]) -> None:
    """Give each process its own processor, before an engine counts them, and end it with its parent.

    Else the threads of all networks wait for each other: beside other work EfficientNet-Lite0 takes 117 instead of
    11 ms.
    """
    global _done  # noqa: PLW0603 - there is no other way from an initialiser to the jobs
    _done = done
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with started.get_lock():
        number = started.value
        started.value += 1
    os.sched_setaffinity(0, {processors[number % len(processors)]})


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
