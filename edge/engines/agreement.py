"""Checks that all engines give the same output for a model, when it is added or first opened from elsewhere.

The reference is MXNet without its layer fusion: there each layer is computed as written. Each installed engine runs on
the known picture and some noise, in a separate child process, so a crash ends only the child. An engine whose output
differs is not used, and a line says why. Where MXNet is not installed, the other engines must agree with each other.

The fusion is judged more strictly than the other engines: if it is rejected wrongly, that only costs some speed.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines import (
    ENGINES,
    GRAPH_ENGINES,
    UNFUSED,
    engine_version,
    installed_engines,
)
from edge.engines.backend import Backend
from edge.engines.measure import LOAD_TIMEOUT_S, OutOfMemoryError, Trial
from edge.errors import ModelError
from edge.importer.cache import forget_graph, graph_is_kept
from edge.importer.description import describe
from edge.importer.params import open_params
from edge.importer.quantised import INT8
from edge.importer.symbol import read_symbol
from edge.models.checkpoint import DEMO, Checkpoint, find_checkpoint, store_folders
from edge.models.entries import keep_entry, read_entries
from edge.models.fingerprint import fingerprint
from edge.models.labels import Label, read_labels
from edge.models.manifest import Answer

Floats = NDArray[np.float32]
MXNET = ENGINES[0]
MOST_APART, MOST_APART_FUSED = 1e-3, 5e-5
"""Largest allowed difference of a probability. Kernels differ by 1e-6, deep networks with random weights by more."""
_RELATIVE = 0.02
"""Largest allowed difference of log-probabilities, as a share of their spread over the labels. Where a thousand labels
are all unlikely, the probabilities themselves never differ by much."""
_LEAST_SPREAD = 0.05
_LIKELY = 1e-6
"""Probabilities below this are only rounding errors."""
_ANSWER_TIMEOUT_S = 300.0
_RULES = 1
"""Version of the check: increase it when the inputs or the criteria change."""


@dataclass(frozen=True)
class Agreement:
    """The result of comparing all engines."""

    unfused: str = ""
    """Why mxnet runs the model without fusion; empty if the fusion is correct, or mxnet is not installed."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why an engine is not used, by engine: its output differs, or the model crashed it."""
    asked: tuple[str, ...] = ()
    """The engines that answered or crashed. The others had too little memory, or cannot run the model as they are."""
    answer: Answer | None = None
    """The correct answer for the known picture."""
    unable: Mapping[str, str] = field(default_factory=dict)
    """The errors of engines that cannot run the model, by engine. Not stored: opening it raises them again."""

    def driver(self, engine: str) -> str:
        """Return the driver to open for an engine. Raises ModelError if the engine is not used."""
        if engine in self.refused:
            able = [one for one in self.asked if one not in self.refused and one not in self.unable and one != engine]
            hint = f"; {' and '.join(able)} can run it ([model] engine)" if able else ""
            raise ModelError(f"{self.refused[engine]}{hint}")
        return UNFUSED if engine == MXNET and self.unfused else engine


UNKNOWN = Agreement(unfused="it was not compared yet")
"""For a model whose check would take too long now: without the fusion mxnet is correct."""


class Agreements:
    """Stored agreements, in agreements.json of the store folders: by machine, engines and model."""

    FILE = "agreements.json"

    def __init__(self, folders: Sequence[Path], machine_key: str) -> None:
        """Earlier folders take precedence. An unreadable file counts as empty."""
        self._folders = folders
        versions = [engine_version(Backend(engine)) for engine in installed_engines()]
        self._place = f"{machine_key}, {', '.join(versions)}, rules {_RULES}"

    def find(self, identity: str) -> Agreement | None:
        """Return the stored agreement for the model with that fingerprint."""
        for folder in self._folders:
            kept = read_entries(folder / self.FILE).get(f"{self._place}, {identity}")
            # an entry from another release, or edited by hand, is ignored
            with contextlib.suppress(TypeError, LookupError, ValueError, AttributeError):
                if kept is not None:
                    answer = Answer(**kept["answer"]) if kept["answer"] else None
                    refused = {str(engine): str(why) for engine, why in kept["refused"].items()}
                    return Agreement(str(kept["unfused"]), refused, tuple(kept["asked"]), answer)
        return None

    def keep(self, identity: str, agreement: Agreement) -> None:
        """Write the agreement to the first writable folder. If there is none, the engines are compared again."""
        table = dataclasses.asdict(agreement)
        del table["unable"]
        keep_entry(self._folders, self.FILE, f"{self._place}, {identity}", table)


