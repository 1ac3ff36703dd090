"""The watchdog: a patient who is nobody, whose reading must come out as a message every five minutes, or an alarm is raised.

The reading goes the way of everybody's: MQTT, intake, judge, dispatcher, by the same code, as from a gateway that the watchdog
plays. What earlier beats have left is taken away before the next, so that the thousandth costs what the first did. It judges
nobody and watches no other state (`states`). The only module here that imports paho.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import structlog
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from server import clock
from server.config import Settings
from server.store import heartbeat as store
from server.store.alarms import AlarmKind, clear_alarm, raise_alarm
from server.store.heartbeat import Claim, Watchdog
from server.store.postgres import Connection, Pool, in_transaction
from vitals.envelope import decode_receipt, encode_envelope, encode_reading
from vitals.errors import MalformedError, UnavailableError
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.date_time import DateTime
from vitals.gatt.sfloat import Sfloat
from vitals.identity import reading_id
from vitals.reading import Reading, TimeQuality
from vitals.topics import Channel, Topic

log = structlog.get_logger()

EVERY_S: Final = 300.0
WITHIN_S: Final = 60.0
"""Every five minutes, out within one (reliability: silence is an alert)."""

LOOK_S: Final = 0.2
"""How often it is looked whether the message is out: a beat's figure is right to this."""

RESEND_S: Final = 10.0
"""What has had no receipt is published again, as a gateway does."""

CLAIM_S: Final = 5.0
THROUGH: Final = ""
"""In place of the part that did not answer: all have."""

METER_ID: Final = "homevigil-watchdog"
SEQ: Final = 1

EXPIRY_S: Final = 300
"""A reading that the broker could not hand on in this time is of no use; an intake that was away for days finds no heap."""


def beat(settings: Settings, pool: Pool, stop: threading.Event) -> None:
    """Beat until `stop` is set, every five minutes together with however many others watch."""
    while not stop.is_set():
        try:
            beat_if_due(settings, pool, stop)
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=CLAIM_S)
        stop.wait(CLAIM_S)


def beat_if_due(
    settings: Settings, pool: Pool, stop: threading.Event, *, every_s: float = EVERY_S, within_s: float = WITHIN_S
) -> bool | None:
    """One beat, if it is time for one: whether it came through; None if it was not time, or `stop` was set meanwhile.

    Raises `UnavailableError` if the database is away at the beginning or at the end. Then the next beat says so.
    """
    claim = in_transaction(pool, lambda conn: store.claim_beat(conn, every_s=every_s))
    if claim is None:
        return None
    until = monotonic() + within_s
    watchdog = in_transaction(pool, lambda conn: _prepare(conn, settings, claim))
    waiting = _Beat(pool=pool, stop=stop, claim=claim, watchdog=watchdog, reading=reading_of(watchdog, at=clock.now()))
    try:
        with _Box(settings, watchdog, waiting.reading) as box:
            late_part = waiting.wait(box, until)
    except (
        OSError,
        ValueError,
    ) as e:  # only what tls_set says of its files; the network's faults stay with paho's thread
        late_part = f"settings: the watchdog's certificate cannot be used: {type(e).__name__}"
    if late_part is None:
        in_transaction(pool, lambda conn: store.give_back(conn, claim.started_at))
        return None
    took_s = monotonic() + within_s - until
    in_transaction(pool, lambda conn: _note(conn, claim, took_s, late_part))
    return late_part == THROUGH


def reading_of(watchdog: Watchdog, *, at: datetime) -> Reading:
    """The watchdog's reading: the frame of a cuff that is read as it measures, decoded as everybody's is."""
    at = at.replace(microsecond=0)
    frame = BloodPressureMeasurement(
        systolic=Sfloat.of(120),
        diastolic=Sfloat.of(80),
        mean=Sfloat.of(93),
        date_time=DateTime.of(at),
        pulse=Sfloat.of(60),
    )
    raw = bytes(frame)
    said = frame.meter_time
    return Reading(
        reading_id=reading_id(meter_id=watchdog.meter_id, kind="blood_pressure", raw=raw, meter_time=said),
        gateway_id=watchdog.gateway_id,
        meter_id=watchdog.meter_id,
        measurement=BloodPressureMeasurement.from_bytes(raw).to_measurement(),
        measured_at=at,
        meter_time=said,
        received_at=at,
        time_quality=TimeQuality.SYNCED,
        clock_offset_s=0.0,
        zone="UTC",
        characteristic="2a35",
        raw=raw,
        decoder="watchdog",
    )


def _prepare(conn: Connection, settings: Settings, claim: Claim) -> Watchdog:
    """Who we are, enrolled if we were not; nothing is left of the beats before. An end that nobody saw is an alarm."""
    if claim.was_under_way:
        why = "the end of the last beat was not seen: the database or the role watch went away"
        raise_alarm(conn, AlarmKind.WATCHDOG_LATE, detail=why)
    now = claim.started_at
    watchdog = store.enrol_watchdog(
        conn,
        gateway_id=settings.watchdog_id,
        meter_id=METER_ID,
        enrolled_on=(now - timedelta(days=2)).date(),
        now=now - timedelta(minutes=1),
    )
    store.forget_beats(conn, watchdog, now=now)
    return watchdog


