"""One connection with a broker: the only place that knows paho-mqtt. For one thread.

paho's own threads and its queues are not used: a connection that is lost takes nothing into the next one.
"""

import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.errors import ConfigError, LinkError, one_line, os_reason
from edge.host.clock import local_time
from edge.link.settings import MqttSettings, bracketed

KEEPALIVE_S = 15
"""The broker is asked for a sign of life after this time, and given up after as much again."""
CONNECT_S = 5.0
"""How long a broker may take to connect, for the handshake, and to accept."""
UNSENT_S = 10.0
"""A connection is dead if the other side does not confirm what was sent for this time (tcp(7), TCP_USER_TIMEOUT)."""
LARGEST_PACKET = 65536
"""Largest packet in bytes that a broker may send. Only MQTT 5 can ask a broker to keep to that."""
CONFIRM_S = 30.0
"""A broker that confirms nothing for this time, though something is in flight, is given up."""
MOST_IN_FLIGHT = 8
"""Messages that the broker has not acknowledged, at most."""
CREDENTIAL = "mqtt-password"
"""Name of the systemd credential with the password."""


@dataclass(frozen=True)
class Message:
    """A message from the broker."""

    topic: str
    payload: bytes
    retained: bool


def uses_tls(settings: MqttSettings) -> bool:
    """Return True if the connection is encrypted."""
    return settings.tls or bool(settings.ca_file or settings.cert_file)


def address_of(settings: MqttSettings) -> tuple[str, int]:
    """Return the broker's host and port."""
    return settings.host, settings.port or (8883 if uses_tls(settings) else 1883)


