"""One MQTT connection after another: the only gateway module that imports paho.

Every connection is a client of its own that starts clean; what it has not carried is forgotten with it, for the outbox is the
session. paho's thread only passes on what it learns. Nothing here knows what a message means.
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Settings
from gateway.identity import NO_TIME_CHECK
from vitals.envelope import MAX_BYTES_SENT
from vitals.errors import UnavailableError

KEEPALIVE_S: Final = 30
CONNECT_S: Final = 20.0
MAX_QUEUED: Final = 64
"""Messages that a broker may leave unanswered; then nothing more is given to it. At most 1 MiB, a gateway needs about ten."""
LEAST_BYTES: Final = 4096
"""A broker that takes less a packet cannot take every honest reading: nothing is sent through it."""
LONGEST_TAKEN: Final = 64 * 1024
"""Bytes of a packet. The longest that a clinic sends is a receipt of 32 KiB; paho takes 256 MiB into memory, and a retained
message of that length would end us at every connection."""
HEARD_BOUND: Final = 256
"""Messages waiting to be looked at; more are left: a receipt comes again, and what is retained at the next connection."""
REFUSED_SO: Final = (
    "; that is how a broker refuses a certificate that is revoked or past its end: `homevigil-gateway status` says until when"
    " this box's is good"
)
"""TLS 1.3 has no word for it: the client's certificate is looked at when the client already takes the connection for open."""
_PACKET_BYTES: Final = 16
"""More than a PUBLISH has besides topic and payload."""
_BLAMING: Final = {
    "Unspecified error",
    "Malformed packet",
    "Protocol error",
    "Implementation specific error",
    "Packet too large",
    "Payload format invalid",
}
"""What a broker says when it cuts because of what we have sent. It says others when it shuts down, or another has our name."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Down:
    """The connection is gone. `is_cut`: by the far end, and maybe for what we sent; not by our own patience."""

    why: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Message:
    """Something has come."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The broker has answered message `number`, whatever it said: a hint, never a confirmation."""

    number: int


@dataclass(frozen=True, slots=True)
class _Up:
    reason: ReasonCode
    max_bytes: int | None
    thread: threading.Thread


Event = Down | Message | Answered | None
"""`None`: somebody has called `Line.wake`."""


