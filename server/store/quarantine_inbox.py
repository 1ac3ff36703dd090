"""Quarantine as one person sees it, and what that person says of it. No value is in it; bytes are opened by `quarantine.raws`.

Every function runs inside the caller's transaction, and in the house's name: whom it shows to whom is said by the statement.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql
from server.store.quarantine import RELEASABLE, WANTING_AN_OWNER

_SQL: Final = load_sql("quarantine_inbox")

OF_PERSONS: Final = (*RELEASABLE, "time_implausible", "id_collision", "poison")
"""Reasons of readings that decode and are somebody's; every other reason is about a message, a version or a gateway."""

SET_ASIDE_AS: Final = ("not_a_patient", "trial", "meter_problem", "unreadable", "settled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `near`: of whom it may be, as far as whoever asks sees them; `is_whole`: it may be nobody else's."""

    quarantine_id: int
    gateway_id: str
    zone: str
    reason: str
    meter_id: str | None
    user_slot: int | None
    received_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    released_as: str | None
    set_aside_as: str | None
    near: Sequence[int]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a row is to be. `standing`: active while the patient is watched."""

    patient_id: int
    enrolled_on: date
    standing: str


def list_seen(
    conn: Connection, *, user_id: int, is_set_aside: bool = False, limit: int, before: int | None = None
) -> Sequence[Row]:
    """What patients of the user may have measured, the newest first: what waits, or what was set aside for good."""
    return _rows(conn, "seen", user_id=user_id, ids=None, is_set_aside=is_set_aside, limit=limit, before=before)


def list_of_nobody(
    conn: Connection, *, is_set_aside: bool = False, limit: int, before: int | None = None
) -> Sequence[Row]:
    """What is nobody's, and what is about a message or a gateway and no person."""
    said = {"of_persons": list(OF_PERSONS), "ids": None, "is_set_aside": is_set_aside}
    return _rows(conn, "of_nobody", **said, limit=limit, before=before)


def lock_seen(conn: Connection, quarantine_ids: Sequence[int], *, user_id: int | None) -> Sequence[Row]:
    """Those of these rows that the user sees (None: that are nobody's), in whatever state; nobody else settles them meanwhile."""
    ids = list(quarantine_ids)
    conn.execute(_SQL["lock"], {"ids": ids})
    asked: dict[str, object] = {"ids": ids, "is_set_aside": False, "limit": len(ids), "before": None}
    if user_id is None:
        return _rows(conn, "of_nobody", of_persons=list(OF_PERSONS), **asked)
    return _rows(conn, "seen", user_id=user_id, **asked)


def visible(conn: Connection, quarantine_ids: Collection[int]) -> frozenset[int]:
    """Which of these the walls show to whoever asks (`conn` is of `caller.pool`)."""
    found = conn.execute(_SQL["visible"], {"ids": sorted(quarantine_ids)}).fetchall()
    return frozenset(row[0] for row in found)


def waiting_of_slot(
    conn: Connection, *, gateway_id: str, meter_id: str, user_slot: int | None, limit: int
) -> Sequence[int]:
    """The numbers of this slot's readings that wait for an owner, the oldest first."""
    wanted = {"gateway_id": gateway_id, "meter_id": meter_id, "user_slot": user_slot, "limit": limit}
    found = conn.execute(_SQL["waiting_of_slot"], {**wanted, "reasons": list(WANTING_AN_OWNER)}).fetchall()
    return [row[0] for row in found]


def may_be_strangers(conn: Connection, measured_at: Mapping[int, datetime], *, user_id: int) -> frozenset[int]:
    """Which of these, by when they were measured, somebody may have measured whom the user does not see."""
    wanted = {"ids": list(measured_at), "measured_at": list(measured_at.values()), "user_id": user_id}
    return frozenset(row[0] for row in conn.execute(_SQL["may_be_strangers"], wanted).fetchall())


def find_owner(conn: Connection, patient_id: int) -> Owner | None:
    with conn.cursor(row_factory=class_row(Owner)) as cursor:
        return cursor.execute(_SQL["patient"], {"patient_id": patient_id}).fetchone()


def set_aside(conn: Connection, quarantine_ids: Sequence[int], *, reason: str, by: str, now: datetime) -> int:
    """They wait no longer. How many did until now."""
    values = {"ids": list(quarantine_ids), "reason": reason, "by": by, "now": now}
    return conn.execute(_SQL["set_aside"], values).rowcount


def open_again(conn: Connection, quarantine_ids: Sequence[int]) -> int:
    """What was set aside waits again. How many."""
    return conn.execute(_SQL["open_again"], {"ids": list(quarantine_ids)}).rowcount


def _rows(conn: Connection, statement: str, **values: object) -> Sequence[Row]:
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(_SQL[statement], values).fetchall()
