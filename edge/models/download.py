"""One file comes over HTTP, and is resumed where the connection was cut: at once, or by the next try."""

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
"""How often a cut connection is taken up again, each time with something new; then the next host is asked."""
_CHUNK = 2**16
_MIB = 2**20

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are there, and all (None: the host does not say)."""


class UnavailableError(Exception):
    """This host does not have it; the next may."""


class CutError(Exception):
    """The connection ended before the file did."""


class Downloader:
    """Brings files."""

    def __init__(self, progress: Progress, room: Callable[[Path], int], timeout_s: float = TIMEOUT_S) -> None:
        """`room` is how many bytes a folder's disk has free."""
        self._progress = progress
        self._room = room
        self._timeout_s = timeout_s

    def download(self, url: str, target: Path) -> None:
        """Write what is at `url` to `target`, taking up what an earlier try has left.

        Raises UnavailableError when it is not to be had, FetchError when the disk has no room, OSError for the disk.
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
                    continue  # it came further: worth another try
                raise UnavailableError(_reason(error)) from error
        else:
            raise UnavailableError(f"the connection was cut {TRIES} times; run it again to go on from there")
        part.replace(target)
        note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self, url: str, part: Path, note: Path) -> Iterator[tuple[IO[bytes], int | None]]:
        """The response and the size of the whole file; `part` is cut to where the response goes on."""
        headers = {"User-Agent": f"edge/{__version__}", "Accept-Encoding": "identity"}
        have = part.stat().st_size if part.exists() else 0
        noted = _read_note(note)
        # only what is provably the same file is taken up again
        validator = noted.get("validator", "") if noted.get("url") == url else ""
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        try:
            response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what we have is not a part of what is there now
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
    """The next piece of a file. What the network does to it is a cut, whatever its errno: no fault of the disk's."""
    try:
        return response.read(_CHUNK)
    except OSError as error:
        raise CutError(_reason(error)) from error


def target_name(part: Path) -> str:
    """The name of the file that a partial one will become."""
    return part.name.removesuffix(".part")


def _read_note(path: Path) -> Mapping[str, str]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _reason(error: BaseException) -> str:
    """A few words for a person."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())
