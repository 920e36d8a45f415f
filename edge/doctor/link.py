"""Checks of `edge link`: is its service running, and can each of its parts do its work?"""

import contextlib
import http.client
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge.doctor.finding import Finding, fault, good, warning
from edge.doctor.service import ask_systemd, properties_in
from edge.errors import ControlError, LinkError, NotRunning
from edge.host.control_client import Subscription
from edge.host.installation import edge_command, how_to_get
from edge.host.libraries import is_installed
from edge.link.http_server import HttpServer
from edge.link.page import tokens
from edge.link.page.part import tls_of
from edge.link.settings import DEFAULT_PATH, LinkSettings, PageSettings, address_of, bracketed, is_loopback

UNIT = "edge-link.service"
ANSWER_S = 2.0
SOON_S = 14 * 86400.0
"""A certificate that expires sooner is worth a warning."""
_PACKAGES = {
    "mqtt": ("paho", "paho-mqtt"),
    "metrics": ("prometheus_client", "prometheus-client"),
    "page": ("segno", "segno"),
}
"""The module and the package that each part needs."""


def check_link_service(path: Path = DEFAULT_PATH) -> Iterator[Finding]:
    """Check the service of the link by what `systemctl show` prints; nothing if the link is not set up here."""
    properties = ("LoadState", "ActiveState", "UnitFileState", "Result", "ExecMainStatus", "StatusText")
    done = ask_systemd(UNIT, properties)
    if done is not None and done.returncode == 0:
        yield from judge_link_service(properties_in(done.stdout), is_set_up=path.exists())


def judge_link_service(told: Mapping[str, str], *, is_set_up: bool) -> Iterator[Finding]:
    """Yield the findings about the properties of `systemctl show`; `is_set_up`: there is a link.toml."""
    if told.get("LoadState") != "loaded":
        if is_set_up:
            what = f"{DEFAULT_PATH} is there, but the service edge-link is not installed"
            yield warning("link", what, "deploy edge again, with edge_link among its variables")
        return
    state = told.get("ActiveState")
    advice = f"`sudo {edge_command()} link --check` finds the reason"
    if state == "active":
        yield good("link", told.get("StatusText") or "running")
    elif state == "failed":
        why = told.get("StatusText") or f"{told.get('Result')}, exit status {told.get('ExecMainStatus')}"
        yield fault("link", f"failed: {why}", advice + "; then `sudo systemctl restart edge-link`")
    elif not is_set_up:
        yield good("link", f"off; {DEFAULT_PATH} would switch it on")
        return
    elif state == "inactive":
        yield warning("link", "set up, but not running", "`sudo systemctl enable --now edge-link`")
        return
    else:
        yield warning("link", f"{state}: {told.get('StatusText')}", advice)
    if is_set_up and told.get("UnitFileState") != "enabled":
        yield warning("link", "it does not start at boot", "`sudo systemctl enable edge-link`")


def check_link(settings: LinkSettings, sockets: Sequence[Path]) -> Iterator[Finding]:
    """Yield the findings about each part of the link, tried for real. The service may run meanwhile."""
    yield _check_socket(sockets)
    if not (settings.mqtt.host or settings.metrics.listen or settings.page.listen):
        what = "nothing is switched on"
        yield warning("settings", what, f"set host in [mqtt], or listen in [metrics] or [page], in {DEFAULT_PATH}")
    if settings.mqtt.host:
        if missing := _missing("mqtt"):
            yield missing
        else:
            from edge.doctor.link_mqtt import check_mqtt  # needs its package

            yield from check_mqtt(settings.mqtt)
    else:
        yield good("mqtt", "off ([mqtt] host)")
    if settings.metrics.listen:
        yield _check_metrics(settings.metrics.listen)
    else:
        yield good("metrics", "off ([metrics] listen)")
    if settings.page.listen:
        yield from _check_page(settings.page)
    else:
        yield good("page", "off ([page] listen)")


