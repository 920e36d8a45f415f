#!/usr/bin/env python3
"""Runs all tests in lanes side by side, with one report and one exit code: what scripts/test does without a selection.

The tests mostly wait: for machines that boot, for watchdogs, for daemons at real pace. A lane is a pytest of its own
with some of the test files; why it is these, and what makes it safe, is in docs/decisions/0016-lanes.md.
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
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TYPES = [str(BIN / "mypy")]
FILES = {
    # machines to which edge is deployed: Ansible, pip and archives, which need a whole core again and again. The parts
    # of the deploy look through deploy/, which the machines' tests write into: one after the other
    "deploy": ["test_deploy_parts.py", "test_deploy.py"],
    # daemons, cameras and voices at real pace, and machines that boot: little work and much waiting
    "pace": [
        *("test_daemon.py", "test_daemon_aloud.py", "test_daemon_camera.py", "test_reload.py", "test_pressure.py"),
        *("test_process_camera.py", "test_cameras_live.py", "test_streams.py", "test_worker.py", "test_speech.py"),
        *("test_doctor.py", "test_control.py", "test_booted.py"),
    ],
}
REST = "rest"
"""All other files, among them those that nobody has thought of yet."""

GRACE_S = 60.0
"""How long a lane may take to end what it has started."""

_TITLE = re.compile(r"=+ (.*) =+")


@dataclass
class Outcome:
    """What the reports of lanes say."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    """Whatever did not pass, and why, sorted."""

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
        """One line for each thing that did not pass, those to be mended last; equal ones are one, with their number."""
        order = ("SKIPPED", "XFAIL", "ERROR", "FAILED")
        lines = Counter(line.replace(f"{ROOT}/", "") for line in self.lines)
        listed = sorted(lines.items(), key=lambda item: (order.index(item[0].split()[0]), item[0]))
        return "".join(f"{line}{f' ({number} times)' if number > 1 else ''}\n" for line, number in listed)


class Lane:
    """A command that runs beside others. Its lines are passed on with its name before them, at the end in one piece."""

    def __init__(self, name: str, command: list[str], write: Callable[[str], None]) -> None:
        self.name = name
        self._write = write
        self._begun_s = time.monotonic()
        # in a group of its own, so that Ctrl-C reaches it once, through us; should we be killed, it ends too
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "INT", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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
                self._write(f"{self.name:7} {line}")
        code = self._process.wait()
        took_s = time.monotonic() - self._begun_s
        self._write("".join(tail) + f"{self.name:7} ended with {code} after {took_s:.0f} s\n")

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Its exit code, when all that it has printed is passed on."""
        code = self._process.wait()
        self._reader.join()
        return code

    def end(self, until_s: float) -> None:
        """Wait for its end until then, and kill it where that was not enough."""
        try:
            self._process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._write(f"{self.name:7} does not end and is killed\n")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join()


def pytests(folder: Path, options: list[str]) -> dict[str, list[str]]:
    """The command of each lane, by its name; each leaves NAME.xml in the folder."""
    others = [f"--ignore=tests/{name}" for names in FILES.values() for name in names]
    chosen = {name: [f"tests/{file}" for file in names] for name, names in FILES.items()} | {REST: ["tests", *others]}
    # what a lane mounts the others do not see: some tests look whether anything has stayed mounted
    apart = ["unshare", "--mount"]
    if subprocess.run([*apart, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        apart = []  # who may not do this may not mount
    # what did not pass is told at the end, for all of them
    common = [*apart, str(BIN / "pytest"), "--no-header", "-rN", *options]
    return {name: [*common, f"--junitxml={folder / name}.xml", *selected] for name, selected in chosen.items()}


class Interrupted(Exception):  # noqa: N818
    """By Ctrl-C, or whatever else asks for the end."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def run(commands: dict[str, list[str]]) -> dict[str, int]:
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


def main(options: list[str]) -> int:
    """Run mypy and all tests, each pytest with these options; return 0 when everything is well."""
    # handlers, unlike what is ignored, are not passed on: in the background, a shell has SIGINT ignored
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edge-lanes-") as folder:
        tests = pytests(Path(folder), options)
        try:
            codes = run({"types": TYPES, **tests})
        except Interrupted:
            print("Interrupted: nothing is said about the tests.")
            return 130
        outcome = Outcome()
        for name in tests:
            outcome.read(Path(folder) / f"{name}.xml")
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
