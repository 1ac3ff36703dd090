"""The MQTT loop around `Intake`: one transaction for what came, then the receipts, then MQTT may forget.

Truth is the commit. The broker's acknowledgement is sent after it and only on the connection that brought the message, so
that nothing is forgotten unread; the receipt alone lets a gateway forget. The only server module that takes messages by paho.
Nothing is decided here about a reading (`ledger`), and nothing is judged.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from time import monotonic
from typing import Any, Final, TypeVar, cast

import structlog
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from server.config import Settings
from server.intake import Intake
from server.pace import Pace
from vitals.envelope import Receipt, encode_receipt
from vitals.errors import MalformedError, UnavailableError
from vitals.remote_config import encode_config
from vitals.topics import Channel, Topic

log = structlog.get_logger()

WINDOW: Final = 200
"""Messages that the broker may leave unacknowledged with us (MQTT receive maximum); twice the largest batch."""

BATCH: Final = 100
BATCH_WAIT_S: Final = 0.05
"""One transaction takes this many messages, or what came within 50 ms of the first: 100 rows a commit cost little more
than one (timescale: durable commit), and a live reading waits for nobody."""

SESSION_S: Final = 7 * 24 * 3600
"""The broker keeps our place in the queue for a week without us; readings themselves rest in the outboxes."""

BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits while the database is away; the last one repeats. What was read stays in memory, at most `WINDOW` messages."""

STALL_S: Final = 10.0
SUSPECT_FROM: Final = WINDOW // 2
"""mosquitto 2.0.11 may stop delivering in a long drain, with about a window's worth outstanding (eclipse-mosquitto 2362). So
silence after so many messages is met with a new connection of the same session, again and again, until a new one brings
nothing that was waiting: then the silence is real."""

EXCESS_EVERY_S: Final = 1.0
"""How often what was turned away is written down, if anything was."""

CONFIGS_EVERY_S: Final = 2.0
"""How often it is looked for what the clinic has set in a gateway; somebody waits before the screen for it to be applied."""

