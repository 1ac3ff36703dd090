"""Research projects, who has agreed to be in them, and what they are given (`sql/research.sql`). Decided in `people.research`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg.rows import class_row

from server.store import vault
from server.store.postgres import Connection, load_sql
from server.store.vault import Safe, identified

_SQL: Final = load_sql("research")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One project; `key` is sealed. Who: user ids."""

    project_id: int
    name: str
    purpose: str
    key: bytes
    asked_by: int
    asked_at: datetime
    approved_by: int | None
    approved_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProject:
    """One project as it is shown. Who: logins."""

    project_id: int
    name: str
    purpose: str
    asked_by: str
    asked_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    ended_at: datetime | None
    exports: int
    last_export_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A patient who has agreed. `zone`: where they live now."""

    patient_id: int
    sex: str | None
    conditions: Sequence[str]
    enrolled_on: date
    zone: str
    birth_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortAlert:
    """An alert without its words. Instants by the patient's wall clock; None: not before the end that was asked for."""

    rule_id: str
    rule_version: int
    priority: str
    opened_local: datetime
    acknowledged_local: datetime | None
    resolved_local: datetime | None
    resolution: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given out. `digest`: SHA-256 of the manifest."""

    patient_ids: Sequence[int]
    readings: int
    alerts: int
    digest: bytes


def add_project(conn: Connection, *, name: str, purpose: str, key: bytes, by: int, now: datetime) -> bool:
    """False if there is one of this name."""
    row = conn.execute(_SQL["next_project"]).fetchone()
    assert row is not None
    project_id = int(row[0])
    sealed = _safe(conn, project_id).seal(key, _place(project_id))
    values = {"project_id": project_id, "name": name, "purpose": purpose, "key": sealed, "by": by, "now": now}
    return conn.execute(_SQL["add_project"], values).fetchone() is not None


def find_project(conn: Connection, name: str) -> Project | None:
    """Locked until the transaction ends."""
    with conn.cursor(row_factory=class_row(Project)) as cursor:
        return cursor.execute(_SQL["project"], {"name": name}).fetchone()


def key_of(conn: Connection, project: Project) -> bytes:
    """Of a project that has not ended."""
    return _safe(conn, project.project_id).open(project.key, _place(project.project_id))


def list_projects(conn: Connection) -> Sequence[ListedProject]:
    with conn.cursor(row_factory=class_row(ListedProject)) as cursor:
        return cursor.execute(_SQL["projects"]).fetchall()


def approve(conn: Connection, project_id: int, *, by: int, now: datetime) -> None:
    conn.execute(_SQL["approve"], {"project_id": project_id, "by": by, "now": now})


def end(conn: Connection, project_id: int, *, by: int, now: datetime) -> None:
    """Over, and its key destroyed."""
    conn.execute(_SQL["end"], {"project_id": project_id, "by": by, "now": now})
    conn.execute(_SQL["destroy_key"], {"holder": _holder(project_id), "now": now})


def list_subjects(conn: Connection) -> Sequence[Subject]:
    """Everybody who has agreed to research."""
    with conn.cursor(row_factory=identified(Subject, birth_date="birth_date")) as cursor:
        return cursor.execute(_SQL["subjects"]).fetchall()


def no_longer(conn: Connection, patient_ids: Collection[int]) -> Sequence[int]:
    """Who of these has not agreed at this instant; nobody else takes it back until the transaction ends."""
    conn.execute(_SQL["hold_consents"], {"patient_ids": list(patient_ids)})
    return [row[0] for row in conn.execute(_SQL["no_longer"], {"patient_ids": list(patient_ids)}).fetchall()]


def list_alerts(conn: Connection, patient_id: int, *, until: datetime) -> Sequence[ShortAlert]:
    """The patient's alerts before `until`, the oldest first."""
    with conn.cursor(row_factory=class_row(ShortAlert)) as cursor:
        return cursor.execute(_SQL["alerts"], {"patient_id": patient_id, "until": until}).fetchall()


def note_export(conn: Connection, project_id: int, given: Given, *, by: int, now: datetime) -> int:
    """The number of the export."""
    values = {"patients": len(given.patient_ids), "readings": given.readings, "alerts": given.alerts}
    row = conn.execute(
        _SQL["note_export"], {"project_id": project_id, "now": now, "by": by, "digest": given.digest} | values
    ).fetchone()
    assert row is not None
    export_id = int(row[0])
    conn.execute(
        _SQL["note_members"],
        {"project_id": project_id, "patient_ids": list(given.patient_ids), "export_id": export_id},
    )
    return export_id


def list_gone(conn: Connection, project_id: int) -> Sequence[int]:
    """Who was in what the project was given, and has taken it back, or is erased."""
    return [row[0] for row in conn.execute(_SQL["gone"], {"project_id": project_id}).fetchall()]


def _safe(conn: Connection, project_id: int) -> Safe:
    holder = _holder(project_id)
    return vault.safes(conn, {holder: None})[holder]


def _holder(project_id: int) -> str:
    return f"research:{project_id}"


def _place(project_id: int) -> str:
    return f"research_project.key/{project_id}"
