#!/usr/bin/env python3
"""Follow one frame through the daemon: run the demo, and record the calls that pass the frame or its results on.

    scripts/frame_walk.py             print the walk, as in docs/frame-walk.md
    scripts/frame_walk.py --write     update docs/frame-walk.md

The walk is that of the first frame after which edge says a label. A hop is a call from one module of edge/ to another
that gets or returns the frame, or something made of it. A function that only observes, and returns nothing, is no hop.
What the announcer asks about the frame is listed too: its helpers get parts of the predictions, which are no hops.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import ast
import contextlib
import dataclasses
import inspect
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from edge import cli, pipeline, stages

ROOT = Path(__file__).resolve().parents[1]
EDGE = str(ROOT / "edge") + os.sep
DOCUMENT = ROOT / "docs" / "frame-walk.md"
FRAMES = 60
"""Until the first label of the clip was said; with --every-frame it is the same frame each time."""
COMMAND = ["run", "--camera", "demo", "--model", "demo", "--every-frame", "--speech", "log", "--frames", str(FRAMES)]
MOST_HOPS = 12
"""From the camera to the speaker."""
HANDED_ON = (stages.Frame, stages.Prediction, stages.Announcement, stages.Outcome)


@dataclasses.dataclass(eq=False)
class Call:
    """A call from one function of edge/ to another."""

    caller: CodeType
    callee: CodeType
    arguments: list[Any]
    begun: int
    """Its place in the order of all calls and returns."""
    ended: int = 0
    returned: Any = None


class Tracer:
    """Records the calls within edge/ that this thread makes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._open: dict[int, Call] = {}
        self._now = 0

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Record calls until the end of the `with`."""
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(EDGE):
            return
        if code.co_flags & inspect.CO_GENERATOR or code.co_name.startswith("<"):
            return
        self._now += 1
        if event == "call":
            caller = _caller(frame)
            if caller is not None and caller.co_filename != code.co_filename:
                count = code.co_argcount + code.co_kwonlyargcount
                names = [name for name in code.co_varnames[:count] if name != "self"]
                arguments = [frame.f_locals[name] for name in names if name in frame.f_locals]
                self._open[id(frame)] = Call(caller, code, arguments, self._now)
        elif call := self._open.pop(id(frame), None):
            call.ended, call.returned = self._now, value
            self.calls.append(call)


def _caller(frame: FrameType) -> CodeType | None:
    """The function of edge/ that a call comes from; a comprehension belongs to its function."""
    back = frame.f_back
    while back is not None:
        code = back.f_code
        if code.co_filename.startswith(EDGE) and not code.co_name.startswith("<"):
            return code
        back = back.f_back
    return None


def run_demo() -> list[Call]:
    """Run the demo in this process, and return the calls within edge/ in the order of their ends."""
    tracer = Tracer()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOME": folder, "TMPDIR": folder}
        # mutes and a pause of this user must not change what the demo says
        for name in [name for name in os.environ if name.startswith(("EDGE_", "XDG_")) or name == "STATE_DIRECTORY"]:
            del os.environ[name]
        os.environ["XDG_RUNTIME_DIR"] = folder
        settings = Path(folder, "edge.toml")
        settings.touch()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), tracer.at_work():
            code = cli.main([*COMMAND, "--config", str(settings)])
    if code or not any(map(_says, tracer.calls)):
        raise SystemExit(f"edge {' '.join(COMMAND)} said nothing and ended with {code}:\n{printed.getvalue()}")
    return tracer.calls


def walk(calls: Iterable[Call]) -> list[Call]:
    """Return the hops of the first frame for which the demo said a label, from the camera to the outcome."""
    calls = sorted(calls, key=lambda call: call.begun)
    said = next(filter(_says, calls))
    announcement = _announcement(said.arguments)
    frames = [call for call in calls if _in(call, "cameras") and isinstance(call.returned, stages.Frame)]
    last = [call for call in frames if call.ended < said.begun][-1].returned
    begin = min(call.begun for call in frames if call.returned is last)
    heard = [call for call in calls if call.begun > said.begun and _tells(call.returned, announcement)]
    end = heard[0].ended if heard else said.ended
    hops: dict[CodeType, Call] = {}
    made: list[Any] = []
    for call in sorted(calls, key=lambda call: call.ended):
        if begin <= call.begun and call.ended <= end and call.returned is not None:
            got = _gets(call, made)
            if call.returned is last:  # before, it is a matter of the driver
                made = [last.pixels]
            elif got and _is_made_by_edge(call.returned):
                made.append(call.returned)
            if got or _is_handed_on(call.returned, made):
                hops.setdefault(call.callee, call)
    # a caller that returns a result of its callee comes after it; one that passes an argument on comes before
    return sorted(hops.values(), key=lambda call: call.begun if _gets(call, made) else call.ended)


def there_and_back(hops: Iterable[Call]) -> tuple[list[Call], list[Call]]:
    """Return the hops from the camera to the speaker, and those by which the outcome of the words comes back."""
    there: list[Call] = []
    back: list[Call] = []
    for hop in hops:
        outcome = isinstance(hop.returned, list) and any(isinstance(one, stages.Outcome) for one in hop.returned)
        (back if outcome else there).append(hop)
    return there, back


def _says(call: Call) -> bool:
    return bool(_in(call, "speech") and call.returned and _announcement(call.arguments))


def inside(hop: Call, calls: Iterable[Call]) -> list[Call]:
    """Return the calls that the module of a hop makes to other modules during the hop, in order, each function once."""
    found: dict[CodeType, Call] = {}
    for call in sorted(calls, key=lambda call: call.begun):
        own = call.caller.co_filename == hop.callee.co_filename
        if own and hop.begun < call.begun and call.ended < hop.ended and not _is_property(call.callee):
            found.setdefault(call.callee, call)
    return list(found.values())


def _is_property(code: CodeType) -> bool:
    """Return True for a function with a decorator: it only words a value that its object has."""
    lines = Path(code.co_filename).read_text(encoding="utf-8").splitlines()
    return lines[code.co_firstlineno - 1].lstrip().startswith("@")


def _in(call: Call, folder: str) -> bool:
    return call.callee.co_filename.startswith(f"{EDGE}{folder}{os.sep}")


def _announcement(values: Iterable[Any]) -> stages.Announcement | None:
    """The announcement of a label among these values; notices about edge have no id."""
    found = (value for value in values if isinstance(value, stages.Announcement) and value.id)
    return next(found, None)


def _tells(value: Any, announcement: stages.Announcement | None) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, stages.Outcome) and one.announcement is announcement for one in value
    )


def _gets(call: Call, made: list[Any]) -> bool:
    return any(_is_handed_on(value, made) for value in call.arguments)


def _is_handed_on(value: Any, made: list[Any], depth: int = 2) -> bool:
    """Whether a value is the frame or a result of it, or contains one."""
    if isinstance(value, HANDED_ON) or any(value is one for one in made):
        return True
    if depth and isinstance(value, list | tuple):
        return any(_is_handed_on(one, made, depth - 1) for one in value)
    if depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (getattr(value, field.name, None) for field in dataclasses.fields(value))
        return any(_is_handed_on(one, made, depth - 1) for one in fields)
    return False


def _is_made_by_edge(value: Any) -> bool:
    return isinstance(value, np.ndarray) or type(value).__module__.startswith("edge.")


# --- docs/frame-walk.md ---------------------------------------------------------------------------------------------


def function_at(code: CodeType) -> tuple[int, str]:
    """Return the line of a function's `def`, and the first sentence of its docstring.

    A method without a docstring has the one of its Protocol. Raises SystemExit if there is none either.
    """
    path = Path(code.co_filename)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first == code.co_firstlineno:
                text = ast.get_docstring(node) or _of_the_protocol(code.co_name)
                if not text:
                    raise SystemExit(
                        f"{path}:{node.lineno}: {code.co_qualname} is a hop of a frame, and needs a docstring"
                    )
                return node.lineno, sentence(text)
    raise AssertionError(code)


def _of_the_protocol(method: str) -> str:
    for module in (stages, pipeline):
        for _, protocol in inspect.getmembers(module, inspect.isclass):
            if getattr(protocol, "_is_protocol", False) and (found := vars(protocol).get(method)) and found.__doc__:
                return inspect.cleandoc(found.__doc__)
    return ""


def sentence(text: str) -> str:
    """Return the first sentence of a docstring, in one line."""
    paragraph = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", paragraph)[0]


def kind(value: Any) -> str:
    """Return the name of a value's type, for people: 'Frame', 'list of Prediction'."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array"
    if isinstance(value, list | tuple):
        return f"list of {kind(value[0])}" if value else "empty list"
    return type(value).__name__


