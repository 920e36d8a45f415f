"""The command `edge link`: the program that tells the network about the daemon."""

import argparse
from pathlib import Path

from edge.host.control_client import SERVICE_SOCKET
from edge.host.folders import runtime_folder


def link(options: argparse.Namespace) -> int:
    """edge link: run until a signal ends it."""
    from edge.link import program, settings

    return program.run(settings.load(options.config), _sockets(options))


def _sockets(options: argparse.Namespace) -> list[Path]:
    """Return the sockets to try. [service] control is not among them: the user of the link must not read edge.toml."""
    return [options.socket] if options.socket else [runtime_folder() / "control.sock", SERVICE_SOCKET]
