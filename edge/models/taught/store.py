"""The folder of taught things: STATE/taught. Damage to one leaves the others.

    ID.thing             a thing as it was taught
    ID-DIGEST.pictures   the pictures that it was taught with, if they are kept; readable for the owner only
    ID-MODEL.again       the thing as another model has learnt it from these pictures; made again if it is missing
    MODEL.others         pictures without a thing, as a model sees them; made again if it is missing

A file is replaced as a whole or not at all. One that is damaged is renamed to NAME.damaged, and reported. One that a
newer edge wrote stays, for that edge.
"""

import contextlib
import dataclasses
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from edge.errors import ModelError, os_reason
from edge.host.atomic import to_disk, write_bytes, write_parts
from edge.models.taught.pictures import KeptPictures, digest_of, pictures_from_file
from edge.models.taught.record import (
    MOST_NAME,
    MOST_VIEWS,
    Floats,
    NewerFileError,
    TaughtThing,
    file_name_of,
    from_file,
    stem_of,
    to_bytes,
)

SERVICE_FOLDER = Path("/var/lib/edge/taught")
"""The folder of the systemd service (StateDirectory=edge)."""
MOST_THINGS = 200
MOST_OTHERS = 96
"""Pictures without a thing that a network is compared with."""
_MOST_AGAIN = 3
"""Models for which a thing that was learnt again is kept, besides the one that it was taught with."""
_LOCK_S = 5.0
"""How long one process waits for another that changes the folder."""


