"""Rows about panels, their history, and records opened in an emergency. Statements are in `sql/panels.sql`.

They are the house's own: who is let in is not asked of those who want to come in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from server.store import notes
from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("panels")

REASON: Final = "panel_change.reason"
"""The place for which a reason is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a panel came to be: `act` is added, removed, transferred or doctor_set."""

    change_id: int
    at: datetime
    changed_by: str
    act: str
    patient_id: int
    from_user: int | None
    to_user: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A patient on somebody's panel, by number; `is_doctor`: as the patient's own doctor."""

    patient_id: int
    is_doctor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sees:
    """A clinician who sees a patient regularly: as the own doctor, by a panel, or both."""

    user_id: int
    display_name: str
    role: str
    active: bool
    is_doctor: bool
    is_on_panel: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Glass:
    """A record that somebody has open in an emergency."""

    break_glass_id: int
    user_id: int
    patient_id: int
    opened_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """That somebody opened a patient's record in an emergency."""

    break_glass_id: int
    user_id: int
    by_name: str
    opened_at: datetime
    ends_at: datetime


def lock_patient(conn: Connection, patient_id: int) -> tuple[bool, int | None]:
    """Whether there is such a patient, and whose; nobody else changes the patient's panels until this transaction ends."""
    row = conn.execute(_SQL["lock_patient"], {"patient_id": patient_id}).fetchone()
    return (False, None) if row is None else (True, row[0])


def role_of_clinician(conn: Connection, user_id: int) -> str | None:
    """`doctor` or `nurse`; None for everybody else."""
    row = conn.execute(_SQL["clinician"], {"user_id": user_id}).fetchone()
    return None if row is None else str(row[1])


def add(conn: Connection, *, user_id: int, patient_id: int) -> bool:
    return conn.execute(_SQL["add"], {"user_id": user_id, "patient_id": patient_id}).rowcount == 1


def remove(conn: Connection, *, user_id: int, patient_id: int) -> bool:
    return conn.execute(_SQL["remove"], {"user_id": user_id, "patient_id": patient_id}).rowcount == 1


def set_doctor(conn: Connection, *, user_id: int | None, patient_id: int) -> None:
    conn.execute(_SQL["set_doctor"], {"user_id": user_id, "patient_id": patient_id})


def unassign(conn: Connection, *, user_id: int, patient_id: int) -> None:
    conn.execute(_SQL["unassign"], {"user_id": user_id, "patient_id": patient_id})


def note_change(
    conn: Connection,
    *,
    at: datetime,
    changed_by: str,
    act: str,
    patient_id: int,
    from_user: int | None,
    to_user: int | None,
    reason: str,
) -> int:
    """The number of the change. `reason` may name somebody: it is sealed with the patient's key."""
    values = {"at": at, "changed_by": changed_by, "act": act, "patient_id": patient_id}
    sealed = notes.seal(conn, patient_id, reason, REASON)
    row = conn.execute(
        _SQL["note_change"], {**values, "from_user": from_user, "to_user": to_user, "reason": sealed}
    ).fetchone()
    assert row is not None
    return int(row[0])


def list_changes(conn: Connection, *, patient_id: int | None, user_id: int | None, limit: int) -> Sequence[Change]:
    """The newest first; of somebody erased without a reason."""
    values = {"patient_id": patient_id, "user_id": user_id, "limit": limit}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["list_changes"], values).fetchall()
    return [_opened(conn, row) for row in rows]


def _opened(conn: Connection, row: dict[str, Any]) -> Change:
    plain, sealed = row.pop("plain_reason"), row.pop("reason_sealed")
    reason = plain if sealed is None else notes.unseal(conn, row["patient_id"], sealed, REASON)
    return Change(reason=reason, **row)


def list_members(conn: Connection, user_id: int) -> Sequence[Member]:
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(_SQL["members"], {"user_id": user_id}).fetchall()


def list_keepers(conn: Connection, patient_id: int) -> Sequence[Sees]:
    """The patient's own doctor first."""
    with conn.cursor(row_factory=class_row(Sees)) as cursor:
        return cursor.execute(_SQL["keepers"], {"patient_id": patient_id}).fetchall()


def list_unkept(conn: Connection, *, limit: int) -> Sequence[int]:
    """Patients whom nobody who can sign in sees."""
    return [int(number) for (number,) in conn.execute(_SQL["unkept"], {"limit": limit})]


def house_zone(conn: Connection) -> str | None:
    """The zone in which most patients live; None where there is none."""
    row = conn.execute(_SQL["house_zone"]).fetchone()
    return None if row is None else str(row[0])


def open_glass(
    conn: Connection, *, user_id: int, patient_id: int, reason: bytes, opened_at: datetime, ends_at: datetime
) -> int:
    values = {
        "user_id": user_id,
        "patient_id": patient_id,
        "reason": reason,
        "opened_at": opened_at,
        "ends_at": ends_at,
    }
    row = conn.execute(_SQL["open_glass"], values).fetchone()
    assert row is not None
    return int(row[0])


def end_glass(conn: Connection, *, break_glass_id: int, user_id: int, now: datetime) -> int | None:
    """Whose record it was; None if the user has no such thing open."""
    values = {"break_glass_id": break_glass_id, "user_id": user_id, "now": now}
    row = conn.execute(_SQL["end_glass"], values).fetchone()
    return None if row is None else int(row[0])


def list_open(conn: Connection, user_id: int, *, now: datetime) -> Sequence[Glass]:
    with conn.cursor(row_factory=class_row(Glass)) as cursor:
        return cursor.execute(_SQL["open_now"], {"user_id": user_id, "now": now}).fetchall()


def opened_of(conn: Connection, patient_id: int, *, since: datetime) -> Sequence[Opened]:
    """The newest first."""
    with conn.cursor(row_factory=class_row(Opened)) as cursor:
        return cursor.execute(_SQL["opened_of"], {"patient_id": patient_id, "since": since}).fetchall()


def count_tries(conn: Connection, actor: str, *, since: datetime) -> tuple[int, datetime | None]:
    """How often since then, and the first of them. Whoever counts is alone until the transaction ends."""
    conn.execute(_SQL["lock_tries"], {"actor": actor})
    row = conn.execute(_SQL["count_tries"], {"actor": actor, "since": since}).fetchone()
    assert row is not None
    return int(row[0]), row[1]


def tell_doctor(
    conn: Connection, *, push_id: UUID, patient_id: int, text: Mapping[str, Mapping[str, str]], now: datetime
) -> str:
    """Who it was."""
    values = {"push_id": push_id, "patient_id": patient_id, "text": Jsonb(dict(text)), "now": now}
    row = conn.execute(_SQL["tell_doctor"], values).fetchone()
    assert row is not None, patient_id
    return str(row[0])
