"""Downloads files over HTTP, and resumes them after a lost connection: at once, or in the next try."""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from edge import __version__
from edge.errors import FetchError
from edge.host.atomic import write_json

TIMEOUT_S = 20.0
"""How long a host may be silent."""
TRIES = 4
"""How often a download that makes progress is tried at one host; then the next host is asked."""
_CHUNK = 2**16
_MIB = 2**20

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received, and the total (None if the host does not state it)."""


class UnavailableError(Exception):
    """A host does not have the file; the next may."""


class CutError(Exception):
    """The connection ended before the file was complete."""


class Downloader:
    """Downloads files."""

    def __init__(self, progress: Progress, room: Callable[[Path], int], timeout_s: float = TIMEOUT_S) -> None:
        """`room` returns how many bytes a folder's disk has free."""
        self._progress = progress
        self._room = room
        self._timeout_s = timeout_s

    def download(self, url: str, target: Path) -> None:
        """Download `url` to `target`, resuming an earlier try.

        Raises UnavailableError if the host does not deliver it, FetchError if the disk is full, OSError of the disk.
        """
        part = target.with_name(f"{target.name}.part")
        note = target.with_name(f"{target.name}.json")
        for _ in range(TRIES):
            before = part.stat().st_size if part.exists() else 0
            try:
                with self._open(url, part, note) as (response, total):
                    self._save(response, part, total, target.name)
                break
            except (http.client.HTTPException, TimeoutError, ConnectionError, CutError) as error:
                if part.exists() and part.stat().st_size > before:
                    continue  # it made progress: try again
                raise UnavailableError(_reason(error)) from error
        else:
            raise UnavailableError(
                f"the connection was cut {TRIES} times; run the command again to resume the download"
            )
        part.replace(target)
        note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self, url: str, part: Path, note: Path) -> Iterator[tuple[IO[bytes], int | None]]:
        """Yield the response and the size of the whole file; removes `part` if the response starts at the beginning."""
        headers = {"User-Agent": f"edge/{__version__}", "Accept-Encoding": "identity"}
        have = part.stat().st_size if part.exists() else 0
        noted = _read_note(note)
        # resume only if it is provably the same file
        validator = noted.get("validator", "") if noted.get("url") == url else ""
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        try:
            response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is not of the host's present file
                part.unlink(missing_ok=True)
            raise UnavailableError(f"HTTP status {error.code}") from error
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError(_reason(error)) from error
        with response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                total = None if total is None else total + have
            else:
                part.unlink(missing_ok=True)
                etag = response.headers.get("ETag", "")
                validator = "" if etag.startswith("W/") else etag or response.headers.get("Last-Modified", "")
                write_json(note, {"url": url, "validator": validator})
                have = 0
            if total is not None and total - have > self._room(part.parent):
                raise FetchError(
                    f"{part.parent}: {target_name(part)} has {total / _MIB:.0f} MiB, and there are "
                    f"{self._room(part.parent) / _MIB:.0f} MiB free; remove a model or name another folder with --store"
                )
            yield response, total

    def _save(self, response: IO[bytes], part: Path, total: int | None, name: str) -> None:
        with part.open("ab") as file:
            done = file.tell()
            while chunk := read_piece(response):
                file.write(chunk)
                done += len(chunk)
                self._progress(name, done, total)
        if total is not None and done != total:
            raise CutError(f"the connection was cut after {done} of {total} bytes")


def read_piece(response: IO[bytes]) -> bytes:
    """Return the next piece of a file. Raises CutError for any OSError: it comes from the connection, not the disk."""
    try:
        return response.read(_CHUNK)
    except OSError as error:
        raise CutError(_reason(error)) from error


def target_name(part: Path) -> str:
    """Return the final name of a partial file."""
    return part.name.removesuffix(".part")


def _read_note(path: Path) -> Mapping[str, str]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _reason(error: BaseException) -> str:
    """Return an error in a few words, for messages."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())
