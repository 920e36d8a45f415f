"""Install a model in the store: fetch and convert it where needed, run it once in a child, and measure it.

The command line and a running daemon (daemon/upgrade.py) both use this; the daemon in a separate child, whose driver is
at the end.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.engines import engine_for, engine_version, engines_for, import_problem
from edge.engines.agreement import Agreement, Agreements, agreement_of
from edge.engines.backend import Backend
from edge.engines.measure import OutOfMemoryError, examine
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.installer.converter.convert import convert as convert_weights
from edge.models.catalogue import CONVERTED, Entry, Source, load_catalogue
from edge.models.checkpoint import Checkpoint, find_checkpoint, store_folders
from edge.models.crash_marker import CrashMarker
from edge.models.fetch import Fetcher
from edge.models.fingerprint import fingerprint
from edge.models.manifest import Examined
from edge.models.measurements import Measurement, Measurements
from edge.models.store import Store
from edge.worker import Worker

CONVERT_TIMEOUT_S = 600.0
_NICE = 10
"""A running daemon has priority."""
_SHOW_EVERY_S = 0.5
Line = Callable[[str], None]


@dataclass(frozen=True)
class Installation:
    """A model that was just installed in the store."""

    name: str
    folder: Path
    measurement: Measurement
    random_weights: bool


def fetch(entry: Entry, store: Path, engine: str, *, tell: Line, show: Line, origin: str | None = None) -> Installation:
    """Download a model of the catalogue and install it.

    `engine` is [model] engine; `tell` gets lines for the user, `show` the progress; `origin` is as for Fetcher. Raises
    FetchError if no source has it, ModelError if it cannot be used; the installed version then stays.
    """
    fetcher = Fetcher(store, origin, lambda file, done, total: show(_bar(file, done, total)), tell)
    fetched = fetcher.fetch(entry, convert)
    try:
        done = install(
            fetched.checkpoint,
            entry.name,
            origin=fetched.origin,
            store=store,
            engine=engine,
            licence=fetched.licence,
            tell=tell,
            show=show,
        )
    except OutOfMemoryError:
        raise  # the files are good
    except ModelError:
        fetcher.discard(entry)
        raise
    fetcher.clear(entry)
    return done


def install(
    checkpoint: Checkpoint,
    name: str,
    origin: str,
    store: Path,
    engine: str,
    *,
    tell: Line,
    show: Line,
    licence: str = "",
) -> Installation:
    """Check a checkpoint, copy it into the store as `name` and measure it. Raises ModelError, as Store.add does."""
    engines, line = engines_for(engine)
    if line:
        tell(line)
    measured: dict[Backend, Measurement] = {}
    agreements = Agreements([store, *store_folders()], Machine().key)

    def run(copy: Checkpoint) -> Examined:
        agreement = agreement_of(copy, agreements, engines, tell, step=lambda driver: show(f"{name}: running {driver}"))
        used, why = _able(engines, agreement)
        if why and import_problem(engines[0]):
            # MXNet may be installed but broken: the fallback engine says so
            used, why = engine_for(engine, tell), ""
        driver = Backend(agreement.driver(used))
        if why:
            tell(f"{why}.")
            tell(f"{used} can run it: set [model] engine, or give --engine {used}.")
        examined, measured[driver] = examine(copy, driver, lambda step: show(f"{name}: {step}"))
        return examined

    one = Store(store).add(
        checkpoint, name, run, origin, licence=licence, progress=lambda step: show(f"{name}: {step}")
    )
    installed_one = find_checkpoint(str(one.folder))
    kept = Measurements([store, *store_folders()], Machine().key)
    ((used, measurement),) = measured.items()
    kept.keep(fingerprint(installed_one, one.digests), engine_version(used), measurement)
    CrashMarker().forgive(installed_one)
    return Installation(name, one.folder, measurement, checkpoint.about.random_weights)


def _able(engines: list[str], agreement: Agreement) -> tuple[str, str]:
    """Return the engine to examine a model with, and why it is none of the wanted ones; empty if it is one."""
    problems = {**agreement.unable, **agreement.refused}
    able = next((engine for engine in engines if engine not in problems), None)
    if able is not None:
        return able, ""
    other = next((engine for engine in agreement.asked if engine not in problems), None)
    return (other, problems[engines[0]]) if other else (engines[0], "")


def convert(source: Source, weights: Path, prefix: Path) -> None:
    """Write prefix-symbol.json and prefix-0000.params from a source's weights. Raises ModelError."""
    if source.kind in CONVERTED:
        convert_weights(source.kind, source.name, weights, prefix)
        return
    # in a child: otherwise MXNet's memory would stay allocated while the model is examined
    worker = Worker("edge.engines.gluon", {}, f"the conversion of {source.name}")
    try:
        worker.ask({"name": source.name, "params": str(weights), "prefix": str(prefix)}, CONVERT_TIMEOUT_S)
        while (reply := worker.poll()) is None:
            time.sleep(0.05)
    finally:
        worker.close()
    if reply.error:
        raise ModelError(reply.error)


def _bar(file: str, done: int, total: int | None) -> str:
    if not total:
        return f"{file}  {done / 2**20:.1f} MiB"
    filled = round(24 * done / total)
    bar = "#" * filled + "." * (24 - filled)
    return f"{file[:28]}  {bar}  {done / total:4.0%} of {total / 2**20:.1f} MiB"


def open_driver(options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """Open the driver of a worker (edge/worker.py): a request is {"name", "store", "engine"}; the answer is the name.

    The lines of `tell` and `show` go as {"tell": line} or {"show": line}, one JSON object a line, into the file
    descriptor options["lines"].
    """
    os.nice(_NICE)
    lines: int = options["lines"]
    shown_s = 0.0

    def write(kind: str, line: str) -> None:
        nonlocal shown_s
        if kind == "show":
            if time.monotonic() - shown_s < _SHOW_EVERY_S:
                return
            shown_s = time.monotonic()
        os.write(lines, json.dumps({kind: line}).encode() + b"\n")

    def answer(request: Mapping[str, Any]) -> str:
        store = Path(request["store"])
        entry = load_catalogue([store, *store_folders()])[request["name"]]
        done = fetch(
            entry,
            store,
            request["engine"],
            tell=lambda line: write("tell", line),
            show=lambda line: write("show", line),
        )
        return done.name

    return answer
