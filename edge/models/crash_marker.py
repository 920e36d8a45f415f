"""Remembers over the daemon's death which model it was loading: what has killed it once is not tried again unasked.

The marks lie in the runtime directory, which a reboot empties. (As a service that is RUNTIME_DIRECTORY; the unit must
keep it over a restart: RuntimeDirectoryPreserve=restart.)
"""

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge.host.processes import stat_fields
from edge.models.checkpoint import Checkpoint


def runtime_folder() -> Path:
    """Return where marks lie: on tmpfs, and ours alone."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(given) / "edge"
    return Path(tempfile.gettempdir()) / f"edge-{os.getuid()}"


class CrashMarker:
    """The marks of this user's daemons. A folder that cannot be written to remembers nothing, and nothing fails."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or runtime_folder()
        self._mark = self._folder / f"loading-{os.getpid()}.json"

    @contextmanager
    def loading(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Mark the checkpoint as being loaded; however this process leaves but by being killed, the mark goes."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # in /tmp somebody else may have been there first
            if self._folder.stat().st_uid == os.getuid():
                mark = {"params": str(checkpoint.params), "began": _began(os.getpid())}
                self._mark.write_text(json.dumps(mark), encoding="utf-8")
        try:
            yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Remove this process's mark, and the folder when nothing else is in it."""
        with contextlib.suppress(OSError):
            self._mark.unlink()
            self._folder.rmdir()

    def rejected(self) -> Mapping[str, int]:
        """Return how often loading each params file (as text) has killed a daemon since the machine started."""
        found: Counter[str] = Counter()
        for path in self._marks():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                mark = json.loads(path.read_text(encoding="utf-8"))
                if _began(int(path.stem.removeprefix("loading-"))) != mark["began"]:
                    found[mark["params"]] += 1
        return found

    def forgive(self, checkpoint: Checkpoint) -> None:
        """Forget that loading this one has killed a daemon: it was measured since, or put there anew."""
        for path in self._marks():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if json.loads(path.read_text(encoding="utf-8"))["params"] == str(checkpoint.params):
                    path.unlink()

    def _marks(self) -> list[Path]:
        try:
            owned = self._folder.stat().st_uid == os.getuid()
        except OSError:
            return []
        return sorted(self._folder.glob("loading-*.json")) if owned else []


def _began(pid: int) -> str:
    """When a process began (clock ticks since boot, field 22 of /proc/PID/stat): with its id it is unique. '' if gone.

    A process that has ended and only is not reaped counts as gone.
    """
    try:
        fields = stat_fields(pid)
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
