"""Archives of taught things, to bring them to another machine: their files, one after the other.

An archive is read twice, one thing at a time: first to check it, then to keep its things. So it never has to fit into
the memory.
"""

import dataclasses
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge.errors import ModelError, os_reason
from edge.host.atomic import write_parts
from edge.models.taught.pictures import KeptPictures, pictures_from_file
from edge.models.taught.record import TaughtThing, from_file, to_bytes
from edge.models.taught.store import MOST_THINGS, TaughtStore

MOST_ARCHIVE = 256 * 2**20
"""Bytes of an archive. 200 things with 1280 features and 40 views take 20 MiB, and about 80 MiB with pictures."""


def export_things(store: TaughtStore, path: Path, *, pictures: bool = True) -> list[TaughtThing]:
    """Write all things of a store to an archive and return them, with their pictures if these are kept and wanted.

    Raises ModelError if it cannot be written, or there are none; then an earlier one is as it was.
    """
    things = store.read()
    if not things:
        raise ModelError("edge was taught nothing, so there is nothing to export")
    exported = []

    def parts() -> Iterator[bytes]:
        for thing in things:
            kept = store.pictures(thing) if pictures else None
            exported.append(thing if kept else dataclasses.replace(thing, pictures=""))
            yield to_bytes(exported[-1])
            if kept:
                yield kept.to_bytes()

    try:
        write_parts(path, parts(), private=pictures and any(thing.pictures for thing in things))
    except OSError as error:
        raise ModelError(f"{path}: {os_reason(error)}; nothing was written") from error
    return exported


class Archive:
    """An archive whose things have been checked."""

    def __init__(self, path: Path) -> None:
        """Check all of it. Raises ModelError, one line, if it is damaged or holds too much."""
        self._path = path
        self.names: dict[str, str] = {}
        """Names of its things, by id."""
        for thing, _ in self.things():
            if thing.id in self.names:
                raise self._error(f"it has {thing.name!r} twice")
            self.names[thing.id] = thing.name
            if len(self.names) > MOST_THINGS:
                raise self._error(f"it has more than {MOST_THINGS} things")
        if not self.names:
            raise self._error("it is empty")

    def things(self) -> Iterator[tuple[TaughtThing, KeptPictures | None]]:
        """Yield its things and their pictures, if it has them. Raises ModelError at the first that is damaged."""
        try:
            with self._open() as file:
                while thing := from_file(file):
                    yield thing, pictures_from_file(file, thing.pictures) if thing.pictures else None
        except ValueError as error:
            raise self._error(str(error)) from error
        except OSError as error:
            raise ModelError(f"{self._path}: {os_reason(error)}") from error

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        # a pipe must not make it wait, and a device has no end
        number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as file:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                raise ModelError(f"{self._path}: this is not a file; edge taught --export FILE makes one")
            if found.st_size > MOST_ARCHIVE:
                raise ValueError(f"it has more than {MOST_ARCHIVE >> 20} MiB")
            yield file

    def _error(self, what: str) -> ModelError:
        return ModelError(f"{self._path}: {what}; nothing was changed")


def import_things(archive: Archive, store: TaughtStore) -> list[str]:
    """Keep the things of an archive and return the names of those that the store did not have just so.

    Things that had their names are replaced. Raises ModelError, and says how many were kept.
    """
    store.make_room(archive.names.values())
    changed: list[str] = []
    for thing, pictures in archive.things():
        if store.has(thing):
            continue
        try:
            store.add([thing], {thing.id: pictures} if pictures else {})
        except ModelError as error:
            kept = f" ({len(changed)} of {len(archive.names)} things were imported)" if changed else ""
            raise ModelError(f"{error}{kept}") from error
        changed.append(thing.name)
    return changed