ACCOUNTS_EVERY_S: Final = 60.0
ROWS_EVERY: Final = 60
"""The sums are checked every minute, the rows themselves counted at the start and every hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """A message as the broker gave it, and on which connection: its `mid` means nothing on another one."""

    mid: int
    qos: int
    topic: Topic | None
    payload: bytes
    is_retained: bool
    connection: int


_C = TypeVar("_C", bound=Callable[..., None])


def _never_raises(callback: _C) -> _C:
    """A callback of paho's that reports an exception to the door instead of ending paho's thread with it, in silence."""

    @wraps(callback)
    def guarded(door: "Door", *arguments: Any) -> None:
        try:
            callback(door, *arguments)
        except Exception:
            log.exception("mqtt_callback_broken", callback=callback.__name__)
            door._is_broken.set()

    return cast(_C, guarded)


class Door:
    """The MQTT loop around `Intake`: paho's thread only appends, the thread that calls `run` does the work."""

    def __init__(self, settings: Settings, intake: Intake, stop: threading.Event) -> None:
        self._settings = settings
        self._intake = intake
        self._stop = stop
        self.listening = threading.Event()
        """Set while the broker delivers to us: it has granted the subscriptions of this connection."""
        self._waiting: queue.SimpleQueue[_Delivery] = queue.SimpleQueue()
        self._turn = threading.Lock()  # a connection's end and an acknowledgement, one at a time
        self._connection = 0
        self._pace = Pace()
        self._pacing = threading.Lock()
        self._heard_at_s = monotonic()
        self._taken = 0  # out of the broker's queue, since it was last known to be empty
        self._taken_before = 0  # of them, when the connection was last made again because of silence
        self._is_broken = (
            threading.Event()
        )  # a callback was cut short: what it left is delivered again on a new connection
        self._network: threading.Thread | None = None  # paho's
        self._client = self._new_client()

    def run(self) -> None:
        """Take in until `stop` is set. Neither broker nor database need be there yet, or all the time."""
        self._connect()
        checked_at, noted_at, looked_at, round_ = -ACCOUNTS_EVERY_S, monotonic(), -CONFIGS_EVERY_S, 0
        try:
            while not self._stop.is_set():
                if batch := self._next_batch():
                    self._take(batch)
                    self._heard_at_s = monotonic()
                else:
                    self._look_after_the_line()
                if monotonic() - noted_at >= EXCESS_EVERY_S:
                    noted_at = monotonic()
                    self._note_excess()
                if self.listening.is_set() and monotonic() - looked_at >= CONFIGS_EVERY_S:
                    looked_at = monotonic()
                    self._publish_configs()
                if monotonic() - checked_at >= ACCOUNTS_EVERY_S:
                    checked_at, round_ = monotonic(), round_ + 1
                    self._check_accounts(count_rows=round_ % ROWS_EVERY == 1)
        finally:
            self._disconnect()
            self._note_excess()

    def _look_after_the_line(self) -> None:
        """Connect anew where nothing would come any more: a stalled queue, a broken callback, a dead network thread."""
        if self._network is not None and not self._network.is_alive():
            log.error("mqtt_thread_died")
            self._network = None
            self._is_broken.set()
        if self._has_stalled():
            log.warning("mqtt_stalled", silent_s=STALL_S, taken=self._taken)
            self._taken_before = self._taken
        elif not self._is_broken.is_set():
            return
        self._disconnect()
        self._is_broken.clear()
        self._client = self._new_client()  # paho leaks its sockets when one client is started twice
        self._connect()
        self._heard_at_s = monotonic()

    def _new_client(self) -> Client:
        settings = self._settings
        client = Client(CallbackAPIVersion.VERSION2, settings.mqtt_client_id, protocol=MQTTv5, manual_ack=True)
        if settings.mqtt_username is not None:
            password = settings.mqtt_password
            client.username_pw_set(settings.mqtt_username, password.get_secret_value() if password else None)
        if settings.mqtt_ca_file is not None:
            client.tls_set(settings.mqtt_ca_file, settings.mqtt_cert_file, settings.mqtt_key_file)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.max_queued_messages_set(10 * WINDOW)  # receipts; one that is lost is asked for again
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = WINDOW
        host, port = self._settings.mqtt_host, self._settings.mqtt_port
        self._client.connect_async(host, port, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()

    def _disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._network = None

    # Called by paho's thread, which an exception would end. None takes a lock that is held while publishing.

    @_never_raises
    def _on_pre_connect(self, client: Client, userdata: object) -> None:
        self._network = threading.current_thread()
        self._end_connection()

    @_never_raises
    def _on_disconnect(
        self, client: Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._end_connection()
        log.info("mqtt_disconnected", reason=str(reason))

    def _end_connection(self) -> None:
        with self._turn:
            self._connection += 1
        self.listening.clear()

    @_never_raises
    def _on_connect_fail(self, client: Client, userdata: object) -> None:
        log.warning("mqtt_unreachable", host=self._settings.mqtt_host, port=self._settings.mqtt_port)

    @_never_raises
    def _on_connect(
        self, client: Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("mqtt_refused", reason=str(reason))
            return
        wanted = (Channel.READINGS, Channel.STATUS, Channel.DIAGNOSTICS)
        client.subscribe([(each.for_every_gateway, SubscribeOptions(qos=1)) for each in wanted])

    @_never_raises
    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.error("mqtt_subscription_refused", reasons=refused)
            return
        self.listening.set()
        log.info("mqtt_listening")

    @_never_raises
    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        delivery = _Delivery(
            mid=message.mid,
            qos=message.qos,
            topic=_topic(message),
            payload=bytes(message.payload),
            is_retained=message.retain,
            connection=self._connection,
        )
        if delivery.qos > 0:
            self._heard_at_s = monotonic()
        elif self._waiting.qsize() >= 10 * WINDOW:
            return  # nobody promised it anything; our gateways send at QoS 1, which the window bounds
        if self._admits(delivery):
            self._waiting.put(delivery)
        else:
            self._acknowledge(delivery)  # at once: the window belongs to everybody

    def _admits(self, delivery: _Delivery) -> bool:
        topic = delivery.topic
        if topic is None or delivery.is_retained:
            return True
        with self._pacing:
            if topic.channel is Channel.READINGS:
                return self._pace.admits(topic.gateway_id, delivery.payload, monotonic())
            return self._pace.admits_status(topic.gateway_id, monotonic())

    # Called by our own thread.

    def _next_batch(self) -> list[_Delivery]:
        """What came within 50 ms of the first message, at most 100; empty after half a second of nothing."""
        try:
            batch = [self._waiting.get(timeout=0.5)]
        except queue.Empty:
            return []
        until = monotonic() + BATCH_WAIT_S
        while len(batch) < BATCH and self._is_busy(batch, until):
            try:
                batch.append(self._waiting.get(timeout=max(0.0, until - monotonic())))
            except queue.Empty:
                break
        return batch

    def _is_busy(self, batch: Sequence[_Delivery], until: float) -> bool:
        """A single live message does not wait for company; a stream does."""
        return monotonic() < until and (len(batch) > 1 or not self._waiting.empty())

    def _take(self, batch: Sequence[_Delivery]) -> None:
        """Store, answer, acknowledge; while the database is away, wait with all of it in hand."""
        for attempt in range(2**31):
            try:
                self._take_once(batch)
                return
            except UnavailableError as e:
                wait_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                log.warning("database_unavailable", reason=str(e), waiting=len(batch), retry_in_s=wait_s)
                if self._stop.wait(wait_s):
                    return

    def _take_once(self, batch: Sequence[_Delivery]) -> None:
        readings: list[tuple[str, bytes]] = []
        statuses: dict[str, _Delivery] = {}  # the last word of each gateway
        for delivery in batch:
            if delivery.topic is not None and delivery.topic.channel is Channel.READINGS:
                readings.append((delivery.topic.gateway_id, delivery.payload))
            elif delivery.topic is not None and delivery.topic.channel is Channel.DIAGNOSTICS:
                self._note_diagnosis(delivery.topic.gateway_id, delivery.payload)
            elif delivery.topic is not None and not (delivery.is_retained and delivery.topic.gateway_id in statuses):
                statuses[delivery.topic.gateway_id] = delivery  # but a retained copy never hides what was said to us
        # What a status asks for is sent before the receipts of what came with it: so nothing is asked for that they confirm.
        for gateway_id, status in statuses.items():
            self._send(gateway_id, self._note_status(gateway_id, status))
        for (gateway_id, _), receipt in zip(readings, self._take_readings(readings), strict=True):
            self._send(gateway_id, receipt)
        for delivery in batch:
            self._acknowledge(delivery)

    def _note_status(self, gateway_id: str, status: _Delivery) -> Receipt | None:
        try:
            return self._intake.note_status(status.payload, topic_gateway=gateway_id, is_old=status.is_retained)
        except UnavailableError:
            raise
        except Exception:
            log.exception("status_broke_intake", gateway_id=gateway_id)
        return None

    def _note_diagnosis(self, gateway_id: str, payload: bytes) -> None:
        try:
            is_kept = self._intake.note_diagnosis(payload, topic_gateway=gateway_id)
        except UnavailableError:
            raise
        except Exception:
            log.exception("diagnosis_broke_intake", gateway_id=gateway_id)
            return
        log.info("diagnosis_noted", gateway_id=gateway_id, kept=is_kept)

    def _publish_configs(self) -> None:
        """Give the broker what the clinic has set. What gets lost on the way is found by the gateway's status, and sent again."""
        try:
            for gateway_id, config in self._intake.unpublished_configs():
                topic = Topic(gateway_id=gateway_id, channel=Channel.CONFIG)
                given = self._client.publish(str(topic), encode_config(config), qos=1, retain=True)
                if given.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
                self._intake.note_published(gateway_id, config.revision)
                log.info("config_published", gateway_id=gateway_id, revision=config.revision)
        except UnavailableError as e:
            log.warning("configs_not_published", reason=str(e))

    def _take_readings(self, messages: Sequence[tuple[str, bytes]]) -> Sequence[Receipt | None]:
        """All in one transaction; if that breaks us, one by one, and the message that breaks us is put away unopened."""
        try:
            return self._intake.take_all(messages)
        except UnavailableError:
            raise
        except Exception:
            log.exception("intake_broken", messages=len(messages))
        return [self._take_alone(gateway_id, payload) for gateway_id, payload in messages]

    def _take_alone(self, gateway_id: str, payload: bytes) -> Receipt | None:
        try:
            return self._intake.take(payload, topic_gateway=gateway_id)
        except UnavailableError:
            raise
        except Exception:
            log.exception("message_broke_intake", gateway_id=gateway_id)
        try:
            self._intake.refuse_unseen(payload, topic_gateway=gateway_id)
        except UnavailableError:
            raise
        except Exception:  # without a receipt its gateway keeps it; we must not fall over it again and again
            log.exception("message_not_even_refused", gateway_id=gateway_id)
        return None

    def _send(self, gateway_id: str, receipt: Receipt | None) -> None:
        if receipt is None:
            return
        topic = Topic(gateway_id=gateway_id, channel=Channel.RECEIPTS)
        self._client.publish(str(topic), encode_receipt(receipt), qos=1)

    def _acknowledge(self, delivery: _Delivery) -> None:
        """Let the broker forget, unless the connection is another one by now: there `mid` may name an unread message."""
        with self._turn:
            self._taken += delivery.qos > 0 and not delivery.is_retained
            if delivery.connection == self._connection:
                self._client.ack(delivery.mid, delivery.qos)

    def _has_stalled(self) -> bool:
        if not self.listening.is_set() or self._taken < SUSPECT_FROM or monotonic() - self._heard_at_s < STALL_S:
            return False
        if self._taken == self._taken_before:  # a new connection has brought nothing: the queue is empty
            self._taken = self._taken_before = 0
            return False
        return True

    def _note_excess(self) -> None:
        with self._pacing:
            excess = self._pace.excess()
        if not excess:
            return
        try:
            self._intake.note_excess(excess)
        except UnavailableError as e:
            log.warning("excess_not_noted", reason=str(e))  # it is still counted, and noted later
            return
        with self._pacing:
            self._pace.settle(excess)

    def _check_accounts(self, *, count_rows: bool) -> None:
        try:
            self._intake.check_accounts(count_rows=count_rows)
        except UnavailableError as e:
            log.warning("accounts_not_checked", reason=str(e))


_parsed = lru_cache(maxsize=10_000)(Topic.parse)  # a flood names one topic, a clinic a few hundred


def _topic(message: MQTTMessage) -> Topic | None:
    try:
        return _parsed(message.topic)
    except (MalformedError, UnicodeDecodeError) as e:
        log.warning("topic_not_ours", reason=str(e)[:200])
        return None
