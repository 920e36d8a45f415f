"""Chooses the model to run, as pure functions: they take figures and return a verdict with a reason for each model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import EX_UNAVAILABLE, NoModelFits
from edge.models.measurements import Measurement

DEFAULT_BUDGET_MIB = 640
"""The default budget: enough for Inception v3 with camera and voice, on every Pi from 1 GB on."""
AVAILABLE_SHARE = 0.9
"""Share of the memory available at the start; the rest is for other programs that start later."""
RESERVE_SHARE, RESERVE_MIB = 0.1, 24
"""Reserve within the budget: this share of a model's memory, and at least so many MiB. It is for page tables, the
occasional large frame, and growth over months."""
SPEECH_MIB = {"pyttsx3": 24, "espeak": 16, "log": 0}
"""Memory of the voice's process and its children, by driver: 17 and 12 while speaking (x86_64), and some room."""
WAKE_WORD_MIB = 44
"""Memory of the wake word's process and arecord: 37 (x86_64), and some room."""
CAMERA_MIB = {"csi": 48, "live": 40, "played": 16}
"""Memory that the camera and its process add to the daemon, without shared libraries (x86_64). csi: 30 for picamera2
and libcamera once imported, and room for an opened camera, not measured on a board yet. live: 36 for OpenCV with a
stream. Files are played in the daemon itself."""
SHARED_MIB = 100.0
"""The part of a measured process that two models in one daemon share: at least Python, OpenCV and an engine."""
_CLEARLY_LESS = 0.95


@dataclass(frozen=True)
class Budget:
    """The memory for everything that edge runs."""

    mib: float
    source: str
    """Where the number comes from, for messages."""
    ours: bool = True
    """Whether a setting can raise it; False if the machine has no more."""
    passing: bool = False
    """Whether it may soon change, because it is the memory that other programs leave."""


@dataclass(frozen=True)
class Candidate:
    """A model that could run."""

    name: str
    top1: float | None
    """Its top-1 accuracy, 0..1, as published or stated; None ranks last."""
    measurement: Measurement | None
    file_mib: float = 0.0
    """The size of its weights on disk. During loading the kernel keeps the file's pages in memory too, and a control
    group's limit counts them."""
    rejected: str = ""
    """Why it must not run, for messages; empty if it may."""
    random_weights: bool = False
    engine: str = ""
    """The engine that would run it."""
    came_along: bool = False
    """Whether it came with edge, without being requested."""


