"""What is said and heard over one connection with the broker: first who else has the node, then the state."""

import json
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edge.errors import LinkError
from edge.link.mqtt.connection import MOST_IN_FLIGHT, Connection, Message
from edge.link.mqtt.discovery import discovery_of
from edge.link.mqtt.names import OFFLINE, ONLINE, Names
from edge.link.mqtt.payload import encoded, settled, state_of
from edge.link.state import LinkState

_log = logging.getLogger(__name__)
LISTEN_S = 0.4
"""How long the session listens for another edge of the same node, after the broker has confirmed the subscriptions."""
STATE_EVERY_S = 1.0
"""The state is published at most this often."""
BIRTH_EVERY_S = 5.0
"""Everything is published once more at most this often, when Home Assistant comes back or another edge was heard."""
MOST_EVENTS = 10
"""Announcements that wait for the broker; older ones are dropped."""
LATE_S = 5.0
"""An announcement that has waited this long is dropped: what it tells is no longer true."""


class Clash(LinkError):  # noqa: N818 - it is a state
    """Another edge is online under this node."""


class Session:
    """One connection, and what was published over it. For one thread; others may add to `events`."""

    def __init__(self, connection: Connection, names: Names, events: deque[tuple[float, bytes]]) -> None:
        """Begin to listen. `events` has announcements: (time.monotonic(), payload). Raises LinkError."""
        self._connection = connection
        self._names = names
        self._events = events
        self._published: dict[str, bytes] = {}
        """The last payload of each retained topic."""
        self._facts: dict[str, Any] | None = None
        """The last state that was published."""
        self._state_s = self._born_s = 0.0
        self._again_s: float | None = None
        self._listen_until_s: float | None = None
        self._other, self._other_is_online = "", False
        self._warned = False
        self.is_online = False
        """True once this edge has the node."""
        events.clear()
        watched = [names.state, names.availability, *([names.birth] if names.birth else [])]
        connection.subscribe(names.command("+"), watched)

    def turn(self, state: LinkState, now_s: float) -> float:
        """Publish what is due; return the time until something may be due again. Raises LinkError and Clash."""
        if not self.is_online:
            return self._listen(now_s)
        if self._again_s is not None and now_s >= self._again_s:
            self._again_s, self._born_s = None, now_s
            self._published.clear()
        due_s = self._publish(state, now_s)
        if self._again_s is not None:
            due_s = min(due_s, self._again_s - now_s)
        return max(0.0, due_s)

    def _listen(self, now_s: float) -> float:
        if self._listen_until_s is None:
            if self._connection.in_flight:
                return 1.0
            self._listen_until_s = now_s + LISTEN_S
        if now_s < self._listen_until_s:
            return self._listen_until_s - now_s
        if self._other and self._other_is_online:
            raise Clash(self._clash())
        if self._other:
            _log.info(f"The node {self._names.node!r} belonged to another edge ({self._other}), which is offline.")
        self.is_online = True
        return 0.0

    def _publish(self, state: LinkState, now_s: float) -> float:
        """Publish until too much is in flight; return the time until more may be due."""
        names = self._names
        due_s = 1.0
        wanted: list[tuple[str, bytes]] = []
        if names.config:
            wanted.append((names.config, encoded(discovery_of(names))))
        if state.ready:
            facts = settled(self._facts, state_of(state, names))
            if facts == self._facts or now_s - self._state_s >= STATE_EVERY_S or names.state not in self._published:
                wanted.append((names.state, encoded(facts)))
                wanted.append((names.availability, ONLINE.encode()))  # after it: who reads `online` finds the state
            else:
                due_s = self._state_s + STATE_EVERY_S - now_s
        else:
            wanted.append((names.availability, OFFLINE.encode()))
        for topic, payload in wanted:
            if self._published.get(topic) == payload:
                continue
            if self._connection.in_flight >= MOST_IN_FLIGHT:
                return 1.0
            self._connection.publish(topic, payload, retain=True)
            self._published[topic] = payload
            if topic == names.state:
                self._facts, self._state_s = json.loads(payload), now_s
        while self._events and self._connection.in_flight < MOST_IN_FLIGHT:
            happened_s, payload = self._events.popleft()
            if now_s - happened_s < LATE_S:
                self._connection.publish(names.announced, payload, retain=False)
        return due_s

    def hear(self, message: Message, on_command: Callable[[str, bytes], None]) -> None:
        """Take a message from the broker; commands for this edge go to `on_command`, but none that is retained.

        Raises Clash.
        """
        names = self._names
        commands = names.command("")
        if message.topic.startswith(commands):
            # a retained command would come again with each connection, and until this edge has the node, a command is
            # for another one
            if not message.retained and self.is_online:
                on_command(message.topic.removeprefix(commands), message.payload)
        elif message.topic == names.birth:
            if message.payload == ONLINE.encode():
                # not all edges of a home at the same moment
                self._say_again(random.uniform(0.1, 1.0))
        elif message.topic == names.availability:
            if message.retained:
                self._other_is_online = message.payload == ONLINE.encode()
            elif message.payload == OFFLINE.encode() and self._published.get(names.availability) == ONLINE.encode():
                # perhaps the last will of another edge, which was killed while it waited for the node
                self._say_again()
        elif message.topic == names.state:
            self._compare(message)

    def _say_again(self, after_s: float = 0.0) -> None:
        """Publish everything once more, after this time at the earliest."""
        if self._again_s is None and self.is_online:
            self._again_s = max(time.monotonic() + after_s, self._born_s + BIRTH_EVERY_S)

    def _compare(self, message: Message) -> None:
        """Look whose state this is. Of two edges that have a node at the same time, the smaller id keeps it."""
        other = id_in(message.payload)
        if not other or other == self._names.id:
            return
        self._other = other
        if message.retained or not self.is_online:
            return
        if other < self._names.id:
            raise Clash(self._clash())
        # the broker has the other one's state now
        self._say_again()
        if not self._warned:
            self._warned = True
            _log.warning(self._clash(), extra={"event": "mqtt_clash", "reason": self._clash()})

    def _clash(self) -> str:
        return (
            f"another edge ({self._other}) is online as {self._names.node!r} at this broker; give one of the two "
            "another node in [mqtt]. If the other is gone for good: edge link --forget"
        )

    def good_bye(self) -> None:
        """Publish that this edge is offline, and wait a moment for the broker. Raises LinkError."""
        if not self.is_online:
            return
        self._connection.publish(self._names.availability, OFFLINE.encode(), retain=True)
        until_s = time.monotonic() + 0.5
        while self._connection.in_flight and time.monotonic() < until_s:
            self._connection.turn(0.05)


def id_in(payload: bytes) -> str:
    """Return the id of the edge whose state this is, or '' if it is not a state."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= 64 and found.isalnum() else ""
