"""The facts of the fleet: when what was last heard, measured, judged, sent. What they mean is said in `server.watch`.

Facts are of everybody unless a scope is given; which of it somebody may see is `scope_of`. No name of a patient is among the
facts; names come apart, for the patients of one panel (`names_of`). Statements are in `sql/fleet.sql`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row

from server.store import heartbeat, recompute
from server.store.alarms import Alarm, open_alarms
from server.store.heartbeat import Beat
from server.store.intake import holes, outbox_lives
from server.store.postgres import Connection, load_sql
from server.store.recompute import Run
from server.store.vault import open_identity
from vitals.reading import KINDS

SQL: Final = load_sql("fleet")

HEARD_LATELY: Final = timedelta(days=1)
"""A gateway that was heard within a day is expected to be heard now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The part of the fleet that is looked at: None is everything."""

    gateway_ids: frozenset[str]
    meter_ids: frozenset[str]
    patient_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """One gateway that is enrolled, and its account. `status` is what it last said of itself, unchecked.

    `was_away_until`: until when it was last not heard, if that was for long. `hole`: which numbers of it are missing for
    longer than a hole may last; empty without one. `epochs`: how many outboxes it has had.
    """

    gateway_id: str
    zone: str
    standing: str
    enrolled_at: datetime
    last_heard_at: datetime | None
    status: Mapping[str, Any] | None
    received: int
    stored: int
    repeated: int
    quarantined: int
    was_away_until: datetime | None
    epochs: int = 0
    missing: int = 0
    hole: str = ""

    @property
    def is_balanced(self) -> bool:
        return self.received == self.stored + self.repeated + self.quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFacts:
    """One meter in the home of one gateway. `patient_ids` is empty for one that nobody is bound to; no `bound_since` then.

    `last_measured_at`: of its newest reading, None if there was none since `searched_since`.
    """

    meter_id: str
    gateway_id: str
    patient_ids: Sequence[int]
    bound_since: datetime | None
    last_measured_at: datetime | None
    searched_since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFacts:
    """What lies in quarantine for one reason, from one meter (None: none could be made out) at one gateway."""

    gateway_id: str
    meter_id: str | None
    reason: str
    rows: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """One patient. `covered_since`: since when there has been a meter without a break, None if there is none now;
    gateways and meters are then those of before. `last_accepted_at` is of the newest reading that may be judged."""

    patient_id: int
    created_at: datetime
    zone: str
    gateway_ids: Sequence[str]
    meter_ids: Sequence[str]
    covered_since: datetime | None
    last_measured_at: datetime | None
    last_accepted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPushes:
    """What of one channel should have been sent by now."""

    channel: str
    pushes: int
    oldest_due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseFacts:
    """The parts that every patient depends on. `heard_lately`: how many gateways were heard within a day.

    `broken`: patients whose judging broke and was postponed.
    """

    last_heard_at: datetime | None
    heard_lately: int
    oldest_due_at: datetime | None
    due_rows: int
    broken: Sequence[int]
    waiting: Sequence[WaitingPushes]
    beat: Beat | None
    recompute: Run | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything from which the states of the fleet are said, as one transaction saw it."""

    gateways: Sequence[GatewayFacts]
    meters: Sequence[MeterFacts]
    patients: Sequence[PatientFacts]
    held: Sequence[HeldFacts]
    house: HouseFacts
    alarms: Sequence[Alarm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """How old a hole must be to be one, what a long absence is, and how far back the readings of meters are searched."""

    hole: timedelta
    long_away: timedelta
    meters: timedelta


def is_first_of_round(conn: Connection) -> bool:
    """Whether no other watcher is at it; until the transaction ends none will be."""
    row = conn.execute(SQL["lock_round"]).fetchone()
    return row is not None and bool(row[0])


def load_facts(conn: Connection, *, now: datetime, spans: Spans, scope: Scope | None = None) -> Facts:
    """The facts at `now`: of everybody, or of the homes of `scope` (which others may share) and its patients."""
    gateway_ids = None if scope is None else sorted(scope.gateway_ids)
    patient_ids = [] if scope is None else sorted(scope.patient_ids)
    meter_ids = [] if scope is None else sorted(scope.meter_ids)
    within: dict[str, object] = {"gateway_ids": gateway_ids, "patient_ids": patient_ids, "meter_ids": meter_ids}
    asked = within | {
        "now": now,
        "since": now - spans.meters,
        "kinds": list(KINDS),
    }  # whatever was measured, somebody has measured
    with conn.cursor(row_factory=class_row(MeterFacts)) as cursor:
        meters = cursor.execute(SQL["meters"], asked).fetchall()
    with conn.cursor(row_factory=class_row(HeldFacts)) as cursor:
        held = cursor.execute(SQL["held"], asked).fetchall()
    with conn.cursor(row_factory=class_row(PatientFacts)) as cursor:
        patients = cursor.execute(SQL["patients"], asked).fetchall()
    return Facts(
        gateways=_gateways(conn, gateway_ids, spans),
        meters=meters,
        patients=patients,
        held=held,
        house=_house(conn, now),
        alarms=open_alarms(conn),
    )


def scope_of(conn: Connection, user_id: int) -> Scope:
    """What a clinician may see of the fleet: the homes and the patients of the panel."""
    row = conn.execute(SQL["scope"], {"user_id": user_id}).fetchone()
    assert row is not None
    return Scope(gateway_ids=frozenset(row[0]), meter_ids=frozenset(row[1]), patient_ids=frozenset(row[2]))


def names_of(conn: Connection, user_id: int) -> Mapping[int, str]:
    """The names of the panel's patients."""
    found = conn.execute(SQL["names"], {"user_id": user_id}).fetchall()
    return {patient_id: open_identity(sealed).name for patient_id, sealed in found}


def patients_of_pushes(conn: Connection, push_ids: Collection[str]) -> Mapping[str, int]:
    """Whom messages are about, by `push_id`; what is no push is left out."""
    return dict(conn.execute(SQL["pushes_of"], {"push_ids": sorted(push_ids)}).fetchall()) if push_ids else {}


def count_pushes(conn: Connection) -> Sequence[tuple[str, str, int]]:
    """How many messages to people there are, by channel and state."""
    return conn.execute(SQL["count_pushes"]).fetchall()


def see_alarm(conn: Connection, alarm_id: int, *, times: int, login: str) -> bool:
    """Close an alarm that a person has looked at; False if it is closed, or has happened again since."""
    values = {"alarm_id": alarm_id, "times": times, "login": login}
    return conn.execute(SQL["see"], values).fetchone() is not None


def _gateways(conn: Connection, gateway_ids: Sequence[str] | None, spans: Spans) -> tuple[GatewayFacts, ...]:
    epochs: dict[str, int] = {}
    missing: dict[str, int] = {}
    for life in outbox_lives(conn):
        epochs[life.gateway_id] = epochs.get(life.gateway_id, 0) + 1
        missing[life.gateway_id] = missing.get(life.gateway_id, 0) + life.missing
    found = holes(conn, older_than=spans.hole)
    asked = {"gateway_ids": gateway_ids, "long_away": spans.long_away}
    with conn.cursor(row_factory=class_row(GatewayFacts)) as cursor:
        rows = cursor.execute(SQL["gateways"], asked).fetchall()
    return tuple(
        replace(
            row,
            epochs=epochs.get(row.gateway_id, 0),
            missing=missing.get(row.gateway_id, 0),
            hole=found.get(row.gateway_id, ""),
        )
        for row in rows
    )


def _house(conn: Connection, now: datetime) -> HouseFacts:
    hearing = conn.execute(SQL["hearing"], {"now": now, "within": HEARD_LATELY}).fetchone()
    judging = conn.execute(SQL["judging"], {"now": now}).fetchone()
    assert hearing is not None
    assert judging is not None
    with conn.cursor(row_factory=class_row(WaitingPushes)) as cursor:
        waiting = cursor.execute(SQL["waiting_pushes"], {"now": now}).fetchall()
    return HouseFacts(
        last_heard_at=hearing[0],
        heard_lately=hearing[1],
        oldest_due_at=judging[0],
        due_rows=judging[1],
        broken=judging[2],
        waiting=waiting,
        beat=heartbeat.last_beat(conn),
        recompute=recompute.last_run(conn),
    )
