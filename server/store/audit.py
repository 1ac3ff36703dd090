"""The record of who did what: one append-only row for each deed, written in the transaction of the deed itself.

Nothing is ever changed or deleted here; that nobody has done so is proved by the chain (`audit_chain`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deed. `who`: the name of the account that did it, as it is now; None: it was no account. `seq`: its link in the chain,
    None while it waits to be sealed."""

    entry_id: int
    at: datetime
    actor: str
    who: str | None
    act: str
    patient_id: int | None
    subject: str
    detail: dict[str, Any]
    seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Somebody who has looked at a patient's record: how often it was written down, and when first and last."""

    actor: str
    who: str | None
    role: str | None
    times: int
    first_at: datetime
    last_at: datetime
    kinds: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which entries: all of what is named must fit. `act`: itself, or all of its area (`record`)."""

    patient_id: int | None = None
    actor: str | None = None
    act: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def note(
    conn: Connection,
    *,
    actor: str,
    act: str,
    at: datetime,
    patient_id: int | None = None,
    subject: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Note that `actor` (`user:<id>`, `patient:<id>`, `server:<role>`, `cli:<account>`) did `act` (`area.deed`) to `subject`.

    `detail` holds plain facts: never a name, a contact or a value of a patient.
    """
    row = {"at": at, "actor": actor, "act": act, "patient_id": patient_id, "subject": subject}
    conn.execute(_SQL["note"], {**row, "detail": Jsonb(dict(detail or {}))})


def note_look(
    conn: Connection, *, actor: str, patient_id: int | None, kind: str, at: datetime, once_in: timedelta
) -> bool:
    """Note that `actor` looks at what `kind` names: at a patient's record (`record.read`), or at a list (`record.list`).

    False if the same was noted less than `once_in` ago.
    """
    row = {"actor": actor, "patient_id": patient_id or 0, "kind": kind, "at": at, "since": at - once_in}
    if conn.execute(_SQL["has_looked"], row).fetchone() is not None:
        return False
    if conn.execute(_SQL["look"], row).fetchone() is None:
        return False  # somebody else was quicker to note it
    act = "record.list" if patient_id is None else "record.read"
    note(conn, actor=actor, act=act, at=at, patient_id=patient_id, subject=kind)
    return True


def list_entries(conn: Connection, asked: Asked, *, limit: int, before: int | None = None) -> Sequence[Entry]:
    """The newest first; `before`: older than the entry of this number."""
    area = None if asked.act is None or "." in asked.act else f"{asked.act}."
    values = {
        "patient_id": asked.patient_id,
        "actor": asked.actor,
        "act": asked.act,
        "area": area,
        "since": asked.since,
        "until": asked.until,
        "before": before,
        "limit": limit,
    }
    with conn.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(_SQL["entries"], values).fetchall()


def list_viewers(conn: Connection, patient_id: int) -> Sequence[Viewer]:
    """Who has looked at the patient's record, the last to do so first."""
    with conn.cursor(row_factory=class_row(Viewer)) as cursor:
        return cursor.execute(_SQL["viewers"], {"patient_id": patient_id}).fetchall()


_OWNERS: Final = {
    "episode_id": "patient_of_episode",
    "follow_up_id": "patient_of_follow_up",
    "silence_id": "patient_of_silence",
    "hold_id": "patient_of_hold",
    "request_id": "patient_of_erasure_request",
}


def patient_of(conn: Connection, name: str, number: str) -> int | None:
    """Whose it is that a path names by `name` (`episode_id`, …); None for what is nobody's, or not there."""
    if name not in _OWNERS:
        return None
    row = conn.execute(_SQL[_OWNERS[name]], {"number": number}).fetchone()
    return None if row is None else int(row[0])


def has_patient(conn: Connection, patient_id: int) -> bool:
    return conn.execute(_SQL["has_patient"], {"patient_id": patient_id}).fetchone() is not None