class Line:
    """One connection. Its methods are for the event loop."""

    def __init__(self, client: mqtt.Client, events: "asyncio.Queue[_Up | Event]") -> None:
        self._client, self._events = client, events
        self._max_packet_bytes = MAX_BYTES_SENT * 2
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Let `next_events` return."""
        self._events.put_nowait(None)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand a message over at QoS 1; its number, or None if the broker has enough unanswered, or the line has just gone.

        Raises `UnavailableError` for everything else that paho may say.
        """
        published = self._client.publish(topic, payload, qos=1, retain=retain)
        if published.rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
            return published.mid
        _log.warning("not_published", topic=topic, why=mqtt.error_string(published.rc))
        if published.rc in (MQTTErrorCode.MQTT_ERR_QUEUE_SIZE, MQTTErrorCode.MQTT_ERR_NO_CONN):
            return None
        raise UnavailableError(f"not published: {mqtt.error_string(published.rc)}")

    def max_payload_bytes(self, topic: str) -> int:
        """The longest payload that this broker has said it takes on `topic`, or that a gateway ever sends."""
        return min(MAX_BYTES_SENT, self._max_packet_bytes - _PACKET_BYTES - len(topic.encode()))

    async def next_events(self, within_s: float) -> list[Event]:
        """What has happened, in order; empty if nothing has for so long."""
        try:
            async with asyncio.timeout(within_s):
                events = [await self._events.get()]
        except TimeoutError:
            is_dead = self._thread is not None and not self._thread.is_alive()
            return [Down("the thread of the connection has ended", is_cut=False)] if is_dead else []
        while not self._events.empty():
            events.append(self._events.get_nowait())
        return [event for event in events if not isinstance(event, _Up)]

    async def _until_accepted(self, where: str, advice: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                event = await self._events.get()
                while event is None:
                    event = await self._events.get()
        except TimeoutError as e:
            raise UnavailableError(f"the broker at {where} accepts the connection and says nothing") from e
        match event:
            case _Up(reason=reason, max_bytes=max_bytes, thread=thread) if not reason.is_failure:
                self._thread = thread
                self._heed(max_bytes, where)
            case _Up(reason=reason):
                raise UnavailableError(
                    f"the broker at {where} refuses us: {reason}; check user name, password, certificate"
                )
            case _:
                raise UnavailableError(f"the connection to {where} broke at once: {event}{advice}")

    def _heed(self, max_bytes: int | None, where: str) -> None:
        """Take note of the largest packet that the broker takes (MQTT 5, 3.2.2.3.6)."""
        if max_bytes is None:
            return
        if max_bytes < LEAST_BYTES:
            raise UnavailableError(f"the broker at {where} takes {max_bytes} bytes a packet: raise its max_packet_size")
        self._max_packet_bytes = max_bytes


@asynccontextmanager
async def connected(
    settings: Settings, *, topics: Iterable[str], last_words: tuple[str, bytes], is_time_known: bool = True
) -> AsyncIterator[Line]:
    """A fresh connection, accepted by the broker and subscribed to `topics`.

    `last_words` are a topic and the retained message that the world finds there when we are gone, with a goodbye or without.
    While the time is not known, the broker's certificate may be of any time; of our authority and for its name it must be.
    Raises `UnavailableError` or `OSError` with what to do about it.
    """
    where = f"{settings.mqtt_host}:{settings.mqtt_port}"
    events: asyncio.Queue[_Up | Event] = asyncio.Queue()
    tls = None if settings.mqtt_ca_file is None else _tls(settings, settings.mqtt_ca_file, is_time_known)
    client = _client(settings, tls, events, last_words)
    line = Line(client, events)
    try:
        await asyncio.to_thread(
            client.connect,
            settings.mqtt_host,
            settings.mqtt_port,
            keepalive=KEEPALIVE_S,
            clean_start=True,
            properties=_wishes(),
        )
    except OSError as e:
        if tls is not None:
            tls.close()
        raise UnavailableError(f"no broker at {where} ({e}): is it running, are address and certificates right?") from e
    is_up = False
    client.loop_start()
    try:
        await line._until_accepted(where, "" if settings.mqtt_cert_file is None else REFUSED_SO)
        is_up = True
        for topic in topics:
            client.subscribe(topic, qos=1)
        yield line
    finally:
        if is_up:
            client.publish(last_words[0], last_words[1], qos=1, retain=True)
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


def _client(
    settings: Settings, tls: "_Tls | None", events: "asyncio.Queue[_Up | Event]", last_words: tuple[str, bytes]
) -> mqtt.Client:
    client = _Client(
        CallbackAPIVersion.VERSION2, client_id=settings.id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )
    client.max_queued_messages_set(MAX_QUEUED)
    if settings.mqtt_username is not None:
        password = settings.mqtt_password
        client.username_pw_set(settings.mqtt_username, password.get_secret_value() if password else None)
    if tls is not None:
        client.tls_set_context(tls)
    client.will_set(*last_words, qos=1, retain=True)
    client.connect_timeout = CONNECT_S
    loop = asyncio.get_running_loop()
    _pass_on(
        client,
        lambda event: loop.call_soon_threadsafe(events.put_nowait, event),
        has_room=lambda: events.qsize() < HEARD_BOUND,
    )
    return client


def _wishes() -> Properties:
    """An honest broker leaves out what is longer (MQTT 5, 3.1.2.11.4)."""
    wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    wishes.MaximumPacketSize = LONGEST_TAKEN
    return wishes


class _Client(mqtt.Client):
    """Hangs up on a broker that sends more than we have said that we take, before it is in memory. paho has no setting for it."""

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > LONGEST_TAKEN:
            _log.error("packet_too_long", bytes=bufsize, advice="the broker does not keep to MQTT 5; who runs it?")
            raise ConnectionError(f"the broker sends a packet of {bufsize} bytes")
        return super()._sock_recv(bufsize)


def _pass_on(client: mqtt.Client, put: Callable[[_Up | Event], object], *, has_room: Callable[[], bool]) -> None:
    """Hand what paho's thread learns to the event loop; nothing else happens in that thread."""

    def connected(_: object, __: Any, ___: object, reason: ReasonCode, said: Properties | None) -> None:
        put(_Up(reason, getattr(said, "MaximumPacketSize", None), threading.current_thread()))

    def disconnected(_: object, __: Any, flags: mqtt.DisconnectFlags, reason: ReasonCode, ___: object) -> None:
        is_cut = reason.getName() in _BLAMING if flags.is_disconnect_packet_from_server else not _is_ours(reason)
        put(Down(str(reason), is_cut))

    def came(_: object, __: Any, message: mqtt.MQTTMessage) -> None:
        if has_room():
            put(Message(message.topic, bytes(message.payload)))

    def puback(_: object, __: Any, number: int, reason: ReasonCode, ___: object) -> None:
        if reason.is_failure:  # a hint only; the row stays on its way until a receipt or a resend
            advice = "check the broker's access list for this gateway"
            _log.warning("publish_refused", reason=str(reason), advice=advice)
        put(Answered(number))

    def failed(_: object, __: Any) -> None:
        put(Down("no connection", is_cut=False))

    client.on_connect = connected
    client.on_connect_fail = failed
    client.on_disconnect = disconnected
    client.on_message = came
    client.on_publish = puback


def _is_ours(reason: ReasonCode) -> bool:
    """Whether we ended it ourselves: told to, or because the broker had been silent for longer than the keepalive."""
    return reason.getName() in ("Normal disconnection", "Success", "Keep alive timeout")


class _Tls(ssl.SSLContext):
    """Remembers its one socket: paho does not close it when the other end's certificate is not right."""

    _socket: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self._socket = super().wrap_socket(*args, **kwargs)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def _tls(settings: Settings, authority: Path, is_time_known: bool) -> _Tls:
    context = _Tls(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name of the other end
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = ssl.create_default_context(cafile=authority).verify_flags  # as strict as this Python is
    if not is_time_known:
        context.verify_flags |= NO_TIME_CHECK
    context.load_verify_locations(authority)
    if settings.mqtt_cert_file is not None and settings.mqtt_key_file is not None:
        context.load_cert_chain(settings.mqtt_cert_file, settings.mqtt_key_file)
    return context
