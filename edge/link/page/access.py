"""Who may use the page: the token, the cookie, the hosts and origins that are allowed. Pure: time is an argument."""

import hashlib
import hmac
import ipaddress
import socket
from collections import OrderedDict
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from edge.link.page.tokens import bare

COOKIE = "edge_page"
COOKIE_S = 180 * 86400
FREE_TRIES = 5
"""Wrong tokens that a client may give before it has to wait."""
TRY_EVERY_S = 10.0
"""After them, one more each time."""
MOST_CLIENTS = 256
"""Clients whose wrong tokens are remembered; the oldest are forgotten."""


class Access:
    """Judges requests. Several threads may use it: all but `wrong tokens` is constant."""

    def __init__(self, token: str, url: str = "", names: tuple[str, ...] = ()) -> None:
        """Take the token. `url` is the page's address at a reverse proxy; `names` are names of this machine."""
        self._token = bare(token).encode()
        self._cookie = hmac.new(self._token, b"edge page", hashlib.sha256).hexdigest()
        self._names = {"localhost", *(name.lower() for name in names)}
        if host := urlsplit(url).hostname:
            self._names.add(host)
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tries that a client has left, and since when, by its address."""

    def is_host_allowed(self, host: str) -> bool:
        """Return True if a header `Host` names this machine.

        A page of another site can let its own name point here (DNS rebinding). Its requests then have that name. An
        address needs no name, so it cannot be misused like this.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            urlsplit(f"//{host}").port  # noqa: B018 - raises ValueError if it is no port
        except ValueError:
            return False
        if any(letter in host for letter in "/?#@\\"):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def is_same_origin(self, headers: Message) -> bool:
        """Return True if a browser says that the request comes from this page itself.

        A request that changes something needs it: a cookie alone is sent by other pages of the same host too.
        """
        site = headers.get("Sec-Fetch-Site")
        if site is not None and site != "same-origin":
            return False
        origin = headers.get("Origin")
        if origin is None:
            return site is not None
        try:
            # the scheme differs behind a reverse proxy that does the TLS
            return urlsplit(origin).netloc.lower() == headers.get("Host", "").lower() != ""
        except ValueError:
            return False

    def is_foreign(self, headers: Message) -> bool:
        """Return True if a browser says that another site asks."""
        return headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")

    def has_cookie(self, headers: Message) -> bool:
        """Return True if the request has the cookie."""
        try:
            cookies = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            return False
        morsel = cookies.get(COOKIE)
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._cookie.encode())

    def cookie(self, *, secure: bool) -> str:
        """Return the header `Set-Cookie` for a client that has given the token. `secure`: for TLS alone."""
        return f"{COOKIE}={self._cookie}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict" + "; Secure" * secure

    def wait_s(self, client: str, now_s: float) -> float:
        """Return how long a client must wait before its next try; 0: not at all."""
        left = self._left(client, now_s)
        return 0.0 if left >= 1 else (1 - left) * TRY_EVERY_S

    def is_token(self, client: str, text: str, now_s: float) -> bool:
        """Return True if `text` is the token; count a wrong one. Ask `wait_s` before."""
        if hmac.compare_digest(bare(text).encode("utf-8", "replace"), self._token):
            return True
        key = _network_of(client)
        self._tries[key] = (self._left(client, now_s) - 1, now_s)
        self._tries.move_to_end(key)
        while len(self._tries) > MOST_CLIENTS:
            self._tries.popitem(last=False)
        return False

    def _left(self, client: str, now_s: float) -> float:
        left, since_s = self._tries.get(_network_of(client), (FREE_TRIES, now_s))
        return min(FREE_TRIES, left + (now_s - since_s) / TRY_EVERY_S)


def cleared() -> str:
    """Return the header `Set-Cookie` that removes the cookie."""
    return f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"


def names_of_machine() -> tuple[str, ...]:
    """Return the names by which this machine is known in its network: its host name, and the one of mDNS."""
    name = socket.gethostname()
    return name, f"{name.partition('.')[0]}.local"


def _network_of(client: str) -> str:
    """Return the address, or the /64 of an IPv6 address: one machine has all addresses of it."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if address.version == 4:
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
