"""Tasks to call a patient: the row, its alerts, its life. It decides nothing (`people.follow_ups`).

Every function runs inside the caller's transaction. Statements are in `sql/follow_ups.sql`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.rows import class_row

from server.store import notes
from server.store.postgres import Connection, load_sql
from server.store.vault import identified

_SQL: Final = load_sql("follow_ups")

LIST_MAX: Final = 500
"""The longest list that is read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A task as a change finds it, locked until the transaction ends. `doctor_id`: the patient's own doctor, who can log in."""

    follow_up_id: int
    patient_id: int
    version: int
    state: str
    attempts: int
    assigned_to: int | None
    due_at: datetime
    zone: str
    doctor_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Colleague:
    """Somebody who sees the patient."""

    user_id: int
    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A task as people see it. `reasons` are its alerts, the most urgent that is open first; names are those of users, `None`
    for the house. `urgency`: 0 where no alert is open, 3 for the highest."""

    follow_up_id: int
    patient_id: int
    patient_name: str
    phone: str | None
    language: str
    zone: str
    state: str
    origin: str
    opened_at: datetime
    opened_by: str | None
    due_at: datetime
    assigned_to: int | None
    assigned_name: str | None
    attempts: int
    is_for_doctor: bool
    closed_at: datetime | None
    closed_by: str | None
    outcome: str | None
    version: int
    last_at: datetime | None
    last_result: str | None
    last_by: str | None
    reasons: Sequence[Mapping[str, Any]]
    urgency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step in the life of a task. `act`: opened, attached, called, assigned, moved, handed_over, closed or reopened."""

    act: str
    at: datetime
    by_user: int | None
    result: str | None = None
    is_medication_changed: bool = False
    due_at: datetime | None = None
    assigned_to: int | None = None
    outcome: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """The same, for reading. `by_name` is `None` for the house."""

    at: datetime
    by_name: str | None
    act: str
    result: str | None
    is_medication_changed: bool
    due_at: datetime | None
    assigned_name: str | None
    outcome: str | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks are asked for; `None`: whichever. `due`: those that were due before today, or today too.

    `after`: the due time and the id of the last one of the page before.
    """

    state: str | None = "open"
    follow_up_id: int | None = None
    patient_id: int | None = None
    assigned_to: int | None = None
    due: Literal["overdue", "today"] | None = None
    after: tuple[datetime, int] | None = None
    limit: int = LIST_MAX


def lock_patient(conn: Connection, patient_id: int) -> None:
    """Until the transaction ends nobody else opens a task for this patient."""
    conn.execute(_SQL["lock_patient"], {"patient_id": patient_id})


def find_open(conn: Connection, patient_id: int) -> tuple[int, datetime] | None:
    """The patient's open task, locked, and when it is due."""
    row = conn.execute(_SQL["find_open"], {"patient_id": patient_id}).fetchone()
    return None if row is None else (row[0], row[1])