def _note(conn: Connection, claim: Claim, took_s: float, late_part: str) -> None:
    if late_part == THROUGH:
        store.note_through(conn, claim.started_at, took_s=took_s)
        clear_alarm(conn, AlarmKind.WATCHDOG_LATE)
        log.info("watchdog_came_through", took_s=round(took_s, 3))
    else:
        store.note_late(conn, claim.started_at, part=late_part)
        raise_alarm(conn, AlarmKind.WATCHDOG_LATE, detail=late_part)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beat:
    """One reading on its way."""

    pool: Pool
    stop: threading.Event
    claim: Claim
    watchdog: Watchdog
    reading: Reading

    def wait(self, box: "_Box", until: float) -> str | None:
        """Wait for the receipt and for the message; the part that did not answer in time, THROUGH, or None for `stop`."""
        late_part, resend_at = "", monotonic() + RESEND_S
        while not self.stop.is_set():
            late_part = self._look() if box.has_receipt.is_set() else box.trouble
            if late_part == THROUGH or monotonic() >= until:
                return late_part
            if not box.has_receipt.is_set() and monotonic() >= resend_at:
                box.publish()
                resend_at = monotonic() + RESEND_S
            self.stop.wait(LOOK_S)
        return None

    def _look(self) -> str:
        """Which part behind the door has not answered yet; THROUGH if all have."""
        try:
            return in_transaction(self.pool, self._look_in)
        except UnavailableError:
            return "database: it cannot be reached"

    def _look_in(self, conn: Connection) -> str:
        if store.is_sent(conn, self.watchdog, self.reading.reading_id, since=self.claim.started_at):
            return THROUGH
        if store.is_judged(conn, self.watchdog, self.reading.reading_id):
            return "push: the message is queued and not sent"
        return "judge: the reading is stored and not judged"


class _Box:
    """The gateway that the watchdog plays, for one beat: it publishes its one reading, the first of an outbox of its own.

    `trouble`: why there is no receipt yet. Raises `OSError` or `ValueError` for certificate files that cannot be used.
    """

    def __init__(self, settings: Settings, watchdog: Watchdog, reading: Reading) -> None:
        self.has_receipt = threading.Event()
        self._settings = settings
        self._id = watchdog.gateway_id
        self._epoch = uuid5(NAMESPACE_OID, f"{reading.reading_id} {clock.now().isoformat()}").hex
        self._payload = encode_envelope(self._id, self._epoch, [(SEQ, encode_reading(reading))])
        has_no_name = settings.mqtt_ca_file is not None and settings.watchdog_cert_file is None
        self.trouble = "broker: it cannot be reached" + (" (the watchdog has no certificate)" if has_no_name else "")
        self._client = self._new_client()

    def __enter__(self) -> "_Box":
        self._client.connect_async(self._settings.mqtt_host, self._settings.mqtt_port, keepalive=30, clean_start=True)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self) -> None:
        """Send the reading (again), if there is a connection; else it is sent once there is."""
        if not self._client.is_connected():
            return
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        expiry.MessageExpiryInterval = EXPIRY_S
        topic = Topic(gateway_id=self._id, channel=Channel.READINGS)
        self._client.publish(str(topic), self._payload, qos=1, properties=expiry)

    def _new_client(self) -> Client:
        settings = self._settings
        client = Client(CallbackAPIVersion.VERSION2, self._id, protocol=MQTTv5)
        if settings.watchdog_mqtt_username is not None:
            password = settings.watchdog_mqtt_password
            client.username_pw_set(settings.watchdog_mqtt_username, password.get_secret_value() if password else None)
        if settings.mqtt_ca_file is not None:
            client.tls_set(settings.mqtt_ca_file, settings.watchdog_cert_file, settings.watchdog_key_file)
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    # Called by paho's thread. None of these may raise.

    def _on_connect(
        self, client: Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.trouble = f"broker: it refuses us: {reason}"
            return
        client.subscribe(str(Topic(gateway_id=self._id, channel=Channel.RECEIPTS)), qos=1)

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self.trouble = "broker: it does not let us hear our receipts"
            return
        self.trouble = "intake: no receipt"
        self.publish()

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        try:
            receipt = decode_receipt(bytes(message.payload))
        except MalformedError as e:
            log.warning("receipt_not_read", reason=e.reason)
            return
        if receipt.epoch != self._epoch:
            return
        if receipt.rejected:
            self.trouble = f"intake: it refuses the reading: {receipt.rejected[0].reason}"
        elif receipt.upto >= SEQ or SEQ in receipt.extra:
            self.has_receipt.set()