def taught_folder() -> Path:
    """Return the folder: in systemd's STATE_DIRECTORY or the user's state folder; the service's for `sudo edge`."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / "taught"
    home = os.environ.get("XDG_STATE_HOME")
    if not home and os.geteuid() == 0 and SERVICE_FOLDER.parent.is_dir():
        return SERVICE_FOLDER
    return Path(home or f"{os.environ.get('HOME', '/')}/.local/state") / "edge" / "taught"


class TaughtStore:
    """The taught things on the disk."""

    def __init__(self, folder: Path | None = None, tell: Callable[[str], object] = lambda _line: None) -> None:
        """`tell` gets a line for each damaged file."""
        self.folder = folder or taught_folder()
        self._tell = tell

    def read(self, model: str = "") -> list[TaughtThing]:
        """Return the things, sorted by name. Raises ModelError if the folder cannot be read.

        With a `model`'s fingerprint, those that were learnt again for it are as it knows them.
        """
        found = [(self._again(thing, model) or thing) if model else thing for thing in self.each()]
        return sorted(found, key=lambda thing: thing.id)

    def each(self) -> Iterator[TaughtThing]:
        """Yield the things as they were taught, in any order. Raises ModelError if the folder cannot be read."""
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # just forgotten
                if thing := self._read(path):
                    yield thing

    def version(self) -> tuple[tuple[str, int], ...]:
        """Return something that changes when a thing is added, changed or removed."""
        with contextlib.suppress(ModelError, OSError):
            return tuple((path.name, path.stat().st_mtime_ns) for path in self._files())
        return ()

    def knows(self, name: str) -> bool:
        """Return True if there is a thing of that name, taught with any model."""
        with contextlib.suppress(OSError):
            return (self.folder / file_name_of(name)).exists()
        return False

    def make_room(self, names: Iterable[str]) -> None:
        """Raise ModelError if there is no room for things of these names, even if some of them are known."""
        here = {path.name for path in self._files()}
        if (more := len(here | set(map(file_name_of, names))) - MOST_THINGS) > 0:
            first = "one" if more == 1 else f"{more} of them"
            raise ModelError(
                f"edge can know {MOST_THINGS} things, and knows {len(here)}; forget {first} first: edge forget NAME"
            )

    def has(self, thing: TaughtThing) -> bool:
        """Return True if the store has exactly this thing, and the pictures that it names."""
        with contextlib.suppress(OSError):
            same = (self.folder / file_name_of(thing.name)).read_bytes() == to_bytes(thing)
            return same and (not thing.pictures or self.pictures(thing) is not None)
        return False

    def add(self, things: Iterable[TaughtThing], pictures: Mapping[str, KeptPictures] = MappingProxyType({})) -> None:
        """Keep things, with these `pictures` by id; those that had their names are replaced, with their pictures.

        Raises ModelError, and says what was not kept.
        """
        new = list(things)
        self.make_room(thing.name for thing in new)
        number = 0
        try:
            self._make_folder()
            with self._locked():
                self._sweep()
                for thing in new:
                    self._add(thing, pictures.get(thing.id))
                    number += 1
        except OSError as error:
            kept = f"; {number} of {len(new)} were kept" if number else "; nothing was changed"
            # a folder that may not be written is the service's
            advice = "Use sudo" if isinstance(error, PermissionError) else "Free some space"
            raise ModelError(f"{self.folder}: {os_reason(error)}{kept}. {advice}") from error

    def _add(self, thing: TaughtThing, pictures: KeptPictures | None) -> None:
        """Write a thing's file last: only then are its pictures there. Raises OSError."""
        stem, kept = stem_of(thing.name), ""
        if pictures:
            data = pictures.to_bytes()
            kept = digest_of(data)
            write_parts(self._pictures_file(stem, kept), (data,), like=self.folder, private=True)
        path = self.folder / file_name_of(thing.name)
        try:
            write_bytes(path, to_bytes(dataclasses.replace(thing, pictures=kept)), like=self.folder)
            path.chmod(0o644)  # the service reads it, even if another user taught it
        except OSError:
            # what was there before stays, with its pictures
            with contextlib.suppress(OSError, ValueError):
                self._leave(stem, path, _only_thing(path).pictures if path.exists() else "")
            raise
        self._leave(stem, path, kept)

    def _leave(self, stem: str, path: Path, pictures: str) -> None:
        """Remove a thing's files except its own and those pictures. Raises OSError."""
        for old in self._belonging(stem):
            if old not in (path, self._pictures_file(stem, pictures)):
                old.unlink(missing_ok=True)

    def forget(self, name: str) -> str:
        """Remove a thing with its pictures and return its name. Raises ModelError if there is none of that name."""
        stem = stem_of(name)
        path = self.folder / file_name_of(name)
        if not self._belonging(stem):
            raise ModelError(f"edge was never taught {name[:MOST_NAME]!r}; edge taught lists what it knows")
        try:
            with self._locked():
                thing = self._read(path) if path.exists() else None
                # its own file last: after a power cut before that it is still listed
                for one in sorted(self._belonging(stem), key=lambda one: one == path):
                    one.unlink(missing_ok=True)
                self._sweep()
                to_disk(self.folder)
        except OSError as error:
            raise ModelError(f"{path}: {os_reason(error)}; use sudo for what the service was taught") from error
        return thing.name if thing else name

    # ---- pictures

    def pictures(self, thing: TaughtThing) -> KeptPictures | None:
        """Return the pictures that a thing was learnt from; None if they are not kept, damaged, or another user's."""
        if not thing.pictures:
            return None
        path = self._pictures_file(stem_of(thing.name), thing.pictures)
        try:
            with path.open("rb") as file:
                return pictures_from_file(file, thing.pictures)
        except OSError as error:
            self._tell(f"{path}: {os_reason(error)}; the pictures of {thing.name} cannot be used.")
        except ValueError as error:
            if not isinstance(error, NewerFileError):
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
            self._tell(f"{path}: {error}; the pictures of {thing.name} cannot be used.")
        return None

    def keep_again(self, thing: TaughtThing) -> bool:
        """Keep a thing that was learnt again, from its pictures, for another model than it was taught with.

        Return False if that is impossible (no room, no right to write), or if the thing was changed meanwhile.
        """
        stem = stem_of(thing.name)
        with contextlib.suppress(OSError, ValueError), self._locked():
            if _only_thing(self.folder / file_name_of(thing.name)).pictures != thing.pictures:
                return False
            write_bytes(self._again_file(stem, thing.model), to_bytes(thing), like=self.folder)
            self._again_file(stem, thing.model).chmod(0o644)
            others = self.folder.glob(f"{stem}-*.again")
            for old in sorted(others, key=lambda one: one.stat().st_mtime_ns)[:-_MOST_AGAIN]:
                old.unlink(missing_ok=True)
            return True
        return False

    def _again(self, thing: TaughtThing, model: str) -> TaughtThing | None:
        """Return a thing as it was learnt again for a model; None if it was not, or from other pictures."""
        if thing.model == model or not thing.pictures:
            return None
        try:
            found = _from_path(self._again_file(stem_of(thing.name), model))
        except (OSError, ValueError):
            return None  # it is learnt again
        return found if (found.id, found.model, found.pictures) == (thing.id, model, thing.pictures) else None

    def _pictures_file(self, stem: str, digest: str) -> Path:
        return self.folder / f"{stem}-{digest}.pictures"

    def _again_file(self, stem: str, model: str) -> Path:
        return self.folder / f"{stem}-{model}.again"

    # ---- pictures without a thing

    def others(self, model: str) -> Floats | None:
        """Return the features (N x M) of pictures that show no thing, as `keep_others` kept them; None: not known."""
        try:
            found = _from_path(self.folder / f"{model}.others", MOST_OTHERS)
        except (OSError, ValueError):
            return None  # they are made again
        return found.views if found.model == model else None

    def keep_others(self, model: str, model_name: str, features: Floats) -> None:
        """Keep the features of pictures that show no thing; without room or right to write, they are made again."""
        thing = TaughtThing("others", model, model_name, features, features[:0])
        with contextlib.suppress(OSError):
            self._make_folder()
            write_bytes(self.folder / f"{model}.others", to_bytes(thing), like=self.folder)
            (self.folder / f"{model}.others").chmod(0o644)

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.glob("*.thing"))
        except OSError as error:
            raise ModelError(f"{self.folder}: {os_reason(error)}") from error

    def _read(self, path: Path) -> TaughtThing | None:
        """Return the thing in a file; None if it is damaged. Raises FileNotFoundError."""
        try:
            return _only_thing(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._tell(f"{path}: {os_reason(error)}; this thing is not known for now.")
        except NewerFileError as error:
            self._tell(f"{path}: {error}; it is not used.")
        except ValueError as error:
            aside = path.with_suffix(".damaged")
            with contextlib.suppress(OSError):
                path.rename(aside)
            self._tell(f"{path}: {error}; it is now {aside.name}. Teach the thing again.")
        return None

    def _make_folder(self) -> None:
        if self.folder.is_dir():
            return
        self.folder.mkdir(mode=0o755, parents=True)
        # root may teach for the service
        with contextlib.suppress(PermissionError):
            owner = self.folder.parent.stat()
            os.chown(self.folder, owner.st_uid, owner.st_gid)
        to_disk(self.folder.parent)

    def damaged(self) -> list[Path]:
        """Return the files that were put aside because they are damaged."""
        with contextlib.suppress(OSError):
            return sorted(self.folder.glob("*.damaged"))
        return []

    def _belonging(self, stem: str) -> list[Path]:
        """Return all files of a thing, also unfinished and damaged ones."""
        return [path for pattern in (f"{stem}*", f".{stem}*") for path in self.folder.glob(pattern)]

    def _sweep(self) -> None:
        """Remove what killed processes left unfinished, and pictures whose thing is gone; the folder is locked."""
        for path in self.folder.glob(".*"):
            path.unlink(missing_ok=True)
        for path in (*self.folder.glob("*.pictures"), *self.folder.glob("*.again")):
            if not path.with_name(f"{path.name.partition('-')[0]}.thing").exists():
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process change the folder in the block. Raises OSError, after a while if another one does."""
        number = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        until_s = time.monotonic() + _LOCK_S
        try:
            while True:
                try:
                    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until_s:
                        raise
                    time.sleep(0.02)
            yield
        finally:
            os.close(number)


def _only_thing(path: Path) -> TaughtThing:
    """Return the thing in a file of the folder. Raises OSError, and ValueError if it is damaged."""
    thing = _from_path(path)
    if file_name_of(thing.name) != path.name:
        raise ValueError("it has another thing's name")
    return thing


def _from_path(path: Path, most_views: int = MOST_VIEWS) -> TaughtThing:
    with path.open("rb") as file:
        thing = from_file(file, most_views)
        if thing is None or file.read(1):
            raise ValueError("it is damaged: its size is wrong")
    return thing
