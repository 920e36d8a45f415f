"""What this edge is called at the broker: its node, its id, and its topics."""

import hashlib
import hmac
import socket
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError
from edge.link.settings import NODE, MqttSettings

MACHINE_ID = Path("/etc/machine-id")
_APPLICATION = b"edge link mqtt"
"""The id is of this machine and this application: machine-id(5) asks not to publish the machine's id itself."""
STATUS, STATE, AVAILABILITY, ANNOUNCED, COMMANDS = "status", "state", "availability", "announced", "cmd"
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Names:
    """The names of one edge at a broker."""

    node: str
    id: str
    """12 hexadecimal digits: the same after a restart; another on another machine, and for another node."""
    device_name: str
    discovery: str
    """Home Assistant's topic prefix; empty: no discovery."""

    @property
    def state(self) -> str:
        """Topic of the state (retained JSON)."""
        return f"edge/{self.node}/{STATE}"

    @property
    def availability(self) -> str:
        """Topic of `online` and `offline` (retained; `offline` is the last will)."""
        return f"edge/{self.node}/{AVAILABILITY}"

    @property
    def announced(self) -> str:
        """Topic of the announcements (not retained)."""
        return f"edge/{self.node}/{ANNOUNCED}"

    def command(self, name: str) -> str:
        """Return the topic of a command; '+' for all of them."""
        return f"edge/{self.node}/{COMMANDS}/{name}"

    @property
    def device(self) -> str:
        """Home Assistant's id of the device."""
        return f"edge_{self.id}"

    @property
    def config(self) -> str:
        """Topic of the device discovery; empty if there is none."""
        return f"{self.discovery}/device/{self.device}/config" if self.discovery else ""

    @property
    def birth(self) -> str:
        """Topic on which Home Assistant says that it is online; empty if there is no discovery."""
        return f"{self.discovery}/{STATUS}" if self.discovery else ""


def names_of(settings: MqttSettings, host_name: str | None = None, machine_id: Path = MACHINE_ID) -> Names:
    """Return the names by the settings. Raises ConfigError if the machine's name cannot be a node."""
    node = settings.node
    if not node:
        node = (socket.gethostname() if host_name is None else host_name).partition(".")[0]
        if not NODE.fullmatch(node):
            raise ConfigError(
                f"[mqtt] node: the name of this machine, {node!r}, cannot be a part of a topic; set node to letters, "
                "digits, - and _"
            )
    return Names(node, _id(machine_id, node), settings.name or f"edge {node}", settings.discovery)


def _id(machine_id: Path, node: str) -> str:
    try:
        key = machine_id.read_bytes().strip()
    except OSError:
        key = b""
    # two edges on one machine are two devices
    return hmac.new(key or _APPLICATION, _APPLICATION + node.encode(), hashlib.sha256).hexdigest()[:12]