def agreement_of(
    checkpoint: Checkpoint,
    kept: Agreements,
    wanted: Collection[str],
    tell: Callable[[str], None],
    *,
    digests: Mapping[str, str] | None = None,
    most_mib: float | None = None,
    step: Callable[[str], None] = lambda _engine: None,
) -> Agreement:
    """Return the engines' agreement on a model; compare all engines, and store the result, if none wanted was asked.

    `tell` gets a line when the comparison starts, and one for each engine that is not used; `step` gets the current
    engine. `digests` are SHA-256 by file name where known. No child may take more than `most_mib`. Raises ModelError,
    with the figures, if no engine can be trusted, or none can run the checkpoint.
    """
    drivers = [driver for engine in installed_engines() for driver in _drivers_of(engine)]
    if len(drivers) < 2 or is_bundled(checkpoint, digests):
        return Agreement(asked=tuple(installed_engines()))
    identity = fingerprint(checkpoint, digests)
    found = kept.find(identity)
    if found is not None and any(engine in found.asked for engine in wanted):
        return found
    # faults of the files themselves are raised at once, without starting a child
    labels = read_labels(checkpoint.synset)
    describe(checkpoint, read_symbol(checkpoint.symbol), open_params(checkpoint.params))
    tell(f"Comparing the results of all engines for {checkpoint.name}; this is done once.")
    had_graph = graph_is_kept(checkpoint, digests)
    answers = {}
    for driver in drivers:
        step(driver)
        answers[driver] = _ask(checkpoint, driver, most_mib)
    if not had_graph and not any(engine in GRAPH_ENGINES for engine in wanted):
        forget_graph(checkpoint, digests)  # as large as the weights, and not needed
    found = judge(checkpoint.name, answers, labels)
    if found.unfused:
        tell(f"{checkpoint.name}: mxnet runs it without fusing layers; with the fusion, {found.unfused}.")
    for engine, why in found.refused.items():
        tell(f"{why}; {engine} is not used for it.")
    kept.keep(identity, found)
    return found


def driver_of(
    checkpoint: Checkpoint, backend: Backend, machine_key: str, tell: Callable[[str], None] = lambda _: None
) -> Backend:
    """Return the backend to open; first compare all engines if that was never done.

    Raises ModelError if the engine is not used for the model. In int8 each engine was judged separately.
    """
    if backend.precision == INT8 or backend.engine not in ENGINES:
        return backend
    kept = Agreements(store_folders(), machine_key)
    return Backend(agreement_of(checkpoint, kept, [backend.engine], tell).driver(backend.engine), backend.precision)


