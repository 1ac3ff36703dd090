"""What a patient's page and reports read beside readings and alerts: zones, meters, decisions, answers. It decides nothing.

As in `reading_lists`, the caller has asked `people.panels` or holds the patient's own link. Statements: `sql/record.sql`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row, dict_row

from server.rules.windows import PatientHistory, ZoneSpan
from server.store.notes import unseal
from server.store.postgres import Connection, load_sql
from server.store.window_tables import window_of_kinds
from vitals.reading import KINDS

_SQL: Final = load_sql("record")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDecision:
    """A clinician's decision about an alert, or a note on it. `reason` is its code."""

    episode_id: UUID
    at: datetime
    reason: str
    rule_id: str
    by_name: str | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the patient has said of symptoms; none: there were none."""

    answered_at: datetime
    symptoms: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMeter:
    """A meter that is or was the patient's. `last_at`: the newest reading of the time looked at."""

    meter_id: str
    user_slot: int | None
    gateway_id: str
    valid_from: datetime
    valid_to: datetime | None
    last_heard_at: datetime | None
    last_at: datetime | None


def history_seen(
    conn: Connection, patient_id: int, *, since: datetime, until: datetime, kinds: Iterable[str]
) -> PatientHistory:
    """The patient with the readings in use of these kinds, from `since` to before `until`, as rules would see them."""
    row = conn.execute(_SQL["who"], {"patient_id": patient_id}).fetchone()
    assert row is not None, patient_id
    return PatientHistory(
        patient_id=patient_id,
        enrolled_on=row[0],
        zones=zones_of(conn, patient_id),
        window=window_of_kinds(conn, patient_id, since=since, until=until, kinds=kinds),
    )


def zones_of(conn: Connection, patient_id: int) -> tuple[ZoneSpan, ...]:
    """Where the patient lived from when on; at least one."""
    rows = conn.execute(_SQL["zones"], {"patient_id": patient_id})
    return tuple(ZoneSpan(valid_from=at, zone=zone) for at, zone in rows)


def kinds_of(conn: Connection, patient_id: int) -> tuple[str, ...]:
    """Of which kinds there is any reading in the record, in the usual order."""
    rows = conn.execute(_SQL["kinds"], {"patient_id": patient_id, "kinds": list(KINDS)})
    found = {kind for (kind,) in rows}
    return tuple(kind for kind in KINDS if kind in found)


def list_decisions(conn: Connection, patient_id: int, *, since: datetime, until: datetime) -> Sequence[MadeDecision]:
    values = {"patient_id": patient_id, "since": since, "until": until}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["decisions"], values).fetchall()
    made: list[MadeDecision] = []
    for row in rows:
        if row["reason"] == "undone":
            last = max((i for i, each in enumerate(made) if each.episode_id == row["episode_id"]), default=None)
            made = [each for i, each in enumerate(made) if i != last]
        else:
            made.append(
                MadeDecision(**row | {"note": unseal(conn, patient_id, row["note"], "episode_transition.note")})
            )
    return made


def list_answers(conn: Connection, patient_id: int, *, since: datetime, until: datetime) -> Sequence[Answer]:
    with conn.cursor(row_factory=class_row(Answer)) as cursor:
        values = {"patient_id": patient_id, "since": since, "until": until}
        return cursor.execute(_SQL["answers"], values).fetchall()


def list_meters(conn: Connection, patient_id: int, *, since: datetime) -> Sequence[OwnMeter]:
    with conn.cursor(row_factory=class_row(OwnMeter)) as cursor:
        return cursor.execute(_SQL["meters"], {"patient_id": patient_id, "since": since}).fetchall()


def meters_of(conn: Connection, patient_id: int, kind: str, *, since: datetime, until: datetime) -> tuple[str, ...]:
    """Which meters the readings of this kind came from."""
    values = {"patient_id": patient_id, "kind": kind, "since": since, "until": until}
    return tuple(row[0] for row in conn.execute(_SQL["meters_of"], values))
