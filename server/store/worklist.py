"""Rows that clinicians and patients read: panels, alerts, pushes (`reading_lists`: readings). It decides and shows nothing.

Whatever meets a patient takes the `user_id` that asks and joins the panel in SQL; a foreign patient is not found. The
exceptions say that the caller has asked `people.panels` or holds the patient's own link. Statements are in
`sql/worklist.sql`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row, dict_row, scalar_row

from server.store.notes import unseal
from server.store.postgres import Connection, load_sql
from server.store.vault import identified

_SQL: Final = load_sql("worklist")

PAGE_MAX: Final = 500
"""The longest page that is ever read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the last page ended: the instant and the id of its last row."""

    at: datetime
    row_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An episode as people see it. `version` rises with every change; names are those of users, `None` for the judge.

    `snoozed_until`: it sleeps until then, and `snoozed_or_worse`: or until it is worse. `undo_until`: whoever asks made the last
    decision about it and may take it back until then. `inhibited_by`: the more urgent alert that speaks for it. `answer_by`: of
    an urgent alert, when a clinician's decision must be on record, `known_at` being when the server had the reading.
    """

    episode_id: UUID
    patient_id: int
    patient_name: str
    rule_id: str
    rule_version: int
    threshold_version: int
    state: str
    priority: str
    first_day: date
    last_day: date
    opened_at: datetime
    judged_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None
    verdict: Mapping[str, Any]
    sentence: Mapping[str, str]
    version: int
    snoozed_until: datetime | None = None
    snoozed_or_worse: bool = False
    snoozed_by: str | None = None
    is_useful: bool | None = None
    undo_until: datetime | None = None
    inhibited_by: UUID | None = None
    known_at: datetime | None = None
    answer_by: datetime | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVersion:
    """That an alert is open, and in which version."""

    patient_id: int
    episode_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPatient:
    """One patient of a panel. `readings` counts those since the instant asked for.

    `waiting_since` is set while a judging is due.
    """

    patient_id: int
    name: str
    sex: str | None
    birth_date: date | None
    phone: str | None
    language: str
    enrolled_on: date
    conditions: Sequence[str]
    zone: str
    last_at: datetime | None
    last_stored_at: datetime | None
    readings: int
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPatient:
    """The patient of a patient link."""

    patient_id: int
    name: str
    language: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnThreshold:
    """A patient's own parameters of one rule, by signal."""

    patient_id: int
    rule_id: str
    version: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTransition:
    """One step in the life of an alert. `by_name` is `None` when the judge took it.

    `reason` is a code: a decision's (`acknowledged`, `snoozed`, a resolution, `useful`, `not_useful`, `noted`, `undone`) or the
    judge's. `note`: what was said with it.
    """

    at: datetime
    from_state: str | None
    to_state: str
    reason: str
    by_name: str | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPush:
    """Who was, or is to be, told what. `step` 0 opens, 1 and on repeat, -1 takes back. `why` it was not sent, or waits."""

    push_id: UUID
    episode_id: UUID
    recipient: str
    recipient_name: str | None
    channel: str
    step: int
    text: Mapping[str, Mapping[str, str]]
    state: str
    due_at: datetime
    sent_at: datetime | None
    read_at: datetime | None
    attempts: int
    rule_id: str
    priority: str
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A message that the patient has not had: no way leads there, or (`is_unwanted`) the patient has not agreed to any."""

    at: datetime
    is_unwanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """A push that has reached a clinician's inbox. `is_for_clinic`: all who see the patient have it, and one reads it for all.

    `episode_id` None: it is of no alert (somebody has opened the record). `others`: the other alerts of the patient that were
    told with it, each with its `episode_id` and `text`.
    """

    push_id: UUID
    episode_id: UUID | None
    patient_id: int
    patient_name: str
    step: int
    text: Mapping[str, Mapping[str, str]]
    state: str
    sent_at: datetime
    read_at: datetime | None
    priority: str
    rule_id: str
    is_for_clinic: bool
    others: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMessage:
    """A push that has reached the patient's own page. A reminder by plan is of no alert: no `episode_id`, an empty `rule_id`."""

    push_id: UUID
    episode_id: UUID | None
    step: int
    text: Mapping[str, Mapping[str, str]]
    state: str
    sent_at: datetime
    priority: str
    rule_id: str


def list_alerts(
    conn: Connection,
    *,
    user_id: int,
    limit: int,
    states: Sequence[str] | None = None,
    priorities: Sequence[str] | None = None,
    patient_id: int | None = None,
    before: Place | None = None,
) -> Sequence[Alert]:
    """The alerts of the user's panel, newest first, at most `limit`."""
    return _alerts(
        conn, user_id=user_id, limit=limit, states=states, priorities=priorities, patient_id=patient_id, before=before
    )


def find_alert(conn: Connection, episode_id: UUID, *, user_id: int) -> Alert | None:
    """The alert, if its patient is on the user's panel."""
    found = _alerts(conn, user_id=user_id, limit=1, episode_id=episode_id)
    return found[0] if found else None


def _alerts(
    conn: Connection,
    *,
    user_id: int,
    limit: int,
    states: Sequence[str] | None = None,
    priorities: Sequence[str] | None = None,
    patient_id: int | None = None,
    episode_id: UUID | None = None,
    before: Place | None = None,
) -> Sequence[Alert]:
    values = {
        "user_id": user_id,
        "states": None if states is None else list(states),
        "priorities": None if priorities is None else list(priorities),
        "patient_id": patient_id,
        "episode_id": episode_id,
        **_before(before),
        "limit": min(limit, PAGE_MAX),
    }
    with conn.cursor(row_factory=identified(Alert, patient_name="name")) as cursor:
        return cursor.execute(_SQL["list_alerts"], values).fetchall()


