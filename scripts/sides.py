"""`edge run` of this clone, and of another beside it: for scripts that measure what a change has brought.

Both run with the same Python and packages, a camera and a sound card of the tests, and with compiled modules, as where
edge is installed.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from rigs.audio.card import RecordingCard  # noqa: E402 - the tests' folder is not a package of edge
from rigs.http import running  # noqa: E402
from rigs.web_camera import WebCamera  # noqa: E402

END_S, LONGEST_S = 10.0, 180.0


@dataclass(frozen=True)
class Side:
    """A clone of edge that is measured."""

    name: str
    root: Path
    folder: Path
    """Where its compiled modules are kept, and its recordings."""

    @property
    def card(self) -> RecordingCard:
        """The card that it speaks through."""
        folder = self.folder / "card"
        folder.mkdir(parents=True, exist_ok=True)
        return RecordingCard(folder)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(self.root), "PYTHONPYCACHEPREFIX": str(self.folder / "compiled")}
        return kept | own | self.card.environment

    @property
    def events(self) -> Path:
        """A file for its events."""
        return self.folder / "events"

    def settle(self, process: "subprocess.Popen[bytes]", event: str, count: int) -> None:
        """Wait until it has written so many events of that name; exit if it has ended. It must write to `events`."""
        until_s = time.monotonic() + LONGEST_S
        while not self.events.is_file() or self.events.read_text(encoding="utf-8").count(f'"{event}"') < count:
            if process.poll() is not None or time.monotonic() > until_s:
                sys.exit(f"{self.name}: edge run has ended, or writes no events {event}")
            time.sleep(0.2)

    def command(self, *arguments: str) -> list[str]:
        """The command for `edge run` with arguments."""
        return [sys.executable, "-P", "-m", "edge", "run", *arguments]

    @contextmanager
    def run(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run it, and end it with the context."""
        self.events.unlink(missing_ok=True)
        process = subprocess.Popen(self.command(*arguments), env=self.environment, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser for a script's own flags, those before `--`; `text` is its docstring."""
    made = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    made.add_argument("--before", type=Path, metavar="PATH", help="another clone, measured beside this one")
    return made


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before `--`, and those after it, which are for `edge run`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), list(arguments[at + 1 :])


def sides(before: Path | None, folder: Path) -> list[Side]:
    """Return what is measured, the other clone first."""
    found = [Side("now", ROOT, folder / "now")]
    if before is not None:
        if not (before / "edge" / "__main__.py").is_file():
            sys.exit(f"{before} is no clone of edge: it has no edge/__main__.py")
        found.insert(0, Side("before", before.resolve(), folder / "before"))
    return found


@contextmanager
def web_camera(rate_hz: float = 10.0, pictures: Sequence[bytes] = ()) -> Iterator[str]:
    """Run a network camera of the tests that shows these JPEGs, or its own, and yield its address."""
    with running(WebCamera()) as web:
        web.rate_hz = rate_hz
        if pictures:
            web.picture = lambda number, scale=1: pictures[number % len(pictures)]
        yield web.url("standard")


def machine() -> str:
    """Return a line on the machine, and how busy it is."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    when = time.strftime("%Y-%m-%d %H:%M")
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.0f}, {when}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its first column on the left and the others on the right."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
