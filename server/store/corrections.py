"""What a correction of a reading reads and writes: its history, and whose the reading is since. The reading stays as it came.

Every function runs inside the caller's transaction; `people.corrections` says what belongs together and who may. Statements are
in `sql/corrections.sql`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store import vault
from server.store.postgres import Connection, load_sql
from server.store.vault import identified, open_envelope

_SQL: Final = load_sql("corrections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A reading as a correction finds it. `owner_id`: whose it is now, None nobody's; `standing` is that in the record asked for.

    `version` is 1 for a reading of which nothing was ever said.
    """

    stored_as: int
    kind: str
    measured_at: datetime
    standing: str
    owner_id: int | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCorrection:
    """Who said something of a reading last."""

    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One thing that was said of a reading. Patients whom the user who asks does not see are None, as nobody is."""

    reading_id: UUID
    version: int
    action: str
    reason: str
    plain_note: str
    sealed_note: bytes | None
    made_by: str
    made_at: datetime
    from_patient_id: int | None
    from_name: str | None
    to_patient_id: int | None
    to_name: str | None

    @property
    def note(self) -> str:
        """Empty, too, where it was noted in the record of somebody whom the user does not see, or who has been erased."""
        if self.sealed_note is None:
            return self.plain_note
        return open_envelope(self.sealed_note, "reading_correction.note", f"{self.reading_id}/{self.version}").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody whose a reading could be said to be."""

    patient_id: int
    name: str
    birth_date: date | None


def lock_reading(conn: Connection, reading_id: UUID) -> None:
    """Until the transaction ends nobody else corrects this reading."""
    conn.execute(_SQL["lock_reading"], {"reading_id": reading_id})


def standing_of(conn: Connection, reading_id: UUID, *, patient_id: int) -> Standing | None:
    """The reading as it stands in the record of this patient; None if it never stood there."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["standing"], {"reading_id": reading_id, "patient_id": patient_id}).fetchone()


def last_correction(conn: Connection, reading_id: UUID) -> LastCorrection | None:
    with conn.cursor(row_factory=class_row(LastCorrection)) as cursor:
        return cursor.execute(_SQL["last_correction"], {"reading_id": reading_id}).fetchone()


def enrolled_on(conn: Connection, patient_id: int) -> date:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: date | None = cursor.execute(_SQL["enrolled_on"], {"patient_id": patient_id}).fetchone()
    assert found is not None, patient_id
    return found


def note_correction(
    conn: Connection,
    reading_id: UUID,
    standing: Standing,
    *,
    action: str,
    reason: str,
    note: str,
    said_in: int,
    to_patient_id: int | None,
    user_id: int,
    now: datetime,
) -> None:
    """Write down that the reading is `to_patient_id`'s from now on (None: nobody's), and make it so.

    `said_in`: whose record it was said in; the note is sealed with that patient's key.
    """
    place = f"reading_correction.note/{reading_id}/{standing.version}"
    row = asdict(standing) | {
        "reading_id": reading_id,
        "action": action,
        "reason": reason,
        "said_in": said_in,
        "note_sealed": vault.seal(conn, said_in, note.encode(), place) if note else None,
        "to_patient_id": to_patient_id,
        "user_id": user_id,
        "now": now,
    }
    conn.execute(_SQL["note"], row)
    conn.execute(_SQL["put_back" if to_patient_id == standing.stored_as else "put_elsewhere"], row)


def list_corrections(conn: Connection, reading_ids: Iterable[UUID], *, user_id: int) -> Sequence[Correction]:
    """All that was ever said of these readings, oldest first, as this user may know it."""
    values = {"reading_ids": list(reading_ids), "user_id": user_id}
    with conn.cursor(row_factory=identified(Correction, from_name="name?", to_name="name?")) as cursor:
        return cursor.execute(_SQL["list_corrections"], values).fetchall()


def list_candidates(conn: Connection, *, user_id: int) -> Sequence[Candidate]:
    """Everybody whom the user sees, by name."""
    with conn.cursor(row_factory=identified(Candidate, name="name", birth_date="birth_date")) as cursor:
        found = cursor.execute(_SQL["list_candidates"], {"user_id": user_id}).fetchall()
    return sorted(found, key=lambda each: (each.name, each.patient_id))
