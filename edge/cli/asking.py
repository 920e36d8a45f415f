"""How a command asks the running edge."""

import argparse
from pathlib import Path
from typing import Any

from edge.cli.common import settings_of
from edge.errors import ControlError
from edge.host.control_client import SERVICE_SOCKET, ask, control_path
from edge.host.folders import runtime_folder


def socket_paths(options: argparse.Namespace) -> list[Path]:
    """Return the sockets to try: the one that the flag names, else that of the settings, then the service's."""
    if options.socket is not None:
        return [options.socket]
    own = control_path(settings_of(options).service.control, runtime_folder())
    return [path for path in (own, SERVICE_SOCKET) if path is not None]


def ask_running(options: argparse.Namespace, **request: Any) -> dict[str, Any]:
    """Return the running edge's answer to a request. Raises ControlError if it does not answer, or refuses."""
    answer = ask(socket_paths(options), request)
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer
