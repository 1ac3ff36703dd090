"""A long backlog in the broker, drained by the real door into a real PostgreSQL: how fast, and what stalls on the way cost.

`--messages` envelopes of one reading each, of as many gateways as their pace asks for, wait in the persistent session of intake
before the door opens. Debian's mosquitto 2.0.11 is known to stop delivering in long drains that are acknowledged after a
commit; the door then connects again with the same session. Counted are stalls, readings lost and stored twice (there may be
none), and messages that the broker delivered again.

    python -m benchmarks.drain [--messages 20000] [--runs 3] [--readings 1]
"""

import argparse
import json
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from server.clock import now
from server.config import Settings
from server.door import SESSION_S, STALL_S, Door
from server.intake import Intake
from server.store.enrolment import add_gateway, add_patient, bind_meter
from server.store.intake import check_accounts
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from vitals.envelope import encode_envelope, encode_reading
from vitals.identity import reading_id
from vitals.reading import BloodPressure, Reading, TimeQuality
from vitals.topics import Channel, Topic

PER_GATEWAY: Final = 250
"""Readings of one gateway, half of the burst that it may bring at once: the pace of gateways is not what is measured here."""

QUEUED_MAX: Final = 100_000
"""What the broker queues for one session (`max_queued_messages`)."""

WITHIN_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One backlog and what became of it. `per_s`: readings stored a second, over all and without the silence of stalls."""

    messages: int
    readings: int
    stalls: int
    lost: int
    doubled: int
    redelivered: int
    seconds: float
    per_s: float
    per_s_without_stalls: float


class Counting(Door):
    """The door, with a count of the silences that it met with a new connection."""

    stalls = 0

    def _has_stalled(self) -> bool:
        has_stalled = super()._has_stalled()
        self.stalls += has_stalled
        return has_stalled


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when a reading was lost or stored twice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--readings", type=int, default=1, help="in one message")
    parser.add_argument("--runs", type=int, default=3)
    wish = parser.parse_args(arguments)
    if not 0 < wish.messages <= QUEUED_MAX:
        parser.error(f"the broker queues at most {QUEUED_MAX} messages")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    drains: list[Drain] = []
    for _ in range(wish.runs):
        folder = temporary_folder()
        try:
            drains.append(_drain(folder, wish.messages, wish.readings))
        finally:
            shutil.rmtree(folder)
    return _tell(drains)


def _drain(folder: Path, messages: int, readings: int) -> Drain:
    with EmbeddedPostgres(folder=folder / "postgres") as database, EmbeddedBroker(folder=folder / "broker") as broker:
        url = database.create_database("clinic")
        migrate(url)
        settings = Settings(database_url=SecretStr(url), mqtt_host=broker.host, mqtt_port=broker.port)
        with open_pool(url) as pool:
            homes = _enrol(pool, -(-messages * readings // PER_GATEWAY))
            _open_session(settings)
            _fill(settings, _envelopes(homes, messages, readings))
            return _measure(settings, pool, messages, readings)


def _enrol(pool: Pool, count: int) -> list[tuple[str, str]]:
    """Gateway and meter of each home, bound."""
    since = now() - timedelta(days=60)
    homes = [(f"gw-{number}", f"F0:00:00:10:00:00-{number}") for number in range(count)]
    with transaction(pool) as conn:
        for gateway_id, meter_id in homes:
            add_gateway(conn, gateway_id, "UTC")
            patient_id = add_patient(
                conn, name="P", language="en", enrolled_on=since.date(), zone="UTC", doctor_id=None, now=since
            )
            bind_meter(
                conn,
                meter_id=meter_id,
                user_slot=None,
                gateway_id=gateway_id,
                patient_id=patient_id,
                bound_by="benchmark",
                now=since,
            )
    return homes


def _envelopes(homes: Sequence[tuple[str, str]], messages: int, readings: int) -> Iterator[tuple[str, bytes]]:
    """`(topic, payload)`, the homes in turn."""
    first_at = now().replace(microsecond=0) - timedelta(days=30)
    for number in range(messages):
        gateway_id, meter_id = homes[number % len(homes)]
        first = number // len(homes) * readings
        rows = [
            (seq + 1, encode_reading(_reading(gateway_id, meter_id, first_at + timedelta(minutes=seq))))
            for seq in range(first, first + readings)
        ]
        topic = Topic(gateway_id=gateway_id, channel=Channel.READINGS)
        yield str(topic), encode_envelope(gateway_id, "0123456789abcdef", rows)


def _reading(gateway_id: str, meter_id: str, at: datetime) -> Reading:
    said = at.replace(tzinfo=None).isoformat(timespec="seconds")
    raw = said.encode()
    return Reading(
        reading_id=reading_id(meter_id=meter_id, kind="blood_pressure", raw=raw, meter_time=said),
        gateway_id=gateway_id,
        meter_id=meter_id,
        measurement=BloodPressure(
            systolic_mmhg=128.0, diastolic_mmhg=82.0, mean_mmhg=97.0, pulse_bpm=70.0, unit_sent="mmHg", status=0
        ),
        measured_at=at,
        meter_time=said,
        received_at=at,
        time_quality=TimeQuality.CORRECTED,
        zone="UTC",
        characteristic="2a35",
        raw=raw,
        decoder="benchmark",
    )


def _open_session(settings: Settings) -> None:
    """Make intake's session, so that the broker keeps for it what comes."""
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, settings.mqtt_client_id, protocol=MQTTv5)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = lambda client, *_: client.subscribe(
        Channel.READINGS.for_every_gateway, options=SubscribeOptions(qos=1)
    )
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    client.connect(settings.mqtt_host, settings.mqtt_port, clean_start=False, properties=properties)
    client.loop_start()
    assert subscribed.wait(WITHIN_S)
    client.disconnect()
    client.loop_stop()


def _fill(settings: Settings, envelopes: Iterator[tuple[str, bytes]]) -> None:
    """Returns when the broker has said that it has all of them."""
    client = Client(CallbackAPIVersion.VERSION2, "filler", protocol=MQTTv5)
    client.max_inflight_messages_set(200)
    client.connect(settings.mqtt_host, settings.mqtt_port)
    client.loop_start()
    for info in [client.publish(topic, payload, qos=1) for topic, payload in envelopes]:
        info.wait_for_publish(WITHIN_S)
    client.disconnect()
    client.loop_stop()


def _measure(settings: Settings, pool: Pool, messages: int, readings: int) -> Drain:
    stop = threading.Event()
    door = Counting(settings, Intake(pool), stop)
    working = threading.Thread(target=door.run)
    began_s = time.monotonic()
    working.start()
    try:
        while _count(pool, "select coalesce(sum(stored), 0) from gateway_account") < messages * readings:
            if time.monotonic() - began_s > WITHIN_S:
                break
            time.sleep(0.1)
        seconds, stalls = time.monotonic() - began_s, door.stalls
    finally:
        stop.set()
        working.join()
    stored = _count(pool, "select count(distinct reading_id) from reading")
    with transaction(pool) as conn:
        assert check_accounts(conn) == ()
    return Drain(
        messages=messages,
        readings=messages * readings,
        stalls=stalls,
        lost=messages * readings - stored,
        doubled=_count(pool, "select count(*) from reading") - stored,
        redelivered=_count(pool, "select sum(repeated) from gateway_account"),
        seconds=round(seconds, 1),
        per_s=round(stored / seconds),
        per_s_without_stalls=round(stored / (seconds - stalls * STALL_S)),
    )


def _count(pool: Pool, query: str) -> int:
    with transaction(pool) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _tell(drains: Sequence[Drain]) -> int:
    table = Table(title="A backlog drained by the door")
    for name in Drain.__slots__:
        table.add_column(name.replace("_", " "), justify="right")
    for drain in drains:
        table.add_row(*(str(value) for value in asdict(drain).values()))
    Console(width=120).print(table)
    is_well = all(drain.lost == drain.doubled == 0 for drain in drains)
    line = {
        "benchmark": "drain",
        "runs": [asdict(drain) for drain in drains],
        "stalls": sum(drain.stalls for drain in drains),
        "lost": sum(drain.lost for drain in drains),
        "doubled": sum(drain.doubled for drain in drains),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "is_well": is_well,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
