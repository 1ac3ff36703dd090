"""Who is kept under seal, who is gone, and who may not go (`sql/erasure.sql`). Who may want it is decided in `people.erasure`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store import audit_chain, notes
from server.store.postgres import Connection, load_sql
from server.store.vault import frames_of

_SQL: Final = load_sql("erasure")

_FORGOTTEN: Final = (
    *("forget_frames", "forget_diagnoses", "forget_contacts", "forget_links", "forget_codes"),
    *("forget_corrections", "forget_reasons", "forget_panel_reasons"),
    *(
        "forget_passkeys",
        "forget_house_identity",
        "forget_house_expected",
        "forget_sessions",
        "forget_invitation",
        "forget_attempts",
    ),
    "forget_account",  # at the end: by its login attempts are found
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why nothing of a patient may be erased, who says so, and until when."""

    hold_id: int
    reason: str
    made_by: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHold:
    hold_id: int
    patient_id: int
    made_by: str
    made_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Somebody who is out of everything and still kept, because the law says so."""

    patient_id: int
    reason: str
    restricted_at: datetime
    keep_until: datetime


def lock(conn: Connection, patient_id: int) -> str | None:
    """How the patient stands; nobody else changes it until the transaction ends. None: there is no such patient."""
    row = conn.execute(_SQL["standing"], {"patient_id": patient_id}).fetchone()
    return None if row is None else str(row[0])


def hold_of(conn: Connection, patient_id: int, *, now: datetime) -> Hold | None:
    """The hold that lasts longest."""
    row = conn.execute(_SQL["hold"], {"patient_id": patient_id, "now": now}).fetchone()
    if row is None:
        return None
    hold_id, reason, made_by, until = row
    return Hold(
        hold_id=hold_id,
        reason=notes.unseal(conn, patient_id, reason, "legal_hold.reason"),
        made_by=made_by,
        until=until,
    )


def add_hold(conn: Connection, patient_id: int, *, reason: str, until: datetime, by: str, now: datetime) -> int:
    sealed = notes.seal(conn, patient_id, reason, "legal_hold.reason")
    values = {"patient_id": patient_id, "reason": sealed, "until": until, "by": by, "now": now}
    with conn.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(_SQL["add_hold"], values).fetchone() or 0)


def end_hold(conn: Connection, hold_id: int, *, by: str, now: datetime) -> int | None:
    """Whose it was; None if there is none that holds."""
    row = conn.execute(_SQL["end_hold"], {"hold_id": hold_id, "by": by, "now": now}).fetchone()
    return None if row is None else int(row[0])


def list_holds(conn: Connection, *, now: datetime) -> Sequence[OpenHold]:
    with conn.cursor(row_factory=class_row(OpenHold)) as cursor:
        return cursor.execute(_SQL["holds"], {"now": now}).fetchall()


def list_kept(conn: Connection) -> Sequence[Kept]:
    with conn.cursor(row_factory=class_row(Kept)) as cursor:
        return cursor.execute(_SQL["kept"]).fetchall()


def list_over(conn: Connection, *, now: datetime) -> Sequence[int]:
    """Whom the law does not have kept any longer, and nobody holds."""
    return [row[0] for row in conn.execute(_SQL["over"], {"now": now}).fetchall()]


def last_entry(conn: Connection, patient_id: int) -> datetime | None:
    """When anything clinical was last written about the patient."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: datetime | None = cursor.execute(_SQL["last_entry"], {"patient_id": patient_id}).fetchone()
    return found


def users(conn: Connection, *logins: str) -> dict[str, int]:
    """The active accounts of these logins."""
    return {login: user_id for user_id, login in conn.execute(_SQL["users"], {"logins": list(logins)}).fetchall()}


def restrict(
    conn: Connection, patient_id: int, *, reason: str, asked_by: int, second: int, keep_until: datetime, now: datetime
) -> None:
    """Out of every page, message and judging, and kept."""
    values = {
        "patient_id": patient_id,
        "reason": reason,
        "asked_by": asked_by,
        "second": second,
        "keep_until": keep_until,
        "now": now,
    }
    for name in ("restrict", "off_panels", "end_links", "end_bindings", "end_homes", "end_plan", "note"):
        conn.execute(_SQL[name], values)


def destroy(conn: Connection, patient_id: int, *, now: datetime) -> Sequence[str]:
    """Destroy the keys of somebody who is restricted; whose keys they were. What they sealed is gone, wherever it lies."""
    whom = {"patient_id": patient_id, "now": now}
    holders = sorted(row[0] for row in conn.execute(_SQL["holders"], whom).fetchall())
    conn.execute(_SQL["empty_quarantine"], whom)
    conn.execute(_SQL["destroy_keys"], whom | {"holders": holders})
    for name in (*_FORGOTTEN, "destroy", "destroyed"):
        conn.execute(_SQL[name], whom)
    audit_chain.destroy_key(conn, patient_id, now=now)
    return holders


def some_frames(conn: Connection, patient_id: int, *, limit: int) -> Sequence[bytes]:
    """Frames of the patient's readings, chosen at random."""
    found: list[UUID] = [
        row[0] for row in conn.execute(_SQL["frames"], {"patient_id": patient_id, "limit": limit}).fetchall()
    ]
    return [each.raw for each in frames_of(conn, found).values()]


def every_row(conn: Connection) -> Iterator[tuple[str, bytes]]:
    """Each row of each table as text, with the table's name; bytes are hexadecimal in it."""
    for (table,) in conn.execute(_SQL["columns"]).fetchall():
        with conn.cursor(name="every_row") as cursor:
            cursor.itersize = 500
            cursor.execute(f"select t::text from {table} t".encode())
            for (row,) in cursor:
                if row is not None:
                    yield table, row.encode()
