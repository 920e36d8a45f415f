"""The command `edge link`: the program that tells the network about the daemon."""

import argparse
import sys
from pathlib import Path

from edge.errors import EX_OK
from edge.host.control_client import SERVICE_SOCKET
from edge.host.folders import runtime_folder


def link(options: argparse.Namespace) -> int:
    """edge link: run until a signal ends it, check its parts, show how to open its page, or forget it."""
    from edge.link import program, settings

    read = settings.load(options.config)
    if options.check:
        # not above: the doctor's libraries would stay in memory
        from edge.cli.doctor import report
        from edge.doctor.link import check_link

        return report(check_link(read, _sockets(options)), as_json=options.json)
    if options.token:
        print(program.invitation(read, with_code=sys.stdout.isatty()), end="")
        return EX_OK
    if options.forget:
        print(program.forget(read))
        return EX_OK
    return program.run(read, _sockets(options))


def _sockets(options: argparse.Namespace) -> list[Path]:
    """Return the sockets to try. [service] control is not among them: the user of the link must not read edge.toml."""
    return [options.socket] if options.socket else [runtime_folder() / "control.sock", SERVICE_SOCKET]
