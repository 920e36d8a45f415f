#!/usr/bin/env python3
"""Feed changed .pth files to the reader of PyTorch's old format: each must give an error or arrays, fast and in bounds.

    scripts/fuzz_pth.py [--runs N] [--seed N]

A file of some kB is changed at random: bytes, pieces taken out, doubled, moved, cut off, numbers made large. For each
the reader, below any checksum, must end with a ModelError or with arrays that lie within the file, within 5 s, without
allocating more than 64 MiB, and without a call that Python's audit hooks see: no import, no process, no other file.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rigs.pth import pth, small

from edge.errors import ModelError
from edge.installer.converter.pth import read_pth

MOST_S = 5.0
_ROOM = 64 * 2**20
_ALLOWED = ("open", "mmap.__new__", "object.__getattr__", "sys._getframe", "builtins.id")
_HARMLESS = ("marshal.", "gc.", "cpython.")
_LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


class Watch:
    """Hears what Python does while a file is read."""

    def __init__(self) -> None:
        self.file: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.file is None or event.startswith(_HARMLESS):
            return
        if event not in _ALLOWED or (event == "open" and str(arguments[0]) != self.file):
            self.seen.append(f"{event} {arguments}"[:200])


def change(content: bytes, rng: random.Random) -> bytes:
    """Return a file that is another in one to four places."""
    made = bytearray(content)
    # most of the interest is in the pickles, before the numbers
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, len(made) if rng.random() < 0.3 else min(len(made), 1200)))
        match rng.randrange(7):
            case 0:
                made[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                made[at : at + 1] = bytes([made[at] ^ (1 << rng.randrange(8))]) if at < len(made) else b""
            case 2:
                del made[at : at + rng.randint(1, 16)]
            case 3:
                made[at:at] = made[at : at + rng.randint(1, 64)] * rng.randint(1, 8)
            case 4:
                other = rng.randrange(max(1, len(made)))
                made[at:at] = made[other : other + rng.randint(1, 32)]
            case 5:
                size = rng.choice((1, 2, 4, 8))
                made[at : at + size] = (rng.choice(_LARGE) & (1 << 8 * size) - 1).to_bytes(size, "little")
            case _:
                del made[at + rng.randrange(max(1, len(made) - at)) :]
    return bytes(made)


def main() -> int:
    """Change and read. Returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, metavar="N", help="number of files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the changes (default: %(default)s)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    whole = pth(small())
    read = refused = 0
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        path = Path(folder) / "changed.pth"
        path.write_bytes(whole)
        assert len(read_pth(path)) == len(small())
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, resource.RLIM_INFINITY))
        for number in range(options.runs):
            content = change(whole, rng)
            path.write_bytes(content)
            start = time.monotonic()
            fault = ""
            watch.file = str(path)
            try:
                arrays = read_pth(path)
                watch.file = None
                # every number can be read, or this ends with a signal
                _ = [array.tobytes() for array in arrays.values()]
                del arrays
                read += 1
            except ModelError as error:
                refused += 1
                fault = "an error of several lines" if "\n" in str(error) else ""
            except BaseException as error:
                fault = f"{type(error).__name__}: {error}"
            watch.file = None
            if time.monotonic() - start > MOST_S:
                fault = fault or "too slow"
            if fault or watch.seen:
                kept = Path(tempfile.gettempdir()) / f"edge-fuzz-{options.seed}-{number}.pth"
                kept.write_bytes(content)
                print(f"run {number}: {fault or watch.seen}; kept as {kept}")
                return 1
    print(f"{options.runs} files: {read} read, {refused} refused.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
