"""The folder of taught things: STATE/taught, one file each, so that damage to one leaves the others.

A file is replaced as a whole or not at all. One that cannot be read is renamed to NAME.damaged, and reported.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.errors import ModelError, os_reason
from edge.host.atomic import to_disk, write_bytes
from edge.models.taught.record import MOST_BYTES, Floats, TaughtThing, file_name_of, from_bytes, to_bytes

SERVICE_FOLDER = Path("/var/lib/edge/taught")
"""The folder of the systemd service (StateDirectory=edge)."""
MOST_THINGS = 200
MOST_OTHERS = 96
"""Pictures without a thing that a network is compared with."""
MOST_ARCHIVE = 64 * 2**20
"""Bytes of an archive: 200 things with 1280 features and 40 views take 20 MiB."""


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

    def read(self) -> list[TaughtThing]:
        """Return the things, sorted by name. Raises ModelError if the folder cannot be read."""
        found = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # just forgotten
                if thing := self._read(path):
                    found.append(thing)
        return sorted(found, key=lambda thing: thing.id)

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

    def add(self, things: Iterable[TaughtThing]) -> None:
        """Keep things; those that had their names are replaced. Raises ModelError, and says what was not kept."""
        new = list(things)
        names = {path.name for path in self._files()}
        if len(names | {file_name_of(thing.name) for thing in new}) > MOST_THINGS:
            raise ModelError(
                f"edge can know {MOST_THINGS} things, and knows {len(names)}; forget one first: edge forget NAME"
            )
        for number, thing in enumerate(new):
            try:
                self._make_folder()
                write_bytes(self.folder / file_name_of(thing.name), to_bytes(thing), like=self.folder)
                (self.folder / file_name_of(thing.name)).chmod(
                    0o644
                )  # the service reads it, even if another user taught it
            except OSError as error:
                kept = f"; {number} of {len(new)} were kept" if number else "; nothing was changed"
                raise ModelError(f"{self.folder}: {os_reason(error)}{kept}. Free some space, or use sudo") from error

    def forget(self, name: str) -> str:
        """Remove a thing and return its name. Raises ModelError if there is none of that name."""
        path = self.folder / file_name_of(name)
        try:
            thing = self._read(path)
            path.unlink(missing_ok=True)
            to_disk(self.folder)
        except FileNotFoundError:
            raise ModelError(f"edge was never taught {name!r}; edge taught lists what it knows") from None
        except OSError as error:
            raise ModelError(f"{path}: {os_reason(error)}; use sudo for what the service was taught") from error
        return thing.name if thing else name

    def others(self, model: str) -> Floats | None:
        """Return the features (N x M) of pictures that show no thing, as `keep_others` kept them; None: not known."""
        try:
            (found,) = from_bytes((self.folder / f"{model}.others").read_bytes(), MOST_OTHERS)
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


def _only_thing(path: Path) -> TaughtThing:
    """Return the thing in a file of the folder. Raises OSError, and ValueError if it is damaged."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError("it is too large")
    (thing,) = from_bytes(path.read_bytes())
    if file_name_of(thing.name) != path.name:
        raise ValueError("it has another thing's name")
    return thing


def export_things(things: Iterable[TaughtThing], path: Path) -> None:
    """Write an archive. Raises ModelError if it cannot be written; then an earlier one is as it was."""
    try:
        write_bytes(path, b"".join(map(to_bytes, things)))
    except OSError as error:
        raise ModelError(f"{path}: {os_reason(error)}; nothing was written") from error


def read_archive(path: Path) -> list[TaughtThing]:
    """Return the things of an archive. Raises ModelError, one line, if it is damaged or holds too much."""
    try:
        if not path.is_file():
            raise ModelError(f"{path}: there is no such file; edge taught --export FILE makes one")
        with path.open("rb") as file:
            return _several_things(file.read(MOST_ARCHIVE + 1))
    except OSError as error:
        raise ModelError(f"{path}: {os_reason(error)}") from error
    except ValueError as error:
        raise ModelError(f"{path}: {error}; nothing was changed") from error


def _several_things(data: bytes) -> list[TaughtThing]:
    """Return the things of an archive. Raises ValueError, for people."""
    if len(data) > MOST_ARCHIVE:
        raise ValueError(f"it has more than {MOST_ARCHIVE >> 20} MiB")
    found: dict[str, TaughtThing] = {}
    for thing in from_bytes(data):
        if thing.id in found:
            raise ValueError(f"it has {thing.name!r} twice")
        found[thing.id] = thing
        if len(found) > MOST_THINGS:
            raise ValueError(f"it has more than {MOST_THINGS} things")
    if not found:
        raise ValueError("it is empty")
    return list(found.values())
