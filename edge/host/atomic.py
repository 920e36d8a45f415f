"""Files that survive a power cut: whole, as they were or as they are to be."""

import contextlib
import os
import stat
from pathlib import Path


def write_text(path: Path, text: str, like: Path | None = None) -> None:
    """Replace a file as a whole, or not at all; who may read it stays the same. Raises OSError.

    A new file gets mode and owner of the file `like`, where one is given.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        with contextlib.suppress(FileNotFoundError):
            old = (path if like is None or path.exists() else like).stat()
            part.chmod(stat.S_IMODE(old.st_mode))
            # root writes what belongs to somebody else
            with contextlib.suppress(PermissionError):
                os.chown(part, old.st_uid, old.st_gid)
        to_disk(part)
        part.replace(path)
        to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Until the disk has a file, a power cut could leave a name without its bytes; until it has a folder, no name."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