def password_of(settings: MqttSettings) -> str | None:
    """Return the password; None if there is none. Raises ConfigError if its file cannot be used."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if settings.password_file:
        path = Path(settings.password_file)
    elif settings.user and folder and (Path(folder) / CREDENTIAL).exists():
        path = Path(folder) / CREDENTIAL
    else:
        return None
    try:
        password = path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise ConfigError(f"[mqtt] password_file = {str(path)!r}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"[mqtt] password_file = {str(path)!r} is not text in UTF-8") from error
    if not password:
        raise ConfigError(f"[mqtt] password_file = {str(path)!r}: its first line is empty")
    if not settings.user:
        raise ConfigError("[mqtt] password_file is set, but no user: a password needs one")
    return password


def tls_of(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return how to encrypt and whom to trust; None without TLS. Raises ConfigError if a file cannot be used."""
    if not uses_tls(settings):
        if settings.key_file:
            raise ConfigError("[mqtt] key_file is set, but no cert_file: a key needs its certificate")
        return None
    key, path = "ca_file", settings.ca_file
    try:
        context = ssl.create_default_context(cafile=path or None)
        if path:
            # Python 3.13 refuses most authorities that people make themselves: their certificates name no key usage
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if settings.cert_file:
            key, path = "cert_file", settings.cert_file
            # a key with a password must not ask for it on the terminal
            context.load_cert_chain(path, settings.key_file or None, password=lambda: "")
    except ssl.SSLError as error:
        what = f"{path!r}: not a certificate in PEM format" if key == "ca_file" else f"{path!r} and its key do not fit"
        raise ConfigError(f"[mqtt] {key} = {what} ({error.reason or one_line(error)})") from error
    except (OSError, ValueError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else one_line(error)
        raise ConfigError(f"[mqtt] {key} = {path!r}: {reason}") from error
    return context


def _remembering(context: ssl.SSLContext, made: list[ssl.SSLSocket]) -> ssl.SSLContext:
    """Return the context, which adds each socket that it makes to `made`."""
    wrap = context.wrap_socket

    def wrap_socket(*arguments: Any, **options: Any) -> ssl.SSLSocket:
        made.append(wrap(*arguments, **options))
        return made[-1]

    context.wrap_socket = wrap_socket  # type: ignore[method-assign]
    return context


class Connection:
    """A connection, from `open` to `close`; every method raises LinkError when it is lost."""

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        on_message: Callable[[Message], None],
        *,
        will: tuple[str, bytes] | None = None,
        modern: bool = True,
        confirm_s: float = CONFIRM_S,
    ) -> None:
        """Prepare. `will` is a (topic, payload) that the broker retains when the connection is lost.

        With `modern` it speaks MQTT 5, else MQTT 3.1.1. The broker may take `confirm_s` to confirm a message. Raises
        ConfigError if a file of the settings cannot be used.
        """
        self._host, self._port = address_of(settings)
        self.modern = modern
        self.is_unsupported = False
        """True after `open` has failed because the broker may not know MQTT 5."""
        self._on_message = on_message
        self._accepted = False
        self._reason = ""
        self._confirm_s = confirm_s
        self._confirmed_s = 0.0
        """Time since which the broker has confirmed nothing."""
        self._topics: dict[int, str] = {}
        """What is in flight, by paho's numbers."""
        self._refused: list[str] = []
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311,
            clean_session=None if modern else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client._sock_recv = self._not_too_large(client._sock_recv)  # type: ignore[method-assign, assignment]
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_message, client.on_publish = self._received, self._published
        client.on_subscribe, client.on_log = self._subscribed, self._logged
        password = password_of(settings)
        self._lacks_password = bool(settings.user) and password is None
        if settings.user:
            client.username_pw_set(settings.user, password)
        self._unfinished: list[ssl.SSLSocket] = []
        """Sockets of TLS; paho does not close one whose handshake fails."""
        if (context := tls_of(settings)) is not None:
            client.tls_set_context(_remembering(context, self._unfinished))
        if will is not None:
            client.will_set(will[0], will[1], qos=1, retain=True)

    @property
    def in_flight(self) -> int:
        """Number of messages that the broker has not acknowledged yet."""
        return len(self._topics)

    def open(self) -> None:
        """Connect, and wait until the broker has accepted. Raises LinkError with the reason if it does not."""
        properties = None
        if self.modern:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = LARGEST_PACKET
        try:
            self._client.connect(self._host, self._port, KEEPALIVE_S, properties=properties)
        except (OSError, ValueError) as error:
            self.drop()
            raise LinkError(f"{self}: {self._reason_of(error)}") from error
        if isinstance(sock := self._client.socket(), socket.socket):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * UNSENT_S))
        until_s = time.monotonic() + CONNECT_S
        while not self._accepted:
            if time.monotonic() > until_s:
                self.drop()
                raise LinkError(f"{self}: connected, but it does not answer; is an MQTT broker there?")
            try:
                self.turn(0.1)
            except LinkError:
                # a broker that knows only the older MQTT may just close the connection
                self.is_unsupported = self.modern and self._reason in ("", "Unsupported protocol version")
                raise

    def subscribe(self, commands: str, others: Sequence[str]) -> None:
        """Subscribe to the topic of commands, without those that are retained, and to other topics with them."""
        if self.modern:
            fresh = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            others_too = SubscribeOptions(qos=1, noLocal=True)
            topics: list[tuple[str, Any]] = [(commands, fresh), *((one, others_too) for one in others)]
        else:
            topics = [(one, 1) for one in (commands, *others)]
        for topic, options in topics:
            with self._lost_if_it_fails():
                _code, number = (
                    self._client.subscribe(topic, options=options)
                    if self.modern
                    else self._client.subscribe(topic, options)
                )
            if number is not None:
                self._note(number, topic)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send a message; there should be fewer than MOST_IN_FLIGHT in flight."""
        with self._lost_if_it_fails():
            info = self._client.publish(topic, payload, qos=1, retain=retain)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and not info.is_published():
                self._note(info.mid, topic)

    def _note(self, number: int, topic: str) -> None:
        if not self._topics:
            self._confirmed_s = time.monotonic()
        self._topics[number] = topic

    def turn(self, timeout_s: float, *wakers: socket.socket) -> None:
        """Read and write what is due; return when something was done, a waker can be read, or the time is over."""
        with self._lost_if_it_fails():
            client = self._client
            if (sock := client.socket()) is not None:
                writers = [sock] if client.want_write() else []
                # what TLS has decrypted already, select does not see. It is read in this turn and the next ones, not in
                # a loop here: a flood would never let it end
                is_decrypted = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
                wait_s = 0.0 if is_decrypted else timeout_s
                readable, writable, _ = select.select([sock, *wakers], writers, [], wait_s)
                if writable:
                    client.loop_write()
                if sock in readable or is_decrypted:
                    client.loop_read()
                client.loop_misc()
        if self._topics and time.monotonic() - self._confirmed_s > self._confirm_s:
            raise LinkError(f"{self}: it confirms nothing any more")

    def take_refused(self) -> list[str]:
        """Return what the broker has refused since the last call: 'edge/kitchen/state: Not authorized'."""
        refused, self._refused = self._refused, []
        return refused

    def close(self) -> None:
        """Say good-bye, so that the broker does not publish the will; wait a moment until that is sent."""
        with contextlib.suppress(LinkError):
            with self._lost_if_it_fails():
                self._client.disconnect()
            until_s = time.monotonic() + 0.3
            while self._client.want_write() and time.monotonic() < until_s:
                self.turn(0.05)
        self.drop()

    def drop(self) -> None:
        """Close the connection at once; the broker publishes the will."""
        for sock in (self._client.socket(), *self._unfinished):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()

    def __str__(self) -> str:
        return f"MQTT broker {bracketed(self._host)}:{self._port}"

    # ---- paho's callbacks

    def _connected(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._reason = str(code)
        else:
            self._accepted = True

    def _disconnected(self, _client: Client, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = str(code)

    def _received(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._on_message(Message(message.topic, bytes(message.payload), bool(message.retain)))

    def _published(self, _client: Client, _data: Any, number: int, code: Any, _properties: Any) -> None:
        self._confirmed_s = time.monotonic()
        topic = self._topics.pop(number, "")
        if topic and code.is_failure:
            self._refused.append(f"{topic}: {code}")

    def _subscribed(self, _client: Client, _data: Any, number: int, codes: Any, _properties: Any) -> None:
        self._confirmed_s = time.monotonic()
        topic = self._topics.pop(number, "")
        self._refused += [f"{topic}: {code}" for code in codes if code.is_failure]

    def _logged(self, _client: Client, _data: Any, level: int, text: str) -> None:
        # the only place that has what TLS says after the handshake, such as that the broker wants a certificate
        if level == LogLevel.MQTT_LOG_ERR and not self._reason:
            self._reason = text.removeprefix("failed to receive on socket: ")

    def _not_too_large(self, receive: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return paho's function that reads bytes, but for a packet that is too large: then it raises LinkError."""

        def receive_some(size: int) -> bytes:
            if size > LARGEST_PACKET:
                raise LinkError(
                    f"{self}: it sends a message of {size} bytes; at most {LARGEST_PACKET} are read. If one is "
                    "retained in edge/NODE/cmd/..., delete it there"
                )
            return receive(size)

        return receive_some

    # ---- reasons

    @contextlib.contextmanager
    def _lost_if_it_fails(self) -> Iterator[None]:
        """Raise LinkError if the connection is closed after the block, or if paho cannot read what has come."""
        try:
            yield
        except LinkError:
            raise
        except Exception as error:
            # paho raises what it likes about packets that are none
            self.drop()
            raise LinkError(f"{self}: what it sent is not MQTT ({type(error).__name__}: {one_line(error)})") from error
        if self._client.socket() is None:
            raise LinkError(f"{self}: {self._closed()}")

    def _closed(self) -> str:
        if self._lacks_password and self._reason in _NOT_LET_IN:
            return (
                "it does not let this user in without a password; set password_file in [mqtt] (a systemd credential is "
                "only for the service: see docs/service.md)"
            )
        if known := _REFUSALS.get(self._reason):
            return known
        if "CERTIFICATE_REQUIRED" in self._reason.upper().replace(" ", "_"):
            return "it asks for a client certificate; set cert_file in [mqtt]"
        if not self._accepted:
            return f"it refuses the connection{f' ({self._reason})' if self._reason else ''}"
        return f"it closed the connection{f' ({self._reason})' if self._reason else ''}"

    def _reason_of(self, error: OSError | ValueError) -> str:
        """Return why no connection could be made, and what to do."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return _certificate_fault(error, self._host)
        if isinstance(error, ssl.SSLError):
            if error.reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"):
                return f"there is no TLS at port {self._port}; see tls and port in [mqtt]"
            return f"no TLS connection ({error.reason or one_line(error)})"
        if isinstance(error, socket.gaierror):
            return "this name is unknown; is the network up, and host in [mqtt] right?"
        if isinstance(error, ConnectionRefusedError):
            return "nothing listens there; is the broker running, and port in [mqtt] right?"
        if isinstance(error, ConnectionResetError) and self._client._ssl:
            return f"it closed the connection in the handshake; is TLS at port {self._port}?"
        if isinstance(error, TimeoutError):
            return "it does not answer"
        return os_reason(error) if isinstance(error, OSError) else one_line(error)


_NOT_LET_IN = ("Bad user name or password", "Not authorized")
_REFUSALS = {
    "Bad user name or password": "it refuses the user name or the password; see user and password_file in [mqtt]",
    "Not authorized": "it does not let this user in; see user and password_file in [mqtt]",
    "Unsupported protocol version": "it does not know this version of MQTT",
    "Session taken over": "another program has connected with the same id; does a second edge link run?",
}
_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""Numbers of OpenSSL's X509_V_ERR_* (x509_vfy.h)."""


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str) -> str:
    now = f"this machine's clock says {local_time():%Y-%m-%d %H:%M}"
    if error.verify_code == _EXPIRED:
        return f"its certificate has expired: renew it ({now})"
    if error.verify_code == _NOT_YET_VALID:
        return f"its certificate is not valid yet: is the clock right? ({now})"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"its certificate is not for {host!r}; set host in [mqtt] to a name that the certificate has"
    return f"its certificate is not trusted ({error.verify_message}); set ca_file in [mqtt] to its authority's"
