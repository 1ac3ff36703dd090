"""From the outbox to the server over MQTT, and the server's receipts back: the only gateway module that imports paho.

The outbox is the session: every connection starts clean, with a client of its own, and paho's memory is never storage. A
PUBACK confirms nothing; only a receipt does. A message over the size limit is never published.
"""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Never

import msgspec
import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.config import Settings
from gateway.flights import WINDOW, Flights, pack
from gateway.outbox import Outbox
from vitals.envelope import decode_receipt
from vitals.errors import MalformedError, UnavailableError
from vitals.reading import ZoneName
from vitals.topics import Channel, Topic

KEEPALIVE_S: Final = 30
STATUS_EVERY_S: Final = 60.0
LOOK_AGAIN_S: Final = 5.0
"""How often the outbox is looked at even if nobody has called; a call can get lost with a cancelled session."""
CONNECT_S: Final = 20.0
CLOSE_S: Final = 2.0
RECONNECT: Final = Backoff(first_s=0.5, longest_s=30.0)
_MAX_CONFIG_BYTES: Final = 4096

_log = structlog.get_logger(__name__)


class RemoteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the clinic may set from afar."""

    zone: ZoneName | None = None


@dataclass(frozen=True, slots=True)
class _Up:
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class _Down:
    why: str


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes


_Event = _Up | _Down | _Message | None
"""`None`: there is something to send."""


class Uplink:
    """One gateway's connection to its broker, for as long as `run` runs.

    `describe` gives what people want to know about the box, for the status message. `on_config` gets what the clinic has set.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        outbox: Outbox,
        clock: Clock,
        describe: Callable[[], dict[str, Any]],
        on_config: Callable[[RemoteConfig], None],
    ) -> None:
        self._settings, self._outbox, self._clock = settings, outbox, clock
        self._describe, self._on_config = describe, on_config
        self._topics = {channel: str(Topic(gateway_id=settings.id, channel=channel)) for channel in Channel}
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._flights = Flights()
        self._status_due_s = 0.0
        self.is_connected = False
        self.malformed_receipts = 0
        self.alive_s = clock.since_boot_s()

    def wake(self) -> None:
        """There is something new in the outbox. From the event loop only."""
        self._events.put_nowait(None)

    async def run(self) -> Never:
        failures = 0
        while True:
            self.alive_s = self._clock.since_boot_s()
            try:
                async with self._connection() as client:
                    failures = 0
                    await self._serve(client)
            except (OSError, UnavailableError) as e:
                failures += 1
                _log.warning("uplink_failed", gateway_id=self._settings.id, why=str(e), failures=failures)
            self._flights.connection_lost()
            await asyncio.sleep(RECONNECT.delay_s(max(1, failures), random.random()))

    # -- one connection ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[mqtt.Client]:
        """A fresh client, connected and subscribed. Raises `UnavailableError` or `OSError` with what to do about it."""
        settings = self._settings
        self._events = asyncio.Queue()
        client = self._client(self._events)
        where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        try:
            await asyncio.to_thread(
                client.connect, settings.mqtt_host, settings.mqtt_port, keepalive=KEEPALIVE_S, clean_start=True
            )
        except OSError as e:
            raise UnavailableError(
                f"no broker at {where} ({e}): is it running, are address and certificates right?"
            ) from e
        client.loop_start()
        try:
            await self._until_accepted(where)
            for channel in (Channel.RECEIPTS, Channel.CONFIG):
                client.subscribe(self._topics[channel], qos=1)
            self.is_connected = True
            _log.info("uplink_connected", gateway_id=settings.id, broker=where)
            yield client
        finally:
            if self.is_connected:
                self.is_connected = False
                client.publish(self._topics[Channel.STATUS], b'{"state":"offline"}', qos=1, retain=True)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _client(self, events: "asyncio.Queue[_Event]") -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=settings.id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        if settings.mqtt_username is not None:
            password = settings.mqtt_password
            client.username_pw_set(settings.mqtt_username, password.get_secret_value() if password else None)
        if settings.mqtt_ca_file is not None:
            client.tls_set_context(_tls(settings))
        client.will_set(self._topics[Channel.STATUS], b'{"state":"offline"}', qos=1, retain=True)
        client.connect_timeout = CONNECT_S
        _pass_on(client, events, asyncio.get_running_loop())
        return client

    async def _until_accepted(self, where: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                event = await self._events.get()
                while event is None:
                    event = await self._events.get()
        except TimeoutError as e:
            raise UnavailableError(f"the broker at {where} accepts the connection and says nothing") from e
        match event:
            case _Up(reason=reason) if not reason.is_failure:
                return
            case _Up(reason=reason):
                raise UnavailableError(
                    f"the broker at {where} refuses us: {reason}; check user name, password, certificate"
                )
        raise UnavailableError(f"the connection to {where} broke at once: {event}")

    # -- sending and confirming ----------------------------------------------------------------------------------------

    async def _serve(self, client: mqtt.Client) -> None:
        self._status_due_s = 0.0
        while True:
            now_s = self.alive_s = self._clock.since_boot_s()
            await self._send_status(client, now_s)
            await self._send_readings(client, now_s)
            for event in await self._next_events():
                match event:
                    case _Down(why=why):
                        raise UnavailableError(f"the connection to the broker is gone: {why}")
                    case _Message(topic=topic, payload=payload):
                        await self._take(topic, payload)

    async def _next_events(self) -> list[_Event]:
        """What has happened; empty when it is time to look again."""
        now_s = self._clock.since_boot_s()
        resend_s = self._flights.next_due_in_s(now_s)
        pause_s = min(
            LOOK_AGAIN_S, max(0.0, self._status_due_s - now_s), LOOK_AGAIN_S if resend_s is None else resend_s
        )
        try:
            async with asyncio.timeout(pause_s):
                events = [await self._events.get()]
        except TimeoutError:
            return []
        while not self._events.empty():
            events.append(self._events.get_nowait())
        return events

    async def _send_readings(self, client: mqtt.Client, now_s: float) -> None:
        waiting = await asyncio.to_thread(self._outbox.unconfirmed, WINDOW)
        due = self._flights.due(waiting, now_s)
        if not due:
            return
        parcels, oversize = pack(due, gateway_id=self._settings.id, epoch=self._outbox.epoch)
        for seq in oversize:
            _log.error("reading_oversize", gateway_id=self._settings.id, seq=seq)
            await asyncio.to_thread(self._outbox.reject, seq, "oversize")
        for parcel in parcels:
            published = client.publish(self._topics[Channel.READINGS], parcel.payload, qos=1)
            if published.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise UnavailableError(f"not published: {mqtt.error_string(published.rc)}")
            self._flights.published(parcel.seqs, now_s)
        _log.debug("readings_sent", gateway_id=self._settings.id, rows=len(due), parcels=len(parcels))

    async def _send_status(self, client: mqtt.Client, now_s: float) -> None:
        if now_s < self._status_due_s:
            return
        status = {"state": "online"} | await asyncio.to_thread(self._describe)
        client.publish(self._topics[Channel.STATUS], json.dumps(status).encode(), qos=1, retain=True)
        self._status_due_s = now_s + STATUS_EVERY_S

    async def _take(self, topic: str, payload: bytes) -> None:
        if topic == self._topics[Channel.RECEIPTS]:
            await self._take_receipt(payload)
        elif topic == self._topics[Channel.CONFIG]:
            self._take_config(payload)
        else:
            _log.warning("message_ignored", gateway_id=self._settings.id, topic=topic)

    async def _take_receipt(self, payload: bytes) -> None:
        try:
            receipt = decode_receipt(payload)
        except MalformedError as e:
            self.malformed_receipts += 1
            _log.warning("receipt_malformed", gateway_id=self._settings.id, reason=e.reason)
            return
        changed = await asyncio.to_thread(self._outbox.apply, receipt, now=self._clock.now())
        for rejection in receipt.rejected:
            _log.warning("reading_rejected", gateway_id=self._settings.id, seq=rejection.seq, reason=rejection.reason)
        _log.info("receipt_applied", gateway_id=self._settings.id, upto=receipt.upto, changed=changed)

    def _take_config(self, payload: bytes) -> None:
        if not payload:
            return  # a retained message taken back
        try:
            if len(payload) > _MAX_CONFIG_BYTES:
                raise MalformedError("decode:size", f"{len(payload)} bytes")
            self._on_config(msgspec.json.decode(payload, type=RemoteConfig))
            self._status_due_s = 0.0  # let the clinic see at once what has become of it
        except (MalformedError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            _log.warning("config_ignored", gateway_id=self._settings.id, why=str(e)[:200])


def _pass_on(client: mqtt.Client, events: "asyncio.Queue[_Event]", loop: asyncio.AbstractEventLoop) -> None:
    """Hand what paho's thread learns to the event loop; nothing else happens in that thread."""

    def put(event: _Event) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(events.put_nowait, event)

    def connected(_: mqtt.Client, __: Any, ___: mqtt.ConnectFlags, reason: ReasonCode, ____: Properties | None) -> None:
        put(_Up(reason))

    def disconnected(
        _: mqtt.Client, __: Any, ___: mqtt.DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        put(_Down(str(reason)))

    def came(_: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        put(_Message(message.topic, bytes(message.payload)))

    def puback(_: mqtt.Client, __: Any, ___: int, reason: ReasonCode, ____: Properties) -> None:
        if reason.is_failure:  # a hint only; the row stays on its way until a receipt or a resend
            _log.warning(
                "publish_refused", reason=str(reason), advice="check the broker's access list for this gateway"
            )

    client.on_connect = connected
    client.on_connect_fail = lambda _, __: put(_Down("no connection"))
    client.on_disconnect = disconnected
    client.on_message = came
    client.on_publish = puback


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.mqtt_ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.mqtt_cert_file is not None and settings.mqtt_key_file is not None:
        context.load_cert_chain(settings.mqtt_cert_file, settings.mqtt_key_file)
    return context
