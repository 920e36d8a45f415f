#!/usr/bin/env python3
"""Run all tests in parallel lanes, with one report and one exit code, as scripts/test does without a selection.

With arguments, run one pytest with them instead; as root two, one of them as an ordinary user (places.py).

The tests mostly wait: for machines that boot, for watchdogs, for daemons at real pace. A lane is a pytest with some of
the test files. docs/decisions/0016-lanes.md explains the division, and why it is safe.
"""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree

from places import Place, places

TYPES = ["-m", "mypy"]
FILES = {
    # daemons, cameras and voices at real pace: little work and much waiting
    "pace": [
        "daemon/test_daemon.py",
        "daemon/test_daemon_speech.py",
        "daemon/test_daemon_camera.py",
        "daemon/test_why.py",
        "daemon/test_reload.py",
        "daemon/test_pressure.py",
        "cameras/test_process.py",
        "cameras/test_live.py",
        "cameras/test_streams.py",
        "test_worker.py",
        "speech/test_speech.py",
        "doctor/test_doctor.py",
        "daemon/test_control_socket.py",
        "daemon/test_pictures.py",
        "daemon/test_subscribe.py",
    ],
    # every command at a terminal: hundreds of short processes; then the link's daemons, which wait too
    "commands": [
        "cli",
        "daemon/test_upgrade.py",
        "daemon/test_teach_live.py",
        "link/test_fuzz.py",
        "link/test_page.py",
        "link/test_page_browser.py",
        "link/test_mqtt_faults.py",
        "link/test_prometheus.py",
    ],
    # networks that are computed with every engine, converted and searched: much work and little waiting
    "networks": [
        "engines/test_agreement.py",
        "installer/test_converter.py",
        "engines/test_engines.py",
        "engines/test_engines_agree.py",
        "importer/test_importer.py",
        "engines/test_mxnet.py",
        "engines/test_odd_models.py",
        "importer/test_operators.py",
        "installer/test_packaged.py",
        "quantizer/test_quantizer.py",
        "models/test_sources.py",
        "engines/test_without_mxnet.py",
    ],
    # models and what is made of them, the link, and the project's own tools: the half of all other files
    "models": ["importer", "input", "installer", "link", "models", "quantizer", "scripts", "selection"],
}
"""The files and folders of each lane. A file that one lane names is not in another, which names its folder."""
REST = "rest"
"""All other files, also new ones."""

ROOT_FILES = {
    # machines to which edge is deployed: Ansible, pip and archives, which need a whole core again and again
    "deploy": ["deploy/test_deploy.py"],
}
ROOT_REST = "machines"
"""The tests of all other files that need root: mostly machines that boot."""

LONGEST = "deploy"
"""The lane that would end alone, with a core idle: of two that want the same core, it goes first."""

NO_TESTS = 5
"""pytest's exit code where nothing was selected."""

GRACE_S = 60.0
"""How long a lane may take to end what it has started."""

_TITLE = re.compile(r"=+ (.*) =+")


@dataclass
class Outcome:
    """What the reports of lanes say."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    """The tests that did not pass, and why, sorted."""

    def read(self, report: Path) -> None:
        """Add a report in JUnit's format; one that cannot be read is an error of its lane."""
        try:
            cases = list(ElementTree.parse(report).iter("testcase"))
        except (OSError, ElementTree.ParseError) as error:
            self._add("errors", f"ERROR the {report.stem} lane has no report: {error}")
            return
        for case in cases:
            module, *classes = re.split(r"\.(?=[A-Z])", case.get("classname", ""))
            name = "::".join([f"{module.replace('.', '/')}.py", *classes, case.get("name", "")])
            # a test may fail, and then its fixtures too
            problems = [one for one in case if one.tag in ("failure", "error", "skipped")]
            self.counts["passed"] += not problems
            for problem in problems:
                told = problem.get("message", "").partition("\n")[0]
                match problem.tag:
                    case "failure":
                        self._add("failed", f"FAILED {name} - {told}")
                    case "error":
                        self._add("errors", f"ERROR {name} - {told}")
                    case _ if problem.get("type") == "pytest.xfail":
                        self._add("xfailed", f"XFAIL {name} - {told}")
                    case _:
                        self._add("skipped", f"SKIPPED {(problem.text or name).partition(': ')[0]}: {told}")

    def _add(self, kind: str, line: str) -> None:
        self.counts[kind] += 1
        self.lines.append(line)

    def told(self) -> str:
        """One line for each test that did not pass, failures last; equal lines are one, with their number."""
        order = ("SKIPPED", "XFAIL", "ERROR", "FAILED")
        lines = Counter(re.sub(r"/\S*/(?=tests/)", "", line) for line in self.lines)
        listed = sorted(lines.items(), key=lambda item: (order.index(item[0].split()[0]), item[0]))
        return "".join(f"{line}{f' ({number} times)' if number > 1 else ''}\n" for line, number in listed)


