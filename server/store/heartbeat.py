"""The watchdog's rows: who the watchdog is, what a beat has come to, and the taking away of the beats before.

The watchdog is nobody, so its rows are the only ones of people's tables that are ever deleted. What goes is taken off its
gateway's account in the same transaction, so that received = stored + repeated + quarantined holds all the time.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from server.store.enrolment import add_gateway, add_patient, bind_meter
from server.store.postgres import Connection, load_sql

SQL: Final = load_sql("heartbeat")

KEPT_BY_THE_BROKER: Final = timedelta(days=8)
"""A beat may come late by as much as the broker keeps intake's session, seven days; older readings of ours are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The watchdog's last beats.

    `started_at` and `late_part` are of the last beat begun (`late_part` None: it came through, or is on its way);
    `came_through_at` and `took_s` of the last one that came through.
    """

    started_at: datetime
    came_through_at: datetime | None
    took_s: float | None
    late_part: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A beat that is ours to make. `was_under_way`: nobody saw the end of the one before."""

    started_at: datetime
    was_under_way: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """Who the watchdog is among gateways, meters and patients."""

    gateway_id: str
    meter_id: str
    patient_id: int


def last_beat(conn: Connection) -> Beat | None:
    """What is known of the last beat; None if none was ever begun."""
    with conn.cursor(row_factory=class_row(Beat)) as cursor:
        return cursor.execute(SQL["last_beat"]).fetchone()


def claim_beat(conn: Connection, *, every_s: float) -> Claim | None:
    """Begin a beat if one is due; None if it is too early or another process has begun it."""
    with conn.cursor(row_factory=class_row(Claim)) as cursor:
        return cursor.execute(SQL["claim"], {"every_s": every_s}).fetchone()


def give_back(conn: Connection, started_at: datetime) -> None:
    """We are told to end before it is known what becomes of this beat: whoever is next may begin one at once."""
    conn.execute(SQL["give_back"], {"started_at": started_at})


def note_through(conn: Connection, started_at: datetime, *, took_s: float) -> None:
    conn.execute(SQL["came_through"], {"started_at": started_at, "took_s": took_s})


def note_late(conn: Connection, started_at: datetime, *, part: str) -> None:
    conn.execute(SQL["came_late"], {"started_at": started_at, "part": part})


def enrol_watchdog(conn: Connection, *, gateway_id: str, meter_id: str, enrolled_on: date, now: datetime) -> Watchdog:
    """The watchdog, enrolled if it was not; any number of processes may say this at once."""
    conn.execute(SQL["lock_enrolment"])
    add_gateway(conn, gateway_id, "UTC")
    row = conn.execute(SQL["find_watchdog"]).fetchone()
    if row is None:
        patient_id = add_patient(conn, name="HomeVigil", language="en", enrolled_on=enrolled_on, zone="UTC", now=now)
        conn.execute(SQL["name_watchdog"], {"patient_id": patient_id})
    else:
        patient_id = int(row[0])
    bind_meter(
        conn,
        meter_id=meter_id,
        user_slot=None,
        gateway_id=gateway_id,
        patient_id=patient_id,
        bound_by="the watchdog",
        now=now,
    )
    return Watchdog(gateway_id=gateway_id, meter_id=meter_id, patient_id=patient_id)


def forget_beats(conn: Connection, watchdog: Watchdog, *, now: datetime) -> int:
    """Take away what earlier beats have left, from every table and from the account; how many readings that were."""
    patient = {"patient_id": watchdog.patient_id}
    gateway = {"gateway_id": watchdog.gateway_id}
    conn.execute(SQL["lock_judging"], patient)
    for name in ("forget_pushes", "forget_transitions", "forget_episodes", "forget_due"):
        conn.execute(SQL[name], patient)
    gone = conn.execute(SQL["forget_readings"], {**patient, "since": now - KEPT_BY_THE_BROKER}).fetchall()
    reading_ids = {"reading_ids": [reading_id for (reading_id,) in gone]}
    conn.execute(SQL["forget_raw"], reading_ids)
    conn.execute(SQL["forget_seen"], reading_ids)
    quarantined = conn.execute(SQL["forget_quarantine"], gateway).rowcount
    conn.execute(SQL["forget_progress"], gateway)
    conn.execute(SQL["settle_account"], {**gateway, "stored": len(gone), "quarantined": quarantined})
    return len(gone)


def is_judged(conn: Connection, watchdog: Watchdog, reading_id: UUID) -> bool:
    """Whether an alert of the watchdog's names this reading."""
    return _is(conn, "is_judged", patient_id=watchdog.patient_id, reading_id=str(reading_id))


def is_sent(conn: Connection, watchdog: Watchdog, reading_id: UUID, *, since: datetime) -> bool:
    """Whether a message about this reading has reached its recipient since `since`."""
    return _is(conn, "is_sent", patient_id=watchdog.patient_id, reading_id=str(reading_id), since=since)


def _is(conn: Connection, name: str, **values: object) -> bool:
    row = conn.execute(SQL[name], values).fetchone()
    assert row is not None
    return bool(row[0])
