"""Rows of silences: what a clinician has said need not be told for a while. Statements are in `sql/silences.sql`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import dict_row

from server.store.notes import seal, unseal
from server.store.postgres import Connection, load_sql
from server.store.vault import open_identity

_SQL: Final = load_sql("silences")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """`rule_id` None: every rule that is not urgent. `ended_at`: before its time, by `ended_by`."""

    silence_id: int
    patient_id: int
    patient_name: str
    rule_id: str | None
    reason: str
    made_at: datetime
    made_by: str
    until: datetime
    ended_at: datetime | None
    ended_by: str | None
    version: int


def add(
    conn: Connection,
    patient_id: int,
    *,
    rule_id: str | None,
    reason: str,
    until: datetime,
    user_id: int,
    now: datetime,
    key: str | None,
) -> int | None:
    """Returns the `silence_id`; `None` if this person has used the key before."""
    values = {
        "patient_id": patient_id,
        "rule_id": rule_id,
        "reason": seal(conn, patient_id, reason, "silence.reason"),
        "until": until,
    }
    row = conn.execute(_SQL["add"], {**values, "user_id": user_id, "now": now, "key": key}).fetchone()
    return None if row is None else int(row[0])


def find_by_key(conn: Connection, *, user_id: int, key: str) -> int:
    row = conn.execute(_SQL["find_by_key"], {"user_id": user_id, "key": key}).fetchone()
    assert row is not None, "it could not be added because it is there"
    return int(row[0])


def list_silences(
    conn: Connection,
    *,
    user_id: int,
    patient_id: int | None = None,
    silence_id: int | None = None,
    open_at: datetime | None = None,
) -> Sequence[Silence]:
    """Those of the user's panel, the soonest to end first; with `open_at` only what is silent then."""
    values = {"user_id": user_id, "patient_id": patient_id, "silence_id": silence_id, "open_at": open_at}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["list"], values).fetchall()
    return [
        Silence(
            **row
            | {
                "reason": unseal(conn, row["patient_id"], row["reason"], "silence.reason"),
                "patient_name": open_identity(row["patient_name"]).name,
            }
        )
        for row in rows
    ]


def lock(conn: Connection, silence_id: int, *, user_id: int, now: datetime) -> tuple[int, int, bool] | None:
    """`(version, patient_id, is_open)`, locked; `None` if its patient is not on the user's panel."""
    row = conn.execute(_SQL["lock"], {"silence_id": silence_id, "user_id": user_id, "now": now}).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def end(conn: Connection, silence_id: int, *, user_id: int, now: datetime) -> None:
    conn.execute(_SQL["end"], {"silence_id": silence_id, "user_id": user_id, "now": now})


def mute(conn: Connection, patient_id: int, *, rule_id: str | None, urgent: Sequence[str]) -> int:
    """Cancels what was still to be told; how many messages that were. `urgent`: the rules that "every rule" leaves out."""
    return conn.execute(_SQL["mute"], {"patient_id": patient_id, "rule_id": rule_id, "urgent": list(urgent)}).rowcount


def in_force(conn: Connection, patient_id: int, *, now: datetime) -> Mapping[str | None, datetime]:
    """What is silent of a patient at `now`, by rule, with its end; None stands for every rule that is not urgent."""
    return dict(conn.execute(_SQL["in_force"], {"patient_id": patient_id, "now": now}).fetchall())
