"""What `edge link --token` prints: the token, the page's addresses, and a QR code that opens it."""

import io
import socket

from edge.link.page.access import names_of_machine
from edge.link.settings import PageSettings, address_of, bracketed, is_loopback

_TEST_NET = ("192.0.2.1", 9)
"""An address to which no route but the default one leads (RFC 5737). No packet is sent to it."""


def addresses(settings: PageSettings) -> list[str]:
    """Return the addresses of the page; the first is the one for a phone."""
    if settings.url:
        return [settings.url if settings.url.endswith("/") else f"{settings.url}/"]
    host, port = address_of(settings.listen)
    scheme = "https" if settings.cert_file else "http"
    if host not in ("0.0.0.0", "::"):
        names = [bracketed(host)]
    else:
        # a phone may know no .local; a certificate may know no address
        names = [_own_address(), names_of_machine()[1]]
        names = names[::-1] if settings.cert_file else names
    return [f"{scheme}://{name}:{port}/" for name in names if name]


def invitation(settings: PageSettings, token: str, *, with_code: bool) -> str:
    """Return the text for a person; `with_code` adds the QR code, for a terminal."""
    urls = addresses(settings)
    # what follows the # stays in the browser: it is in no log, also not in one of a reverse proxy
    lines = [f"{urls[0]}#{token}", "", f"token    {token}", *(f"page     {url}" for url in urls)]
    if not settings.url and is_loopback(address_of(settings.listen)[0]):
        lines.append('This machine alone can open it. For your network: listen = "0.0.0.0:8417" in [page].')
    text = "\n".join(lines) + "\n"
    return f"{code(f'{urls[0]}#{token}')}\n{text}" if with_code else text


def code(text: str) -> str:
    """Return a QR code for a terminal, in its own colours: black on white, two rows of modules a line."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return "".join(f"\033[97;40m{line}\033[0m\n" for line in drawn.getvalue().splitlines())


def _own_address() -> str:
    """Return this machine's address in its network; empty if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_TEST_NET)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
