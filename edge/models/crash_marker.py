"""Records which model the daemon is loading, so that a model that killed it is not loaded again automatically.

The marks lie in the runtime directory, which a reboot empties. (For a service that is RUNTIME_DIRECTORY; the unit must
keep it over a restart: RuntimeDirectoryPreserve=restart.)
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge.host.folders import runtime_folder
from edge.host.processes import stat_fields
from edge.models.checkpoint import Checkpoint


class CrashMarker:
    """The marks of this user's daemons. If the folder is not writable, nothing is recorded and nothing fails."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or runtime_folder()
        self._mark = self._folder / f"loading-{os.getpid()}.json"

    @contextmanager
    def loading(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Mark the checkpoint as being loaded. The mark remains only if this process is killed."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # in /tmp another user may have created it first
            if self._folder.stat().st_uid == os.getuid():
                mark = {"params": str(checkpoint.params), "began": _began(os.getpid())}
                self._mark.write_text(json.dumps(mark), encoding="utf-8")
        try:
            yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Remove this process's mark, and the folder if it is empty then."""
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
        """Remove the marks of this checkpoint: it was measured or installed again since."""
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
    """Return when a process began, in clock ticks since boot (field 22 of /proc/PID/stat); '' if it is gone.

    Together with the id this is unique. A process that has ended and is not reaped yet counts as gone.
    """
    try:
        fields = stat_fields(pid)
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
