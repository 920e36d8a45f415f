#!/usr/bin/env python3
"""Feed changed label files and multipart streams to their readers: each must end well, fast and in little memory.

    scripts/fuzz_streams.py [--runs N] [--seed N]

Half of the runs change a file of labels, half a stream of a camera: bytes, pieces taken out, doubled, moved, cut off,
numbers made large. A label file must give labels without quotes and brackets, or a ModelError of one line; a stream
must give pictures that OpenCV decodes or refuses, or a StreamError. Each within 5 s and 64 MiB, beside the pictures.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from edge.cameras.http_stream import decoded
from edge.cameras.multipart import PictureSplitter, StreamError
from edge.errors import ModelError
from edge.host.noise import quiet
from edge.models.labels import Label, read_labels, to_text

MOST_S = 5.0
_ROOM = 64 * 2**20
_SIDE = 48
_PIECES = [b"--frame\r\n", b"\r\n\r\n", b"Content-Length: 99999\r\n", b"\xff\xd8", b"\xff\xd9", b"[" * 50, b"(" * 9]
_PIECES += [b"{", b'"', b"'", b"\t", b",", b"\n", b"\x00", b"\\u0000", b": ", b"n01440764 ", b"-" * 300, b"9" * 40]
LABELS = [Label(f"n{number:08}", (f"thing {number}", f"res {number}")) for number in range(30)]


def label_files() -> list[tuple[str, bytes]]:
    """Return small files of labels: (suffix, content)."""
    names = [label.name for label in LABELS]
    texts = {
        ".txt": [to_text(LABELS), "\n".join(names), "".join(f"{one.id}\t{one.name}\n" for one in LABELS)],
        ".json": [json.dumps(names), json.dumps({str(k): [one.id, one.name] for k, one in enumerate(LABELS)})],
        ".csv": ["id,name\n" + "".join(f'{one.id},"{one.name}"\n' for one in LABELS)],
        ".py": [repr(dict(enumerate(names))), f"CLASSES = {names!r}"],
    }
    return [(suffix, text.encode()) for suffix, several in texts.items() for text in several]


def streams() -> list[bytes]:
    """Return short streams, as cameras send them."""
    rng = np.random.default_rng(0)
    pictures = [cv2.imencode(".jpg", rng.integers(0, 255, (_SIDE, _SIDE, 3), np.uint8))[1].tobytes() for _ in range(4)]
    parts = [b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s" % (len(one), one) for one in pictures]
    return [
        b"".join(b"--frame\r\n%s\r\n" % part for part in parts),
        b"".join(b"%s\r\n--frame\r\n" % part for part in parts),
        b"".join(b"--frame\r\n\r\n%s\r\n" % one for one in pictures) + b"--frame--",
        b"".join(pictures),
    ]


def change(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes, changed in one to six places."""
    made = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(max(1, len(made)))
        match rng.randrange(7):
            case 0:
                made[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del made[at : at + rng.randint(1, 64)]
            case 2:
                made[at:at] = made[at : at + rng.randint(1, 256)] * rng.choice((1, 2, 50))
            case 3:
                other = rng.randrange(max(1, len(made)))
                made[at:at] = made[other : other + rng.randint(1, 64)]
            case 4 | 5:
                made[at:at] = rng.choice(_PIECES) * rng.choice((1, 1, 1, 3, 1000))
            case _:
                del made[at + rng.randrange(max(1, len(made) - at)) :]
    return bytes(made)


def try_labels(path: Path) -> str:
    """Read a file of labels; return 'read' or 'refused', or a fault that begins with a capital."""
    try:
        labels = read_labels(path)
    except ModelError as error:
        return "An error of several lines" if "\n" in str(error) else "refused"
    if len({label.id for label in labels}) < len(labels):
        return "Two labels have one id"
    text = "".join(name for label in labels for name in (label.id, *label.synonyms))
    bad = [
        character for character in text if character in '"[]{}' or ord(character) < 32 or 0x7F <= ord(character) < 0xA0
    ]
    text.encode()
    return f"A label has {bad[0]!r}" if bad else "read"


def try_stream(data: bytes, rng: random.Random) -> str:
    """Split a stream and decode its pictures; return 'read' or 'refused'."""
    splitter = PictureSplitter(rng.choice(("frame", "", "--frame", "other")))
    at = 0
    try:
        while at < len(data):
            size = rng.choice((1, 100, 5000, 2**16))
            for picture in splitter.feed(data[at : at + size]):
                decoded(picture)
            at += size
    except StreamError as error:
        return "An error of several lines" if "\n" in str(error) else "refused"
    return "read"


def main() -> int:
    """Change and read. Returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, metavar="N", help="number of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the changes (default: %(default)s)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    files, films = label_files(), streams()
    found: Counter[str] = Counter()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        for suffix, content in files:
            path = Path(folder) / f"labels{suffix}"
            path.write_bytes(content)
            assert len(read_labels(path)) == len(LABELS)
        cv2.setNumThreads(0)  # each thread would reserve 64 MiB of addresses
        assert all(try_stream(film, rng) == "read" for film in films)
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, resource.RLIM_INFINITY))
        for number in range(options.runs):
            suffix, content = rng.choice(files) if number % 2 else (".stream", rng.choice(films))
            content = change(content, rng)
            path = Path(folder) / f"labels{suffix}"
            begun_s = time.process_time()  # nothing here waits, and other programs do not count
            kind = "labels" if number % 2 else "stream"
            try:
                path.write_bytes(content)
                with quiet():
                    ending = try_labels(path) if number % 2 else try_stream(content, rng)
            except BaseException as error:
                ending = f"{type(error).__name__}: {error}"
            took_s = time.process_time() - begun_s
            slowest_s = max(slowest_s, took_s)
            if ending not in ("read", "refused") or took_s > MOST_S:
                kept = Path(tempfile.gettempdir()) / f"edge-fuzz-{options.seed}-{number}{suffix}"
                kept.write_bytes(content)
                print(f"run {number}: {ending}, {took_s:.1f} s; kept as {kept}")
                return 1
            found[f"{kind} {ending}"] += 1
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
    print(f"{options.runs} inputs: {told}. The slowest took {slowest_s:.2f} s; {peak_mib:.0f} MiB at most.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
