"""`edge`, with a thread that notes a few hundred times a second what the main thread is doing: for measure_start.py.

Started with a file's name and the arguments of `edge`. When edge ends, the file gets a JSON object: `begun`, and
`notes`, a list of [time, what was done until then]; times are those of time.monotonic().
"""

import json
import sys
import threading
import time
from pathlib import Path
from types import FrameType

BEGUN_S = time.monotonic()
EVERY_S = 0.003
STEPS = (
    # part of the path, function ('' for any), what it does; the innermost call that is listed counts
    ("speech/process.py", "", "waiting for the voice"),
    ("cameras/process.py", "", "waiting for the camera"),
    ("cameras/__init__.py", "_find_aside", "looking for a camera"),
    ("host/libraries.py", "preload", "loading libraries"),
    ("models/store.py", "verify", "checksums of the model"),
    ("engines/selftest.py", "check_answer", "known answer"),
    ("engines/classifier.py", "_run_first", "first forward"),
    ("engines/classifier.py", "__init__", "loading the model"),
    ("selection/selector.py", "", "choosing the model"),
    ("host/memory.py", "give_back_start", "giving back memory"),
    ("edge/pipeline.py", "run", "the first frame, and the sentence"),
    ("edge/service.py", "run", "making the daemon's parts"),
    ("cli/__init__.py", "main", "command line and settings"),
)
OWN = "importing edge and Python's own modules"


def main() -> int:
    """Run `edge`; return its exit code."""
    file, sys.argv = Path(sys.argv[1]), ["edge", *sys.argv[2:]]
    notes: list[tuple[float, str]] = []
    ended = threading.Event()
    main_thread = threading.get_ident()

    def watch() -> None:
        while not ended.wait(EVERY_S):
            notes.append((time.monotonic(), step(sys._current_frames().get(main_thread))))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    from edge.cli import main as edge

    code = edge()
    ended.set()
    watching.join()
    file.write_text(json.dumps({"begun": BEGUN_S, "notes": notes}))
    return code


def step(frame: FrameType | None) -> str:
    """Return what a stack of calls does."""
    found, imported = "", []
    while frame is not None:
        code = frame.f_code
        if code.co_name == "_find_and_load":
            imported.append(str(frame.f_locals["name"]).partition(".")[0])
        if not found:
            found = next(
                (what for path, name, what in STEPS if path in code.co_filename and name in ("", code.co_name)), ""
            )
        frame = frame.f_back
    # from the outermost import on: numpy also imports modules of Python
    for name in reversed(imported):
        if name not in sys.stdlib_module_names and name != "edge":
            return f"importing {name}"
    return OWN if imported else found or "other"


if __name__ == "__main__":
    sys.exit(main())