@dataclass(frozen=True)
class Command:
    """Something to run, and where and as whom."""

    place: Place
    arguments: tuple[str, ...]

    def start(self, **options: Any) -> "subprocess.Popen[str]":
        """Start it, with a signal at our own death. A change of the user resets that setting, so it is the last one."""
        return subprocess.Popen(
            [*self.place.prefix, "setpriv", "--pdeathsig", "INT", *self.arguments],
            cwd=self.place.root,
            env=self.place.environment,
            text=True,
            **options,
        )


class Lane:
    """A command that runs beside others. Its lines are passed on with its name before them, at the end in one piece."""

    def __init__(self, name: str, command: Command, write: Callable[[str], None]) -> None:
        self.name = name
        self._write = write
        self._begun_s = time.monotonic()
        # in a separate group, so that Ctrl-C reaches it once, through us
        self._process = command.start(
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._pass_on)
        self._reader.start()

    def _pass_on(self) -> None:
        assert self._process.stdout
        tail: list[str] = []
        for line in self._process.stdout:
            title = _TITLE.fullmatch(line.strip())
            # from the first failure on it is a text to be read in one piece
            if tail or (title and title[1] != "test session starts"):
                tail.append(line)
            elif line.strip() and not title and "generated xml file" not in line:
                self._write(f"{self.name:8} {line}")
        code = self._process.wait()
        took_s = time.monotonic() - self._begun_s
        self._write("".join(tail) + f"{self.name:8} ended with {code} after {took_s:.0f} s\n")

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Return its exit code, after its output was passed on."""
        code = self._process.wait()
        self._reader.join()
        return code

    def end(self, until_s: float) -> None:
        """Wait for its end until then, and kill it where that was not enough."""
        try:
            self._process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._write(f"{self.name:8} does not end and is killed\n")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join()


def _lanes(place: Place, folder: Path, options: list[str], marker: str) -> dict[str, Command]:
    """Return the lanes of one place; each leaves UID/NAME.xml in the folder."""
    files, rest = (ROOT_FILES, ROOT_REST) if marker == "root" else (FILES, REST)
    everywhere = [name for names in files.values() for name in names]
    chosen = {}
    for lane, names in files.items():
        elsewhere = [
            name for name in everywhere if name not in names and any(name.startswith(f"{one}/") for one in names)
        ]
        chosen[lane] = [*(f"tests/{name}" for name in names), *(f"--ignore=tests/{name}" for name in elsewhere)]
    chosen[rest] = ["tests", *(f"--ignore=tests/{name}" for name in everywhere)]
    reports = folder / str(place.uid)
    reports.mkdir()
    os.chown(reports, place.uid, place.gid)
    apart: tuple[str, ...] = ()
    if place.is_root:
        # what a lane mounts the others do not see: some tests look whether anything has stayed mounted
        can = subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL)
        apart = ("unshare", "--mount") if can.returncode == 0 else ()
    # one summary at the end lists the failures of all lanes
    common = (*apart, str(place.python), "-m", "pytest", "--no-header", "-rN", *options)
    only = ("-m", marker) if marker else ()
    first = {LONGEST: ("nice", "--adjustment=-10")}
    return {
        name: Command(place, (*first.get(name, ()), *common, *only, f"--junitxml={reports / name}.xml", *selected))
        for name, selected in chosen.items()
    }


def pytests(there: list[Place], folder: Path, options: list[str]) -> dict[str, Command]:
    """Return the command of each lane, by its name. Root divides the tests: each runs in one place, as one user."""
    if len(there) == 1:
        return _lanes(there[0], folder, options, "")
    return {
        name: command
        for place in there
        for name, command in _lanes(place, folder, options, "root" if place.is_root else "not root").items()
    }


class Interrupted(Exception):  # noqa: N818
    """By Ctrl-C or a signal."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def run(commands: dict[str, Command]) -> dict[str, int]:
    """Run commands side by side; return their exit codes. An interrupt ends them all, and is raised again."""
    lock = threading.Lock()

    def write(text: str) -> None:
        with lock:
            sys.stdout.write(text)
            sys.stdout.flush()

    lanes: list[Lane] = []
    try:
        for name, command in commands.items():
            lanes.append(Lane(name, command, write))
        return {lane.name: lane.wait() for lane in lanes}
    except BaseException:
        for lane in lanes:
            lane.interrupt()
        until_s = time.monotonic() + GRACE_S
        for lane in lanes:
            lane.end(until_s)
        raise