def is_bundled(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> bool:
    """Return whether the checkpoint is the bundled model or a copy of it: edge's tests have compared that one."""
    demo = find_checkpoint(DEMO)
    if checkpoint.params.absolute() == demo.params.absolute():
        return True
    try:
        if checkpoint.params.stat().st_size != demo.params.stat().st_size:
            return False
    except OSError:
        return False
    return fingerprint(checkpoint, digests) == fingerprint(demo)


@dataclass(frozen=True)
class Said:
    """One engine's output for the pictures."""

    probabilities: Floats
    """Pictures x labels; the first picture is the known one."""
    independent: bool
    engine: str


@dataclass(frozen=True)
class Failed:
    """Why one engine gave no output."""

    why: str
    lasting: bool = True
    """False if it may work later: there was too little memory."""
    died: bool = False
    """Whether its process crashed or hung: the daemon must not try it."""


def judge(name: str, answers: Mapping[str, Said | Failed], labels: Sequence[Label]) -> Agreement:
    """Return the agreement that follows from the answers by driver (an engine, or `unfused`). Pure.

    Raises ModelError if there is no answer, or if it is unknown which of several is correct.
    """
    said = {driver: one for driver, one in answers.items() if isinstance(one, Said)}
    failed = {driver: one for driver, one in answers.items() if isinstance(one, Failed)}
    if not said:
        first = next(iter(failed.values()))
        raise OutOfMemoryError(name, 0.0) if all(not one.lasting for one in failed.values()) else ModelError(first.why)
    unable = {driver: one.why for driver, one in failed.items() if one.lasting and not one.died}
    refused = {driver: f"model {name}: {one.why}" for driver, one in failed.items() if one.died and driver in ENGINES}
    # an engine that cannot run it may be repaired or updated: it is asked again when it is wanted
    asked = {
        driver
        for driver, one in answers.items()
        if driver in ENGINES and (isinstance(one, Said) or (one.lasting and one.died))
    }
    unfused = ""
    right = said.get(UNFUSED)
    if right is not None:
        who = "MXNet gives without its fusion"
        fused = answers.get(MXNET)
        if isinstance(fused, Failed):
            # the fusion alone may also be what needs too much memory
            unfused = f"it fails ({_bare(fused.why, name)})"
        elif fused is not None and (apart := difference(fused, right, MOST_APART_FUSED)):
            unfused = f"it gives {apart}"
        refused.pop(MXNET, None)
        unable.pop(MXNET, None)
        if not isinstance(fused, Failed) or fused.lasting:
            asked.add(MXNET)
        others = {engine: one for engine, one in said.items() if engine in GRAPH_ENGINES}
    else:
        # MXNet cannot run it, or is not installed: any engine may be the reference
        first_engine, right = next(iter(said.items()))
        who = f"{first_engine} gives"
        others = {engine: one for engine, one in said.items() if engine != first_engine}
        for engine, one in others.items():
            if apart := difference(one, right, MOST_APART):
                raise ModelError(
                    f"model {name}: the engines disagree, and it is unknown which is right: for the same image "
                    f"{engine} gives {apart}, which {who}; install MXNet, which settles it, or use another model"
                )
        others = {}
    for engine, one in others.items():
        if apart := difference(one, right, MOST_APART):
            refused[engine] = f"model {name}: for the same image {engine} gives {apart}, which {who}"
    unable = {engine: why for engine, why in unable.items() if engine in ENGINES}
    order = tuple(engine for engine in ENGINES if engine in asked)
    best = int(np.argmax(right.probabilities[0]))
    answer = Answer(labels[best].id, labels[best].name, float(right.probabilities[0, best]), right.engine)
    return Agreement(unfused, refused, order, answer, unable)


def difference(found: Said, right: Said, most: float) -> str:
    """Return the largest difference of two outputs, '57.0% for output 3 instead of 78.0%'; empty for mere rounding."""
    if found.probabilities.shape != right.probabilities.shape:
        return f"{found.probabilities.shape[1]} numbers instead of {right.probabilities.shape[1]}"
    if not np.isfinite(found.probabilities).all():
        return "nan instead of numbers"
    gaps = np.abs(found.probabilities - right.probabilities)
    far = gaps > most
    if not right.independent:
        logs, right_logs = (np.log(np.maximum(one.probabilities, _LIKELY / 10)) for one in (found, right))
        spread = np.maximum(np.std(right_logs, axis=1, keepdims=True), _LEAST_SPREAD)
        far |= (right.probabilities > _LIKELY) & (np.abs(logs - right_logs) > _RELATIVE * spread)
    if not far.any():
        return ""
    picture, label = np.unravel_index(np.argmax(np.where(far, gaps, -1.0)), gaps.shape)
    wrong, wanted = _percents(*(float(one.probabilities[picture, label]) for one in (found, right)))
    return f"{wrong} for output {label} instead of {wanted}"


def _percents(found: float, right: float) -> tuple[str, str]:
    digits = next((digits for digits in range(1, 6) if f"{found:.{digits}%}" != f"{right:.{digits}%}"), 6)
    return f"{found:.{digits}%}", f"{right:.{digits}%}"


def _drivers_of(engine: str) -> Iterator[str]:
    if engine == MXNET:
        yield UNFUSED
    yield engine


def _bare(why: str, name: str) -> str:
    return why.removeprefix(f"model {name}: ").removeprefix("MXNet cannot run it: ")


def _ask(checkpoint: Checkpoint, driver: str, most_mib: float | None) -> Said | Failed:
    plain = dataclasses.replace(checkpoint, calibration=None)
    try:
        with Trial(plain, Backend(driver), most_mib=most_mib) as trial:
            trial.ask("load", LOAD_TIMEOUT_S)
            found = trial.ask("answer", _ANSWER_TIMEOUT_S)
    except OutOfMemoryError as error:
        # an abort may also be a bug in the vendor's code, which would end the daemon
        return Failed(str(error), lasting=False, died=trial.aborted)
    except ModelError as error:
        return Failed(str(error), died=trial.died)
    engine = MXNET if driver == UNFUSED else driver
    return Said(np.array(found["probabilities"], np.float32), found["independent"], engine)
