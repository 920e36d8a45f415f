"""`edge models ...`: what is installed, what could be, what it takes, and which one runs."""

import argparse
import dataclasses
import difflib
import functools
import json
import re
import textwrap
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.common import overrides_of, settings_of
from edge.cli.compare import checkpoints, uncalibrated
from edge.cli.progress import Progress
from edge.cli.speech import print_how_labels_are_said
from edge.cli.table import WIDTH, mib, milliseconds, table
from edge.errors import EX_CONFIG, EX_OK, ModelError
from edge.models.checkpoint import ModelInfo
from edge.models.labels import read_labels
from edge.models.manifest import PACKAGE
from edge.selection.choice import RESERVE_MIB, RESERVE_SHARE, no_model_fits

if TYPE_CHECKING:
    from edge.installer.install import Installation
    from edge.models.catalogue import Entry
    from edge.models.checkpoint import Checkpoint
    from edge.models.store import Installed

LABELS_SHOWN = 10


def list_models(options: argparse.Namespace) -> int:
    """edge models list: what is installed, and what the catalogue has besides."""
    from edge.importer.quantised import INT8, about_quantised
    from edge.models.calibration import in_force
    from edge.models.catalogue import load_catalogue
    from edge.models.checkpoint import find_checkpoint, store_folders
    from edge.models.packages import is_here
    from edge.models.store import installed

    rows: list[dict[str, Any]] = []
    for one in installed():
        row: dict[str, Any] = {"name": one.name, "installed": True, "folder": str(one.folder), "problem": one.problem}
        rows.append(row)
        try:
            checkpoint = find_checkpoint(str(one.folder))
            calibrated = in_force(checkpoint, one.digests) is not None
        except ModelError as error:
            row["problem"] = str(error)
            continue
        row |= {
            "top1": checkpoint.about.top1,
            "top5": checkpoint.about.top5,
            "calibrated": calibrated,
            "calibration": dataclasses.asdict(checkpoint.calibration) if checkpoint.calibration else None,
            "random_weights": checkpoint.about.random_weights,
            "size": checkpoint.input.size,
            "parameters": one.manifest.parameters if one.manifest else None,
            "file_mib": round(checkpoint.params.stat().st_size / 2**20, 1),
            "origin": one.manifest.origin if one.manifest else "put there by hand",
            "licence": (one.manifest.licence if one.manifest else "") or None,
            "calibrated_by": _calibrated_by(checkpoint, one) if calibrated else None,
            "int8": None,
            "int8_problem": "",
        }
        try:
            about = about_quantised(checkpoint, INT8, one.digests)
        except ModelError as error:
            row["int8_problem"] = str(error)
            continue
        if about is not None:
            figures = {engine: dataclasses.asdict(found) for engine, found in about.figures.items()}
            row["int8"] = {"method": about.method, "kept": about.kept, "figures": figures}
    here = {row["name"] for row in rows}
    for name, entry in load_catalogue(store_folders()).items():
        if name not in here:
            rows.append(
                {
                    "name": name,
                    "installed": False,
                    "title": entry.title,
                    "top1": entry.top1,
                    "top5": entry.top5,
                    "size": entry.input.size,
                    "parameters": entry.parameters,
                    "file_mib": entry.download_mib,
                    "origin": _origin(entry),
                    "licence": (entry.package.licence if entry.package else entry.sources[0].licence) or None,
                    "package": entry.package.name if entry.package else None,
                    "package_installed": is_here(entry),
                }
            )
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return EX_OK
    header = ["model", "top-1", "file", "licence", "source"]
    ours = [row for row in rows if row["installed"]]
    print("Installed:" if ours else _none_is_installed(rows))
    if ours:
        lines = [[*_row(row), "unusable" if row["problem"] else row["folder"]] for row in ours]
        print(table([*header, "where"], lines, numbers=range(1, 3)))
    for row in ours:
        # whole, and so not in the table
        if problem := row["problem"]:
            print(f"{problem}.")
    if invented := [row["name"] for row in ours if row.get("random_weights")]:
        print(f"Random weights, so their labels mean nothing: {', '.join(invented)}.")
    rough = [row["name"] for row in ours if row.get("calibrated") is False and row["name"] not in invented]
    if rough:
        print(uncalibrated(rough))
    if came_along := [row["name"] for row in ours if row.get("calibrated_by") == "edge"]:
        print(_by_edge(came_along))
    if voided := [row["name"] for row in ours if row.get("calibration") and not row["calibrated"]]:
        print(f"Weights or input changed since it was calibrated: {', '.join(voided)}.")
    for row in ours:
        if made := row.get("int8"):
            print(_wrapped(f"In int8 too: {row['name']}, {_agreement(made)}."))
        if problem := row.get("int8_problem"):
            print(f"{problem}.")
    if len(ours) < len(rows):
        print("\nTo be had with edge models fetch NAME:")
        others = [[*_row(row), row["title"]] for row in rows if not row["installed"]]
        print(table([*header, "what"], others, numbers=range(1, 3)))
    return EX_OK


