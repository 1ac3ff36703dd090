"""Readings with their whole provenance, and by what equipment they came, for those who take records elsewhere (FHIR).

The caller has asked `people.panels` for every patient that is named. Statements: `sql/fhir.sql`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql
from server.store.reading_lists import ShownReading
from server.store.worklist import Place
from vitals.reading import KINDS

_SQL: Final = load_sql("fhir")

PAGE_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedReading(ShownReading):
    """A reading of a patient's record. `changed_at`: when it was stored, or when a clinician last said something of it."""

    patient_id: int
    gateway_id: str
    stored_at: datetime
    changed_at: datetime
    meter_status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """A meter that is or was a patient's, in the home of a gateway."""

    patient_id: int
    gateway_id: str
    meter_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `since` on, before `until`; `None` is without an end."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether `at` lies in it."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def list_recorded(
    conn: Connection,
    patient_ids: Sequence[int],
    *,
    limit: int,
    kinds: Iterable[str] = KINDS,
    reading_id: UUID | None = None,
    measured: Span | None = None,
    changed: Span | None = None,
    after: Place | None = None,
) -> Sequence[RecordedReading]:
    """Newest first, at most `limit`; `after` is where the last page ended. `changed` likewise."""
    measured, changed = measured or Span(), changed or Span()
    values = {
        "patient_ids": list(patient_ids),
        "kinds": list(kinds),
        "reading_id": reading_id,
        "from_at": measured.since,
        "until_at": measured.until,
        "changed_since": changed.since,
        "changed_until": changed.until,
        "after_at": after.at if after else None,
        "after_id": after.row_id if after else None,
        "limit": min(limit, PAGE_MAX),
    }
    with conn.cursor(row_factory=class_row(RecordedReading)) as cursor:
        return cursor.execute(_SQL["list_recorded"], values).fetchall()


def list_equipment(conn: Connection, patient_ids: Sequence[int]) -> Sequence[Equipment]:
    """By what these patients are or were measured."""
    with conn.cursor(row_factory=class_row(Equipment)) as cursor:
        return cursor.execute(_SQL["list_equipment"], {"patient_ids": list(patient_ids)}).fetchall()
