"""The program `edge link` from start to end."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge import __version__
from edge.errors import EX_OK, EX_SOFTWARE, ConfigError, LinkError
from edge.host.control_client import Pictures
from edge.host.installation import how_to_get
from edge.host.libraries import is_installed
from edge.host.systemd import Watchdog, lines_to, notify
from edge.host.terminal import printable
from edge.link.parts import Part
from edge.link.settings import DEFAULT_PATH, LinkSettings
from edge.link.subscription import Subscriber

_log = logging.getLogger("edge.link")
STOP_S = 1.5
"""How long the parts may take to end: the link ends within 2 s of a signal."""
STATUS_EVERY_S = 5.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def run(settings: LinkSettings, paths: Sequence[Path]) -> int:
    """Run the link until a signal ends it; return the exit code. `paths` are the daemon's sockets to try.

    Raises ConfigError if no part has its setting, and EdgeError if a part cannot start.
    """
    parts = parts_of(settings, paths)
    with lines_to(sys.stdout, _log), _signals() as wanted:
        _log.info(f"edge link {__version__}: {', '.join(part.describe() for part in parts)}.")
        subscriber = Subscriber(paths, parts)
        started: list[Part] = []
        try:
            for part in parts:
                part.start(subscriber.ask)
                started.append(part)
            subscriber.start()
            subscriber.wait_for_first_try(2.0)
            notify("READY=1")
            return _attend(subscriber, parts, wanted)
        finally:
            notify("STOPPING=1")
            subscriber.stop()
            _stop(started)


def parts_of(settings: LinkSettings, paths: Sequence[Path]) -> list[Part]:
    """Return the parts that have their setting. Raises ConfigError if none has, or two cannot be together."""
    parts: list[Part] = []
    if settings.mqtt.host:
        _need("paho", "paho-mqtt")
        from edge.link.mqtt.part import Mqtt

        parts.append(Mqtt(settings.mqtt))
    if settings.metrics.listen:
        _need("prometheus_client", "prometheus-client")
        from edge.link.metrics import MetricsPart

        parts.append(MetricsPart(settings.metrics.listen))
    if settings.page.listen:
        if settings.page.listen == settings.metrics.listen:
            raise ConfigError(f"{DEFAULT_PATH}: [page] listen and [metrics] listen are the same: each needs its port")
        from edge.link.page.part import PagePart

        parts.append(PagePart(settings.page, lambda: Pictures(paths)))
    if not parts:
        raise ConfigError(
            f"{DEFAULT_PATH}: nothing to do: set host in [mqtt], or listen in [metrics] or [page] (docs/mqtt.md, "
            "docs/metrics.md, docs/page.md)"
        )
    return parts


def forget(settings: LinkSettings) -> str:
    """Remove everything that the broker keeps about this edge; return a line for people.

    Raises ConfigError without [mqtt], and LinkError if the broker cannot be reached or refuses.
    """
    if not settings.mqtt.host:
        raise ConfigError(f"{DEFAULT_PATH}: there is nothing to forget: host in [mqtt] is not set")
    _need("paho", "paho-mqtt")
    from edge.link.mqtt.forget import forget

    return forget(settings.mqtt)


def invitation(settings: LinkSettings, *, with_code: bool) -> str:
    """Return how to open the page, for a person; `with_code` adds the QR code, for a terminal.

    Raises ConfigError without [page], and LinkError if the token cannot be read.
    """
    if not settings.page.listen:
        raise ConfigError(f"{DEFAULT_PATH}: there is no page: listen in [page] is not set (docs/page.md)")
    _need("segno", "segno")
    from edge.link.page import tokens
    from edge.link.page.invitation import invitation

    token = tokens.read(tokens.path_to_show(settings.page.token_file))
    return invitation(settings.page, token, with_code=with_code)


def _need(package: str, name: str) -> None:
    """Raise LinkError if a package of the feature `link` is not installed."""
    if not is_installed(package):
        raise LinkError(f"{name} is not installed; {how_to_get(package)} installs it")


def _attend(subscriber: Subscriber, parts: Sequence[Part], wanted: set[signal.Signals]) -> int:
    """Feed the watchdog and tell systemd the status, until a signal comes or a thread has died."""
    watchdog = Watchdog()
    told, told_s = "", 0.0
    while signal.sigtimedwait(wanted, 1.0) is None:
        now_s = time.monotonic()
        if not (subscriber.alive() and all(part.alive() for part in parts)):
            _log.error("A thread of the link has ended or is stuck. Please report this.", extra={"event": "failed"})
            return EX_SOFTWARE
        watchdog.feed(now_s)
        if now_s - told_s >= STATUS_EVERY_S:
            told_s = now_s
            daemon = "edge is reached" if subscriber.state.up else "edge is not reached"
            status = "; ".join([daemon, *(part.describe() for part in parts)])
            if status != told:
                told = status
                notify(f"STATUS={printable(status)}")
    return EX_OK


@contextmanager
def _signals() -> Iterator[set[signal.Signals]]:
    """Block in all threads the signals that end the link, but for those that are ignored (nohup); yield them."""
    wanted = {one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        yield wanted
    finally:
        # a second signal must not kill the process while it ends
        while signal.sigtimedwait(wanted, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if os.isatty(2):
            os.write(2, b"\n")  # the terminal has just written ^C


def _stop(parts: Sequence[Part]) -> None:
    """End the parts side by side; do not wait for one that hangs."""
    threads = [threading.Thread(target=part.stop, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + STOP_S
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
