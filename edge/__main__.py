"""The program `edge`, and `python -m edge`."""

import contextlib
import faulthandler
import os
import signal
import sys
from typing import NoReturn

from edge.host.noise import separate_stderr


def entry() -> NoReturn:
    """Run a command and leave at once with its exit code.

    Without Python's and the vendor libraries' tidying at exit, which may hang; what needs an end has had it by then.
    """
    # until the daemon has its own handlers, Ctrl-C ends a command without a traceback
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    separate_stderr()
    # where a vendor's library dies, or hangs until systemd's watchdog ends it (SIGABRT), is worth a few lines
    with contextlib.suppress(RuntimeError, OSError, ValueError, AttributeError):  # no standard error
        faulthandler.enable(sys.stderr)
    from edge.cli import main

    code = main()
    # it is ending already
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
