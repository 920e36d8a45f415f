"""Check of the link's MQTT: connect to the broker, and let a message come back."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from edge.doctor.board import check_clock
from edge.doctor.finding import Finding, fault, good, warning
from edge.errors import ConfigError, LinkError
from edge.link.mqtt.connection import Connection, Message, password_of, uses_tls
from edge.link.mqtt.forget import open_connection
from edge.link.mqtt.names import ONLINE, Names, names_of
from edge.link.mqtt.session import id_in
from edge.link.settings import MqttSettings, is_loopback

LISTEN_S = 2.0
"""How long to wait for a message to come back, and for what the broker has kept."""


def check_mqtt(settings: MqttSettings) -> Iterator[Finding]:
    """Yield the findings about the broker. Another connection than that of a running link is used."""
    heard: deque[Message] = deque()
    try:
        names = names_of(settings)
        connection = open_connection(settings, f"edge-check-{names.id}", heard)
    except ConfigError as error:
        yield fault("mqtt", str(error))
        return
    except LinkError as error:
        what, _, advice = str(error).partition("; ")
        yield fault("mqtt", what, advice)
        # a certificate is judged by the clock
        if "certificate" in what and not (clock := check_clock("")).text.startswith("synchronised"):
            advice = "`timedatectl` shows what is wrong: whether a certificate is valid depends on the clock"
            yield warning("clock", clock.text.partition(";")[0], advice)
        return
    try:
        yield good("mqtt", f"{connection} lets it in {_how(settings)}")
        if password_of(settings) and not uses_tls(settings) and not is_loopback(settings.host):
            advice = "set tls = true in [mqtt], if the broker has TLS"
            yield warning("mqtt", "the password goes over the network in clear text", advice)
        yield from _try(connection, names, heard, settings.user or "of edge")
    except LinkError as error:
        yield fault("mqtt", str(error))
    finally:
        connection.close()


def _how(settings: MqttSettings) -> str:
    known = f"as {settings.user}" if settings.user else "without a user"
    return f"{known}, {'encrypted' if uses_tls(settings) else 'not encrypted'}"


def _try(connection: Connection, names: Names, heard: deque[Message], user: str) -> Iterator[Finding]:
    """Yield whether a message comes back, whether another edge has the node, and what Home Assistant may know."""
    probe = f"edge/{names.node}/check"

    def is_back() -> bool:
        return any(message.topic == probe for message in heard)

    connection.subscribe(probe, [one for one in (names.state, names.availability, names.config, names.birth) if one])
    until_s = time.monotonic() + LISTEN_S
    _turn(connection, lambda: connection.in_flight == 0, until_s)
    connection.publish(probe, b"", retain=False)
    _turn(connection, is_back, until_s)
    advice = f"let the user {user} read and write edge/#{f' and {names.discovery}/#' if names.discovery else ''} there"
    if refused := connection.take_refused():
        yield fault("mqtt", f"the broker refuses {'; '.join(refused)}", advice)
    elif is_back():
        yield good("mqtt", f"it may write and read edge/{names.node}/...")
    else:
        yield fault("mqtt", f"a message to {probe} does not come back: the broker drops it", advice)
    kept = {message.topic: message.payload for message in heard if message.retained}
    other = id_in(kept.get(names.state, b""))
    if other and other != names.id:
        advice = "give one of the two another node in [mqtt]"
        if kept.get(names.availability) == ONLINE.encode():
            yield fault("mqtt", f"another edge ({other}) is online as {names.node!r} at this broker", advice)
        else:
            yield warning("mqtt", f"the broker still has the state of another edge ({other}) as {names.node!r}", advice)
    yield _judge_discovery(names, kept, {message.topic for message in heard})


def _turn(connection: Connection, is_done: Callable[[], bool], until_s: float) -> None:
    while not is_done() and time.monotonic() < until_s:
        connection.turn(0.05)


def _judge_discovery(names: Names, kept: dict[str, bytes], heard: set[str]) -> Finding:
    """Return the finding about Home Assistant. It confirms nothing, so this is only what the broker has."""
    if not names.config:
        return good("discovery", "off ([mqtt] discovery)")
    if not kept.get(names.config):
        what = "the broker has no description of this edge for Home Assistant"
        return warning("discovery", what, "a running link publishes it: `sudo systemctl start edge-link`")
    if names.birth in heard:
        return good("discovery", "the broker has this edge's description, and Home Assistant says that it is online")
    return warning(
        "discovery",
        f"the broker has this edge's description, but no message of Home Assistant at {names.birth}",
        "Home Assistant sends one only when it starts, unless its birth message is retained. If it does not show the "
        "device: is its MQTT integration set up, with this broker and this discovery prefix?",
    )
