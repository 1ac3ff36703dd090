"""What the worklist's order, filters and rows need besides alerts: who is on the panel, which way values go, who was heard when.

It decides and shows nothing. `list_members` and `median_answer` join the panel; the rest is asked with what was found so.
Statements are in `sql/worklist_rows.sql`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store.postgres import Connection, load_sql
from server.store.vault import identified

_SQL: Final = load_sql("worklist_rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One patient of a panel, as filters need them."""

    patient_id: int
    name: str
    conditions: Sequence[str]
    doctor_id: int | None
    doctor_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What one patient measured of one kind lately, on average, and before. `None` where the kind has no such number."""

    patient_id: int
    kind: str
    systolic_lately: float | None
    systolic_before: float | None
    value_lately: float | None
    value_before: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDecision:
    """What a person last did about an alert."""

    episode_id: UUID
    at: datetime
    to_state: str
    reason: str
    by_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAlert:
    """One alert of the same rule and patient that opened before."""

    episode_id: UUID
    state: str
    priority: str
    first_day: date
    last_day: date
    opened_at: datetime
    resolution: str | None
    sentence: Mapping[str, str]
    resolved_by: str | None


def list_members(conn: Connection, *, user_id: int) -> Sequence[Member]:
    """Everybody whom the user sees, by number."""
    with conn.cursor(row_factory=identified(Member, name="name")) as cursor:
        return cursor.execute(_SQL["list_members"], {"user_id": user_id, "patient_id": None}).fetchall()


def find_member(conn: Connection, patient_id: int, *, user_id: int) -> Member | None:
    """The patient, if on the user's panel."""
    with conn.cursor(row_factory=identified(Member, name="name")) as cursor:
        return cursor.execute(_SQL["list_members"], {"user_id": user_id, "patient_id": patient_id}).fetchone()


def list_trends(
    conn: Connection, patient_ids: Collection[int], *, kinds: Collection[str], since: datetime, lately: datetime
) -> Sequence[Trend]:
    """Where two readings or more lie on either side of `lately`."""
    values = {"patient_ids": list(patient_ids), "kinds": list(kinds), "since": since, "lately": lately}
    with conn.cursor(row_factory=class_row(Trend)) as cursor:
        return cursor.execute(_SQL["list_trends"], values).fetchall()


def list_heard(conn: Connection, patient_ids: Collection[int]) -> Mapping[int, datetime]:
    """When a home of each was last heard; who has no meter, or was never heard, is not among them."""
    found = conn.execute(_SQL["list_heard"], {"patient_ids": list(patient_ids)}).fetchall()
    return {patient_id: at for patient_id, at in found if at is not None}


def list_last_decisions(conn: Connection, episode_ids: Collection[UUID]) -> Mapping[UUID, LastDecision]:
    """By alert; an alert that only the judge has touched is not among them."""
    with conn.cursor(row_factory=class_row(LastDecision)) as cursor:
        found = cursor.execute(_SQL["list_last_decisions"], {"episode_ids": list(episode_ids)}).fetchall()
    return {each.episode_id: each for each in found}


def median_answer(conn: Connection, *, user_id: int, since: datetime) -> timedelta | None:
    """Half of the panel's alerts that were acknowledged since `since` were answered at least so fast; `None` without any."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        seconds = cursor.execute(_SQL["median_answer"], {"user_id": user_id, "since": since}).fetchone()
    return None if seconds is None else timedelta(seconds=float(seconds))


def list_same_rule(
    conn: Connection, patient_id: int, rule_id: str, *, besides: UUID, before: datetime, limit: int
) -> Sequence[EarlierAlert]:
    """Alerts of this rule that a patient whom the caller may see had before, newest first."""
    values = {
        "patient_id": patient_id,
        "rule_id": rule_id,
        "episode_id": besides,
        "before": before,
        "limit": limit,
    }
    with conn.cursor(row_factory=class_row(EarlierAlert)) as cursor:
        return cursor.execute(_SQL["list_same_rule"], values).fetchall()
