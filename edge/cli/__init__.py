"""The command `edge`: one module for each group of subcommands.

An error ends as one line and an exit code.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence

from edge.cli.parser import parser
from edge.errors import EX_OK, EX_SOFTWARE, EX_UNAVAILABLE, EdgeError, lines_of, one_line
from edge.host.noise import show_debug_log
from edge.host.systemd import lines_to, notify
from edge.host.terminal import LineFormatter, printable, tell, tolerate

_log = logging.getLogger(__name__)
EX_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. All errors are reported here."""
    # a closed standard stream is None in Python, and print() to it would be an error
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the end
        tolerate(getattr(sys, name))
    try:
        options = parser().parse_args(argv)
    except SystemExit as leaving:  # argparse has said why
        return int(leaving.code or EX_OK)
    _log_to_stderr()
    if options.debug:
        show_debug_log()
    try:
        code: int = options.command(options)
        # a full disk is reported here; the services print line by line, and tolerate it
        if not options.is_service:
            sys.stdout.flush()
    except EdgeError as error:
        if options.debug:
            traceback.print_exc()
        _tell_failure(lines_of(error), error.exit_code, is_service=options.is_service)
        return error.exit_code
    except BrokenPipeError:
        # the reader of the output is gone: nothing can be printed any more, not even by the flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_BROKEN_PIPE
    except OSError as error:
        if options.debug:
            traceback.print_exc()
        tell(f"edge: {error}; run it again with --debug to see where")
        return EX_UNAVAILABLE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {one_line(error)}"
        what = f"a bug: {what}; run it again with --debug and report it"
        _tell_failure([what], EX_SOFTWARE, is_service=options.is_service)
        return EX_SOFTWARE
    return code


def _log_to_stderr() -> None:
    """Print warnings of all modules on standard error, each as one line; nothing if that is done already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("edge: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _tell_failure(lines: Sequence[str], code: int, *, is_service: bool) -> None:
    """Print the reason on standard error; for a service also as a journal entry and in `systemctl status`."""
    if is_service:
        notify(f"STATUS={printable(lines[0])}")
    with lines_to(sys.stderr, _log) as handler:
        for line in lines:
            _log.error(f"edge: {line}", extra={"event": "failed" if is_service else None, "exit_code": code})
        handler.linger()
