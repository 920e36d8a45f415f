"""Removes everything that the broker keeps about this edge, and the device in Home Assistant with it."""

import time
from collections import deque

from edge.errors import LinkError
from edge.link.mqtt.connection import Connection, Message
from edge.link.mqtt.names import ONLINE, names_of
from edge.link.mqtt.session import LISTEN_S
from edge.link.settings import MqttSettings

CONFIRM_S = 5.0
"""How long the broker may take to confirm."""


def forget(settings: MqttSettings) -> str:
    """Remove the retained messages; return what was done, for people. Raises LinkError and ConfigError."""
    names = names_of(settings)
    heard: deque[Message] = deque()
    connection = open_connection(settings, f"edge-forget-{names.id}", heard)
    try:
        connection.subscribe(names.command("forget"), [names.availability])
        _confirmed(connection)
        until_s = time.monotonic() + LISTEN_S
        while (left_s := until_s - time.monotonic()) > 0:
            connection.turn(left_s)
        is_online = any(one.topic == names.availability and one.payload == ONLINE.encode() for one in heard)
        connection.take_refused()
        for topic in filter(None, (names.config, names.availability, names.state)):
            connection.publish(topic, b"", retain=True)
        _confirmed(connection)
        if refused := connection.take_refused():
            raise LinkError(f"{connection} refuses {'; '.join(refused)}")
    finally:
        connection.close()
    more = " It was online: if its link still runs, stop that and do this again." if is_online else ""
    return f"{connection}: {names.node} is forgotten.{more}"


def open_connection(settings: MqttSettings, client_id: str, heard: deque[Message]) -> Connection:
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
