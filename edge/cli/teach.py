"""edge teach, taught, forget: the user's own things."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge.cli.asking import ask_running
from edge.cli.common import overrides_of, print_json, settings_of
from edge.cli.progress import Progress, bar
from edge.cli.table import table
from edge.errors import EX_OK, CameraError, ModelError, NotRunning
from edge.host.terminal import printable, tell

if TYPE_CHECKING:
    from edge.engines import Network
    from edge.models.taught.store import TaughtStore
    from edge.selection.lesson import Learnt, Lesson
    from edge.stages import Pixels

_LEAST, _MOST = 4, 20
"""Pictures of a thing. More than these are thinned out: they show little that is new, and each takes four forwards."""
_MOST_EMPTY = 10
_STATES = {"known": "yes", "learning_again": "soon, from kept pictures", "not_known": "no, teach it again"}
"""How `edge taught` says what the running model knows."""


def teach(options: argparse.Namespace) -> int:
    """edge teach: learn a thing before the camera of the running edge, or from pictures."""
    if options.cancel or options.images is None:
        from edge.cli.dialogue import cancel, teach_by_camera

        if not (options.name or options.cancel):
            raise ModelError('give the thing a name: edge teach "my keys"')
        if given := [flag for flag, value in _only_with_images(options).items() if value]:
            raise ModelError(f"{given[0]} belongs to --images DIR; without it, edge uses its own camera and model")
        return cancel(options) if options.cancel else teach_by_camera(options)
    from edge.models.taught.record import checked_name
    from edge.selection.lesson import Lesson
    from edge.selection.opening import features_problem, model_of
    from edge.selection.selector import ModelSelector

    try:
        name = checked_name(options.name)
    except ValueError as error:
        raise ModelError(f"{options.name[:80]!r}: {error}") from error
    store, runs = _store(options, changes=True)
    store.make_room([name])
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
            model = model_of(selector.option)
            if why := _refusal(name, model, store, options):
                raise ModelError(why)
            lesson = Lesson(
                network,
                model,
                name,
                store,
                pictures=len(pictures),
                keep_pictures=settings.teach.keep_pictures,
            )
            learnt = _learn(lesson, pictures, empty, more=options.more, progress=progress)
        finally:
            selector.end()
    print(printable(f"I know {name} now. {_tested(learnt)}."))
    if runs:
        print(printable(f"The running edge knows {name} within seconds, if it runs the same model."))
    if learnt.pictures:
        print(printable(f"edge has kept small pictures of {name}, for other models; edge forget removes them."))
    if not empty:
        print(printable(f"edge recognises {name} more often with pictures of the place without {name}: --empty DIR."))
    return EX_OK


def _only_with_images(options: argparse.Namespace) -> dict[str, object]:
    """Return the values of the flags that mean nothing before the camera."""
    flags = {
        "--model": "model.name",
        "--engine": "model.engine",
        "--precision": "model.precision",
        "--budget-mib": "model.memory_budget_mib",
    }
    inputs = {f"--{name.replace('_', '-')}": value for name, value in overrides_of(options).items()}
    return {"--empty": options.empty, **{flag: getattr(options, name) for flag, name in flags.items()}, **inputs}


def _refusal(name: str, model: str, store: "TaughtStore", options: argparse.Namespace) -> str:
    """Return why a model cannot learn the thing like this; '' if it can."""
    from edge.models.taught.listing import Knowledge, refusal
    from edge.models.taught.record import id_of

    before = next((thing for thing in store.read(model) if thing.id == id_of(name)), None)
    if before is None:
        return ""
    again = Knowledge.LEARNING_AGAIN if before.pictures else Knowledge.NOT_KNOWN
    knowledge = Knowledge.KNOWN if before.model == model else again
    return refusal(before.name, knowledge, more=options.more, replace=options.replace)


def _tested(learnt: "Learnt") -> str:
    return f"Test: {learnt.right} of {learnt.held_back} pictures recognised"


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
    lesson.add_all(pictures, empty)
    while lesson.work():
        done, steps = lesson.steps
        progress.show(bar("Learning", done, steps, f"{lesson.name} from {len(pictures)} pictures"))
    learnt = lesson.result(more=more)
    if not learnt.is_known:
        other = learnt.confused
        what = f"I can't tell {lesson.name} from {other}" if other else f"I don't recognise {lesson.name} yet"
        raise ModelError(
            f"{what} ({_tested(learnt)}). Nothing was changed. Take nearer pictures, from all sides, in even light."
        )
    lesson.keep(learnt)
    return learnt


def taught(options: argparse.Namespace) -> int:
    """edge taught: list the things that the running edge was taught (or this user's), or bring them elsewhere."""
    from edge.models.taught.listing import listing

    if options.import_file:
        return _import(options.import_file, _store(options, changes=True)[0], replace=options.replace)
    if options.export_file:
        return _export(options.export_file, _store(options)[0], pictures=not options.no_pictures)
    answer = _ask(options, command="taught")
    things = answer["things"] if answer else listing(_own_store())
    if options.json:
        print_json(things)
    elif things:
        rows = [
            [one["name"], one["model"], f"{one['views']}", *([_STATES.get(one["state"], "")] if answer else [])]
            for one in things
        ]
        titles = ["NAME", "MODEL", "VIEWS", *(["KNOWN NOW"] if answer else [])]
        print(table(titles, rows, numbers=(2,)))
    else:
        print('edge was taught nothing yet: edge teach "my keys"')
    return EX_OK


def _ask(options: argparse.Namespace, **request: object) -> dict[str, Any] | None:
    """Return the running edge's answer; None if none runs, or STATE_DIRECTORY names the folder to use.

    Raises ControlError if it refuses.
    """
    if "STATE_DIRECTORY" in os.environ:
        return None
    try:
        return ask_running(options, **request)
    except NotRunning:
        if options.socket is not None:
            raise
        return None


def _own_store() -> "TaughtStore":
    from edge.models.taught.store import TaughtStore

    return TaughtStore(tell=tell)


def _store(options: argparse.Namespace, *, changes: bool = False) -> tuple["TaughtStore", bool]:
    """Return the running edge's taught things and True, or this user's and False if no edge runs.

    Raises ModelError if this user may not read them; with `changes`, if he may not change them.
    """
    from edge.models.taught.store import SERVICE_FOLDER, TaughtStore

    store = _own_store()
    answer = _ask(options, command="taught")
    if answer is None or (folder := Path(answer["folder"])) == store.folder:
        return store, answer is not None
    # only the service's folder is trusted: root changes what is in the folder
    may = os.access(folder, os.R_OK | os.X_OK | (os.W_OK if changes else 0))
    if folder != SERVICE_FOLDER or not may:
        how = "use sudo" if folder == SERVICE_FOLDER else "run this as the user of that edge"
        raise ModelError(f"the running edge keeps what it was taught in {folder}, which you may not use: {how}")
    return TaughtStore(folder, tell), True


def _import(path: Path, store: "TaughtStore", *, replace: bool) -> int:
    from edge.models.taught.archive import Archive, import_things

    archive = Archive(path)
    if not replace:
        known = {thing.id for thing in store.read() if thing.id in archive.names}
        if same := [name for identity, name in archive.names.items() if identity in known]:
            others = " and others" if len(same) > 5 else ""
            raise ModelError(
                f"edge knows {', '.join(same[:5])}{others} already. Nothing was changed; "
                "--replace takes what is in the file"
            )
    if changed := import_things(archive, store):
        print(printable(f"Imported {_counted(len(changed))}: {', '.join(changed)}."))
    else:
        print("edge already knows everything in this file. Nothing was changed.")
    return EX_OK


def _export(path: Path, store: "TaughtStore", *, pictures: bool) -> int:
    from edge.models.taught.archive import export_things

    things = export_things(store, path, pictures=pictures)
    private = " Their pictures are in it, so only you can read it." if any(thing.pictures for thing in things) else ""
    print(printable(f"Exported {_counted(len(things))} to {path}.{private}"))
    return EX_OK


def forget(options: argparse.Namespace) -> int:
    """edge forget: forget a taught thing, of the running edge or, if none runs, of this user."""
    answer = _ask(options, command="forget", name=options.name)
    name = answer["forgotten"] if answer else _own_store().forget(options.name)
    print(printable(f"Forgotten: {name}."))
    return EX_OK


def _counted(count: int) -> str:
    return "1 thing" if count == 1 else f"{count} things"