def rows_of(hops: list[Call]) -> list[str]:
    """Return a row of the table for each hop."""
    rows = []
    for number, hop in enumerate(hops, 1):
        caller = Path(hop.caller.co_filename).relative_to(ROOT).as_posix().removeprefix("edge/")
        function, what = cells_of(hop)
        rows.append(f"| {number} | {function} | {what} | {kind(hop.returned)} | {caller} |")
    return rows


def cells_of(call: Call) -> tuple[str, str]:
    """Return the called function as a link, and the first sentence of its docstring."""
    path = Path(call.callee.co_filename).relative_to(ROOT).as_posix()
    line, what = function_at(call.callee)
    return f"[{path.removeprefix('edge/')}](../{path}#L{line}) `{call.callee.co_qualname}`", what


def text(hops: list[Call], calls: list[Call]) -> str:
    """Return the text of docs/frame-walk.md for the hops among all calls."""
    command = " ".join(COMMAND)
    there, back = there_and_back(hops)
    number, decision = next((number, hop) for number, hop in enumerate(there, 1) if _in(hop, "announce"))
    return "\n".join(
        [
            "# What happens to a frame",
            "",
            "This page is for developers. It follows one frame from the camera to the speaker within the daemon.",
            "`scripts/frame_walk.py --write` writes it from a traced run of",
            "",
            f"    edge {command}",
            "",
            "It is the first frame after which edge says a label. Each row is a call from one module to another that",
            "takes or returns the frame, or something made from it: a thumbnail, the input of the model, predictions,",
            "an announcement. Hops that the last column says are called in the module of another hop run inside that",
            "hop. Functions that only observe and return nothing, such as those of the reporter, are left out.",
            "[stages.py](../edge/stages.py) has the types, and [pipeline.py](../edge/pipeline.py) has the loop.",
            "",
            "A live camera is read through [cameras/process.py](../edge/cameras/process.py), and a voice is used",
            "through [speech/process.py](../edge/speech/process.py). Both run in child processes: see",
            "[How the code is organised](structure.md).",
            "",
            "| hop | function | what it does | it returns | called in |",
            "|---:|---|---|---|---|",
            *rows_of(there),
            "",
            "The speaker does not wait until it has spoken. Later the loop asks if it was heard, and if not, why.",
            "",
            "| function | what it does |",
            "|---|---|",
            *(f"| {function} | {what} |" for function, what in map(cells_of, back)),
            "",
            f"## Inside hop {number}",
            "",
            f"Hop {number} decides whether edge speaks. It asks these functions, in this order:",
            "",
            "| function | what it does |",
            "|---|---|",
            *(f"| {function} | {what} |" for function, what in map(cells_of, inside(decision, calls))),
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="update docs/frame-walk.md")
    chosen = parser.parse_args(arguments)
    calls = run_demo()
    hops = walk(calls)
    number = len(there_and_back(hops)[0])
    if number > MOST_HOPS:
        print(f"{number} hops; at most {MOST_HOPS} are allowed", file=sys.stderr)
    if chosen.write:
        DOCUMENT.write_text(text(hops, calls), encoding="utf-8")
        print(f"Written: {DOCUMENT.relative_to(ROOT)}, {number} hops")
    else:
        print(text(hops, calls), end="")
    return 1 if number > MOST_HOPS else 0


if __name__ == "__main__":
    sys.exit(main())
