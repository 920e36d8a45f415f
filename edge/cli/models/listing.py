"""`edge models list`: the installed models, and those that can be installed."""

import argparse
import dataclasses
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

from edge.cli.common import print_json
from edge.cli.compare import uncalibrated
from edge.cli.table import mib, table, wrapped
from edge.errors import EX_OK, ModelError
from edge.models.manifest import PACKAGE

if TYPE_CHECKING:
    from edge.models.catalogue import Entry
    from edge.models.checkpoint import Checkpoint
    from edge.models.store import Installed


def list_models(options: argparse.Namespace) -> int:
    """edge models list: list the installed models, and the others of the catalogue."""
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
        print_json(rows)
        return EX_OK
    header = ["model", "top-1", "file", "licence", "source"]
    ours = [row for row in rows if row["installed"]]
    print("Installed:" if ours else _none_is_installed(rows))
    if ours:
        lines = [[*_row(row), "unusable" if row["problem"] else row["folder"]] for row in ours]
        print(table([*header, "where"], lines, numbers=range(1, 3), paths=True))
    for row in ours:
        # in full, and so not in the table
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
        print(f"Calibration ignored, because weights or input changed after it: {', '.join(voided)}.")
    for row in ours:
        if made := row.get("int8"):
            print(wrapped(f"Also in int8: {row['name']}, {_agreement(made)}."))
        if problem := row.get("int8_problem"):
            print(f"{problem}.")
    if len(ours) < len(rows):
        print("\nAvailable with edge models fetch NAME:")
        others = [[*_row(row), row["title"]] for row in rows if not row["installed"]]
        print(table([*header, "what"], others, numbers=range(1, 3)))
    return EX_OK


def _none_is_installed(rows: list[dict[str, Any]]) -> str:
    if here := [row["name"] for row in rows if row.get("package_installed")]:
        return wrapped(f"No model is installed yet; the first edge run installs {', '.join(here)}.")
    return "No model is installed; edge run uses the bundled demo."


def _origin(entry: "Entry") -> str:
    if entry.package:
        return f"{PACKAGE}{entry.package.name}"
    return f"{entry.sources[0].hosts[0]}{entry.sources[0].params}"


def _calibrated_by(checkpoint: "Checkpoint", one: "Installed") -> str:
    from edge.installer.shipped import is_ours

    return "edge" if is_ours(checkpoint, one.manifest) else "you"


def _by_edge(names: list[str]) -> str:
    return wrapped(
        f"Calibrated by edge's developers, on photos: {', '.join(names)}. For your own camera, calibrate with your "
        "own images (edge models calibrate)."
    )


def _agreement(made: dict[str, Any]) -> str:
    figures = [f"{one['agreement']:.1%} with {engine}" for engine, one in made["figures"].items()]
    what = f"same first label as in float: {', '.join(figures)}" if figures else "not judged"
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
    """Return the origin of a model in a word or two."""
    if "://" in origin:
        host = urllib.parse.urlsplit(origin).hostname or "-"
        # the domain only: github.com, amazonaws.com
        return host if re.fullmatch(r"[\d.:]+", host) else ".".join(host.removesuffix(".cn").split(".")[-2:])
    # "added from PATH", "the Python package NAME"; --json has the full text
    known = {"added from ": "added", PACKAGE: "package"}
    return next((word for start, word in known.items() if origin.startswith(start)), origin)
