"""Do the engines say the same of a network? Asked when it is added, or opened for the first time from elsewhere.

Right is what MXNet says without its fusion of layers, for then each layer is computed as it is written. Each installed
engine answers the known picture and some noise, in a child of its own: whatever it does ends with it. What says
something else is not used, and why is told. Where MXNet is not installed, the others must agree with each other.

The fusion is looked at more closely than the other engines: where it is only suspected, doing without costs some speed
and nothing else.
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
from edge.importer.quantised import FLOAT32
from edge.importer.symbol import read_symbol
from edge.models.checkpoint import DEMO, Checkpoint, find_checkpoint, store_folders
from edge.models.entries import keep_entry, read_entries
from edge.models.fingerprint import fingerprint
from edge.models.labels import Label, read_labels
from edge.models.manifest import Answer

Floats = NDArray[np.float32]
MXNET = ENGINES[0]
MOST_APART, MOST_APART_FUSED = 1e-3, 5e-5
"""Probabilities may differ by this: from kernel to kernel by 1e-6, in deep networks with random weights by more."""
_RELATIVE = 0.02
"""Logarithms of probabilities may differ by this share of how they spread over the labels: of a thousand labels that
are all unlikely, the probabilities themselves never differ by much."""
_LEAST_SPREAD = 0.05
_LIKELY = 1e-6
"""Below it rounding is all that there is."""
_ANSWER_TIMEOUT_S = 300.0
_RULES = 1
"""Goes up when what is asked, or how it is judged, changes."""


@dataclass(frozen=True)
class Agreement:
    """What came of asking all engines."""

    unfused: str = ""
    """Why mxnet runs the network without its fusion; empty when the fusion is good, or mxnet is not installed."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why an engine is not used, by engine: it says something else, or has died of the network."""
    asked: tuple[str, ...] = ()
    """The engines that have answered, or died of it; others had no memory for it, or cannot run it as they are."""
    answer: Answer | None = None
    """What is right of the known picture."""
    unable: Mapping[str, str] = field(default_factory=dict)
    """What engines said that cannot run it, by engine. Not kept: opening it says it again."""

    def driver(self, engine: str) -> str:
        """Return what is to be opened for an engine. Raises ModelError when it is not used."""
        if engine in self.refused:
            able = [one for one in self.asked if one not in self.refused and one not in self.unable and one != engine]
            hint = f"; {' and '.join(able)} can run it ([model] engine)" if able else ""
            raise ModelError(f"{self.refused[engine]}{hint}")
        return UNFUSED if engine == MXNET and self.unfused else engine


UNKNOWN = Agreement(unfused="nobody has asked yet")
"""Of a network that there is no time to ask about: without the fusion mxnet is right."""


class Agreements:
    """What came of it, in agreements.json of the store's folders: by machine, engines and network."""

    FILE = "agreements.json"

    def __init__(self, folders: Sequence[Path], machine_key: str) -> None:
        """Those of the first folder go before the later ones'. A file that cannot be read holds nothing."""
        self._folders = folders
        versions = [engine_version(Backend(engine)) for engine in installed_engines()]
        self._place = f"{machine_key}, {', '.join(versions)}, rules {_RULES}"

    def find(self, identity: str) -> Agreement | None:
        """Return what is known of the network with that fingerprint."""
        for folder in self._folders:
            kept = read_entries(folder / self.FILE).get(f"{self._place}, {identity}")
            # an entry of another release, or edited by hand, is as good as none
            with contextlib.suppress(TypeError, LookupError, ValueError, AttributeError):
                if kept is not None:
                    answer = Answer(**kept["answer"]) if kept["answer"] else None
                    refused = {str(engine): str(why) for engine, why in kept["refused"].items()}
                    return Agreement(str(kept["unfused"]), refused, tuple(kept["asked"]), answer)
        return None

    def keep(self, identity: str, agreement: Agreement) -> None:
        """Write it into the first folder that can be written to; where none can, it is asked for again."""
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
    """Return what is known of the engines' agreement; where one that is wanted was not asked, ask all, and keep it.

    `tell` hears that they are asked, and of what is not used; `step` which one is. `digests` are SHA-256 by file name
    where they are known. No child may take more than `most_mib`. Raises ModelError, with the figures, when nothing is
    left that can be believed, and for a checkpoint that none can run.
    """
    drivers = [driver for engine in installed_engines() for driver in _drivers_of(engine)]
    if len(drivers) < 2 or is_bundled(checkpoint, digests):
        return Agreement(asked=tuple(installed_engines()))
    identity = fingerprint(checkpoint, digests)
    found = kept.find(identity)
    if found is not None and any(engine in found.asked for engine in wanted):
        return found
    # what is wrong with the files themselves is told at once, without any child
    labels = read_labels(checkpoint.synset)
    describe(checkpoint, read_symbol(checkpoint.symbol), open_params(checkpoint.params))
    tell(f"Asking all engines whether they say the same of {checkpoint.name}, once.")
    had_graph = graph_is_kept(checkpoint, digests)
    answers = {}
    for driver in drivers:
        step(driver)
        answers[driver] = _ask(checkpoint, driver, most_mib)
    if not had_graph and not any(engine in GRAPH_ENGINES for engine in wanted):
        forget_graph(checkpoint, digests)  # as large as the weights, and nobody needs it
    found = judge(checkpoint.name, answers, labels)
    if found.unfused:
        tell(f"{checkpoint.name}: mxnet runs it without its fusion of layers; with it, {found.unfused}.")
    for engine, why in found.refused.items():
        tell(f"{why}; {engine} is not used for it.")
    kept.keep(identity, found)
    return found


