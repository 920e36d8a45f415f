"""The settings of `edge link`: one frozen dataclass for each table of link.toml.

They are a separate file, because the user of the link must not read edge.toml.
"""

import dataclasses
import ipaddress
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.config import read_tables
from edge.settings import setting

DEFAULT_PATH = Path("/etc/edge/link.toml")


NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a node may be called: it is one level of MQTT's topics, and a part of Home Assistant's ids."""


def _node_fault(text: str) -> str:
    if not text or NODE.fullmatch(text):
        return ""
    return "is no name for a node; write it with letters, digits, - and _, at most 64, as in 'kitchen'"


def _topic_fault(text: str) -> str:
    if not text or re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text):
        return ""
    return "is no topic prefix; write it as in 'homeassistant', or leave it empty for no discovery"


def _host_fault(text: str) -> str:
    if not text or re.fullmatch(r"[^\s/@]{1,253}", text):
        return ""
    return "is no host; write its name or address alone, as in 'broker.local'; the port and the user have own keys"


def address_of(listen: str) -> tuple[str, int]:
    """Return the IP address and the port of '127.0.0.1:9417' or '[::1]:9417'; 'localhost' is 127.0.0.1.

    Raises ValueError if it is something else. A host name is refused: at boot it may not be known yet.
    """
    host, _, port = listen.rpartition(":")
    if host == "localhost":
        host = "127.0.0.1"
    in_brackets = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if in_brackets else host)
    if (address.version == 6) is not in_brackets or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(listen)
    return str(address), int(port)


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address is put in brackets."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Return True for a host name or address that can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen_fault(text: str) -> str:
    try:
        valid = not text or address_of(text)[1] > 0
    except ValueError:
        valid = False
    return "" if valid else 'is no address with a port; write it as in "127.0.0.1:9417" or "[::1]:9417"'


@dataclass(frozen=True)
class MqttSettings:
    """[mqtt]: a broker that gets the state and the events, and gives commands."""

    host: str = setting("", fault=_host_fault)
    """The broker's host name or address. Empty: no MQTT."""
    port: int = setting(0, low=0, high=65535)
    """The broker's port. 0: 8883 with TLS, 1883 without."""
    tls: bool = setting(False)
    """Encrypt the connection, and check the broker's certificate and its host name. `ca_file` switches this on too."""
    ca_file: str = setting("")
    """A file with the certificates of the authorities that may sign the broker's. Empty: those that the system
    trusts."""
    cert_file: str = setting("")
    """A file with the link's own certificate, for a broker that asks for one."""
    key_file: str = setting("")
    """A file with the key of that certificate. Empty: it is in cert_file."""
    user: str = setting("")
    """The user name at the broker."""
    password_file: str = setting("")
    """A file that has the password in its first line. Empty: the systemd credential mqtt-password, if there is one."""
    node: str = setting("", fault=_node_fault)
    """The name of this edge in the topics, edge/NODE/state and so on: letters, digits, - and _. Each edge at a broker
    needs its own. Empty: the name of the machine."""
    name: str = setting("")
    """The name of the device in Home Assistant. Empty: "edge" and the node."""
    discovery: str = setting("homeassistant", fault=_topic_fault)
    """The topic prefix under which Home Assistant looks for new devices. Empty: no discovery."""


@dataclass(frozen=True)
class MetricsSettings:
    """[metrics]: the metrics for Prometheus."""

    listen: str = setting("", fault=_listen_fault)
    """Where /metrics is served, for Prometheus: an address of this machine and a port, such as "127.0.0.1:9417" (this
    machine alone can read it) or "0.0.0.0:9417" (everyone in your network can). Empty: no metrics."""


def _url_fault(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = not text or (parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.fragment)
    except ValueError:
        valid = False
    return "" if valid else 'is no address of a page; write it as in "https://edge.example.org/"'


@dataclass(frozen=True)
class PageSettings:
    """[page]: the page that shows what edge sees, for a browser."""

    listen: str = setting("", fault=_listen_fault)
    """Where the page is served: an address of this machine and a port, such as "0.0.0.0:8417" (your network can open
    it, with the token) or "127.0.0.1:8417" (this machine alone, and a reverse proxy on it). Empty: no page."""
    url: str = setting("", fault=_url_fault)
    """The page's address in your browser, if it has another name than this machine: for a reverse proxy, or for a name
    that your router gives. IP addresses and the machine's name, with and without .local, need no url."""
    token_file: str = setting("")
    """A file whose first line is the token. Empty: edge link makes one at its first start; `edge link --token` prints
    it."""
    cert_file: str = setting("")
    """A PEM file with the page's certificate and its chain. With it, the page is served by https only. Empty: no
    encryption."""
    key_file: str = setting("")
    """A file with the key of that certificate. Empty: it is in cert_file."""


@dataclass(frozen=True)
class LinkSettings:
    """All tables of link.toml."""

    mqtt: MqttSettings = MqttSettings()
    metrics: MetricsSettings = MetricsSettings()
    page: PageSettings = PageSettings()


_TABLES: dict[str, Any] = {
    f.name: typing.get_type_hints(LinkSettings)[f.name] for f in dataclasses.fields(LinkSettings)
}


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> LinkSettings:
    """Return the effective settings: defaults < file < environment (EDGE_MQTT_HOST).

    `path` None means /etc/edge/link.toml if it exists. Raises ConfigError with every fault found.
    """
    return LinkSettings(**read_tables(_TABLES, DEFAULT_PATH, path, environment))
