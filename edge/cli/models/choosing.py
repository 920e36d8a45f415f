"""`edge models measure` and `choose`: memory and time of each model, and which one runs."""

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.common import print_json, settings_of
from edge.cli.compare import checkpoints
from edge.cli.progress import Progress
from edge.cli.table import mib, milliseconds, table, wrapped
from edge.errors import EX_CONFIG, EX_OK, ModelError
from edge.selection.choice import RESERVE_MIB, RESERVE_SHARE, no_model_fits

if TYPE_CHECKING:
    pass


def measure(options: argparse.Namespace) -> int:
    """edge models measure: load and run each model in a child process, and store its memory and time."""
    from edge.engines import ENGINES, engine_problem, engine_version, installed_engines, precision_problem
    from edge.engines import measure as measuring
    from edge.engines.agreement import driver_of
    from edge.engines.backend import Backend
    from edge.host.machine import Machine
    from edge.importer.quantised import INT8, identity_of, quantised_problem
    from edge.models.checkpoint import store_folders
    from edge.models.crash_marker import CrashMarker
    from edge.models.measurements import Measurements

    models = checkpoints(",".join(options.names) or None)
    kept = Measurements(store_folders(), Machine().key)
    rows: list[dict[str, Any]] = []
    unkept = False
    with Progress() as progress:
        for checkpoint in models:
            backends = [Backend(engine) for engine in installed_engines() or ENGINES[:1]]
            if not quantised_problem(checkpoint, INT8):
                quantised = [Backend(engine, INT8) for engine in installed_engines()]
                backends += [backend for backend in quantised if not precision_problem(backend)]
            for backend in backends:
                problem = engine_problem(backend.engine)
                row: dict[str, Any] = {"model": checkpoint.name, "engine": str(backend), "problem": problem}
                rows.append(row)
                if row["problem"]:
                    continue
                try:
                    driver = driver_of(checkpoint, backend, Machine().key, progress.line)
                    tell = functools.partial(progress.step, f"{checkpoint.name}, {backend}")
                    measured = measuring.measure(checkpoint, driver, tell=tell)
                except ModelError as error:
                    row["problem"] = str(error)
                    continue
                row |= vars(measured)
                identity = identity_of(checkpoint, backend.precision)
                unkept |= not kept.keep(identity, engine_version(driver), measured)
                if not measured.killed:
                    CrashMarker().forgive(checkpoint)
    if options.json:
        print_json({"machine": Machine().key, "rows": rows})
    else:
        print(_measured_table(rows))
        if unkept:
            print(f"The results were not saved: none of {', '.join(map(str, store_folders()))} is writable.")
    return EX_CONFIG if any(row["problem"] for row in rows) else EX_OK


def _measured_table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        start = [row["model"], row["engine"]]
        if row["problem"]:
            lines.append([*start, *["-"] * 4, row["problem"]])
        elif row["killed"]:
            lines.append([*start, f"> {mib(row['peak_mib'])}", *["-"] * 3, "out of memory"])
        else:
            lines.append(
                [
                    *start,
                    mib(row["peak_mib"]),
                    f"{row['load_s']:.1f} s",
                    milliseconds(row["first_ms"]),
                    milliseconds(row["median_ms"]),
                    milliseconds(row["p95_ms"]),
                ]
            )
    return table(["model", "engine", "memory", "load", "first", "median", "p95"], lines, numbers=range(2, 6))


def choose(options: argparse.Namespace) -> int:
    """edge models choose: show which model would run, and why the others would not."""
    from edge.host.machine import Machine
    from edge.models.catalogue import load_catalogue
    from edge.models.checkpoint import DEMO, store_folders
    from edge.models.packages import is_here
    from edge.selection.selector import ModelSelector

    settings = settings_of(options)
    selector = ModelSelector(
        settings,
        machine=Machine(options.machine or Path("/")),
    )
    verdicts = selector.verdicts_of_catalogue if options.catalogue else selector.verdicts
    chosen = next((verdict.candidate.name for verdict in verdicts if verdict.chosen), None)
    if options.json:
        models = [
            {
                "name": verdict.candidate.name,
                "top1": verdict.candidate.top1,
                "need_mib": verdict.need_mib,
                "peak_mib": measured.peak_mib if (measured := verdict.candidate.measurement) else None,
                "median_ms": measured.median_ms if measured else None,
                "estimated": measured.estimated if measured else None,
                "fits": verdict.fits,
                "chosen": verdict.chosen,
                "reason": verdict.reason,
                "engine": verdict.candidate.engine or None,
            }
            for verdict in verdicts
        ]
        budget = {"mib": selector.budget.mib, "source": selector.budget.source}
        print_json(
            {
                "machine": selector.machine.key,
                "budget": budget,
                "overhead_mib": selector.overhead_mib,
                "reserve_mib": RESERVE_MIB,
                "reserve_share": RESERVE_SHARE,
                "chosen": chosen,
                "models": models,
            }
        )
    elif chosen is not None:
        beside = "camera, voice and wake word" if settings.input.word else "camera and voice"
        print(f"Budget: {selector.budget.mib:.0f} MiB ({selector.budget.source}).")
        print(
            f"A model needs its peak memory and {RESERVE_SHARE:.0%} in reserve (at least {RESERVE_MIB} MiB),\n"
            f"{selector.overhead_mib:.0f} MiB for {beside}, and the size of its file: while it loads,\n"
            "the kernel keeps the file's pages in memory too."
        )
        rows = [
            [
                "->" if verdict.chosen else "",
                verdict.candidate.name,
                "-" if verdict.candidate.top1 is None else f"{verdict.candidate.top1:.1%}",
                verdict.reason,
            ]
            for verdict in verdicts
        ]
        print(table(["", "model", "top-1", "why"], rows, numbers=[2]))
        here = [name for name, entry in load_catalogue(store_folders()).items() if is_here(entry)]
        if here and chosen == DEMO:
            print(wrapped(f"The first edge run installs {', '.join(here)}."))
    if chosen is None:
        raise no_model_fits(verdicts, selector.budget)
    return EX_OK
