"""edge teach, taught, forget: the user's own things."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge.cli.common import overrides_of, print_json, settings_of
from edge.cli.progress import Progress, bar
from edge.cli.table import table
from edge.errors import EX_OK, CameraError, ModelError
from edge.host.terminal import printable, tell

if TYPE_CHECKING:
    from edge.engines import Network
    from edge.models.taught.store import TaughtStore
    from edge.selection.lesson import Learnt, Lesson
    from edge.stages import Pixels

_LEAST, _MOST = 4, 20
"""Pictures of a thing. More than these are thinned out: they show little that is new, and each takes four forwards."""
_MOST_EMPTY = 10
_IN_USE = "A running edge knows it within seconds."


def teach(options: argparse.Namespace) -> int:
    """edge teach: learn a thing before the camera of the running edge, or from pictures."""
    if options.cancel or options.images is None:
        from edge.cli.dialogue import cancel, teach_by_camera

        if not (options.name or options.cancel):
            raise ModelError('give the thing a name: edge teach "my keys"')
        if options.empty:
            raise ModelError("--empty DIR belongs to --images DIR; a running edge asks for the empty place")
        return cancel(options) if options.cancel else teach_by_camera(options)
    from edge.models.taught.record import checked_name, id_of
    from edge.models.taught.store import TaughtStore
    from edge.selection.lesson import Lesson
    from edge.selection.opening import features_problem, model_of
    from edge.selection.selector import ModelSelector

    try:
        name = checked_name(options.name)
    except ValueError as error:
        raise ModelError(f"{options.name[:80]!r}: {error}") from error
    store = TaughtStore(tell=tell)
    before = next((thing for thing in store.read() if thing.id == id_of(name)), None)
    if before and not (options.replace or options.more):
        raise ModelError(
            f"edge knows {before.name!r} already; --more adds these pictures, --replace learns it from them alone"
        )
    with Progress() as progress:
        pictures = _pictures(options.images, _MOST, progress)
        if len(pictures) < _LEAST:
            raise ModelError(
                f"{options.images}: {len(pictures)} good pictures are too few; {_LEAST} at least, 10 are better"
            )
        empty = _pictures(options.empty, _MOST_EMPTY, progress) if options.empty else []
        progress.show("Loading the model")
        settings = settings_of(options)
        selector = ModelSelector(
            settings, overrides=overrides_of(options), tell=progress.line, bring=True, teaches=True
        )
        try:
            network = cast("Network", selector.open())
            if problem := features_problem(selector.option.checkpoint.symbol):
                raise ModelError(problem)
            lesson = Lesson(
                network,
                model_of(selector.option),
                name,
                store,
                pictures=len(pictures),
                keep_pictures=settings.teach.keep_pictures,
            )
            learnt = _learn(lesson, pictures, empty, more=options.more, progress=progress)
        finally:
            selector.end()
    found = f"{learnt.right} of {learnt.held_back} pictures that were held back are recognised"
    print(printable(f"I know {name} now: {found}. {_IN_USE}"))
    if learnt.pictures:
        print("Small pictures of it are kept, for other models; edge forget removes them.")
    if not empty:
        print("It would be recognised more often with pictures of the same place without it: --empty DIR.")
    return EX_OK


def _pictures(folder: Path, most: int, progress: Progress) -> "list[Pixels]":
    """Return pictures of a folder, at most `most`; those that show nothing are reported and left out."""
    from edge.selection.taught import useless
    from edge.vision.images import images_in, read_image

    paths = images_in(folder)
    if len(paths) > most:
        paths = [paths[number * len(paths) // most] for number in range(most)]
    found = []
    for number, path in enumerate(paths, 1):
        progress.show(bar("Reading", number, len(paths), f"{number} of {len(paths)} pictures"))
        try:
            pixels = read_image(path)
        except CameraError as error:
            progress.line(f"edge: {error}; skipped")
            continue
        if why := useless(pixels):
            progress.line(f"edge: {path}: {why}; skipped")
            continue
        found.append(pixels)
    return found


def _learn(
    lesson: "Lesson",
    pictures: "Sequence[Pixels]",
    empty: "Sequence[Pixels]",
    *,
    more: bool,
    progress: Progress,
) -> "Learnt":
    """Return what was learnt, and keep it. Raises ModelError if too few of the held-back pictures are recognised."""
    for picture in pictures:
        lesson.add(picture)
    for picture in empty:
        lesson.add_empty(picture)
    while lesson.work():
        done, steps = lesson.steps
        progress.show(bar("Learning", done, steps, f"{lesson.name} from {len(pictures)} pictures"))
    learnt = lesson.result(more=more)
    if not learnt.is_known:
        what = f"I can't tell it from {learnt.confused}" if learnt.confused else "I don't recognise it"
        raise ModelError(
            f"{what}: of {learnt.held_back} pictures that were held back, {learnt.right} are recognised, so nothing "
            "was changed; show it closer, from all sides, in even light"
        )
    lesson.keep(learnt)
    return learnt


def taught(options: argparse.Namespace) -> int:
    """edge taught: list the taught things, or bring them to another machine."""
    from edge.models.taught.store import TaughtStore

    store = TaughtStore(tell=tell)
    if options.import_file:
        return _import(options.import_file, store, replace=options.replace)
    if options.export_file:
        return _export(options.export_file, store, pictures=not options.no_pictures)
    things = store.read()
    if options.json:
        print_json(
            [
                {"name": one.name, "model": one.model_name, "views": len(one.views), "pictures": bool(one.pictures)}
                for one in things
            ]
        )
    elif things:
        rows = [[one.name, one.model_name, f"{len(one.views)}"] for one in things]
        print(table(["NAME", "MODEL", "VIEWS"], rows, numbers=(2,)))
    else:
        print('edge was taught nothing yet: edge teach "my keys"')
    return EX_OK


def _import(path: Path, store: "TaughtStore", *, replace: bool) -> int:
    from edge.models.taught.archive import Archive, import_things

    archive = Archive(path)
    if not replace:
        known = {thing.id for thing in store.read() if thing.id in archive.names}
        if same := [name for identity, name in archive.names.items() if identity in known]:
            raise ModelError(
                f"edge knows {', '.join(same[:5])} already, so nothing was changed; --replace replaces them"
            )
    if changed := import_things(archive, store):
        print(printable(f"Imported {_counted(len(changed))}: {', '.join(changed)}."))
    else:
        print(f"edge knows {_counted(len(archive.names))} of this file already, just so: nothing was changed.")
    return EX_OK


def _export(path: Path, store: "TaughtStore", *, pictures: bool) -> int:
    from edge.models.taught.archive import export_things

    things = export_things(store, path, pictures=pictures)
    private = " Their pictures are in it, so only you can read it." if any(thing.pictures for thing in things) else ""
    print(printable(f"Exported {_counted(len(things))} to {path}.{private}"))
    return EX_OK


def forget(options: argparse.Namespace) -> int:
    """edge forget: forget a taught thing."""
    from edge.models.taught.store import TaughtStore

    print(printable(f"Forgotten: {TaughtStore(tell=tell).forget(options.name)}."))
    return EX_OK


def _counted(count: int) -> str:
    return "1 thing" if count == 1 else f"{count} things"