def _check_socket(sockets: Sequence[Path]) -> Finding:
    """Check whether the daemon tells its events."""
    try:
        with Subscription(sockets) as subscription:
            status = subscription.next(ANSWER_S) or {}
            return good("edge", f"edge {status.get('version', '')} answers at {subscription.path}")
    except NotRunning as error:
        return fault("edge", "it is not running here", str(error).partition(": ")[2] or "start it")
    except ControlError as error:
        return fault("edge", str(error))


def _missing(part: str) -> Finding | None:
    module, package = _PACKAGES[part]
    if is_installed(module):
        return None
    return fault(part, f"{package} is not installed", how_to_get(module))


def _check_metrics(listen: str) -> Finding:
    if missing := _missing("metrics"):
        return missing
    host, port = address_of(listen)
    try:
        server = HttpServer(listen, {})
    except LinkError as error:
        # perhaps it is the link itself that has the port
        if b"\nedge_up " in _served(url := f"http://{_asked(host)}:{port}/metrics"):
            return good("metrics", f"the running link serves them at {url}")
        what, _, advice = str(error).partition("; ")
        return fault("metrics", what, advice)
    server.stop()
    who = "this machine alone can read them" if is_loopback(host) else "everyone in its network can read them"
    return good("metrics", f"port {port} of {bracketed(host)} is free; {who}")


def _check_page(settings: PageSettings) -> Iterator[Finding]:
    """Check the port, the token and the certificate of the page."""
    host, port = address_of(settings.listen)
    try:
        server = HttpServer(settings.listen, {})
    except LinkError as error:
        scheme = "https" if settings.cert_file else "http"
        if b"<title>edge</title>" in _served(url := f"{scheme}://{_asked(host)}:{port}/"):
            yield good("page", f"the running link serves it at {url}")
        else:
            what, _, advice = str(error).partition("; ")
            yield fault("page", what, advice)
    else:
        server.stop()
        who = "this machine alone can open it" if is_loopback(host) else "your network can open it, with the token"
        yield good("page", f"port {port} of {bracketed(host)} is free; {who}")
    if missing := _missing("page"):
        yield missing
    if settings.cert_file:
        yield from _check_certificate(settings)
    elif not is_loopback(host):
        advice = "set cert_file in [page], or let a reverse proxy do it (docs/page.md)"
        yield warning("page", "the token and the picture cross your network unencrypted", advice)
    try:
        tokens.read(tokens.path_to_show(settings.token_file))
    except LinkError as error:
        what, _, advice = str(error).rpartition(": ")
        yield warning("page", what, advice)


def _check_certificate(settings: PageSettings) -> Iterator[Finding]:
    try:
        server = tls_of(settings)
    except LinkError as error:
        yield fault("page", str(error), "")
        return
    assert server is not None
    try:
        left_s = _ends_s(server, settings.cert_file) - time.time()
    except ssl.SSLCertVerificationError as error:
        advice = "renew it; then `sudo systemctl restart edge-link`"
        yield fault("page", f"{settings.cert_file}: {error.verify_message}", advice)
        return
    if left_s < SOON_S:
        what = f"{settings.cert_file} expires in {left_s / 86400:.0f} days"
        yield warning("page", what, "renew it; then `sudo systemctl restart edge-link`")


def _ends_s(server_tls: ssl.SSLContext, cert_file: str) -> float:
    """Return when the page's certificate expires, in seconds since 1970. Raises SSLCertVerificationError if it has.

    The library reads a certificate only of a peer that it trusts: so one handshake in memory, with a client that trusts
    this certificate.
    """
    trusts = ssl.create_default_context(cafile=cert_file)
    trusts.check_hostname = False
    trusts.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusts.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as people make them (edge/link/mqtt/connection.py)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusts.wrap_bio(back, there)
    server = server_tls.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = client.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(found["notAfter"]))


def _asked(host: str) -> str:
    """Return the address at which this machine asks a server that listens at `host`."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))


def _served(url: str) -> bytes:
    """Return what is served at a URL of this machine; nothing if there is no answer. No certificate is checked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S, context=context) as answer:
            return bytes(answer.read(1 << 20))
    except (OSError, ValueError, http.client.HTTPException):
        return b""
