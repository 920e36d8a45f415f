"""Writing of files and folders that survives a power cut: afterwards the old or the new version is complete."""

import contextlib
import ctypes
import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_text(path: Path, text: str, like: Path | None = None, mode: int = 0o666) -> None:
    """Replace a file as a whole, or not at all; its mode and owner stay the same. Raises OSError.

    A new file gets mode and owner of the file `like`, if one is given, else `mode`, as far as the umask allows.
    """
    write_bytes(path, text.encode("utf-8"), like, mode)


def write_bytes(path: Path, data: bytes, like: Path | None = None, mode: int = 0o666) -> None:
    """Do the same with bytes. Raises OSError."""
    write_parts(path, (data,), like, mode)


def write_parts(
    path: Path, parts: Iterable[bytes], like: Path | None = None, mode: int = 0o666, *, private: bool = False
) -> None:
    """Do the same with bytes that come in parts. Raises OSError, and what `parts` raises.

    Only its owner can read and write a `private` file, even if the earlier one had another mode.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # with its mode from the beginning: others must not read a secret, not even for a moment
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        number = os.open(part, flags, 0o600 if private else mode)
        with os.fdopen(number, "wb") as file:
            for data in parts:
                file.write(data)
        with contextlib.suppress(FileNotFoundError):
            old = (path if like is None or path.exists() else like).stat()
            if not private:
                part.chmod(stat.S_IMODE(old.st_mode))
            # root may write a file of another user
            with contextlib.suppress(PermissionError):
                os.chown(part, old.st_uid, old.st_gid)
        to_disk(part)
        part.replace(path)
        to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Replace a file by a table as JSON, as a whole or not at all. Raises OSError."""
    write_text(path, json.dumps(table, indent=1, sort_keys=True) + "\n")


def to_disk(path: Path) -> None:
    """Flush a file or folder to disk: before that, a power cut could lose a file's bytes, or a folder's new names."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def exchange(new: Path, place: Path) -> None:
    """Put a folder in the place of another, or where none is; there is no moment with neither of them."""
    if not place.exists():
        new.rename(place)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    ends = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(place))
    if libc.renameat2(*ends, ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(place))
    # a file system that cannot exchange (NFS, FAT): for a moment there is no folder of that name
    old = new.with_name(f"{new.name}.old")
    place.rename(old)
    new.rename(place)