def list_open_versions(conn: Connection, *, user_id: int) -> Sequence[OpenVersion]:
    """The version of every open alert of the user's panel."""
    with conn.cursor(row_factory=class_row(OpenVersion)) as cursor:
        return cursor.execute(_SQL["list_open_versions"], {"user_id": user_id}).fetchall()


def list_panel(
    conn: Connection, *, user_id: int, since: datetime, now: datetime, patient_ids: Sequence[int] | None = None
) -> Sequence[PanelPatient]:
    """Everybody whom the user sees, or those of these, with their readings counted since `since`."""
    return _panel(conn, user_id=user_id, patient_ids=patient_ids, since=since, now=now)


def find_panel_patient(
    conn: Connection, patient_id: int, *, user_id: int, since: datetime, now: datetime
) -> PanelPatient | None:
    """The patient, if on the user's panel."""
    found = _panel(conn, user_id=user_id, patient_ids=[patient_id], since=since, now=now)
    return found[0] if found else None


def _panel(
    conn: Connection, *, user_id: int, patient_ids: Sequence[int] | None, since: datetime, now: datetime
) -> Sequence[PanelPatient]:
    values = {
        "user_id": user_id,
        "patient_ids": None if patient_ids is None else list(patient_ids),
        "since": since,
        "now": now,
    }
    with conn.cursor(
        row_factory=identified(PanelPatient, name="name", birth_date="birth_date", phone="phone")
    ) as cursor:
        return cursor.execute(_SQL["list_panel"], values).fetchall()


def list_thresholds(conn: Connection, patient_ids: Sequence[int]) -> Sequence[OwnThreshold]:
    """What patients whom the caller may see have of their own."""
    with conn.cursor(row_factory=class_row(OwnThreshold)) as cursor:
        return cursor.execute(_SQL["list_thresholds"], {"patient_ids": list(patient_ids)}).fetchall()


def find_patient(conn: Connection, patient_id: int, *, now: datetime) -> LinkedPatient | None:
    """Whose page a link opens; the caller holds the link."""
    with conn.cursor(row_factory=identified(LinkedPatient, name="name")) as cursor:
        return cursor.execute(_SQL["find_patient"], {"patient_id": patient_id, "now": now}).fetchone()


def list_transitions(conn: Connection, episode_id: UUID) -> Sequence[ShownTransition]:
    """The biography of an alert that the caller may see, oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["list_transitions"], {"episode_id": episode_id}).fetchall()
    return [
        ShownTransition(**row | {"note": unseal(conn, patient_id, row["note"], "episode_transition.note")})
        for row in rows
        for patient_id in [row.pop("patient_id")]
    ]


def list_pushes(
    conn: Connection, patient_id: int, *, episode_id: UUID | None = None, limit: int = 50
) -> Sequence[ShownPush]:
    """Who was told what about a patient whom the caller may see, newest first."""
    values = {"patient_id": patient_id, "episode_id": episode_id, "limit": limit}
    with conn.cursor(row_factory=class_row(ShownPush)) as cursor:
        return cursor.execute(_SQL["list_pushes"], values).fetchall()


def find_untold(conn: Connection, patient_id: int, *, episode_id: UUID | None = None) -> Untold | None:
    """Whether the last message to a patient whom the caller may see, or the last about an alert, did not reach the patient."""
    values = {"patient_id": patient_id, "episode_id": episode_id}
    with conn.cursor(row_factory=class_row(Untold)) as cursor:
        return cursor.execute(_SQL["find_untold"], values).fetchone()


def list_inbox(conn: Connection, *, user_id: int, limit: int, before: Place | None = None) -> Sequence[InboxMessage]:
    """What has reached the user's inbox, or the clinic's, about patients of the user's panel, newest first."""
    values = {
        "user_id": user_id,
        "recipient": f"user:{user_id}",
        **_before(before),
        "limit": min(limit, PAGE_MAX),
    }
    with conn.cursor(row_factory=identified(InboxMessage, patient_name="name")) as cursor:
        return cursor.execute(_SQL["list_inbox"], values).fetchall()


def mark_inbox_read(conn: Connection, push_ids: Sequence[UUID], *, user_id: int, now: datetime) -> None:
    """The user has seen these messages."""
    values = {"user_id": user_id, "recipient": f"user:{user_id}", "push_ids": list(push_ids), "now": now}
    conn.execute(_SQL["mark_inbox_read"], values)


def count_unread(conn: Connection, *, user_id: int) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        values = {"user_id": user_id, "recipient": f"user:{user_id}"}
        return int(cursor.execute(_SQL["count_unread"], values).fetchone() or 0)


def list_patient_messages(conn: Connection, patient_id: int, *, limit: int) -> Sequence[PatientMessage]:
    """The patient's own inbox, newest first; the caller holds the patient's link."""
    with conn.cursor(row_factory=class_row(PatientMessage)) as cursor:
        return cursor.execute(_SQL["list_patient_messages"], {"patient_id": patient_id, "limit": limit}).fetchall()


def is_alive(conn: Connection) -> bool:
    """Whether the database answers."""
    return conn.execute(_SQL["is_alive"]).fetchone() is not None


def _before(place: Place | None) -> Mapping[str, object]:
    return {"before_at": place.at if place else None, "before_id": place.row_id if place else None}