def open_task(
    conn: Connection,
    patient_id: int,
    *,
    origin: str,
    due_at: datetime,
    opened_by: int | None,
    assigned_to: int | None = None,
    now: datetime,
) -> int:
    row = conn.execute(
        _SQL["open"],
        {
            "patient_id": patient_id,
            "origin": origin,
            "due_at": due_at,
            "opened_by": opened_by,
            "assigned_to": assigned_to,
            "now": now,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def attach(conn: Connection, follow_up_id: int, episode_id: UUID, *, now: datetime) -> bool:
    """False if the alert was attached already."""
    values = {"follow_up_id": follow_up_id, "episode_id": episode_id, "now": now}
    return conn.execute(_SQL["attach"], values).fetchone() is not None


def lock(conn: Connection, follow_up_id: int, *, user_id: int, now: datetime) -> Standing | None:
    """The task as it stands, locked; `None` if its patient is not on the user's panel."""
    values = {"follow_up_id": follow_up_id, "user_id": user_id, "now": now}
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["lock"], values).fetchone()


def lock_by_episode(conn: Connection, episode_id: UUID, *, now: datetime) -> Standing | None:
    """The open task to which the alert is attached, locked."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["lock_by_episode"], {"episode_id": episode_id, "now": now}).fetchone()


def lock_newest_of(
    conn: Connection, episode_id: UUID, *, user_id: int, since: datetime, now: datetime
) -> Standing | None:
    """The newest task of the alert, locked, if this user called or closed it since then."""
    values = {"episode_id": episode_id, "user_id": user_id, "since": since, "now": now}
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["lock_newest_of"], values).fetchone()


def is_anything_left(conn: Connection, follow_up_id: int, episode_id: UUID) -> bool:
    """Whether there is something to speak of besides this alert."""
    return _is(conn, "is_anything_left", {"follow_up_id": follow_up_id, "episode_id": episode_id})


def is_untouched(conn: Connection, follow_up_id: int, episode_id: UUID) -> bool:
    """Whether nobody has touched the task and nothing but this alert was its reason."""
    return _is(conn, "is_untouched", {"follow_up_id": follow_up_id, "episode_id": episode_id})


def change(
    conn: Connection,
    standing: Standing,
    *,
    due_at: datetime,
    assigned_to: int | None,
    attempts: int,
    is_for_doctor: bool,
) -> None:
    values = {
        "follow_up_id": standing.follow_up_id,
        "due_at": due_at,
        "assigned_to": assigned_to,
        "attempts": attempts,
        "is_for_doctor": is_for_doctor,
    }
    conn.execute(_SQL["change"], values)


def close(conn: Connection, follow_up_id: int, *, outcome: str, user_id: int | None, now: datetime) -> None:
    values = {"follow_up_id": follow_up_id, "outcome": outcome, "user_id": user_id, "now": now}
    conn.execute(_SQL["close"], values)


def reopen(conn: Connection, follow_up_id: int, *, due_at: datetime) -> None:
    conn.execute(_SQL["reopen"], {"follow_up_id": follow_up_id, "due_at": due_at})


def note_event(conn: Connection, follow_up_id: int, patient_id: int, event: Event) -> None:
    values = {
        "follow_up_id": follow_up_id,
        "patient_id": patient_id,
        "at": event.at,
        "by_user": event.by_user,
        "act": event.act,
        "result": event.result,
        "is_medication_changed": event.is_medication_changed,
        "due_at": event.due_at,
        "assigned_to": event.assigned_to,
        "outcome": event.outcome,
        "note": _seal(conn, patient_id, event.note),
    }
    conn.execute(_SQL["note_event"], values)


def colleagues(conn: Connection, patient_id: int) -> Sequence[Colleague]:
    """Who sees the patient, by name; the caller does."""
    with conn.cursor(row_factory=class_row(Colleague)) as cursor:
        return cursor.execute(_SQL["colleagues"], {"patient_id": patient_id}).fetchall()


def list_follow_ups(conn: Connection, wanted: Wanted, *, user_id: int, now: datetime) -> Sequence[FollowUp]:
    """Tasks of the user's panel, by when they are due."""
    values = {
        "user_id": user_id,
        "now": now,
        "state": wanted.state,
        "follow_up_id": wanted.follow_up_id,
        "patient_id": wanted.patient_id,
        "assigned_to": wanted.assigned_to,
        "due": wanted.due,
        "after_at": wanted.after[0] if wanted.after else None,
        "after_id": wanted.after[1] if wanted.after else None,
        "limit": min(wanted.limit, LIST_MAX),
    }
    with conn.cursor(row_factory=identified(FollowUp, patient_name="name", phone="phone")) as cursor:
        return cursor.execute(_SQL["list"], values).fetchall()


def list_of_patient(conn: Connection, patient_id: int, *, user_id: int, now: datetime) -> Sequence[FollowUp]:
    """All of them, open and closed, by when they are or were due."""
    found: list[FollowUp] = []
    while True:
        after = (found[-1].due_at, found[-1].follow_up_id) if found else None
        wanted = Wanted(state=None, patient_id=patient_id, after=after)
        page = list_follow_ups(conn, wanted, user_id=user_id, now=now)
        found += page
        if len(page) < LIST_MAX:
            return found


def find(conn: Connection, follow_up_id: int, *, user_id: int, now: datetime) -> FollowUp | None:
    """One task; `None` if its patient is not on the user's panel."""
    found = list_follow_ups(conn, Wanted(state=None, follow_up_id=follow_up_id), user_id=user_id, now=now)
    return found[0] if found else None


def events_of(conn: Connection, follow_up_id: int) -> Sequence[ShownEvent]:
    """The life of a task that the caller may see, oldest first."""
    rows = conn.execute(_SQL["events"], {"follow_up_id": follow_up_id}).fetchall()
    return [
        ShownEvent(
            at=at,
            by_name=by_name,
            act=act,
            result=result,
            is_medication_changed=is_medication_changed,
            due_at=due_at,
            assigned_name=assigned_name,
            outcome=outcome,
            note=_open(conn, patient_id, note),
        )
        for at, by_name, act, result, is_medication_changed, due_at, assigned_name, outcome, note, patient_id in rows
    ]


def _is(conn: Connection, name: str, values: Mapping[str, object]) -> bool:
    row = conn.execute(_SQL[name], values).fetchone()
    assert row is not None
    return bool(row[0])


def _seal(conn: Connection, patient_id: int, text: str) -> bytes | None:
    """What somebody wrote about a patient, as it is kept."""
    return notes.seal(conn, patient_id, text, "follow_up_event.note")


def _open(conn: Connection, patient_id: int, kept: bytes | None) -> str:
    return notes.unseal(conn, patient_id, kept, "follow_up_event.note")
