"""`edge doctor`: check everything that edge depends on, and advise what to do."""

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edge import doctor as doctors
from edge.cli.asking import socket_paths
from edge.cli.common import print_json, settings_of
from edge.cli.table import WIDTH
from edge.doctor import Finding, Grade
from edge.errors import EX_FAULT, EX_OK, ConfigError, ControlError
from edge.host.control_client import ask
from edge.host.installation import edge_command

_MARKS = {Grade.GOOD: "✓", Grade.WARNING: "!", Grade.FAULT: "✗"}
_PLAIN_MARKS = {Grade.GOOD: "ok", Grade.WARNING: "!", Grade.FAULT: "X"}
_CHECK_WIDTH = 14


def doctor(options: argparse.Namespace) -> int:
    """edge doctor: print a line for each check, and return the exit code."""
    if options.unit and not options.service:
        raise ConfigError("--unit: only works with --service; give both")
    if options.service:
        flags = {"--speak": options.speak, "--json": options.json, "--before-use": options.before_use}
        arguments = ["doctor", *(flag for flag, given in flags.items() if given)]
        arguments += ["--config", str(options.config.absolute())] if options.config else []
        sys.stdout.flush()
        return doctors.in_the_service(arguments, options.unit)
    return report(_findings(options), as_json=options.json)


def report(found: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they come, and return the exit code: 1 if there is a fault."""
    findings = []
    for finding in found:
        findings.append(finding)
        if not as_json:
            print(_lines(finding), flush=True)
    faults, warnings = (sum(one.grade is grade for one in findings) for grade in (Grade.FAULT, Grade.WARNING))
    if as_json:
        print_json([one.as_json() for one in findings])
    else:
        print(f"\n{_count(faults, 'fault')}, {_count(warnings, 'warning')}.")
    return EX_FAULT if faults else EX_OK


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    if not options.before_use:
        yield from doctors.examine_system()
    try:
        settings = settings_of(options)
    except ConfigError as error:
        for what in error.faults:
            advice = f"`{edge_command()} config --check FILE` checks a file"
            yield Finding("settings", Grade.FAULT, what, advice)
        return
    yield Finding("settings", Grade.GOOD, f"valid; `{edge_command()} config` shows them")
    if options.before_use:
        yield from doctors.examine_before_use(settings)
    else:
        yield from doctors.examine(settings, _running(options), speak=options.speak)


def _running(options: argparse.Namespace) -> Mapping[str, Any] | None:
    """Return the status of the edge that runs here; None: none runs, it is starting, or it refuses to answer."""
    try:
        status = ask(socket_paths(options), {"command": "status"})
    except ControlError:
        return None
    return None if "error" in status or status.get("starting") else status


def _lines(finding: Finding) -> str:
    """Return the lines of a finding, with its advice below."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        mark = _MARKS[finding.grade]
        mark.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        mark = _PLAIN_MARKS[finding.grade]
    indent = " " * (len(mark) + 2 + _CHECK_WIDTH)
    text = textwrap.fill(
        finding.text,
        WIDTH,
        initial_indent=f"{mark} {finding.check:{_CHECK_WIDTH}} ",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if finding.advice:
        text += "\n" + textwrap.fill(
            finding.advice,
            WIDTH,
            initial_indent=f"{indent}-> ",
            subsequent_indent=f"{indent}   ",
            break_long_words=False,  # a path that is broken in two cannot be copied
            break_on_hyphens=False,
        )
    # a character that the terminal cannot show (°) must not end the list
    return text.encode(encoding, "replace").decode(encoding)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
