"""Removes at the broker all that it keeps about this edge, and the device in Home Assistant with it."""

import time
from collections import deque

from edge.errors import LinkError
from edge.link.mqtt.connection import Connection, Message
from edge.link.mqtt.names import ONLINE, names_of
from edge.link.mqtt.session import LISTEN_S, id_in
from edge.link.settings import MqttSettings

CONFIRM_S = 5.0
"""How long the broker may take to confirm."""


def forget(settings: MqttSettings) -> str:
    """Remove the retained messages; return what was done, for people. Raises LinkError and ConfigError.

    A running link would publish them again: it is refused then.
    """
    names = names_of(settings)
    heard: deque[Message] = deque()
    connection = _open(settings, f"edge-forget-{names.id}", heard)
    try:
        connection.subscribe(names.command("forget"), [names.state, names.availability])
        _confirmed(connection)
        until_s = time.monotonic() + LISTEN_S
        while (left_s := until_s - time.monotonic()) > 0:
            connection.turn(left_s)
        kept = {message.topic: message.payload for message in heard if message.retained}
        other = id_in(kept.get(names.state, b""))
        if kept.get(names.availability) == ONLINE.encode() and other == names.id:
            raise LinkError(
                f"{connection}: the link of {names.node!r} is online, and would publish all of it again; stop it first: "
                "sudo systemctl stop edge-link"
            )
        connection.take_refused()
        for topic in filter(None, (names.config, names.availability, names.state)):
            connection.publish(topic, b"", retain=True)
        _confirmed(connection)
        if refused := connection.take_refused():
            raise LinkError(f"{connection} refuses {'; '.join(refused)}")
    finally:
        connection.close()
    return f"{connection}: {names.node} is forgotten."


def _open(settings: MqttSettings, client_id: str, heard: deque[Message]) -> Connection:
    """Return an open connection, with the older MQTT if the broker does not know the newer."""
    connection = Connection(settings, client_id, heard.append)
    try:
        connection.open()
    except LinkError:
        if not connection.is_unsupported:
            raise
        connection = Connection(settings, client_id, heard.append, modern=False)
        connection.open()
    return connection


def _confirmed(connection: Connection) -> None:
    until_s = time.monotonic() + CONFIRM_S
    while connection.in_flight:
        if time.monotonic() > until_s:
            raise LinkError(f"{connection}: it does not confirm")
        connection.turn(0.1)