def driver_of(
    checkpoint: Checkpoint, backend: Backend, machine_key: str, tell: Callable[[str], None] = lambda _: None
) -> Backend:
    """Return what is to be opened for a backend, after all engines were asked where that was never done.

    Raises ModelError when the engine is not used for the network. In int8 each engine has been judged by itself.
    """
    if backend.precision != FLOAT32 or backend.engine not in ENGINES:
        return backend
    kept = Agreements(store_folders(), machine_key)
    return Backend(agreement_of(checkpoint, kept, [backend.engine], tell).driver(backend.engine))


def is_bundled(checkpoint: Checkpoint, digests: Mapping[str, str] | None = None) -> bool:
    """Return whether it is the network that edge comes with, or a copy: our tests have asked about that."""
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
    """What one engine said of the pictures."""

    probabilities: Floats
    """Pictures x labels; the first picture is the known one."""
    independent: bool
    engine: str


@dataclass(frozen=True)
class Failed:
    """Why one engine said nothing."""

    why: str
    lasting: bool = True
    """False where it may be another in a moment: there was no memory."""
    died: bool = False
    """It took its process with it, or never came back: it must not be tried in the daemon."""


def judge(name: str, answers: Mapping[str, Said | Failed], labels: Sequence[Label]) -> Agreement:
    """Return what to make of the answers, by driver (an engine, or `unfused`). Pure.

    Raises ModelError when there is none, or when nobody knows which of several is right.
    """
    said = {driver: one for driver, one in answers.items() if isinstance(one, Said)}
    failed = {driver: one for driver, one in answers.items() if isinstance(one, Failed)}
    if not said:
        first = next(iter(failed.values()))
        raise OutOfMemoryError(name, 0.0) if all(not one.lasting for one in failed.values()) else ModelError(first.why)
    unable = {driver: one.why for driver, one in failed.items() if one.lasting and not one.died}
    refused = {driver: f"model {name}: {one.why}" for driver, one in failed.items() if one.died and driver in ENGINES}
    # one that cannot run it may be mended, or learn to: it is asked again when it is wanted
    asked = {
        driver
        for driver, one in answers.items()
        if driver in ENGINES and (isinstance(one, Said) or (one.lasting and one.died))
    }
    unfused = ""
    right = said.get(UNFUSED)
    if right is not None:
        who = "MXNet says without its fusion"
        fused = answers.get(MXNET)
        if isinstance(fused, Failed):
            # the fusion alone may be what there is no memory for, too
            unfused = f"it fails ({_bare(fused.why, name)})"
        elif fused is not None and (apart := difference(fused, right, MOST_APART_FUSED)):
            unfused = f"it says {apart}"
        refused.pop(MXNET, None)
        unable.pop(MXNET, None)
        if not isinstance(fused, Failed) or fused.lasting:
            asked.add(MXNET)
        others = {engine: one for engine, one in said.items() if engine in GRAPH_ENGINES}
    else:
        # MXNet cannot run it, or is not here: the first is as good as any
        first_engine, right = next(iter(said.items()))
        who = f"{first_engine} says"
        others = {engine: one for engine, one in said.items() if engine != first_engine}
        for engine, one in others.items():
            if apart := difference(one, right, MOST_APART):
                raise ModelError(
                    f"model {name}: the engines do not agree, and nobody knows which is right: of the same picture "
                    f"{engine} says {apart}, which {who}; install MXNet, which settles it, or use another model"
                )
        others = {}
    for engine, one in others.items():
        if apart := difference(one, right, MOST_APART):
            refused[engine] = f"model {name}: of the same picture {engine} says {apart}, which {who}"
    unable = {engine: why for engine, why in unable.items() if engine in ENGINES}
    order = tuple(engine for engine in ENGINES if engine in asked)
    best = int(np.argmax(right.probabilities[0]))
    answer = Answer(labels[best].id, labels[best].name, float(right.probabilities[0, best]), right.engine)
    return Agreement(unfused, refused, order, answer, unable)


def difference(found: Said, right: Said, most: float) -> str:
    """Return where two answers differ the most, '57.0% for output 3 instead of 78.0%'; empty for mere rounding."""
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
        # an abort may also be a bug of the vendor's, and then would end the daemon
        return Failed(str(error), lasting=False, died=trial.aborted)
    except ModelError as error:
        return Failed(str(error), died=trial.died)
    engine = MXNET if driver == UNFUSED else driver
    return Said(np.array(found["probabilities"], np.float32), found["independent"], engine)