def main(arguments: list[str]) -> int:
    """Run mypy and all tests, or what pytest's arguments select; return 0 when everything is well."""
    # handlers, unlike what is ignored, are not passed on: in the background, a shell has SIGINT ignored
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # hundreds of tests start edge: without the files that Python keeps, each start compiles all modules and takes twice
    # the processor time
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        with places() as there:
            return selected(there, arguments) if arguments else everything(there, [])
    except Interrupted:
        print("Interrupted: nothing is said about the tests.")
        return 130


def everything(there: list[Place], options: list[str]) -> int:
    """Run mypy and all tests in lanes, each pytest with these options."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edge-lanes-") as folder:
        Path(folder).chmod(0o755)  # an ordinary user leaves reports there too
        tests = pytests(there, Path(folder), options)
        codes = run({"types": Command(there[0], (str(there[0].python), *TYPES)), **tests})
        outcome = Outcome()
        for name, command in tests.items():
            outcome.read(Path(folder) / str(command.place.uid) / f"{name}.xml")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = ", ".join(f"{number} {what}" for what, number in sorted(outcome.counts.items()))
    bad = [f"{name} ended with {code}" for name, code in codes.items() if code]
    # the exit code alone is not to be trusted: a test that ends its process ends pytest
    failed = bool(bad or outcome.counts["failed"] or outcome.counts["errors"])
    print(f"\n{outcome.told()}")
    print(
        f"{counts} in {time.monotonic() - begun_s:.0f} s, of a processor {used.ru_utime + used.ru_stime:.0f} s; "
        f"{'; '.join(bad) or ('not all is well' if failed else 'all is well')}"
    )
    return int(failed)


def selected(there: list[Place], arguments: list[str]) -> int:
    """Run mypy and, in one place after the other, a pytest with these arguments; their output is shown as it is."""
    code = _shown(Command(there[0], (str(there[0].python), *TYPES)))
    codes = []
    for place in there if not code else []:
        marker = [] if len(there) == 1 else ["-m", "root" if place.is_root else "not root"]
        if len(there) > 1:
            print(f"As {'root, what needs root' if place.is_root else 'an ordinary user'}:", flush=True)
        codes.append(_shown(Command(place, (str(place.python), "-m", "pytest", *marker, *arguments))))
    # where the selection has tests of one kind alone, the other pytest has found none
    found = [one for one in codes if one != NO_TESTS] or codes
    return code or max(found)


def _shown(command: Command) -> int:
    process = command.start()
    try:
        return process.wait()
    except Interrupted:
        # on a terminal Ctrl-C has reached it already
        process.send_signal(signal.SIGINT)
        process.wait(GRACE_S)
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
