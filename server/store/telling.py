"""What bears on who is told what, when: open alerts, quiet hours, ladders, the clock of ten minutes. It decides nothing.

Statements are in `sql/telling.sql`; whatever is written belongs to the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("telling")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEpisode:
    """An open alert of a patient, as telling sees it.

    `told_clinic`, `told_patient`: a message is sent or on its way (to the patient: within a day). `is_clinic_muted`,
    `is_patient_muted`: the newest one was not sent because of a silence or a more urgent alert.
    """

    episode_id: UUID
    rule_id: str
    priority: str
    state: str
    sentence: Mapping[str, str]
    numbers: Mapping[str, Any]
    snoozed_until: datetime | None
    snoozed_or_worse: bool
    seen: Mapping[str, Any] | None
    inhibited_by: UUID | None
    known_at: datetime | None
    answer_by: datetime | None
    answered_at: datetime | None
    told_clinic: bool
    told_patient: bool
    is_clinic_muted: bool
    is_patient_muted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLadder:
    """A clinic's own ladders, as they were set."""

    version: int
    steps: Mapping[str, Sequence[Mapping[str, Any]]]
    supervisor: int | None
    set_at: datetime
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuietHours:
    """The quiet hours of a subject; both None: none, though others of its kind may have some."""

    subject: str
    begins_at: time | None
    ends_at: time | None
    set_at: datetime
    set_by: str


def open_episodes(conn: Connection, patient_id: int) -> tuple[OpenEpisode, ...]:
    with conn.cursor(row_factory=class_row(OpenEpisode)) as cursor:
        return tuple(cursor.execute(_SQL["open_episodes"], {"patient_id": patient_id}))


def inhibit(conn: Connection, episode_id: UUID, by: UUID | None) -> None:
    """Note which alert speaks for it, or that none does."""
    conn.execute(_SQL["inhibit"], {"episode_id": episode_id, "by": by})


def mute_pending(conn: Connection, episode_id: UUID, *, with_patient: bool) -> int:
    """Cancel what was still to be told of it; how many messages that were."""
    return conn.execute(_SQL["mute_pending"], {"episode_id": episode_id, "with_patient": with_patient}).rowcount


def wake(conn: Connection, episode_id: UUID) -> None:
    """It sleeps no longer, and wants to be acknowledged anew."""
    conn.execute(_SQL["wake"], {"episode_id": episode_id})


def zone_of(conn: Connection, patient_id: int, at: datetime) -> str:
    row = conn.execute(_SQL["zone"], {"patient_id": patient_id, "at": at}).fetchone()
    return "UTC" if row is None else str(row[0])


def quiet_hours_of(conn: Connection, subjects: Sequence[str]) -> tuple[time, time] | None:
    """Those of the first of `subjects` for whom somebody has set any; None if that was none."""
    row = conn.execute(_SQL["quiet_hours"], {"subjects": list(subjects)}).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def set_quiet_hours(
    conn: Connection, subject: str, hours: tuple[time, time] | None, *, set_by: str, now: datetime
) -> None:
    begins_at, ends_at = hours or (None, None)
    values = {"subject": subject, "begins_at": begins_at, "ends_at": ends_at, "now": now, "set_by": set_by}
    conn.execute(_SQL["set_quiet_hours"], values)


def list_quiet_hours(conn: Connection) -> tuple[StoredQuietHours, ...]:
    with conn.cursor(row_factory=class_row(StoredQuietHours)) as cursor:
        return tuple(cursor.execute(_SQL["list_quiet_hours"]))


def ladder_in_force(conn: Connection) -> StoredLadder | None:
    """The newest that the clinic has set; None: the product's own holds."""
    with conn.cursor(row_factory=class_row(StoredLadder)) as cursor:
        return cursor.execute(_SQL["ladder"]).fetchone()


def list_ladders(conn: Connection) -> tuple[StoredLadder, ...]:
    """Every version, the newest first."""
    with conn.cursor(row_factory=class_row(StoredLadder)) as cursor:
        return tuple(cursor.execute(_SQL["list_ladders"]))


def set_ladder(
    conn: Connection,
    steps: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    supervisor: int | None,
    set_by: str,
    now: datetime,
) -> int:
    """Returns the version. The caller holds `lock_ladders`."""
    values = {"steps": Jsonb(dict(steps)), "supervisor": supervisor, "now": now, "set_by": set_by}
    row = conn.execute(_SQL["set_ladder"], values).fetchone()
    assert row is not None
    return int(row[0])


def lock_ladders(conn: Connection) -> None:
    conn.execute(_SQL["lock_ladders"])


def is_clinician(conn: Connection, user_id: int) -> bool:
    """Can sign in, as a doctor or a nurse."""
    row = conn.execute(_SQL["is_clinician"], {"user_id": user_id}).fetchone()
    assert row is not None
    return bool(row[0])


def who_sees(conn: Connection, patient_id: int, user_ids: Sequence[int]) -> tuple[int, ...]:
    """Of these users, who can sign in and see the patient."""
    values = {"patient_id": patient_id, "user_ids": list(user_ids)}
    return tuple(row[0] for row in conn.execute(_SQL["sees"], values))


def known_at(
    conn: Connection, patient_id: int, reading_ids: Sequence[str], *, since: datetime, until: datetime
) -> tuple[datetime, datetime] | None:
    """When the server had the first of these readings, and the last; None if none is there."""
    values = {"patient_id": patient_id, "reading_ids": list(reading_ids), "since": since, "until": until}
    row = conn.execute(_SQL["known_at"], values).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def start_clock(
    conn: Connection, patient_id: int, episode_id: UUID, *, known_at: datetime, answer_by: datetime
) -> None:
    """From `known_at` on a decision is awaited; the judge looks when the time is over."""
    conn.execute(_SQL["start_clock"], {"episode_id": episode_id, "known_at": known_at, "answer_by": answer_by})
    conn.execute(_SQL["due_at"], {"patient_id": patient_id, "due_at": answer_by})


def note_breach(
    conn: Connection, patient_id: int, episode_id: UUID, *, known_at: datetime, answer_by: datetime, now: datetime
) -> bool:
    """True if nobody has noted it before."""
    values = {"episode_id": episode_id, "patient_id": patient_id, "known_at": known_at, "answer_by": answer_by}
    return conn.execute(_SQL["note_breach"], {**values, "now": now}).fetchone() is not None