@dataclass(frozen=True)
class Verdict:
    """The decision about one candidate."""

    candidate: Candidate
    need_mib: float | None
    """The sum of its memory, its file, camera, voice and reserve; None if its memory is unknown."""
    fits: bool
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Limits:
    """The limits for a model."""

    budget: Budget
    overhead_mib: float
    """The part of the budget for camera, voice and wake word."""
    max_latency_ms: float | None = None
    """The longest time for a frame; None for no limit."""

    def choose(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Return a verdict for each candidate, best first, like the function `choose`."""
        return choose(candidates, self.budget, self.overhead_mib, self.max_latency_ms)

    def fastest(self, candidates: Sequence[Candidate]) -> tuple[Candidate, bool]:
        """Return the candidate with the best engine, and whether that fits, like the function `fastest`."""
        return fastest(candidates, self.budget, self.overhead_mib, self.max_latency_ms)


def overhead_mib(camera_source: str, speech_driver: str, on_a_pi: bool, *, wake_word: bool = False) -> float:
    """Return the memory of camera, voice and wake word in MiB, by the settings."""
    if camera_source.startswith("csi") or (camera_source == "auto" and on_a_pi):
        camera = "csi"
    elif re.match("usb|/dev/|auto$", camera_source) or "://" in camera_source:
        camera = "live"
    else:
        camera = "played"
    return CAMERA_MIB[camera] + SPEECH_MIB[speech_driver] + (WAKE_WORD_MIB if wake_word else 0)


def budget(
    setting_mib: float | None, available_mib: float | None, limit: tuple[float, str] | None, *, named: bool
) -> Budget:
    """Return the smallest of the setting (or the default, for a model that was not named), limit and free memory.

    `limit` is that of a control group, in MiB, and the file that contains it.
    """
    budgets = []
    if setting_mib is not None:
        budgets.append(Budget(setting_mib, "memory_budget_mib"))
    elif not named:
        budgets.append(Budget(DEFAULT_BUDGET_MIB, "the default"))
    if limit is not None:
        budgets.append(Budget(limit[0], f"the limit of the control group, {limit[1]}", ours=False))
    if available_mib is not None:
        source = f"{AVAILABLE_SHARE:.0%} of the available memory"
        budgets.append(Budget(AVAILABLE_SHARE * available_mib, source, ours=False, passing=True))
    # a machine without any of these figures gets the default
    return min(budgets or [Budget(DEFAULT_BUDGET_MIB, "the default")], key=lambda one: one.mib)


def choose(
    candidates: Sequence[Candidate], within: Budget, overhead: float, max_latency_ms: float | None = None
) -> list[Verdict]:
    """Return a verdict for each candidate, best first: by accuracy, then by speed, then by name.

    A model of unknown accuracy ranks last. But the user has installed it, so models that only came with edge rank after
    it. `overhead` is the memory of camera, voice and wake word in MiB. At most one is chosen: the first that fits.
    """
    verdicts: list[Verdict] = []
    found = False
    unknown = any(one.top1 is None and not one.came_along for one in candidates)
    for candidate in sorted(candidates, key=lambda one: (unknown and one.came_along, *_rank(one))):
        need = None
        if candidate.measurement is not None:
            peak_mib = candidate.measurement.peak_mib
            need = peak_mib + candidate.file_mib + overhead + max(RESERVE_MIB, RESERVE_SHARE * peak_mib)
        fault = _fault(candidate, need, within, max_latency_ms)
        chosen = not fault and not found
        found |= chosen
        reason = fault
        if not fault:
            assert need is not None
            assert candidate.measurement is not None
            guess = " (estimate)" if candidate.measurement.estimated else ""
            reason = f"{'best fit' if chosen else 'fits'}: needs {need:.0f} of {within.mib:.0f} MiB{guess}"
        verdicts.append(Verdict(candidate, need, not fault, chosen, reason))
    return verdicts


def fastest(
    candidates: Sequence[Candidate], within: Budget, overhead: float, max_latency_ms: float | None = None
) -> tuple[Candidate, bool]:
    """Return the candidate with the best engine for the model, and whether it fits.

    That is the fastest engine that fits; if none does, the one that takes the least memory.
    """
    verdicts = choose(candidates, within, overhead, max_latency_ms)
    measured = [
        (one.candidate, one.candidate.measurement) for one in verdicts if one.fits and one.candidate.measurement
    ]
    if measured:
        return min(measured, key=lambda one: one[1].median_ms or float("inf"))[0], True

    def memory(one: Candidate) -> tuple[bool, float]:
        found = one.measurement
        return (True, float("inf")) if found is None else (found.killed, found.peak_mib)

    return min(candidates, key=memory), False


def smaller(verdicts: Sequence[Verdict], than: str) -> Verdict | None:
    """Return the most accurate model that fits and needs clearly less memory than the one named `than`."""
    current = next(verdict for verdict in verdicts if verdict.candidate.name == than)
    most_mib = _CLEARLY_LESS * (current.need_mib or 0.0)
    return next((v for v in verdicts if v.fits and v.need_mib is not None and v.need_mib < most_mib), None)


def room_problem(candidate: Candidate, running: Candidate, limits: Limits, available_mib: float | None) -> str:
    """Return why a model cannot be loaded beside the running one, in one line; empty if it can.

    `available_mib` is the memory that other programs leave now, None if unknown.
    """
    (verdict,) = limits.choose([candidate])
    if not verdict.fits or verdict.need_mib is None:
        return verdict.reason
    beside_mib = max(running.file_mib, (running.measurement.peak_mib if running.measurement else 0.0) - SHARED_MIB)
    need_mib = verdict.need_mib + beside_mib
    # the daemon already has the shared part, camera, voice and wake word
    more_mib = verdict.need_mib - SHARED_MIB - limits.overhead_mib
    if need_mib > limits.budget.mib or (available_mib is not None and more_mib > AVAILABLE_SHARE * available_mib):
        return f"there is no room for it beside {running.name}, so it will run after the next start"
    return ""


def no_model_fits(verdicts: Sequence[Verdict], within: Budget) -> NoModelFits:
    """Return the error that says what each candidate needs: one line for a single candidate, else a line for each."""
    error = NoModelFits(_needs(verdicts, within))
    if within.passing and lacks_memory(verdicts, within):
        error.exit_code = EX_UNAVAILABLE  # systemd restarts the service: memory may become free
    return error


def lacks_memory(verdicts: Sequence[Verdict], within: Budget) -> bool:
    """Return whether a candidate would run with more memory; one that is rejected or too slow would not."""
    return any(
        one.candidate.measurement is not None
        and not one.candidate.rejected
        and (one.candidate.measurement.killed or (one.need_mib or 0.0) > within.mib)
        for one in verdicts
    )


def _needs(verdicts: Sequence[Verdict], within: Budget) -> str:
    more = "raise [model] memory_budget_mib (--budget-mib N)" if within.ours else "give edge more memory"
    if len(verdicts) == 1:
        (verdict,) = verdicts
        what = f"model {verdict.candidate.name}: {verdict.reason}"
        if verdict.candidate.rejected:
            return what
        return f"{what}; the budget is {within.mib:.0f} MiB ({within.source}): {more}, or use a smaller model"
    reasons = [f"  {verdict.candidate.name}: {verdict.reason}" for verdict in verdicts]
    if verdicts and all(verdict.candidate.rejected for verdict in verdicts):
        return "\n".join(["no model can be used:", *reasons])
    lines = [f"no model fits into {within.mib:.0f} MiB ({within.source}):", *reasons]
    lines.append(f"{more}, or install a smaller model (edge models list)")
    return "\n".join(lines)


def _rank(candidate: Candidate) -> tuple[float, float, str]:
    median_ms = candidate.measurement.median_ms if candidate.measurement else 0.0
    # an unmeasured time must not rank first
    return (-(candidate.top1 if candidate.top1 is not None else -1.0), median_ms or float("inf"), candidate.name)


def _fault(candidate: Candidate, need: float | None, within: Budget, max_latency_ms: float | None) -> str:
    """Return why a candidate must not run; empty if it may."""
    if candidate.rejected:
        return candidate.rejected
    if candidate.measurement is None or need is None:
        return "not measured: run edge models measure"
    guess = " (estimate)" if candidate.measurement.estimated else ""
    if candidate.measurement.killed:
        return f"needs more than {need:.0f} MiB: it ran out of memory when it was measured"
    if need > within.mib:
        return f"needs {need:.0f} MiB, {need - within.mib:.0f} MiB too much{guess}"
    if max_latency_ms is not None and candidate.measurement.median_ms > max_latency_ms:
        median_ms = candidate.measurement.median_ms
        return f"{median_ms:.0f} ms per frame, {median_ms - max_latency_ms:.0f} ms more than max_latency_ms{guess}"
    return ""