def _none_is_installed(rows: list[dict[str, Any]]) -> str:
    if here := [row["name"] for row in rows if row.get("package_installed")]:
        return _wrapped(f"No model is installed yet; the first edge run installs {', '.join(here)}.")
    return "No model is installed; edge run uses the bundled demo."


def _origin(entry: "Entry") -> str:
    if entry.package:
        return f"{PACKAGE}{entry.package.name}"
    return f"{entry.sources[0].hosts[0]}{entry.sources[0].params}"


def _calibrated_by(checkpoint: "Checkpoint", one: "Installed") -> str:
    from edge.installer.packaged import is_ours

    return "edge" if is_ours(checkpoint, one.manifest) else "you"


def _by_edge(names: list[str]) -> str:
    return _wrapped(
        f"Calibrated by edge's developers, on photos: {', '.join(names)}. Your own pictures make it true for your "
        "camera (edge models calibrate)."
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _agreement(made: dict[str, Any]) -> str:
    figures = [f"{one['agreement']:.1%} with {engine}" for engine, one in made["figures"].items()]
    what = f"the same first label as in float on {', '.join(figures)}" if figures else "never judged"
    kept = len(made["kept"])
    return what + (f" ({kept} layer{'s' if kept > 1 else ''} in float)" if kept else "")


def _row(row: dict[str, Any]) -> list[str]:
    top1 = row.get("top1")
    return [
        row["name"],
        "-" if top1 is None else f"{top1:.1%}",
        mib(row["file_mib"]) if row.get("file_mib") else "-",
        row.get("licence") or "-",
        _host(row.get("origin") or "-"),
    ]


def _host(origin: str) -> str:
    """Where a network comes from, in a word or two."""
    if "://" in origin:
        host = urllib.parse.urlsplit(origin).hostname or "-"
        # without the machine: github.com, amazonaws.com
        return host if re.fullmatch(r"[\d.:]+", host) else ".".join(host.removesuffix(".cn").split(".")[-2:])
    # "added from PATH", "the Python package NAME"; the whole is in --json
    known = {"added from ": "added", PACKAGE: "package"}
    return next((word for start, word in known.items() if origin.startswith(start)), origin)


def add(options: argparse.Namespace) -> int:
    """edge models add: check a checkpoint, copy it into the store, measure it."""
    from edge.installer.install import install
    from edge.models.catalogue import load_catalogue
    from edge.models.checkpoint import find_checkpoint, store_folders
    from edge.models.store import default_store

    overrides = overrides_of(options)
    prefix = Path(options.prefix)
    folder = prefix if prefix.is_dir() else prefix.parent
    catalogue = load_catalogue(store_folders())
    if (packaged := catalogue.get(options.prefix)) is not None and packaged.package and not prefix.exists():
        if options.name not in (None, packaged.name):
            raise ModelError(f"model {packaged.name} comes with a package, and keeps its name")
        return _install_packaged(options, packaged)
    entry = catalogue.get(options.name or prefix.name)
    # files of the old zoo, as the tutorials have them, come without a word about their input
    source = next((one for one in entry.sources if one.kind == "checkpoint"), None) if entry else None
    if source is None or overrides or (folder / "model.toml").exists():
        checkpoint = find_checkpoint(options.prefix, overrides, options.synset)
    else:
        assert entry
        checkpoint = find_checkpoint(options.prefix, dataclasses.asdict(source.input), options.synset)
        about = ModelInfo(source.top1 or entry.top1, source.top5 or entry.top5, entry.title)
        checkpoint = dataclasses.replace(checkpoint, about=about)
        print(f"No model.toml: taking the input and the accuracy that the catalogue has of {entry.name}'s old files.")
    name = options.name or checkpoint.name
    engine = settings_of(options).model.engine
    with Progress() as progress:
        done = install(
            checkpoint,
            name,
            origin=f"added from {checkpoint.params}",
            store=options.store or default_store(),
            engine=engine,
            tell=progress.line,
            show=progress.show,
        )
    _tell_installed(done)
    labels = [label for label in read_labels(checkpoint.synset) if label.id not in checkpoint.background]
    print(f"How the first of its {len(labels)} labels are said:")
    print_how_labels_are_said(labels[:LABELS_SHOWN], settings_of(options))
    return EX_OK


def fetch(options: argparse.Namespace) -> int:
    """edge models fetch: download a network of the catalogue and install it."""
    from edge.host.machine import Machine
    from edge.installer.install import fetch as fetch_and_install
    from edge.models.catalogue import load_catalogue
    from edge.models.checkpoint import store_folders
    from edge.models.store import default_store
    from edge.selection.selector import ModelSelector

    settings = settings_of(options)
    name = options.name
    if name is None:
        selector = ModelSelector(settings, machine=Machine(options.machine or Path("/")))
        name = next((one.candidate.name for one in selector.verdicts_of_catalogue if one.chosen), None)
        if name is None:
            raise no_model_fits(selector.verdicts_of_catalogue, selector.budget)
    catalogue = load_catalogue([*([options.store] if options.store else []), *store_folders()])
    if name not in catalogue:
        near = difflib.get_close_matches(name, catalogue, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(catalogue)}"
        raise ModelError(
            f"model {name} is not in the catalogue ({hint}); install files of your own with edge models add"
        )
    if options.list_sources:
        print(_sources(catalogue[name]))
        return EX_OK
    if catalogue[name].package:
        return _install_packaged(options, catalogue[name])
    with Progress() as progress:
        done = fetch_and_install(
            catalogue[name],
            options.store or default_store(),
            settings.model.engine,
            tell=progress.line,
            show=progress.show,
            origin=options.origin,
        )
    _tell_installed(done)
    return EX_OK


def _install_packaged(options: argparse.Namespace, entry: "Entry") -> int:
    """A network that comes as a Python package: nothing is fetched."""
    from edge.installer.packaged import install
    from edge.models.store import default_store

    assert entry.package
    with Progress() as progress:
        store = options.store or default_store()
        one = install(entry, store, lambda step: progress.show(f"{entry.name}: {step}"))
    print(f"Installed {entry.name} from the Python package {entry.package.name} in {one.folder}.")
    return EX_OK


def _sources(entry: "Entry") -> str:
    """Where a network would be looked for, in this order: two lines each."""
    lines: list[str] = []
    if package := entry.package:
        lines.append(f"1. the Python package {package.name} {package.version}")
        lines.append(f"   {package.licence}, top-1 {entry.top1:.1%}, SHA-256 {package.sha256[:8]}...")
    for source in entry.sources:
        top1, top5 = (source.top1, source.top5) if source.top1 is not None else (entry.top1, entry.top5)
        kind = "SHA-256" if source.sha256 else "SHA-1"
        about = [
            source.kind,
            source.licence or "licence not known",
            *(f"{what} {share:.1%}" for what, share in (("top-1", top1), ("top-5", top5)) if share is not None),
            f"{kind} {source.checksum[:8]}..." if source.checksum else "checksum pinned when it comes",
        ]
        for host in source.hosts:
            lines.append(f"{len(lines) // 2 + 1}. {host}{source.params}")
            lines.append(f"   {', '.join(about)}")
    return "\n".join(lines)


def _tell_installed(done: "Installation") -> None:
    print(f"Installed {done.name} in {done.folder}.")
    if done.random_weights:
        print("Its weights are random: memory and speed are true, its labels mean nothing.")
    measured = done.measurement
    print(f"It takes {mib(measured.peak_mib)} and {milliseconds(measured.median_ms)} a frame on this machine.")


def verify(options: argparse.Namespace) -> int:
    """edge models verify: compare installed files with their checksums."""
    from edge.models.checkpoint import store_folders
    from edge.models.store import installed
    from edge.models.store import verify as verify_files

    found = installed([options.store] if options.store else store_folders())
    unknown = set(options.names) - {one.name for one in found}
    if unknown:
        raise ModelError(f"model {min(unknown)} is not installed; edge models list shows which are")
    faults: list[str] = []
    for one in found:
        if options.names and one.name not in options.names:
            continue
        with Progress() as progress:
            here = verify_files(one, functools.partial(progress.step, one.name)) or _faults_in_int8(one)
        faults += here
        if not here:
            print(f"{one.name}: {'good' if one.manifest else 'put there by hand, so there is nothing to compare with'}")
    if faults:
        raise ModelError("\n".join(faults))
    return EX_OK


def _faults_in_int8(one: "Installed") -> list[str]:
    """Why the int8 version would be refused; nothing where it is good, or there is none."""
    from edge.importer.quantised import about_quantised, quantised_graph
    from edge.models.checkpoint import find_checkpoint

    try:
        checkpoint = find_checkpoint(str(one.folder))
        if about_quantised(checkpoint, digests=one.digests) is not None:
            quantised_graph(checkpoint)
    except ModelError as error:
        return [str(error)]
    return []


def remove(options: argparse.Namespace) -> int:
    """edge models remove: delete an installed network."""
    from edge.models.store import Store, default_store

    Store(options.store or default_store()).remove(options.name)
    print(f"Removed {options.name}.")
    return EX_OK


def measure(options: argparse.Namespace) -> int:
    """edge models measure: load and run networks in a throw-away child, and keep what they took."""
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
        print(json.dumps({"machine": Machine().key, "rows": rows}, indent=2))
    else:
        print(_measured_table(rows))
        if unkept:
            print(f"Not kept: none of {', '.join(map(str, store_folders()))} can be written to.")
    return EX_CONFIG if any(row["problem"] for row in rows) else EX_OK


def _measured_table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        start = [row["model"], row["engine"]]
        if row["problem"]:
            lines.append([*start, *["-"] * 4, row["problem"]])
        elif row["killed"]:
            lines.append([*start, f"> {mib(row['peak_mib'])}", *["-"] * 3, "needs more than there is"])
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
    """edge models choose: what would run, and why not the others."""
    from edge.host.machine import Machine
    from edge.models.catalogue import load_catalogue
    from edge.models.checkpoint import DEMO, store_folders
    from edge.models.packages import is_here
    from edge.selection.selector import ModelSelector

    selector = ModelSelector(
        settings_of(options),
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
        print(
            json.dumps(
                {
                    "machine": selector.machine.key,
                    "budget": budget,
                    "overhead_mib": selector.overhead_mib,
                    "reserve_mib": RESERVE_MIB,
                    "reserve_share": RESERVE_SHARE,
                    "chosen": chosen,
                    "models": models,
                },
                indent=2,
            )
        )
    elif chosen is not None:
        print(f"Budget: {selector.budget.mib:.0f} MiB ({selector.budget.source}).")
        print(
            f"A model needs its memory at the largest moment and {RESERVE_SHARE:.0%} in reserve (at least\n"
            f"{RESERVE_MIB} MiB), {selector.overhead_mib:.0f} MiB for camera and voice, and its file's size: while it "
            "loads,\nthe kernel keeps the file's pages in memory too."
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
            print(_wrapped(f"The first edge run installs {', '.join(here)}."))
    if chosen is None:
        raise no_model_fits(verdicts, selector.budget)
    return EX_OK
